package model

import (
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// What one series and one account look like in a slice. Fields are only ever appended, with a new stateVersion.

func (s *series) append(w *writer) {
	w.string(s.key)
	w.Flags(s.alive, s.usual != nil, s.run != nil, s.open != nil, s.peak.lnP != 0, s.told, s.owner.id != noValue,
		s.rate.trials != nil, s.isRollUp)
	w.Uint(uint64(s.ordinal))
	w.Minute(s.lastEnd)
	if s.rate.trials != nil {
		s.rate.trials.append(w)
	}
	if s.alive {
		s.rate.append(w)
		w.Int(int64(s.day))
		for _, n := range s.days {
			w.Uint(n)
		}
	}
	n := &s.in.account.names
	if s.owner.id != noValue {
		w.Uint(uint64(s.owner.kind))
		w.string(n.of[s.owner.id])
	}
	slices.SortFunc(s.pending, n.compare)
	n.appendRows(w, s.pending)
	s.appendKinds(w)
	if s.usual != nil {
		w.Int(int64(s.usual.day))
		for _, top := range s.usual.top {
			w.Uint(uint64(len(top)))
			for _, v := range top {
				w.string(n.of[v.id])
				w.Float32(v.n)
			}
		}
	}
	if s.run != nil {
		w.Minute(s.run.start)
		w.Minute(s.run.last)
		s.run.main.append(w, n)
		n.appendRows(w, s.run.tail)
	}
	if s.open != nil {
		s.open.append(w, n)
	}
	if s.peak.lnP != 0 {
		s.peak.append(w)
	}
}

func (s *series) read(r *reader) { // the key is read
	var hasUsual, hasRun, hasOpen, hasPeak, hasOwner, hasTrials bool
	r.Flags(&s.alive, &hasUsual, &hasRun, &hasOpen, &hasPeak, &s.told, &hasOwner, &hasTrials, &s.isRollUp)
	s.ordinal = uint32(r.UpTo(1<<32 - 1))
	s.lastEnd = r.Minute()
	if hasTrials {
		s.rate.trials = readTrials(r)
	}
	if s.alive {
		s.rate.read(r)
		s.day = r.Int32()
		for i := range s.days {
			s.days[i] = r.Uint()
		}
	}
	n := &s.in.account.names
	if hasOwner {
		s.owner = owner{schemas.PrincipalType(r.UpTo(255)), n.intern(r.string())}
		s.in.inherit(s)
	}
	s.pending = n.readRows(r)
	s.readKinds(r)
	for i, row := range s.pending {
		m := schemas.Minute(row.minute)
		if i == 0 || s.pending[i-1].minute != row.minute {
			s.in.await(s, m)
		}
	}
	if hasUsual {
		s.usual = &usual{day: r.Int32()}
		for d := range s.usual.top {
			for range r.UpTo(TopValues) {
				s.usual.top[d] = append(s.usual.top[d], usualValue{n.intern(r.string()), r.Float32()})
			}
		}
	}
	if hasRun {
		s.run = &run{start: r.Minute(), last: r.Minute()}
		s.run.main.read(r, n)
		s.run.tail = n.readRows(r)
	}
	if hasOpen {
		s.open = new(insight)
		s.open.read(r, n)
		s.in.open = append(s.in.open, s)
		s.in.account.open++
	}
	if hasPeak {
		s.peak.read(r)
	}
}

func (r *rate) append(w *writer) {
	w.Flags(r.season != nil, r.suspect, r.hot, r.settled, r.dormant != 0, r.breadth != nil)
	w.Minute(r.last)
	w.Minute(r.born)
	w.Minute(r.block)
	w.Minute(r.hotMin)
	w.Uint(r.calls)
	w.Minute(r.streak.from)
	w.Uint(uint64(r.streak.blocks))
	w.Uint(r.streak.open)
	if r.streak.blocks > 0 {
		w.Floats(r.streak.calls, r.streak.squares)
	}
	w.Floats(r.a, r.b)
	for i := range windows {
		w.Floats(r.s[i], r.m[i], r.sv[i], r.sn[i], r.current[i])
		histogramTo(w, r.hist[i][:])
	}
	if r.season != nil {
		r.season.append(w)
	}
	if r.dormant != 0 {
		w.Uint(uint64(r.dormant))
	}
	if r.breadth != nil {
		r.breadth.append(w)
	}
}

func (r *rate) read(in *reader) {
	var hasSeason, isRevived, hasBreadth bool
	in.Flags(&hasSeason, &r.suspect, &r.hot, &r.settled, &isRevived, &hasBreadth)
	r.last, r.born, r.block, r.hotMin = in.Minute(), in.Minute(), in.Minute(), in.Minute()
	r.calls = in.Uint()
	r.streak = streak{from: in.Minute(), blocks: uint32(in.UpTo(1<<32 - 1)), open: in.Uint()}
	if r.streak.blocks > 0 {
		in.Floats(&r.streak.calls, &r.streak.squares)
	}
	in.Floats(&r.a, &r.b)
	for i := range windows {
		in.Floats(&r.s[i], &r.m[i], &r.sv[i], &r.sn[i], &r.current[i])
		histogramFrom(in, r.hist[i][:])
	}
	if hasSeason {
		r.season = readSeason(in)
	}
	if isRevived {
		r.dormant = uint32(in.UpTo(1<<32 - 1))
	}
	if hasBreadth {
		r.breadth = new(breadth)
		r.breadth.read(in)
	}
}

func (n *names) appendRows(w *writer, rows []row) {
	w.Uint(uint64(len(rows)))
	for _, r := range rows {
		w.Int(int64(r.minute))
		for _, id := range r.of {
			w.string(n.of[id])
		}
		w.Uint(r.count)
		w.string(r.sample)
	}
}

func (n *names) readRows(r *reader) []row {
	var rows []row
	for i := range r.length(dimensions + 3) {
		x := row{minute: r.Int32()}
		for d := range x.of {
			x.of[d] = n.intern(r.string())
		}
		if x.of[0] != rest {
			x.hash = n.hashOf(x.of)
		}
		x.count = r.Uint()
		x.sample = r.string()
		if r.Bad || i > 0 && x.minute < rows[i-1].minute {
			r.Fail()
			return nil
		}
		rows = append(rows, x)
	}
	return rows
}

func (s *sketch) append(w *writer, n *names) {
	w.Uint(s.count)
	for _, top := range s.top {
		w.Uint(uint64(len(top)))
		for _, c := range top {
			w.string(n.of[c.Value])
			w.Uint(c.N)
			w.Uint(c.Over)
		}
	}
	w.Uint(uint64(len(s.samples)))
	for _, id := range s.samples {
		w.string(id)
	}
}

func (s *sketch) read(r *reader, n *names) {
	s.count = r.Uint()
	for d := range s.top {
		for range r.UpTo(TopValues) {
			s.top[d] = append(s.top[d], Counted[uint32]{Value: n.intern(r.string()), N: r.Uint(), Over: r.Uint()})
		}
	}
	for range r.UpTo(maxSamples) {
		s.samples = append(s.samples, r.string())
	}
}

func (o *insight) append(w *writer, n *names) {
	w.Minute(o.start)
	w.Minute(o.alarm)
	w.Minute(o.lastHot)
	w.Minute(o.lastOdd)
	w.Flags(o.confirmed, o.best.closed, o.before.hot, o.young, o.before.season != nil, o.before.breadth != nil, o.best.tried)
	b := &o.before
	w.Uint(uint64(b.n))
	w.Minute(b.last)
	w.Minute(b.hotMin)
	w.Floats(b.a, b.b)
	for i := range windows {
		w.Floats(b.s[i], b.m[i], b.extra[i])
		b.tails[i].append(w)
	}
	if b.season != nil {
		b.season.append(w)
	}
	if b.breadth != nil {
		b.breadth.append(w)
	}
	w.Floats(b.pi)
	e := &o.best
	if e.tried {
		w.Floats(e.share, e.usualShare)
	}
	w.Uint(uint64(e.window))
	w.Floats(e.lnP, e.s, e.m, e.normalMax, e.lambda, e.season, e.spread, e.blocks, e.ageDays, e.kinds, e.kindsMean)
	w.Uint(uint64(e.dormant))
	w.Floats(o.baseline, o.line.alpha, o.line.ln, o.line.tested, o.line.budget)
	w.Uint(uint64(o.covered))
	w.Int(o.continues)
	for _, shares := range o.usual {
		w.Uint(uint64(len(shares)))
		for _, v := range shares {
			w.string(n.of[v.id])
			w.Floats(v.share)
		}
	}
}

func (o *insight) read(r *reader, n *names) {
	o.start, o.alarm = r.Minute(), r.Minute()
	o.lastHot, o.lastOdd = r.Minute(), r.Minute()
	b, hasSeason, hasBreadth := &o.before, false, false
	r.Flags(&o.confirmed, &o.best.closed, &b.hot, &o.young, &hasSeason, &hasBreadth, &o.best.tried)
	b.n = int(r.UpTo(windows))
	b.last, b.hotMin = r.Minute(), r.Minute()
	r.Floats(&b.a, &b.b)
	for i := range windows {
		r.Floats(&b.s[i], &b.m[i], &b.extra[i])
		b.tails[i].read(r)
	}
	if hasSeason {
		b.season = readSeason(r)
	}
	if hasBreadth {
		b.breadth = new(breadthLook)
		b.breadth.read(r)
	}
	b.pi = r.Float()
	e := &o.best
	if e.tried {
		r.Floats(&e.share, &e.usualShare)
	}
	e.window = uint8(r.UpTo(byBreadth))
	r.Floats(&e.lnP, &e.s, &e.m, &e.normalMax, &e.lambda, &e.season, &e.spread, &e.blocks, &e.ageDays, &e.kinds, &e.kindsMean)
	e.dormant = uint32(r.UpTo(1<<32 - 1))
	r.Floats(&o.baseline, &o.line.alpha, &o.line.ln, &o.line.tested, &o.line.budget)
	o.covered = uint32(r.UpTo(1<<32 - 1))
	o.continues = r.Int()
	for d := range o.usual {
		for range r.UpTo(TopValues) {
			o.usual[d] = append(o.usual[d], usualShare{n.intern(r.string()), r.Float()})
		}
	}
}

func (n *nearMiss) append(w *writer) {
	w.string(n.region)
	w.string(n.key)
	w.Minute(n.minute)
	w.Uint(uint64(n.window))
	w.Floats(n.lnP, n.line, n.s, n.m)
}

func (n *nearMiss) read(r *reader) {
	n.region, n.key, n.minute = r.string(), r.string(), r.Minute()
	n.window = uint8(r.UpTo(byBreadth))
	r.Floats(&n.lnP, &n.line, &n.s, &n.m)
}

func (a *account) append(w *writer) {
	w.string(string(a.id.Provider))
	w.string(a.id.ID)
	w.Flags(a.age.Seen, a.rolled, a.kinds != nil)
	w.Minute(a.age.Born)
	w.Minute(a.age.Newest)
	w.Minute(a.age.Learn)
	w.Int(int64(a.day))
	w.Uint(uint64(a.spent))
	a.tested.append(w)
	a.firsts.append(w)
	for i := range windows {
		histogramTo(w, a.pools[i].live[:])
		w.Floats(a.pools[i].beta0)
		histogramTo(w, a.first.live[i][:])
		a.first.frozen[i].append(w)
	}
	if a.kinds != nil {
		a.kinds.append(w)
	}
	w.Uint(uint64(len(a.near)))
	for i := range a.near {
		a.near[i].append(w)
	}
	w.Uint(uint64(len(a.regions)))
	for _, name := range sortedKeys(a.regions) {
		w.string(name)
		w.Minute(a.regions[name].watermark)
		a.regions[name].pulse.append(w)
	}
}

func (a *account) read(r *reader) { // the id is read
	hasKinds := false
	r.Flags(&a.age.Seen, &a.rolled, &hasKinds)
	a.age.Born, a.age.Newest, a.age.Learn = r.Minute(), r.Minute(), r.Minute()
	a.day = r.Int32()
	a.spent = uint32(r.UpTo(1<<32 - 1))
	a.tested.read(r)
	a.firsts.read(r)
	for i := range windows {
		histogramFrom(r, a.pools[i].live[:])
		a.pools[i].beta0 = r.Float()
		histogramFrom(r, a.first.live[i][:])
		a.first.frozen[i].read(r)
	}
	if hasKinds != (a.kinds != nil) {
		r.Fail() // state of another kind of machine
		return
	}
	if hasKinds {
		a.kinds.read(r)
	}
	a.near = nil
	for range r.UpTo(maxNear) {
		var x nearMiss
		x.read(r)
		a.near = append(a.near, x)
	}
	for range r.length(2) {
		in := a.region(r.string())
		in.watermark = r.Minute()
		in.pulse.read(r)
	}
}

func (p *pulse) append(w *writer) {
	w.Flags(p.started)
	w.Minute(p.hour)
	w.Minute(p.active)
	for _, s := range p.slots {
		w.Float32(s.calls)
		w.Float32(s.days)
	}
	w.Uint(uint64(len(p.open)))
	for _, h := range p.open {
		w.Minute(h.hour)
		w.Uint(h.calls)
	}
	w.Uint(uint64(len(p.outages)))
	for _, o := range p.outages {
		w.Minute(o.from)
		w.Minute(o.to)
	}
}

func (p *pulse) read(r *reader) {
	r.Flags(&p.started)
	p.hour, p.active = r.Minute(), r.Minute()
	bad := p.hour%schemas.Hour != 0 || p.active%schemas.Hour != 0 || p.active > p.hour
	for i := range p.slots {
		p.slots[i] = alive{r.Float32(), r.Float32()}
	}
	p.open, p.outages = nil, nil
	last := int64(minMinute)
	for range r.length(2) {
		h := hourCount{r.Minute(), r.Uint()}
		bad = bad || h.hour%schemas.Hour != 0 || int64(h.hour) < last || p.started && h.hour < p.hour
		last = int64(h.hour) + 1
		p.open = append(p.open, h)
	}
	last = minMinute
	for range r.UpTo(maxOutages) {
		o := span{r.Minute(), r.Minute()}
		bad = bad || int64(o.from) < last || o.to <= o.from || int64(o.to)-int64(o.from) > 2*int64(maxSilence)
		last = int64(o.to)
		p.outages = append(p.outages, o)
	}
	if bad {
		r.Fail()
	}
}

func (y *yearly) append(w *writer) {
	w.Uint(y.today)
	w.Floats(y.n, y.days, y.month)
}

func (y *yearly) read(r *reader) {
	y.today = r.Uint()
	r.Floats(&y.n, &y.days, &y.month)
}

func (t *tail) append(w *writer) { w.Floats(t.u, t.beta, t.lnTop, t.n) }
func (t *tail) read(r *reader)   { r.Floats(&t.u, &t.beta, &t.lnTop, &t.n) }

func (s *season) append(w *writer) {
	for i := range s.a {
		w.Float32(s.a[i])
		w.Float32(s.b[i])
	}
}

func readSeason(r *reader) *season {
	s := new(season)
	for i := range s.a {
		s.a[i], s.b[i] = r.Float32(), r.Float32()
	}
	return s
}
