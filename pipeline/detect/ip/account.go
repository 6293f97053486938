package ip

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

// An account is the unit of learning: nothing of it depends on another one.
type account struct {
	id      schemas.Account
	slice   int // of the state
	age     detect.Age
	begun   bool
	day     int32                     // the open day: rows of earlier days count into it
	regions map[string]schemas.Minute // watermarks

	seen    seen
	people  map[uint64]*principal
	kinds   [kinds]node
	whole   node // of all principals, against what the account knows
	scores  [routes]histogram
	news    news
	waiting []*stranger // in the order in which they came
	open    []*insight  // by region, address and day
	told    int         // addresses with insights today
	near    []nearMiss

	lines       [routes]float64 // as of the last roll
	linesFor    float64         // the budget that they are made for
	linesBefore bool            // they are made
}

const noWatermark = -1 << 31

// maxStrangers bounds the addresses that were judged and are not learned: flagged ones for a day, denied ones for the rest
// of the day. An account is probed by dozens of addresses a day; beyond that the oldest is forgotten, and may be judged
// again.
const maxStrangers = 256

// maxTold bounds the addresses of an account that are told one by one on a day. Ten are three times the budget of a month:
// whoever has read them knows that something is wrong. The tenth stays open for the day, and counts the further ones.
const maxTold = 10

// A stranger is an address that was judged and not learned: it is suspicious, or all its requests were denied.
type stranger struct {
	addr       netip.Addr
	path       path
	first      schemas.Minute
	day        int32 // on which it was judged last
	counted    int32 // day of the account on which it was counted among those told
	suspicious bool
	allowed    bool     // some request was
	principals []uint64 // at most [crowd]
	told       []told
	why        schemas.Why // of the judgement
}

// A told is the latest day of which a region has been told of a stranger.
type told struct {
	region string
	day    int32
}

func (w *stranger) toldDay(region string) (int32, bool) {
	for _, t := range w.told {
		if t.region == region {
			return t.day, true
		}
	}
	return 0, false
}

func (w *stranger) tell(region string, day int32) {
	for i := range w.told {
		if w.told[i].region == region {
			w.told[i].day = day
			return
		}
	}
	w.told = append(w.told, told{strings.Clone(region), day})
}

func (w *stranger) met(hash uint64) {
	if len(w.principals) < crowd && !slices.Contains(w.principals, hash) {
		w.principals = append(w.principals, hash)
	}
}

func newAccount(id schemas.Account) *account {
	return &account{
		id: id, regions: make(map[string]schemas.Minute), seen: seen{last: make(map[fingerprint]int32)},
		people: make(map[uint64]*principal), news: news{n: youngDays * youngNew, days: youngDays},
	}
}

// stranger returns what is known of an address that waits, nil if it does not.
func (a *account) stranger(addr netip.Addr) *stranger {
	for _, s := range a.waiting {
		if s.addr == addr {
			return s
		}
	}
	return nil
}

func (a *account) dismiss(s *stranger) {
	i := slices.Index(a.waiting, s)
	a.waiting = slices.Delete(a.waiting, i, i+1)
}

// room makes room for another stranger, and reports whether there is any: who has been told of is not forgotten, or it would be
// told twice.
func (a *account) room() bool {
	if len(a.waiting) < maxStrangers {
		return true
	}
	i := slices.IndexFunc(a.waiting, func(old *stranger) bool { return len(old.told) == 0 })
	if i < 0 {
		return false
	}
	a.waiting = slices.Delete(a.waiting, i, i+1)
	return true
}

// mayLearn bounds what is learned in a day. The learning time is for learning.
func (a *account) mayLearn() uint32 {
	if int64(a.day)*int64(schemas.Day) < int64(a.age.Learned()) {
		return maxSeen
	}
	return maxSeenPerDay
}

func (a *account) learn(p *path) { a.seen.learn(p, a.day, a.mayLearn()) }

// roll moves the account to the day, if it is a later one: habits and scores of the days before become what new addresses are
// judged by, and what has waited is learned or forgotten.
func (a *account) roll(day int32) bool {
	if !a.begun || day <= a.day {
		return false
	}
	days := day - a.day
	for i := range a.kinds {
		a.kinds[i].roll(days)
	}
	a.whole.roll(days)
	for i := range a.scores {
		a.scores[i].roll(days)
	}
	a.news.roll(days)
	a.day, a.told, a.linesBefore = day, 0, false
	a.seen.forget(day)
	return true
}

// waitTime is how long a suspicious address is not learned: so that it is suspicious in every region that it enters, and one
// that comes back the next morning is told again.
const waitTime = schemas.Day

// ripen learns the suspicious addresses that have waited for long enough, for those too that came from them.
func (t *task) ripen(now schemas.Minute) {
	for _, s := range t.account.waiting {
		if s.suspicious && s.allowed && int64(s.first)+int64(waitTime) <= int64(now) {
			t.welcome(s)
		}
	}
}

// welcome learns an address that waited.
func (t *task) welcome(s *stranger) {
	s.suspicious = false
	t.account.learn(&s.path)
	for _, h := range s.principals {
		if p := t.account.people[h]; p != nil && p.learn(&s.path, p.day) {
			p.last = 0 // what it has learned may have pushed out where it was last
			t.state.people.Touch(p.slice)
		}
	}
}

// settled reports, at the beginning of a day, whether a stranger need not wait any more.
func (a *account) settled(s *stranger) bool {
	for _, t := range s.told {
		// A row may come a day after its region's watermark, and must not make the insight of its day a second time.
		if w := a.regions[t.region]; int64(w) < (int64(t.day)+2)*int64(schemas.Day) {
			return false
		}
	}
	return s.day < a.day && !(s.suspicious && int64(s.first)+int64(waitTime) > int64(a.day)*int64(schemas.Day))
}

// minAlpha keeps the logarithm finite.
const minAlpha = 1e-6

// line returns the scores from which on an address is suspicious.
func (a *account) line(budget float64) [routes]float64 {
	if !a.linesBefore || a.linesFor != budget {
		for r := range routes {
			a.lines[r] = a.scores[r].line(r, a.alpha(r, budget))
		}
		a.linesFor, a.linesBefore = budget, true
	}
	return a.lines
}

// alpha is the share of new addresses that may be flagged by a route: at most a half of them, in an account that has next to
// none.
func (a *account) alpha(route int, budget float64) float64 {
	if !(budget > 0) { // also NaN
		budget = 0
	}
	return min(max(share[route]*budget/max(a.news.month(), 1), minAlpha), 0.5)
}
