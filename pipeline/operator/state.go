package operator

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/schemas"
)

// State is one entry for each account, in slices by its hash: what one pane touches is one entry. Its open insights are entries
// of another table: a hostile log can open a hundred with 12 KB of values each, which do not fit into one value together. Fields
// are only ever appended, with a new stateVersion.
const stateVersion = 2

// Snapshot calls changed for every state key that has changed since the last call; the state is the caller's. The bytes are a
// function of what was observed, not of when snapshots or restores happened.
func (m *Machine) Snapshot(changed func(key string, state []byte)) error {
	compare := func(a, b *account) int { return a.id.Compare(b.id) }
	if err := m.kept.WriteChanged(compare, (*account).appendEntry, changed); err != nil {
		return err
	}
	return m.keptOpen.WriteChanged(compare, (*account).appendOpen, changed)
}

func (a *account) appendEntry(entries [][]byte) ([][]byte, error) {
	w := a.writer()
	a.append(&w)
	return append(entries, w.B), nil
}

func (a *account) appendOpen(entries [][]byte) ([][]byte, error) {
	for _, o := range a.open {
		w := a.writer()
		o.append(&w)
		entries = append(entries, w.B)
	}
	return entries, nil
}

// writer begins an entry of the account.
func (a *account) writer() writer {
	w := writer{pages.Writer{B: []byte{stateVersion}}}
	w.string(string(a.id.Provider))
	w.string(a.id.ID)
	return w
}

// Restore gives a key back, into a machine that has observed nothing. An error means that the state is corrupt or was written
// by a newer program; the machine is of no use then.
func (m *Machine) Restore(key string, state []byte) error {
	if m.keptOpen.Owns(key) {
		return m.keptOpen.Read(key, state, func(slice int, e []byte) error {
			return m.restore(e, func(a *account, r *reader) bool { return a.openSlice == slice && a.enter(readInsight(r)) })
		})
	}
	return m.kept.Read(key, state, func(slice int, e []byte) error {
		return m.restore(e, func(a *account, r *reader) bool {
			if a.slice != slice || a.restored {
				return false
			}
			a.restored = true
			a.read(r)
			return true
		})
	})
}

// restore reads an entry of an account, whose tables come back in any order.
func (m *Machine) restore(e []byte, read func(*account, *reader) bool) error {
	if len(e) == 0 || e[0] != stateVersion {
		return fmt.Errorf("an account: %w", schemas.ErrVersion)
	}
	r := reader{pages.Reader{B: e[1:]}}
	id := schemas.Account{Provider: schemas.Provider(r.string()), ID: r.string()}
	if r.Bad || !read(m.account(id), &r) || r.Bad || len(r.B) != 0 {
		return pages.ErrState
	}
	return nil
}

func (a *account) append(w *writer) {
	w.Flags(a.age.Seen, a.begun)
	w.Minute(a.age.Born)
	w.Minute(a.age.Newest)
	w.Minute(a.age.Learn)
	w.Int(int64(a.day))
	w.Uint(uint64(len(a.profiles)))
	for _, f := range a.sortedProfiles() {
		f.append(w, a.day)
	}
	w.Floats(a.crowd.days)
	w.Uint(uint64(a.crowd.nets))
	w.Uint(uint64(a.crowd.programs))
	w.Uint(uint64(a.crowd.hours))
	w.Uint(uint64(a.crowd.auths))
	a.table.append(w, a.day)
	for i := range kinds {
		w.Floats(a.hazard.firsts[i], a.hazard.selfs[i], a.hazard.days[i])
	}
	a.scores.append(w)
	w.Uint(a.tested.today)
	w.Floats(a.tested.n, a.tested.days, a.tested.month)
	w.Uint(uint64(len(a.today)))
	for _, d := range a.today {
		w.hash(d.op)
		w.Float32(d.score)
		w.Flags(d.told)
	}
	w.Uint(uint64(a.spent))
	w.Uint(uint64(len(a.pairs)))
	for _, p := range a.pairs {
		p.append(w, a.day)
	}
	w.Uint(uint64(len(a.regions)))
	for _, r := range a.regions {
		w.string(r.name)
		w.Minute(r.watermark)
	}
	w.Uint(uint64(len(a.setups)))
	for _, s := range a.setups {
		w.string(s.region)
		w.hash(s.op)
		w.Minute(s.minute)
		w.Flags(s.created)
	}
	w.Uint(uint64(len(a.near)))
	for i := range a.near {
		a.near[i].append(w)
	}
}

func (a *account) read(r *reader) { // the id is read
	r.Flags(&a.age.Seen, &a.begun)
	a.age.Born, a.age.Newest, a.age.Learn = r.Minute(), r.Minute(), r.Minute()
	a.day = r.Int32()
	for range r.UpTo(maxProfiles) {
		f := readProfile(r, a.day)
		if r.Bad || a.profiles[f.hash] != nil {
			r.Fail()
			return
		}
		a.remember(f)
	}
	a.crowd.days = r.count()
	a.crowd.nets = uint32(r.UpTo(maxProfiles * maxNets))
	a.crowd.programs = uint32(r.UpTo(math.MaxUint32))
	a.crowd.hours = uint16(r.UpTo(math.MaxUint16))
	a.crowd.auths = uint8(r.UpTo(math.MaxUint8))
	a.table.read(r, a.day)
	for i := range kinds {
		r.counts(&a.hazard.firsts[i], &a.hazard.selfs[i], &a.hazard.days[i])
	}
	a.scores.read(r)
	a.tested.today = r.Uint()
	r.counts(&a.tested.n, &a.tested.days, &a.tested.month)
	if a.tested.days < 1e-3 {
		r.Fail() // it begins with one, and a mean life of days is more
	}
	for range r.UpTo(maxToday) {
		d := opDay{op: r.hash(), score: r.count32()}
		r.Flags(&d.told)
		a.today = append(a.today, d)
	}
	a.spent = uint32(r.UpTo(math.MaxUint32))
	for range r.UpTo(uint64(len(r.B))) {
		a.pairs = append(a.pairs, readPair(r, a.day))
	}
	if !slices.IsSortedFunc(a.pairs, func(p, q *pair) int { return cmp.Compare(p.hash, q.hash) }) {
		r.Fail()
	}
	for range r.UpTo(uint64(len(r.B))) {
		g := a.region(r.string())
		g.watermark = r.Minute()
	}
	for range r.UpTo(maxSetups) {
		s := setup{region: r.string(), op: r.hash(), minute: r.Minute()}
		r.Flags(&s.created)
		a.setups = append(a.setups, s)
	}
	for range r.UpTo(maxNear) {
		a.near = append(a.near, readNear(r))
	}
}

// back codes a day by how long before another one it was, which is one byte for the last four months.
func (w *writer) back(from, day int32) { w.Uint(uint64(int64(from) - int64(day))) }

func (r *reader) back(from int32) int32 {
	d := int64(from) - int64(r.UpTo(math.MaxUint32))
	if d < math.MinInt32 {
		r.Fail()
		return from
	}
	return int32(d)
}

func (f *profile) append(w *writer, day int32) {
	w.hash(f.hash)
	w.back(day, f.last)
	w.Uint(uint64(f.days))
	today := f.programsToday != 0 || f.hoursToday != 0 || f.authsToday != 0
	w.Flags(f.grp != 0, today, len(f.asns) > 0)
	if f.grp != 0 {
		w.Uint(uint64(f.grp))
	}
	w.Uint(uint64(f.programs))
	w.Uint(uint64(f.hours))
	w.Uint(uint64(f.auths))
	if today {
		w.Uint(uint64(f.programsToday))
		w.Uint(uint64(f.hoursToday))
		w.Uint(uint64(f.authsToday))
	}
	appendPlaces(w, f.nets, f.last)
	if len(f.asns) > 0 {
		appendPlaces(w, f.asns, f.last)
	}
}

func readProfile(r *reader, day int32) *profile {
	f := &profile{hash: r.hash(), last: r.back(day), days: uint16(r.UpTo(90 * dayUnits))}
	var grouped, today, asns bool
	r.Flags(&grouped, &today, &asns)
	if grouped {
		f.grp = uint16(r.UpTo(math.MaxUint16))
	}
	f.programs, f.hours, f.auths = uint32(r.UpTo(math.MaxUint32)), uint16(r.UpTo(math.MaxUint16)), uint8(r.UpTo(math.MaxUint8))
	if today {
		f.programsToday, f.hoursToday, f.authsToday =
			uint32(r.UpTo(math.MaxUint32)), uint16(r.UpTo(math.MaxUint16)), uint8(r.UpTo(math.MaxUint8))
	}
	f.nets = readPlaces(r, f.last, maxNets)
	if asns {
		f.asns = readPlaces(r, f.last, maxASNs)
	}
	return f
}

func appendPlaces(w *writer, places []place, day int32) {
	w.Uint(uint64(len(places)))
	for _, p := range places {
		w.B = append(w.B, byte(p.hash), byte(p.hash>>8), byte(p.hash>>16))
		v := uint64(int64(day)-int64(p.last)) << 1
		if p.known {
			v |= 1
		}
		w.Uint(v)
	}
}

func readPlaces(r *reader, day int32, most uint64) (places []place) {
	for range r.UpTo(most) {
		p := place{hash: uint32(r.bytes(3))}
		v := r.UpTo(math.MaxUint32)
		p.known = v&1 == 1
		if last := int64(day) - int64(v>>1); last >= math.MinInt32 {
			p.last = int32(last)
		} else {
			r.Fail()
		}
		places = append(places, p)
	}
	return places
}

func (t *table) append(w *writer, day int32) {
	w.Flags(t.based)
	w.back(day, t.base)
	for i := range t.class {
		t.class[i].append(w, day)
	}
	w.Uint(uint64(len(t.entries)))
	for _, e := range t.sorted() {
		e.append(w, day)
	}
}

func (t *table) read(r *reader, day int32) {
	r.Flags(&t.based)
	t.base = r.back(day)
	if t.based && int64(day)-int64(t.base) > rebase {
		r.Fail()
	}
	for i := range t.class {
		t.class[i] = readEntry(r, day)
	}
	for range r.UpTo(maxSets) {
		e := readEntry(r, day)
		if t.get(e.hash) != nil {
			r.Fail()
			return
		}
		t.index[e.hash] = len(t.entries)
		t.entries = append(t.entries, e)
	}
}

func (e *entry) append(w *writer, day int32) {
	w.Flags(e.name != "", e.fresh != 0, e.kind&1 != 0, e.kind&2 != 0, e.kind&4 != 0, e.kind&8 != 0)
	w.hash(e.hash)
	w.short(e.count)
	if e.fresh != 0 {
		w.short(e.fresh)
	}
	w.Uint(uint64(e.hits))
	for _, d := range e.last {
		if d == noDay {
			w.Uint(0)
			break
		}
		w.Uint(uint64(int64(day)-int64(d)) + 1)
	}
	if e.name != "" {
		w.hash(e.of)
		w.string(e.name)
	}
}

func readEntry(r *reader, day int32) entry {
	e := entry{last: [habitDays]int32{noDay, noDay, noDay}}
	var named, fresh bool
	var kind [4]bool
	r.Flags(&named, &fresh, &kind[0], &kind[1], &kind[2], &kind[3])
	for i, set := range kind {
		if set {
			e.kind |= 1 << i
		}
	}
	e.hash, e.count = r.hash(), r.short()
	if fresh {
		e.fresh = r.short()
	}
	e.hits = uint16(r.UpTo(math.MaxUint16))
	for i := range e.last {
		back := r.UpTo(math.MaxUint32)
		if back == 0 {
			break
		}
		d := int64(day) - int64(back-1)
		if d <= noDay {
			r.Fail()
			break
		}
		e.last[i] = int32(d)
	}
	if named {
		e.of, e.name = r.hash(), r.string()
	}
	return e
}

func (h *histogram) append(w *writer) {
	for _, v := range h {
		w.Uint(uint64(v))
	}
}

func (h *histogram) read(r *reader) {
	for i := range h {
		h[i] = uint16(r.UpTo(math.MaxUint16))
	}
	if h.mass() > 2*maxMass {
		r.Fail()
	}
}

func (p *pair) append(w *writer, day int32) {
	w.hash(p.hash)
	w.Uint(uint64(p.ordinal))
	if p.ordinal > 0 {
		w.Minute(p.lastEnd)
	}
	w.Int(int64(day) - int64(p.day))
	mask := uint64(0)
	for i, n := range p.n {
		if n > 0 {
			mask |= 1 << i
		}
	}
	w.Uint(mask)
	for _, n := range p.n {
		if n > 0 {
			w.Uint(n)
		}
	}
}

func readPair(r *reader, day int32) *pair {
	p := &pair{hash: r.hash(), ordinal: uint32(r.UpTo(math.MaxUint32)), lastEnd: noEnd}
	if p.ordinal > 0 {
		p.lastEnd = r.Minute()
	}
	d := int64(day) - int64(r.Int32())
	if d != int64(int32(d)) {
		r.Fail()
	}
	p.day = int32(d)
	mask := r.UpTo(1<<len(p.n) - 1)
	for i := range p.n {
		if mask&(1<<i) != 0 {
			p.n[i] = r.Uint()
		}
	}
	return p
}

func (n *nearMiss) append(w *writer) {
	w.hash(n.what)
	w.string(n.region)
	w.string(n.object)
	w.string(n.event)
	w.string(n.who)
	w.Flags(n.first)
	w.Floats(n.score)
	w.Minute(n.minute)
	w.Floats(n.lnP, n.line)
	w.Uint(n.count)
}

func readNear(r *reader) nearMiss {
	n := nearMiss{what: r.hash(), region: r.string(), object: r.string(), event: r.string(), who: r.string()}
	r.Flags(&n.first)
	n.score, n.minute, n.lnP, n.line, n.count = r.count(), r.Minute(), r.ln(), r.ln(), r.Uint()
	return n
}

func (o *insight) append(w *writer) {
	w.string(o.region)
	w.string(o.key)
	w.string(o.object)
	w.hash(o.pair)
	w.hash(o.op)
	w.Uint(uint64(o.ordinal))
	w.Minute(o.start)
	w.Minute(o.last)
	w.Uint(o.count)
	w.Uint(o.denied)
	for _, top := range o.top {
		w.Uint(uint64(len(top.Top)))
		for _, c := range top.Top {
			w.string(c.Value)
			w.Uint(c.N)
			w.Uint(c.Over)
		}
	}
	w.Uint(uint64(len(o.samples)))
	for _, s := range o.samples {
		w.string(s)
	}
	w.Flags(o.root)
	w.Floats(o.baseline, o.tested, o.budget, o.age)
	w.Uint(uint64(o.covered))
	w.Int(o.continues)
	v := &o.best
	w.Floats(v.lnP, v.alpha, v.score, v.hazard)
	w.Flags(v.first)
	w.Uint(uint64(v.days))
	w.string(v.operation)
	w.Uint(uint64(v.tier))
	w.Uint(uint64(v.target))
	w.string(v.shown)
	w.Uint(uint64(len(v.surprises)))
	for _, s := range v.surprises {
		w.string(s.Attribute)
		w.string(s.Value)
		w.Floats(s.Nats)
	}
	w.Uint(uint64(len(v.rules)))
	for _, x := range v.rules {
		w.string(x.Text)
		w.Uint(uint64(x.Hits))
		w.Uint(uint64(x.Days))
		w.Floats(x.Lower)
	}
}

func readInsight(r *reader) *insight {
	o := &insight{region: r.string(), key: r.string(), object: r.string(), pair: r.hash(), op: r.hash()}
	o.ordinal = uint32(r.UpTo(math.MaxUint32))
	o.start, o.last = r.Minute(), r.Minute()
	o.count, o.denied = r.Uint(), r.Uint()
	if o.last < o.start {
		r.Fail()
	}
	for d := range o.top {
		for range r.UpTo(model.TopValues) {
			o.top[d].Top = append(o.top[d].Top, model.Counted[string]{Value: r.string(), N: r.Uint(), Over: r.Uint()})
		}
	}
	for range r.UpTo(maxSamples) {
		o.samples = append(o.samples, r.string())
	}
	r.Flags(&o.root)
	r.counts(&o.baseline, &o.tested, &o.budget, &o.age)
	o.covered = uint32(r.UpTo(math.MaxUint32))
	o.continues = int64(r.Int32())
	v := &o.best
	v.lnP = r.ln()
	r.counts(&v.alpha, &v.score, &v.hazard)
	r.Flags(&v.first)
	v.days = uint32(r.UpTo(math.MaxUint32))
	v.operation = r.string()
	v.tier, v.target = schemas.Tier(r.UpTo(uint64(schemas.CoreTier))), schemas.Target(r.UpTo(uint64(schemas.RootTarget)))
	v.shown = r.string()
	for range r.UpTo(schemas.MaxAttributed) {
		v.surprises = append(v.surprises, schemas.Surprise{Attribute: r.string(), Value: r.string(), Nats: r.count()})
	}
	for range r.UpTo(maxRules) {
		v.rules = append(v.rules, schemas.Rule{Text: r.string(), Hits: uint32(r.UpTo(math.MaxUint32)),
			Days:  uint32(r.UpTo(math.MaxUint32)),
			Lower: r.count()})
	}
	return o
}
