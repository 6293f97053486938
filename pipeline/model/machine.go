package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// A Config says what a machine watches. It is constant: state made with another one means something else.
type Config struct {
	Type schemas.InsightType // that the detector finds

	// Counts says whether a row is input. Rows that are late never are.
	Counts func(r *schemas.Row) bool

	// ID tells the keys of one pane apart: rows with equal ids have equal keys.
	ID func(r *schemas.Row) uint64

	// AppendKey appends the key of a row, which it has for ever: it is part of the insight ids and of the state. It is called
	// once per pane and key. What it appends is cut to MaxKey bytes.
	AppendKey func(b []byte, p *schemas.Pane, r *schemas.Row) []byte

	Budget  float64 // false insights per account and month, before the setting multiplies it
	MaxKeys int     // of an account; later ones are counted together under OverflowKey

	Breadth Breadth        // whether different calls are counted, too
	API     bool           // which calls it were is an attribution
	Inherit bool           // a new key begins with the model of its principal's last one
	Dormant schemas.Minute // a key idle for so long is judged as a new one; 0 is never

	// Trials says which of the rows that are not input are trials of the same family with another outcome; see trials. Nil asks
	// no key how frequent it is among its trials.
	Trials func(r *schemas.Row) bool

	// Family returns the family of a key, or of what AppendKey makes of a trial: the call, for the errors of a call.
	Family func(key string) string

	// MaxFamily bounds the keys of a family; later ones are counted together, under the family, a slash and OtherOutcome.
	MaxFamily int

	// RollUp returns the key under which the ordinary minutes of a key are counted once more, empty for none; see rollup.go. Nil
	// has none.
	RollUp func(key string) string
}

// OtherOutcome ends the key that counts what comes beyond the MaxFamily of a family.
const OtherOutcome = "__other"

// tuples returns how many tuples of a key and minute are told apart.
func (c *Config) tuples() int {
	if c.API {
		return maxAPIs
	}
	return maxTuples
}

// alone reports that breadth is all that is judged.
func (c *Config) alone() bool { return c.Breadth == BreadthOnly }

const (
	// MaxKey bounds a key: service and event name of both clouds have less than 120 bytes together.
	MaxKey = 256

	// OverflowKey is the key that counts what comes beyond the MaxKeys of an account.
	OverflowKey = "__other/__other"

	// DefaultMaxKeys is some ten times the number of write operations of the largest cloud, times a few regions.
	DefaultMaxKeys = 50000

	idleEviction = 100 * schemas.Day // longer than insights are kept: to whoever can be asked about them, the key is a new one
)

// A Machine watches keyed counts of the accounts of one partition with the rate model, and answers with findings. A
// detector of rates is a Config and words; see package apicallrate. It is used from one goroutine.
type Machine struct {
	config   Config
	accounts map[schemas.Account]*account
	slices   *stateSlices

	// Scratch of one pane, kept for its memory.
	ids      map[uint64]int32
	keys     []paneKey
	families map[uint64][]*series // of trials
	shares   []share

	sharedRows []row
	name       []byte
	strings    []uint32
	apis       map[uint64]uint32 // ids of "Service/Event", by the pane's ids of both
	rows       []row
	out        []schemas.Finding
}

type paneKey struct {
	name   string // of a series that is not there yet
	first  int    // its first row, in the aggregator's order
	series *series
	added  bool // it has new rows
}

// NewMachine returns a machine without state.
func NewMachine(c Config) *Machine {
	if c.MaxKeys == 0 {
		c.MaxKeys = DefaultMaxKeys
	}
	return &Machine{config: c, accounts: make(map[schemas.Account]*account), slices: newStateSlices(1), ids: make(map[uint64]int32),
		families: make(map[uint64][]*series), apis: make(map[uint64]uint32)}
}

// Type implements detect.Detector.
func (m *Machine) Type() schemas.InsightType { return m.config.Type }

// Constants implements detect.Detector.
func (m *Machine) Constants() string { return ModelVersion }

// A task is the work on one pane: what it needs of settings, with the thresholds made from them.
type task struct {
	*Machine
	p       *schemas.Pane
	account *account
	region  *region
	prior   prior
	learned schemas.Minute // no alarm before it
	alpha   line           // for blocks of a key with a past
	first   line           // for the first block of a key
}

// Observe works on one pane, in the order of DETECTION 2.3: add the rows, score open minutes on the model as it is, fold
// the closed ones, emit. Findings are sorted by start minute, key and ordinal; they are whole but for what a detector knows
// better: Object, Service, Event, Why.Detector and Why.Text. A finding is valid until emit returns.
func (m *Machine) Observe(p *schemas.Pane, s schemas.Settings, emit func(*schemas.Finding)) {
	a := m.account(p.Account)
	m.slices.accounts[a.slice].dirty = true
	a.age.Learn = s.Learn
	t := task{Machine: m, p: p, account: a, region: a.region(p.Region), prior: a.prior()}
	t.prior.outages = t.region.pulse.outages
	share := 1.0
	if m.config.Breadth == RateAndBreadth {
		share = 0.5 // Bonferroni
	}
	t.alpha = newLine(m.config.Budget*s.Budget, share*shareRise, a.tested.month)
	t.first = newLine(m.config.Budget*s.Budget, share*shareFirst, a.firsts.month+shippedFirsts)
	m.out = m.out[:0]

	t.add()
	t.learned = a.age.Learned()
	for i := range m.keys {
		if k := &m.keys[i]; k.added {
			t.look(k.series)
		}
	}
	if p.Watermark > t.region.watermark {
		t.region.watermark = p.Watermark
		t.fold()
	}
	if p.Close {
		t.closeAll()
	}
	if a.age.Seen {
		if day := t.region.watermark.Day(); t.region.watermark != minMinute {
			if a.roll(day) {
				m.evict(a)
			}
		}
	}
	a.weed()

	slices.SortStableFunc(m.out, compareFindings)
	for i := range m.out {
		emit(&m.out[i])
	}
}

// add puts the rows of the pane into the pending minutes of their series.
func (t *task) add() {
	p, a := t.p, t.account
	clear(t.ids)
	clear(t.apis)
	clear(t.families)
	t.keys = t.keys[:0]
	t.strings = slices.Grow(t.strings[:0], len(p.Strings))[:len(p.Strings)]
	clear(t.strings)

	unknown := 0
	for i := range p.Rows {
		r := &p.Rows[i]
		a.age.See(r.Minute)
		if !t.open(r) {
			continue
		}
		t.region.pulse.add(r.Minute, uint64(r.Count))
		if !t.config.Counts(r) {
			continue
		}
		id := t.config.ID(r)
		if n, ok := t.ids[id]; ok {
			if k := &t.keys[n]; k.series == nil && compareRows(p, i, k.first) < 0 {
				k.first = i
			}
			continue
		}
		t.name = t.config.AppendKey(t.name[:0], p, r)
		k := paneKey{series: t.region.series[string(t.name[:min(len(t.name), MaxKey)])], first: i}
		if k.series == nil {
			k.name = string(t.name[:min(len(t.name), MaxKey)])
			unknown++
		}
		t.ids[id] = int32(len(t.keys))
		t.keys = append(t.keys, k)
	}
	if unknown > 0 {
		t.admit(unknown)
	}
	for i := range p.Rows {
		r := &p.Rows[i]
		switch {
		case !t.open(r):
		case t.config.Counts(r):
			k := &t.keys[t.ids[t.config.ID(r)]]
			k.added = true
			t.addRow(k.series, r)
		case len(t.region.families) > 0 && t.config.Trials(r):
			t.tried(r)
		}
	}
}

// open leaves out what is late, also where the aggregator has not said so, and rows without calls.
func (t *task) open(r *schemas.Row) bool {
	return !r.Late && r.Minute >= t.region.watermark && r.Count > 0
}

// admit makes the series that are new in the pane, in the aggregator's order of their first rows, where there is no room for
// all: who is let in depends neither on how a pane was cut nor on the order of its rows.
func (t *task) admit(unknown int) {
	order := make([]int, 0, unknown)
	for i := range t.keys {
		if t.keys[i].series == nil {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(compareRows(t.p, t.keys[i].first, t.keys[j].first), strings.Compare(t.keys[i].name, t.keys[j].name))
	})
	for _, i := range order {
		k := &t.keys[i]
		k.series = t.region.series[k.name]
		if k.series == nil {
			k.series = t.admitKey(k.name, t.p.Rows[k.first].Minute)
		}
	}
	// Two keys of a pane may be one series now; it must be looked at once.
	seen := make(map[*series]int32, len(t.keys))
	for id, i := range t.ids {
		s := t.keys[i].series
		if first, ok := seen[s]; ok {
			t.ids[id] = min(first, i)
			seen[s] = min(first, i)
		} else {
			seen[s] = i
		}
	}
	for id, i := range t.ids {
		t.ids[id] = seen[t.keys[i].series]
	}
}

// admitKey makes a series, or finds the one that counts what there is no room for.
func (t *task) admitKey(name string, first schemas.Minute) *series {
	if t.config.MaxFamily > 0 {
		if family := t.config.Family(name); len(t.region.families[family]) >= t.config.MaxFamily {
			name = family + "/" + OtherOutcome
		}
	}
	if t.account.keys >= t.config.MaxKeys && t.region.series[name] == nil {
		name = OverflowKey
	}
	if s := t.region.series[name]; s != nil {
		return s
	}
	s := t.series(t.region, name)
	if t.config.Trials != nil {
		s.rate.trials = newTrials(first)
	}
	return s
}

// compareRows orders rows as the aggregator does, as far as keys can depend on.
func compareRows(p *schemas.Pane, i, j int) int {
	a, b := &p.Rows[i], &p.Rows[j]
	if c := cmp.Compare(a.Minute, b.Minute); c != 0 {
		return c
	}
	for _, c := range [...][2]uint32{{a.Service, b.Service}, {a.Name, b.Name}, {a.ErrorCode, b.ErrorCode},
		{a.Principal, b.Principal}, {a.AccessKey, b.AccessKey}} {
		if c[0] != c[1] {
			return strings.Compare(p.Strings[c[0]], p.Strings[c[1]])
		}
	}
	return 0
}

func (m *Machine) account(id schemas.Account) *account {
	a := m.accounts[id]
	if a == nil {
		id = schemas.Account{Provider: schemas.Provider(strings.Clone(string(id.Provider))), ID: strings.Clone(id.ID)}
		a = newAccount(id, &m.config)
		m.accounts[id] = a
		m.slices.addAccount(a)
	}
	return a
}

func (m *Machine) series(r *region, name string) *series {
	s := r.series[name]
	if s == nil {
		s = &series{key: name, in: r, ordinal: r.account.spent}
		if m.config.RollUp != nil {
			s.rollUp = m.config.RollUp(name)
		}
		r.series[s.key] = s
		r.account.keys++
		if m.config.Family != nil {
			s.family = m.config.Family(s.key)
			r.families[s.family] = append(r.families[s.family], s)
		}
		m.slices.add(s)
	}
	return s
}

func (t *task) addRow(s *series, r *schemas.Row) {
	s.rate.trials.pass(int64(t.region.watermark))
	of := tuple{t.value(r.UserAgent), t.value(r.Principal), noValue, t.value(r.ErrorCode), t.value(r.SourceIP), t.value(r.AccessKey)}
	if t.config.API || t.config.Breadth != RateOnly {
		api := t.api(r)
		if t.config.API {
			of[apiRelated] = api
		}
		if t.config.Breadth != RateOnly {
			s.addKind(r.Minute, t.account.names.hash[api])
		}
	}
	t.own(s, r)
	sample := r.Sample
	if len(sample) > maxSample {
		sample = sample[:maxSample]
	}
	n := len(s.pending)
	s.pending = t.account.names.addRow(s.pending, row{minute: int32(r.Minute), of: of, count: uint64(r.Count), sample: sample})
	if len(s.pending) > n && !hasOther(s.pending, r.Minute) {
		t.region.await(s, r.Minute)
	}
	t.slices.touch(s)
}

// hasOther reports that the minute had a row before the one just added.
func hasOther(rows []row, m schemas.Minute) bool {
	n := 0
	for i := len(rows) - 1; i >= 0 && schemas.Minute(rows[i].minute) >= m && n < 2; i-- {
		if schemas.Minute(rows[i].minute) == m {
			n++
		}
	}
	return n == 2
}

// value interns a string of the pane's dictionary once.
func (t *task) value(i uint32) uint32 {
	if int(i) >= len(t.strings) {
		return noValue // no aggregator of ours makes such a pane
	}
	if t.strings[i] == 0 && t.p.Strings[i] != "" {
		t.strings[i] = t.account.names.intern(t.p.Strings[i])
	}
	return t.strings[i]
}

// api interns "Service/Event", once for a pane.
func (t *task) api(r *schemas.Row) uint32 {
	pair := uint64(r.Service)<<32 | uint64(r.Name)
	id, ok := t.apis[pair]
	if !ok {
		if max(int(r.Service), int(r.Name)) < len(t.p.Strings) {
			id = t.account.names.intern(t.p.Strings[r.Service] + "/" + t.p.Strings[r.Name])
		}
		t.apis[pair] = id
	}
	return id
}

// look scores the open minutes of a series on the model as it is, and opens an insight at the first that alarms.
func (t *task) look(s *series) {
	if s.open != nil || len(s.pending) == 0 {
		return // the fold follows it
	}
	var all uint64
	for _, r := range s.pending {
		all += r.count
	}
	if s.alive && s.rate.quiet(float64(all)) {
		return // and so is the model that meets a new hour, whose windows and breadth hold no more
	}
	model := t.met(s)
	if model.quiet(float64(all)) {
		return
	}
	before := t.before(model, true)
	l := before.ahead()
	l.trials = l.trials.ahead()
	var start, last schemas.Minute
	running := s.run != nil
	if running {
		start, last = s.run.start, s.run.last
	}
	for rows := s.pending; len(rows) > 0; {
		n, y := pendingMinute(rows)
		minute := schemas.Minute(rows[0].minute)
		sc := l.see(minute, y, &t.prior)
		l.breadth.see(minute, s.kindsOf(minute), &sc)
		rows = rows[n:]
		running = running && sc.elevated
		if !sc.elevated {
			continue
		}
		if !running || (&run{start: start, last: last}).over(sc.minute) {
			start, running = sc.minute, true
		}
		last = sc.minute
		if t.alarm(model, &sc) && !t.full() {
			t.openInsight(s, start, sc.minute, before, model.evidence(&l, &sc))
			return
		}
	}
}

// quiet reports that with so many more calls no window can pass the gate.
func (r *rate) quiet(calls float64) bool {
	return calls+max(r.s[fast], r.s[slow]) < gateExcess && !r.breadth.may(calls)
}

// before returns a look on the model, for open minutes or for one that is going to be folded.
func (t *task) before(r *rate, open bool) lookout {
	l := r.lookout(&t.prior)
	if !open {
		l.n = windows
	}
	if t.config.alone() {
		l.n = 0
	}
	l.breadth = r.breadth.lookout(&t.prior, r.settled, open)
	return l
}

// ahead returns a copy that can move on.
func (l *lookout) ahead() lookout {
	c := *l
	if l.breadth != nil {
		b := *l.breadth
		c.breadth = &b
	}
	return c
}

// alarm is rule R1.
func (t *task) alarm(r *rate, sc *score) bool {
	return sc.elevated && sc.minute >= t.learned && sc.lnP <= t.line(r).ln
}

func (t *task) line(r *rate) *line {
	if r.settled {
		return &t.alpha
	}
	return &t.first
}

// evict drops the series that have been idle for longer than insights are kept.
func (m *Machine) evict(a *account) {
	for _, r := range a.regions {
		n := len(r.series)
		for key, s := range r.series {
			if s.alive && s.open == nil && len(s.pending) == 0 && int64(r.watermark)-int64(s.rate.last) > int64(idleEviction) {
				delete(r.series, key)
				if m.config.Family != nil {
					r.leave(s)
				}
				a.keys--
				a.spent = max(a.spent, s.ordinal)
				m.slices.remove(s)
			}
		}
		if len(r.series) < n {
			r.reindex()
		}
	}
}
