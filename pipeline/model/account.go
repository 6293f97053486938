package model

import (
	"maps"
	"slices"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

// An account is the unit of learning: nothing of it depends on another one.
type account struct {
	id      schemas.Account
	slice   uint16 // of the state
	age     detect.Age
	regions map[string]*region
	keys    int    // series in all regions
	open    int    // of them, those with an open insight
	spent   uint32 // ordinals below it belong to series that were evicted: none of them may come again, if their keys do
	names   names

	// What is counted today, and what the alarm rule uses: it changes when the day rolls only.
	day    int32 // days before this one are rolled; unset until the first watermark
	rolled bool
	tested yearly // active blocks
	firsts yearly // first blocks of keys born after the learning time
	pools  [windows]pool
	first  firstBlocks
	kinds  *breadthPool // of machines that judge breadth
	epoch  uint32       // counts the rolls of this process: fitted tails of another epoch are out of date
	near   []nearMiss
	weeded int // strings in use when it was last weeded
}

// yearly counts something per day, forgetting with a mean life of 30 days.
type yearly struct {
	today   uint64
	n, days float64
	month   float64 // in 30 days, as of the last roll
}

const meanLife = 30

var lifeDecay = Exp(-1. / meanLife)

// roll closes today and k-1 days without anything. An account of three days is judged by ten times what it has seen:
// a young account must not have a looser line than an old one.
func (y *yearly) roll(k int) {
	for range min(k, 40*meanLife) {
		y.n = float64(y.n*lifeDecay) + float64(y.today)
		y.days = float64(y.days*lifeDecay) + 1
		y.today = 0
	}
	y.month = meanLife * y.n / y.days
}

// What is known of an account before it is.
const (
	shippedTested = 30000 // blocks a month; counts as one day of a thousand active key-hours, so that the first days are strict
	shippedFirsts = 100   // first blocks a month, always added: those of a quiet account are few
)

// A region of an account has its own watermark; no region moves another.
type region struct {
	name      string
	account   *account
	watermark schemas.Minute // minutes before it are closed
	pulse     pulse
	series    map[string]*series
	families  map[string][]*series // where the machine has them
	heirs     map[owner]*series    // the key of each owner that was used last, of machines whose keys inherit
	due       []dueMinute          // open minutes with calls, ascending
	open      []*series            // those with an open insight
}

type dueMinute struct {
	minute schemas.Minute
	series []*series
}

func newAccount(id schemas.Account, c *Config) *account {
	a := &account{id: id, regions: make(map[string]*region), names: newNames(c.tuples()), epoch: 1}
	a.tested = yearly{n: shippedTested / meanLife, days: 1, month: shippedTested}
	a.firsts = yearly{days: 1}
	for w := range windows {
		a.pools[w].beta0 = poolBeta
	}
	a.first.roll()
	if c.Breadth != RateOnly {
		a.kinds = newBreadthPool()
	}
	return a
}

func (a *account) region(name string) *region {
	r := a.regions[name]
	if r == nil {
		r = &region{name: name, account: a, watermark: minMinute, series: make(map[string]*series),
			families: make(map[string][]*series)}
		a.regions[name] = r
	}
	return r
}

// leave takes a series out of its family.
func (r *region) leave(s *series) {
	f := r.families[s.family]
	i := slices.Index(f, s)
	f[i], f[len(f)-1] = f[len(f)-1], nil
	if f = f[:len(f)-1]; len(f) == 0 {
		delete(r.families, s.family)
	} else {
		r.families[s.family] = f
	}
}

const minMinute = -1 << 31

// await notes that a minute of a series has calls and is open.
func (r *region) await(s *series, m schemas.Minute) {
	i := len(r.due)
	for i > 0 && r.due[i-1].minute > m {
		i--
	}
	if i > 0 && r.due[i-1].minute == m {
		r.due[i-1].series = append(r.due[i-1].series, s)
		return
	}
	var list []*series
	if len(r.due) < cap(r.due) { // use the memory of a minute that is done
		list = r.due[:len(r.due)+1][len(r.due)].series[:0]
	}
	r.due = append(r.due, dueMinute{})
	copy(r.due[i+1:], r.due[i:])
	r.due[i] = dueMinute{m, append(list, s)}
}

// done drops the first n due minutes, and keeps their memory behind the end.
func (r *region) done(n int) {
	if n == 0 {
		return
	}
	old := make([]dueMinute, 0, 8)
	old = append(old, r.due[:n]...)
	left := copy(r.due, r.due[n:])
	for i, d := range old {
		clear(d.series)
		r.due[left+i] = dueMinute{series: d.series[:0]}
	}
	r.due = r.due[:left]
}

// prior is what its keys borrow.
func (a *account) prior() prior {
	p := prior{epoch: a.epoch, first: &a.first.frozen, breadth: a.kinds.prior()}
	for w := range windows {
		p.beta0[w] = a.pools[w].beta0
	}
	return p
}

// roll moves the account to the day, and reports true, if the watermark of one of its regions has passed midnight. Days
// before its first event do not count.
func (a *account) roll(day int32) bool {
	if !a.rolled {
		a.rolled, a.day = true, a.age.Born.Day()
	}
	if day <= a.day {
		return false
	}
	k := int(day - a.day)
	a.tested.roll(k)
	a.firsts.roll(k)
	for w := range windows {
		a.pools[w].roll()
	}
	a.first.roll()
	a.kinds.roll()
	a.day = day
	a.epoch++
	return true
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
