package operator

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/trailvane/trailvane/pipeline/model"
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
	return append(entries, w.b), nil
}

func (a *account) appendOpen(entries [][]byte) ([][]byte, error) {
	for _, o := range a.open {
		w := a.writer()
		o.append(&w)
		entries = append(entries, w.b)
	}
	return entries, nil
}

// writer begins an entry of the account.
func (a *account) writer() writer {
	w := writer{b: []byte{stateVersion}}
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
	r := reader{b: e[1:]}
	id := schemas.Account{Provider: schemas.Provider(r.string()), ID: r.string()}
	if r.bad || !read(m.account(id), &r) || r.bad || len(r.b) != 0 {
		return errState
	}
	return nil
}

func (a *account) append(w *writer) {
	w.flags(a.age.Seen, a.begun)
	w.minute(a.age.Born)
	w.minute(a.age.Newest)
	w.minute(a.age.Learn)
	w.int(int64(a.day))
	w.uint(uint64(len(a.profiles)))
	for _, f := range a.sortedProfiles() {
		f.append(w, a.day)
	}
	w.floats(a.crowd.days)
	w.uint(uint64(a.crowd.nets))
	w.uint(uint64(a.crowd.programs))
	w.uint(uint64(a.crowd.hours))
	w.uint(uint64(a.crowd.auths))
	a.table.append(w, a.day)
	for i := range kinds {
		w.floats(a.hazard.firsts[i], a.hazard.selfs[i], a.hazard.days[i])
	}
	a.scores.append(w)
	w.uint(a.tested.today)
	w.floats(a.tested.n, a.tested.days, a.tested.month)
	w.uint(uint64(len(a.today)))
	for _, d := range a.today {
		w.hash(d.op)
		w.float32(d.score)
		w.flags(d.told)
	}
	w.uint(uint64(a.spent))
	w.uint(uint64(len(a.pairs)))
	for _, p := range a.pairs {
		p.append(w, a.day)
	}
	w.uint(uint64(len(a.regions)))
	for _, r := range a.regions {
		w.string(r.name)
		w.minute(r.watermark)
	}
	w.uint(uint64(len(a.setups)))
	for _, s := range a.setups {
		w.string(s.region)
		w.hash(s.op)
		w.minute(s.minute)
		w.flags(s.created)
	}
	w.uint(uint64(len(a.near)))
	for i := range a.near {
		a.near[i].append(w)
	}
}

func (a *account) read(r *reader) { // the id is read
	r.flags(&a.age.Seen, &a.begun)
	a.age.Born, a.age.Newest, a.age.Learn = r.minute(), r.minute(), r.minute()
	a.day = r.int32()
	for range r.upTo(maxProfiles) {
		f := readProfile(r, a.day)
		if r.bad || a.profiles[f.hash] != nil {
			r.fail()
			return
		}
		a.remember(f)
	}
	a.crowd.days = r.count()
	a.crowd.nets = uint32(r.upTo(maxProfiles * maxNets))
	a.crowd.programs = uint32(r.upTo(math.MaxUint32))
	a.crowd.hours = uint16(r.upTo(math.MaxUint16))
	a.crowd.auths = uint8(r.upTo(math.MaxUint8))
	a.table.read(r, a.day)
	for i := range kinds {
		r.counts(&a.hazard.firsts[i], &a.hazard.selfs[i], &a.hazard.days[i])
	}
	a.scores.read(r)
	a.tested.today = r.uint()
	r.counts(&a.tested.n, &a.tested.days, &a.tested.month)
	if a.tested.days < 1e-3 {
		r.fail() // it begins with one, and a mean life of days is more
	}
	for range r.upTo(maxToday) {
		d := opDay{op: r.hash(), score: r.count32()}
		r.flags(&d.told)
		a.today = append(a.today, d)
	}
	a.spent = uint32(r.upTo(math.MaxUint32))
	for range r.upTo(uint64(len(r.b))) {
		a.pairs = append(a.pairs, readPair(r, a.day))
	}
	if !slices.IsSortedFunc(a.pairs, func(p, q *pair) int { return cmp.Compare(p.hash, q.hash) }) {
		r.fail()
	}
	for range r.upTo(uint64(len(r.b))) {
		g := a.region(r.string())
		g.watermark = r.minute()
	}
	for range r.upTo(maxSetups) {
		s := setup{region: r.string(), op: r.hash(), minute: r.minute()}
		r.flags(&s.created)
		a.setups = append(a.setups, s)
	}
	for range r.upTo(maxNear) {
		a.near = append(a.near, readNear(r))
	}
}

// back codes a day by how long before another one it was, which is one byte for the last four months.
func (w *writer) back(from, day int32) { w.uint(uint64(int64(from) - int64(day))) }

func (r *reader) back(from int32) int32 {
	d := int64(from) - int64(r.upTo(math.MaxUint32))
	if d < math.MinInt32 {
		r.fail()
		return from
	}
	return int32(d)
}

func (f *profile) append(w *writer, day int32) {
	w.hash(f.hash)
	w.back(day, f.last)
	w.uint(uint64(f.days))
	today := f.programsToday != 0 || f.hoursToday != 0 || f.authsToday != 0
	w.flags(f.grp != 0, today, len(f.asns) > 0)
	if f.grp != 0 {
		w.uint(uint64(f.grp))
	}
	w.uint(uint64(f.programs))
	w.uint(uint64(f.hours))
	w.uint(uint64(f.auths))
	if today {
		w.uint(uint64(f.programsToday))
		w.uint(uint64(f.hoursToday))
		w.uint(uint64(f.authsToday))
	}
	appendPlaces(w, f.nets, f.last)
	if len(f.asns) > 0 {
		appendPlaces(w, f.asns, f.last)
	}
}

func readProfile(r *reader, day int32) *profile {
	f := &profile{hash: r.hash(), last: r.back(day), days: uint16(r.upTo(90 * dayUnits))}
	var grouped, today, asns bool
	r.flags(&grouped, &today, &asns)
	if grouped {
		f.grp = uint16(r.upTo(math.MaxUint16))
	}
	f.programs, f.hours, f.auths = uint32(r.upTo(math.MaxUint32)), uint16(r.upTo(math.MaxUint16)), uint8(r.upTo(math.MaxUint8))
	if today {
		f.programsToday, f.hoursToday, f.authsToday =
			uint32(r.upTo(math.MaxUint32)), uint16(r.upTo(math.MaxUint16)), uint8(r.upTo(math.MaxUint8))
	}
	f.nets = readPlaces(r, f.last, maxNets)
	if asns {
		f.asns = readPlaces(r, f.last, maxASNs)
	}
	return f
}

func appendPlaces(w *writer, places []place, day int32) {
	w.uint(uint64(len(places)))
	for _, p := range places {
		w.b = append(w.b, byte(p.hash), byte(p.hash>>8), byte(p.hash>>16))
		v := uint64(int64(day)-int64(p.last)) << 1
		if p.known {
			v |= 1
		}
		w.uint(v)
	}
}

func readPlaces(r *reader, day int32, most uint64) (places []place) {
	for range r.upTo(most) {
		p := place{hash: uint32(r.bytes(3))}
		v := r.upTo(math.MaxUint32)
		p.known = v&1 == 1
		if last := int64(day) - int64(v>>1); last >= math.MinInt32 {
			p.last = int32(last)
		} else {
			r.fail()
		}
		places = append(places, p)
	}
	return places
}

func (t *table) append(w *writer, day int32) {
	w.flags(t.based)
	w.back(day, t.base)
	for i := range t.class {
		t.class[i].append(w, day)
	}
	w.uint(uint64(len(t.entries)))
	for _, e := range t.sorted() {
		e.append(w, day)
	}
}

func (t *table) read(r *reader, day int32) {
	r.flags(&t.based)
	t.base = r.back(day)
	if t.based && int64(day)-int64(t.base) > rebase {
		r.fail()
	}
	for i := range t.class {
		t.class[i] = readEntry(r, day)
	}
	for range r.upTo(maxSets) {
		e := readEntry(r, day)
		if t.get(e.hash) != nil {
			r.fail()
			return
		}
		t.index[e.hash] = len(t.entries)
		t.entries = append(t.entries, e)
	}
}

func (e *entry) append(w *writer, day int32) {
	w.flags(e.name != "", e.fresh != 0, e.kind&1 != 0, e.kind&2 != 0, e.kind&4 != 0, e.kind&8 != 0)
	w.hash(e.hash)
	w.short(e.count)
	if e.fresh != 0 {
		w.short(e.fresh)
	}
	w.uint(uint64(e.hits))
	for _, d := range e.last {
		if d == noDay {
			w.uint(0)
			break
		}
		w.uint(uint64(int64(day)-int64(d)) + 1)
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
	r.flags(&named, &fresh, &kind[0], &kind[1], &kind[2], &kind[3])
	for i, set := range kind {
		if set {
			e.kind |= 1 << i
		}
	}
	e.hash, e.count = r.hash(), r.short()
	if fresh {
		e.fresh = r.short()
	}
	e.hits = uint16(r.upTo(math.MaxUint16))
	for i := range e.last {
		back := r.upTo(math.MaxUint32)
		if back == 0 {
			break
		}
		d := int64(day) - int64(back-1)
		if d <= noDay {
			r.fail()
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
		w.uint(uint64(v))
	}
}

func (h *histogram) read(r *reader) {
	for i := range h {
		h[i] = uint16(r.upTo(math.MaxUint16))
	}
	if h.mass() > 2*maxMass {
		r.fail()
	}
}

func (p *pair) append(w *writer, day int32) {
	w.hash(p.hash)
	w.uint(uint64(p.ordinal))
	if p.ordinal > 0 {
		w.minute(p.lastEnd)
	}
	w.int(int64(day) - int64(p.day))
	mask := uint64(0)
	for i, n := range p.n {
		if n > 0 {
			mask |= 1 << i
		}
	}
	w.uint(mask)
	for _, n := range p.n {
		if n > 0 {
			w.uint(n)
		}
	}
}

func readPair(r *reader, day int32) *pair {
	p := &pair{hash: r.hash(), ordinal: uint32(r.upTo(math.MaxUint32)), lastEnd: noEnd}
	if p.ordinal > 0 {
		p.lastEnd = r.minute()
	}
	d := int64(day) - int64(r.int32())
	if d != int64(int32(d)) {
		r.fail()
	}
	p.day = int32(d)
	mask := r.upTo(1<<len(p.n) - 1)
	for i := range p.n {
		if mask&(1<<i) != 0 {
			p.n[i] = r.uint()
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
	w.flags(n.first)
	w.floats(n.score)
	w.minute(n.minute)
	w.floats(n.lnP, n.line)
	w.uint(n.count)
}

func readNear(r *reader) nearMiss {
	n := nearMiss{what: r.hash(), region: r.string(), object: r.string(), event: r.string(), who: r.string()}
	r.flags(&n.first)
	n.score, n.minute, n.lnP, n.line, n.count = r.count(), r.minute(), r.ln(), r.ln(), r.uint()
	return n
}

func (o *insight) append(w *writer) {
	w.string(o.region)
	w.string(o.key)
	w.string(o.object)
	w.hash(o.pair)
	w.hash(o.op)
	w.uint(uint64(o.ordinal))
	w.minute(o.start)
	w.minute(o.last)
	w.uint(o.count)
	w.uint(o.denied)
	for _, top := range o.top {
		w.uint(uint64(len(top.Top)))
		for _, c := range top.Top {
			w.string(c.Value)
			w.uint(c.N)
			w.uint(c.Over)
		}
	}
	w.uint(uint64(len(o.samples)))
	for _, s := range o.samples {
		w.string(s)
	}
	w.flags(o.root)
	w.floats(o.baseline, o.tested, o.budget, o.age)
	w.uint(uint64(o.covered))
	w.int(o.continues)
	v := &o.best
	w.floats(v.lnP, v.alpha, v.score, v.hazard)
	w.flags(v.first)
	w.uint(uint64(v.days))
	w.string(v.operation)
	w.uint(uint64(v.tier))
	w.uint(uint64(v.target))
	w.string(v.shown)
	w.uint(uint64(len(v.surprises)))
	for _, s := range v.surprises {
		w.string(s.Attribute)
		w.string(s.Value)
		w.floats(s.Nats)
	}
	w.uint(uint64(len(v.rules)))
	for _, x := range v.rules {
		w.string(x.Text)
		w.uint(uint64(x.Hits))
		w.uint(uint64(x.Days))
		w.floats(x.Lower)
	}
}

func readInsight(r *reader) *insight {
	o := &insight{region: r.string(), key: r.string(), object: r.string(), pair: r.hash(), op: r.hash()}
	o.ordinal = uint32(r.upTo(math.MaxUint32))
	o.start, o.last = r.minute(), r.minute()
	o.count, o.denied = r.uint(), r.uint()
	if o.last < o.start {
		r.fail()
	}
	for d := range o.top {
		for range r.upTo(model.TopValues) {
			o.top[d].Top = append(o.top[d].Top, model.Counted[string]{Value: r.string(), N: r.uint(), Over: r.uint()})
		}
	}
	for range r.upTo(maxSamples) {
		o.samples = append(o.samples, r.string())
	}
	r.flags(&o.root)
	r.counts(&o.baseline, &o.tested, &o.budget, &o.age)
	o.covered = uint32(r.upTo(math.MaxUint32))
	o.continues = int64(r.int32())
	v := &o.best
	v.lnP = r.ln()
	r.counts(&v.alpha, &v.score, &v.hazard)
	r.flags(&v.first)
	v.days = uint32(r.upTo(math.MaxUint32))
	v.operation = r.string()
	v.tier, v.target = schemas.Tier(r.upTo(uint64(schemas.CoreTier))), schemas.Target(r.upTo(uint64(schemas.RootTarget)))
	v.shown = r.string()
	for range r.upTo(schemas.MaxAttributed) {
		v.surprises = append(v.surprises, schemas.Surprise{Attribute: r.string(), Value: r.string(), Nats: r.count()})
	}
	for range r.upTo(maxRules) {
		v.rules = append(v.rules, schemas.Rule{Text: r.string(), Hits: uint32(r.upTo(math.MaxUint32)),
			Days:  uint32(r.upTo(math.MaxUint32)),
			Lower: r.count()})
	}
	return o
}
