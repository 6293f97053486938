package ip

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/schemas"
)

// State is in four tables: accounts, which change with every pane and are small; their open insights, each by itself, because
// those of one account that a hostile log opens do not fit into one value; what they have seen, in shards; and their
// principals. Together they have 464 slices, of the 500 values that a commit may change.
const (
	accountSlices = 64
	openSlices    = 48
	seenSlices    = 160
	peopleSlices  = 192
)

var errState = errors.New("state is corrupt")

// A shard is a part of what an account has seen.
type shard struct {
	of *account
	n  int
}

type store struct {
	accounts *pages.Kept[*account]
	open     *pages.Kept[*account]
	seen     *pages.Kept[shard]
	people   *pages.Kept[*principal]
}

func newStore() store {
	return store{
		pages.Keep[*account]("a", accountSlices), pages.Keep[*account]("o", openSlices), pages.Keep[shard]("s", seenSlices),
		pages.Keep[*principal]("p", peopleSlices),
	}
}

func accountHash(id schemas.Account) uint64 { return xxhash.Sum64String(id.String()) }

func (s *store) add(a *account) {
	a.slice = s.accounts.Slice(accountHash(a.id))
	s.accounts.Add(a.slice, a)
	s.open.Add(s.openSlice(a), a)
	for n := range shards {
		s.seen.Add(s.shardSlice(a, n), shard{a, n})
	}
}

func (s *store) openSlice(a *account) int { return s.open.Slice(accountHash(a.id)) }

func (s *store) shardSlice(a *account, n int) int {
	return (int(accountHash(a.id)>>32%seenSlices) + n*(seenSlices/shards)) % seenSlices
}

// keep notes what an account has learned.
func (s *store) keep(a *account) {
	for n := range shards {
		if a.seen.dirty&(1<<n) != 0 {
			s.seen.Touch(s.shardSlice(a, n))
		}
	}
	a.seen.dirty = 0
}

func (s *store) addPrincipal(p *principal) {
	p.slice = s.people.Slice(p.hash ^ accountHash(p.in.id))
	s.people.Add(p.slice, p)
}

// Snapshot implements detect.Detector.
func (d *Detector) Snapshot(changed func(key string, state []byte)) error {
	s := &d.state
	compare := func(a, b *account) int { return a.id.Compare(b.id) }
	for _, write := range [...]func() error{
		func() error { return s.accounts.WriteChanged(compare, (*account).appendEntry, changed) },
		func() error { return s.open.WriteChanged(compare, (*account).appendOpen, changed) },
		func() error { return s.seen.WriteChanged(shard.compare, shard.appendEntry, changed) },
		func() error {
			return s.people.WriteChanged((*principal).compareNames, (*principal).appendEntry, changed)
		},
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

// Restore implements detect.Detector.
func (d *Detector) Restore(key string, state []byte) error {
	s := &d.state
	switch {
	case s.accounts.Owns(key):
		return s.accounts.Read(key, state, func(_ int, e []byte) error {
			var saved savedAccount
			if err := msgpack.Unmarshal(e, &saved); err != nil {
				return err
			}
			return d.account(schemas.Account{Provider: schemas.Provider(saved.Provider), ID: saved.ID}).load(&saved)
		})
	case s.open.Owns(key):
		return s.open.Read(key, state, d.readInsight)
	case s.seen.Owns(key):
		return s.seen.Read(key, state, d.readShard)
	case s.people.Owns(key):
		return s.people.Read(key, state, d.readPrincipal)
	}
	return fmt.Errorf("state key %q: %w", key, errState)
}

func (a *account) appendEntry(entries [][]byte) ([][]byte, error) {
	b, err := msgpack.Marshal(a.save())
	return append(entries, b), err
}

// appendOpen codes the open insights of an account, each by itself.
func (a *account) appendOpen(entries [][]byte) ([][]byte, error) {
	for _, i := range a.open {
		b, err := msgpack.Marshal(i.save(a))
		if err != nil {
			return nil, err
		}
		entries = append(entries, b)
	}
	return entries, nil
}

func (d *Detector) readInsight(slice int, e []byte) error {
	var s savedInsight
	if err := msgpack.Unmarshal(e, &s); err != nil {
		return err
	}
	a := d.account(schemas.Account{Provider: schemas.Provider(s.Provider), ID: s.ID})
	i := s.load()
	if i == nil || d.state.openSlice(a) != slice || !a.enter(i) {
		return errState
	}
	return nil
}

func (s shard) compare(o shard) int { return cmp.Or(s.of.id.Compare(o.of.id), cmp.Compare(s.n, o.n)) }

// appendEntry codes a shard: account, number, newest day, and six bytes for each thing seen, its fingerprint and how many days
// before the newest it was used last.
func (s shard) appendEntry(entries [][]byte) ([][]byte, error) {
	var keys []fingerprint
	newest := int32(math.MinInt32)
	for f, day := range s.of.seen.last {
		if shardOf(f) == s.n {
			keys = append(keys, f)
			newest = max(newest, day)
		}
	}
	if len(keys) == 0 {
		return entries, nil
	}
	slices.Sort(keys)
	b := appendAccount(nil, s.of.id)
	b = append(b, byte(s.n))
	b = binary.AppendVarint(b, int64(newest))
	for _, f := range keys {
		b = appendFingerprint(b, f)
		b = append(b, byte(newest-s.of.seen.last[f])) // at most 90 days and the days of a jump, forgotten at the same roll
	}
	return append(entries, b), nil
}

func (d *Detector) readShard(slice int, e []byte) error {
	r := reader{b: e}
	a := d.account(r.account())
	n := int(r.byte())
	newest := r.int32()
	if r.bad || n >= shards || d.state.shardSlice(a, n) != slice || len(r.b)%6 != 0 || len(a.seen.last)+len(r.b)/6 > maxSeen {
		return errState
	}
	for len(r.b) > 0 {
		f := r.fingerprint()
		day := int64(newest) - int64(r.byte())
		if shardOf(f) != n || day < math.MinInt32 {
			return errState
		}
		a.seen.last[f] = int32(day)
	}
	return nil
}

func (p *principal) compareNames(q *principal) int {
	return cmp.Or(p.in.id.Compare(q.in.id), cmp.Compare(p.hash, q.hash))
}

// appendEntry codes a principal.
func (p *principal) appendEntry(entries [][]byte) ([][]byte, error) {
	b := appendAccount(nil, p.in.id)
	b = binary.LittleEndian.AppendUint64(b, p.hash)
	b = append(b, byte(p.kind), p.today, p.account)
	b = binary.AppendVarint(b, int64(p.born))
	b = binary.AppendVarint(b, int64(p.day))
	b = appendFloat(b, p.days)
	for _, n := range p.deep[2:] { // every active day has at least depth 1
		b = appendFloat(b, n)
	}
	for _, l := range [...][]dated{p.nets, p.asns, p.countries, p.agents} {
		b = append(b, byte(len(l)))
		for _, e := range l {
			b = appendFingerprint(b, e.fingerprint())
			b = binary.AppendVarint(b, int64(p.day)-int64(e.day()))
		}
	}
	b = appendFingerprint(b, p.country)
	return append(entries, binary.AppendVarint(b, int64(p.at))), nil
}

func (d *Detector) readPrincipal(slice int, e []byte) error {
	r := reader{b: e}
	a := d.account(r.account())
	p := &principal{in: a, hash: r.uint64(), kind: kind(r.byte()), today: r.byte(), account: r.byte()}
	p.born, p.day = r.int32(), r.int32()
	p.days = r.float()
	p.deep[0], p.deep[1] = p.days, p.days
	for i := range p.deep[2:] {
		p.deep[2+i] = r.float()
	}
	for _, l := range [...]struct {
		list *[]dated
		most int
	}{{&p.nets, maxNets}, {&p.asns, maxASNs}, {&p.countries, maxCountries}, {&p.agents, maxAgents}} {
		n := int(r.byte())
		if n > l.most {
			return errState
		}
		for range n {
			f := r.fingerprint()
			*l.list = append(*l.list, newDated(f, int32(min(max(int64(p.day)-int64(r.int32()), 0), maxDay))))
		}
	}
	p.country, p.at = r.fingerprint(), schemas.Minute(r.int32())
	if r.bad || len(r.b) > 0 || p.kind >= kinds || p.today > levels || p.account > levels || a.people[p.hash] != nil ||
		len(a.people) >= maxPrincipals {
		return errState
	}
	if d.state.addPrincipal(p); p.slice != slice {
		return errState
	}
	a.people[p.hash] = p
	return nil
}

func appendAccount(b []byte, id schemas.Account) []byte {
	for _, s := range [...]string{string(id.Provider), id.ID} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func appendFingerprint(b []byte, f fingerprint) []byte {
	return append(b, byte(f>>32), byte(f>>24), byte(f>>16), byte(f>>8), byte(f))
}

func appendFloat(b []byte, x float32) []byte {
	return binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
}

// A reader decodes an entry. After the first thing that makes no sense it returns zeros, and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.b, r.bad = nil, true
		return make([]byte, min(max(n, 0), 8))
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

func (r *reader) int32() int32 {
	v, n := binary.Varint(r.b)
	if n <= 0 || v != int64(int32(v)) {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return int32(v)
}

func (r *reader) string() string {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > uint64(len(r.b)-n) {
		r.b, r.bad = nil, true
		return ""
	}
	s := string(r.b[n : n+int(v)])
	r.b = r.b[n+int(v):]
	return s
}

func (r *reader) account() schemas.Account {
	return schemas.Account{Provider: schemas.Provider(r.string()), ID: r.string()}
}

func (r *reader) fingerprint() (f fingerprint) {
	for _, c := range r.take(5) {
		f = f<<8 | fingerprint(c)
	}
	return f
}

// float reads a number of days.
func (r *reader) float() float32 {
	x := math.Float32frombits(binary.LittleEndian.Uint32(r.take(4)))
	if !(x >= 0 && x <= math.MaxFloat32) {
		r.bad = true
		return 0
	}
	return x
}

// The saved forms of what changes with every pane. Minutes are plain numbers: schemas.Minute would be coded as text.
type savedAccount struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Provider, ID        string
	Seen, Begun         bool
	Born, Newest, Learn int32
	Day                 int32
	Learned             uint32
	Regions             []savedRegion
	Nodes               []savedNode // of the kinds, and of all
	Scores              [][]savedBin
	NewToday            uint32
	New, NewDays        float64
	Strangers           []savedStranger
	Told                int
	Near                []nearMiss
}

type savedRegion struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Name      string
	Watermark int32
}

type savedNode struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Days  float64
	Deep  []float64
	Today []uint32
}

type savedBin struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Bin    int
	Weight float64
	Today  uint32
}

type savedStranger struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Addr                []byte
	Path                []uint64
	First, Day, Counted int32
	Suspicious, Allowed bool
	Principals          []uint64
	Told                []savedTold
	Why                 *schemas.Why
}

// A savedTold names a region by its place among those of the account: 256 strangers times 64 names of regions would be a
// megabyte.
type savedTold struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Region int
	Day    int32
}

type savedInsight struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Provider, ID     string // of the account
	Addr             []byte
	Region           string
	Day, Start, Last int32
	Count            uint64
	Who              string
	Standing         bool
	More             uint64
	Top              []model.Top[string]
	Samples          []string
	Why              schemas.Why
}

func (a *account) save() *savedAccount {
	s := &savedAccount{
		Provider: string(a.id.Provider), ID: a.id.ID, Seen: a.age.Seen, Begun: a.begun,
		Born: int32(a.age.Born), Newest: int32(a.age.Newest), Learn: int32(a.age.Learn), Day: a.day, Learned: a.seen.learned,
		NewToday: a.news.today, New: a.news.n, NewDays: a.news.days, Told: a.told, Near: a.near,
	}
	regions := slices.Sorted(maps.Keys(a.regions))
	for _, name := range regions {
		s.Regions = append(s.Regions, savedRegion{Name: name, Watermark: int32(a.regions[name])})
	}
	for _, n := range append(a.kinds[:len(a.kinds):len(a.kinds)], a.whole) {
		s.Nodes = append(s.Nodes, savedNode{Days: n.days, Deep: n.deep[:], Today: n.today[:]})
	}
	for r := range a.scores {
		h := []savedBin{}
		for i, w := range a.scores[r].weight {
			if n := a.scores[r].today[i]; w != 0 || n != 0 {
				h = append(h, savedBin{Bin: i, Weight: w, Today: n})
			}
		}
		s.Scores = append(s.Scores, h)
	}
	for _, w := range a.waiting {
		s.Strangers = append(s.Strangers, w.save(regions))
	}
	return s
}

func (i *insight) save(a *account) *savedInsight {
	s := &savedInsight{
		Provider: string(a.id.Provider), ID: a.id.ID, Addr: i.addr.AsSlice(), Region: i.region, Day: i.day,
		Start: int32(i.start), Last: int32(i.last), Count: i.count, Who: i.who, Standing: i.standing, More: i.more,
		Samples: i.samples, Why: i.why,
	}
	for d := range i.top {
		s.Top = append(s.Top, i.top[d].Top)
	}
	return s
}

// save codes a stranger of an account with these regions, in order.
func (w *stranger) save(regions []string) savedStranger {
	s := savedStranger{
		Addr: w.addr.AsSlice(), First: int32(w.first), Day: w.day, Counted: w.counted, Suspicious: w.suspicious, Allowed: w.allowed,
		Principals: w.principals,
	}
	for _, f := range w.path {
		s.Path = append(s.Path, uint64(f))
	}
	for _, t := range w.told {
		region, _ := slices.BinarySearch(regions, t.region)
		s.Told = append(s.Told, savedTold{Region: region, Day: t.day})
	}
	if w.suspicious {
		s.Why = &w.why
	}
	return s
}

func (a *account) load(s *savedAccount) error {
	a.age.Seen, a.begun, a.day, a.seen.learned = s.Seen, s.Begun, s.Day, s.Learned
	a.age.Born, a.age.Newest, a.age.Learn = schemas.Minute(s.Born), schemas.Minute(s.Newest), schemas.Minute(s.Learn)
	a.news, a.told, a.near = news{s.NewToday, s.New, s.NewDays}, s.Told, s.Near
	if !sound(s.New, s.NewDays) || s.NewDays < 1 || s.Told < 0 || len(s.Nodes) != int(kinds)+1 || len(s.Scores) != routes ||
		len(s.Near) > maxNear || len(s.Strangers) > maxStrangers {
		return errState
	}
	for _, r := range s.Regions {
		a.regions[r.Name] = schemas.Minute(r.Watermark)
	}
	for i, saved := range s.Nodes {
		n := &a.whole
		if i < int(kinds) {
			n = &a.kinds[i]
		}
		if !sound(saved.Days) || !sound(saved.Deep...) || len(saved.Deep) != len(n.deep) || len(saved.Today) != len(n.today) {
			return errState
		}
		n.days = saved.Days
		copy(n.deep[:], saved.Deep)
		copy(n.today[:], saved.Today)
	}
	for r, h := range s.Scores {
		for _, b := range h {
			if b.Bin < 0 || b.Bin >= bins || !sound(b.Weight) {
				return errState
			}
			a.scores[r].weight[b.Bin], a.scores[r].today[b.Bin] = b.Weight, b.Today
		}
	}
	for i := range s.Strangers {
		if !a.loadStranger(&s.Strangers[i], s.Regions) {
			return errState
		}
	}
	return nil
}

// sound reports whether numbers of days or weights make sense.
func sound(list ...float64) bool {
	return !slices.ContainsFunc(list, func(x float64) bool { return !(x >= 0 && x <= math.MaxFloat64) })
}

func (a *account) loadStranger(s *savedStranger, regions []savedRegion) bool {
	addr, ok := netip.AddrFromSlice(s.Addr)
	if !ok || len(s.Path) != levels || len(s.Principals) > crowd || s.Suspicious && (s.Why == nil || s.Why.Address == nil) {
		return false
	}
	w := &stranger{
		addr: addr, first: schemas.Minute(s.First), day: s.Day, counted: s.Counted, suspicious: s.Suspicious, allowed: s.Allowed,
		principals: s.Principals,
	}
	for i, f := range s.Path {
		w.path[i] = fingerprint(f & fingerprintMask)
	}
	for _, t := range s.Told {
		if t.Region < 0 || t.Region >= len(regions) {
			return false
		}
		w.told = append(w.told, told{regions[t.Region].Name, t.Day})
	}
	if s.Why != nil {
		w.why = *s.Why
	}
	a.waiting = append(a.waiting, w)
	return true
}

// load returns nil if what was saved makes no sense.
func (s *savedInsight) load() *insight {
	addr, ok := netip.AddrFromSlice(s.Addr)
	if !ok || s.Why.Address == nil || len(s.Top) != dimensions || len(s.Samples) > maxSamples ||
		s.Last < s.Start || s.Last == math.MaxInt32 {
		return nil
	}
	i := &insight{
		addr: addr, object: addr.String(), region: s.Region, day: s.Day, start: schemas.Minute(s.Start), last: schemas.Minute(s.Last),
		count: s.Count, who: s.Who, standing: s.Standing, more: s.More, samples: s.Samples, why: s.Why,
	}
	for d, top := range s.Top {
		if len(top) > model.TopValues {
			return nil
		}
		i.top[d].Top = top
	}
	return i
}
