package operator

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/schemas"
)

// A Config says what a machine watches. It is constant: state made with another one means something else.
type Config struct {
	Type     schemas.InsightType // that the detector finds
	Class    schemas.Class       // of the events that count
	Detector string              // its name in explanations
	Things   string              // what its events are, in a sentence: "permission changes"

	Budget     float64 // false insights per account and month, before the setting multiplies it
	Cap        float64 // p above it never alarms, however few operator-days an account has
	Hazard     float64 // how often a principal-day without a past is a first time, as shipped
	SelfHazard float64 // the same for those that change themselves; 0 for no difference
}

// A Machine watches the operators of the accounts of one partition, and answers with findings. It is used from one goroutine.
type Machine struct {
	config   Config
	accounts map[schemas.Account]*account
	kept     *pages.Kept[*account]
	keptOpen *pages.Kept[*account] // for their open insights

	// Scratch of one pane, kept for its memory.
	seen  seenRows
	words memo
	out   []schemas.Finding
}

// Both tables together are below the five hundred keys of a commit, with room for the slices that need a second page.
const (
	stateSlices = 256
	openSlices  = 64
)

// NewMachine returns a machine without state.
func NewMachine(c Config) *Machine {
	return &Machine{config: c, accounts: make(map[schemas.Account]*account), kept: pages.Keep[*account]("a", stateSlices),
		keptOpen: pages.Keep[*account]("o", openSlices)}
}

// Type implements detect.Detector.
func (m *Machine) Type() schemas.InsightType { return m.config.Type }

// Constants implements detect.Detector.
func (m *Machine) Constants() string { return ModelVersion }

// An account is the unit of learning: nothing of it depends on another one.
type account struct {
	id       schemas.Account
	restored bool // its entry was read

	slice, openSlice int // of the state

	age   detect.Age
	day   int32 // days before this one are rolled
	begun bool  // there was a row, so that day is set

	profiles map[uint64]*profile
	list     []*profile // the same, in any order
	crowd    crowd
	table    table
	hazard   hazards
	scores   histogram
	tested   monthly    // operator-days
	today    []opDay    // operators of today
	pairs    []*pair    // operator and service, by region
	spent    uint32     // ordinals below it belong to pairs that are forgotten: none of them may come again
	regions  []*region  // by name
	open     []*insight // by pair
	setups   []setup
	near     []nearMiss
}

// A region of an account has its own watermark; no region moves another.
type region struct {
	name      string
	watermark schemas.Minute
}

// An opDay is the most unusual event of an operator today.
type opDay struct {
	op    uint64
	score float32
	told  bool
}

// maxToday bounds the operators that a day teaches the models. An account with more of them has somebody making them up: they
// are judged, but what they do is not taken for a habit of the account.
const maxToday = 64

// A task is the work on one pane: what it needs of settings, with the line made from them.
type task struct {
	*Machine
	p       *schemas.Pane
	account *account
	region  *region
	learned schemas.Minute // no alarm before it
	alpha   float64
	line    float64 // ln alpha
	budget  float64
}

// Observe works on one pane: its rows in their order, then the watermark, then the end of the day. Findings are sorted by start
// minute, key and ordinal, and are whole but for what the processor knows. A finding is valid until emit returns.
func (m *Machine) Observe(p *schemas.Pane, s schemas.Settings, emit func(*schemas.Finding)) {
	a := m.account(p.Account)
	m.kept.Touch(a.slice)
	hadOpen := len(a.open) > 0
	a.age.Learn = s.Learn
	t := task{Machine: m, p: p, account: a, region: a.region(p.Region)}
	t.drawLine(s.Budget)
	m.out = m.out[:0]
	m.seen.reset(len(p.Rows))

	minute, hour := schemas.Minute(math.MinInt32), uint16(0)
	for i := range p.Rows {
		r := &p.Rows[i]
		if r.Count == 0 {
			continue
		}
		if r.Minute != minute || hour == 0 {
			minute, hour = r.Minute, hourBit(r.Minute)
			t.at(minute, s.Budget)
		}
		if m.seen.add(r, hour) {
			t.meet(r)
		}
		if r.Sensitive != 0 {
			t.sensitive(r)
		}
	}
	if p.Watermark > t.region.watermark {
		t.region.watermark = p.Watermark
		t.silence()
		if day := p.Watermark.Day(); a.begun && day > a.day {
			a.roll(day)
		}
	}
	if p.Close {
		t.closeAll()
	}
	if hadOpen || len(a.open) > 0 {
		m.keptOpen.Touch(a.openSlice)
	}

	slices.SortStableFunc(m.out, func(x, y schemas.Finding) int {
		return cmp.Or(cmp.Compare(x.Start, y.Start), strings.Compare(x.Key, y.Key), cmp.Compare(x.Ordinal, y.Ordinal),
			cmp.Compare(x.Kind, y.Kind))
	})
	for i := range m.out {
		emit(&m.out[i])
	}
}

// at takes a minute with events into account. The day of operators ends with the first event of the next one, not with the
// watermark: else what a stranger does in the first minutes after a quiet night would belong to yesterday, and his network
// would be known a few minutes later.
func (t *task) at(m schemas.Minute, budget float64) {
	a := t.account
	a.age.See(m)
	t.learned = a.age.Learned()
	switch day := m.Day(); {
	case !a.begun:
		a.begun, a.day = true, day
		a.table.roll(day)
	case day > a.day:
		a.roll(day)
		t.drawLine(budget)
		t.seen.clear()
	}
}

// text returns a string of the pane's dictionary.
func (t *task) text(i uint32) string {
	if int(i) >= len(t.p.Strings) {
		return "" // no aggregator of ours makes such a pane
	}
	return t.p.Strings[i]
}

// drawLine makes the threshold of the day: the budget through the operator-days of a month, and never above the cap.
func (t *task) drawLine(budget float64) {
	const smallest = 1e-8
	if !(budget > 0) { // also NaN
		budget = 0
	}
	t.budget = t.config.Budget * budget
	alpha := min(t.config.Cap*budget, t.budget/max(t.account.tested.month, 1))
	t.alpha = min(max(alpha, smallest), 0.5)
	t.line = model.Ln(t.alpha)
}

// sensitive works on a row of a sensitive operation of any class.
func (t *task) sensitive(r *schemas.Row) {
	tier := r.Sensitive.Tier(t.config.Class)
	if t.config.Class == schemas.TrailClass && r.Sensitive&schemas.RestoresTrail != 0 {
		t.restore(r)
		return
	}
	switch tier {
	case schemas.NoTier:
	case schemas.IndirectTier:
		t.support(r)
	default:
		t.class(r)
	}
}

// class judges an event of the class, tells it if it is unusual, and learns it.
func (t *task) class(r *schemas.Row) {
	a, c := t.account, t.call(r)
	pair, overflow := t.pair(&c)
	open := t.openOf(pair)
	if open != nil && t.over(open, r.Minute) {
		open = nil
	}
	if open == nil && t.setUp(&c) {
		return
	}
	v := t.judge(&c)
	told := open != nil
	switch {
	case open != nil:
		t.collect(open, &c, &v)
	case r.Minute >= t.learned && t.alarms(&c, &v):
		told = t.openInsight(&c, &v, pair, overflow)
	case r.Minute >= t.learned && !v.habit:
		a.offer(t.region.name, &c, &v)
	}
	t.learn(&c, &v, pair, told)
}

// alarms is the rule: habits never, the root always, others by p.
func (t *task) alarms(c *call, v *verdict) bool {
	return c.row.PrincipalType == schemas.RootPrincipal || !v.habit && v.lnP <= v.line
}

// learn counts the event.
func (t *task) learn(c *call, v *verdict, p *pair, told bool) {
	a := t.account
	p.count(c.row.Minute.Day(), uint64(c.row.Count))
	i := slices.IndexFunc(a.today, func(d opDay) bool { return d.op == c.op })
	if i < 0 {
		if len(a.today) == maxToday {
			return
		}
		i = len(a.today)
		a.today = append(a.today, opDay{op: c.op})
		a.tested.today++
		if v.first {
			a.hazard.first(c.row.PrincipalType, c.self == 1)
		}
	}
	d := &a.today[i]
	d.score, d.told = max(d.score, float32(v.score)), d.told || told
	a.table.learn(c, a.day)
}

// roll moves the account to the day.
func (a *account) roll(day int32) {
	k := int64(day) - int64(a.day)
	for _, d := range a.today {
		units := uint16(unit)
		if d.told {
			units = tainted
		}
		a.scores.add(float64(d.score), units)
	}
	a.today = a.today[:0]
	a.tested.roll(k)
	a.hazard.roll(k)
	a.day = day
	a.table.roll(day)
	if len(a.profiles) > keptProfiles {
		a.forget(keptProfiles)
	}
	a.gather()
}

func (m *Machine) account(id schemas.Account) *account {
	a := m.accounts[id]
	if a == nil {
		id = schemas.Account{Provider: schemas.Provider(strings.Clone(string(id.Provider))), ID: strings.Clone(id.ID)}
		a = &account{id: id, profiles: make(map[uint64]*profile), table: newTable(), tested: monthly{days: 1}}
		hash := xxhash.Sum64String(id.String())
		a.slice, a.openSlice = m.kept.Slice(hash), m.keptOpen.Slice(hash)
		m.accounts[id] = a
		m.kept.Add(a.slice, a)
		m.keptOpen.Add(a.openSlice, a)
	}
	return a
}

func (a *account) region(name string) *region {
	i, ok := slices.BinarySearchFunc(a.regions, name, func(r *region, name string) int { return strings.Compare(r.name, name) })
	if !ok {
		a.regions = slices.Insert(a.regions, i, &region{name: strings.Clone(name), watermark: math.MinInt32})
	}
	return a.regions[i]
}
