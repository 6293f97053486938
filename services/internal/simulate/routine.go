package simulate

import (
	"math/rand/v2"
	"time"
)

// An api is one call of a cloud's interface. In its texts '#' stands for the number of the resource that a call is about.
type api struct {
	service  string
	name     string
	write    bool
	global   bool   // recorded in one region, wherever it was called
	params   string // JSON of the request, "" for none
	response string // JSON of the answer, "" for none
	resource string // type of the resource, where the format says it
	extra    string // JSON of what the vendor adds to this kind of event, "" for nothing
	fails    []failure
}

// A failure is a way in which an API refuses a call.
type failure struct {
	code, message string
}

// An actor is somebody, or something, that makes calls.
type actor struct {
	name     string
	identity string   // JSON of the identity: '~' stands for the start of the session, '%' for its temporary key
	key      string   // long-lived access key, empty for one with temporary keys
	from     []string // where the calls come from: one of them for each session
	stays    []stay   // where they come from on some days instead
	agents   []string // what makes them: one of them for each session
	invoked  bool     // by a service of the cloud
}

// A stay is some days at another place, counted from the first day of the logs: a journey, or a new address at home.
type stay struct {
	first, last int
	from        []string
}

// at returns where somebody may be on a day.
func (a *actor) at(day int) []string {
	for _, s := range a.stays {
		if day >= s.first && day <= s.last {
			return s.from
		}
	}
	return a.from
}

// A routine is what an actor does again and again.
type routine struct {
	name    string
	by      *actor
	when    schedule
	regions []string // one of them for each session, the first one four times out of five
	script  []step   // in this order; or, with pick, drawn by weight
	pick    [2]int   // least and most calls of a session that draws
	gap     [2]int   // least and most seconds between two calls
	refused float64  // share of the calls that fail
	first   int      // day of the logs on which it begins
	days    int      // how many days it goes on, 0 for ever
}

// A step is an API and how often it is called: between least and most times in a script, by its weight, which is least,
// where a session draws.
type step struct {
	api         *api
	least, most int
}

// A schedule returns the starts of a day's sessions, in seconds after midnight.
type schedule func(day time.Time, r *rand.Rand) []int

// A call is one event before it is delivered.
type call struct {
	at      int64 // Unix seconds
	by      *actor
	api     *api
	region  string
	from    string
	agent   string
	fail    *failure // nil if it succeeded
	session int64    // start of the session, Unix seconds
	id      [2]uint64
	request [2]uint64
	thing   uint64 // number of the resource
	account *account
}

// run appends the routine's calls of all days.
func (t *routine) run(calls []call, a *account, o Options) []call {
	r := stream(o.Seed, a.String(), t.by.name, t.name)
	end := o.End.Unix()
	for d := t.first; d < o.days() && (t.days == 0 || d < t.first+t.days); d++ {
		day := o.Start.AddDate(0, 0, d)
		for _, start := range t.when(day, r) {
			calls = t.session(calls, a, day.Unix()+int64(start), end, t.by.at(d), r)
		}
	}
	return calls
}

// session appends the calls of one session that lie before end.
func (t *routine) session(calls []call, a *account, at, end int64, places []string, r *rand.Rand) []call {
	s := call{
		by: t.by, account: a, session: at, region: t.regions[0],
		from: choose(places, r), agent: choose(t.by.agents, r),
	}
	if r.IntN(5) == 0 {
		s.region = choose(t.regions, r)
	}
	for _, p := range t.calls(r) {
		c := s
		c.at, c.api = at, p
		c.draw(t.refused, r)
		if c.at < end {
			calls = append(calls, c)
		}
		at += int64(between(t.gap, r))
	}
	return calls
}

// calls returns the APIs of one session in their order.
func (t *routine) calls(r *rand.Rand) []*api {
	var list []*api
	if t.pick[1] == 0 {
		for _, s := range t.script {
			for range between([2]int{s.least, s.most}, r) {
				list = append(list, s.api)
			}
		}
		return list
	}
	weight := 0
	for _, s := range t.script {
		weight += s.least
	}
	for range between(t.pick, r) {
		w := r.IntN(weight)
		for _, s := range t.script {
			if w -= s.least; w < 0 {
				list = append(list, s.api)
				break
			}
		}
	}
	return list
}

// draw gives the call its ids and its fate. It always draws as many numbers, so that a share changes only who fails.
func (c *call) draw(refused float64, r *rand.Rand) {
	c.id = [2]uint64{r.Uint64(), r.Uint64()}
	c.request = [2]uint64{r.Uint64(), r.Uint64()}
	c.thing = r.Uint64()
	luck, which := r.Float64(), r.Uint32()
	if luck < refused && len(c.api.fails) > 0 {
		c.fail = &c.api.fails[int(which)%len(c.api.fails)]
	}
	if c.api.global {
		c.region = c.account.global
	}
}

const (
	hour   = 3600
	minute = 60

	// The company works in one zone, an hour east of Greenwich.
	opens  = 8 * hour
	closes = 17 * hour
)

// every starts a session each period, at a fixed offset, a few seconds early or late.
func every(period, offset, jitter int) schedule {
	return func(_ time.Time, r *rand.Rand) []int {
		var starts []int
		for at := offset; at < 24*hour; at += period {
			starts = append(starts, at+r.IntN(jitter+1))
		}
		return starts
	}
}

// office starts between least and most sessions on a working day, anywhere in office hours.
func office(least, most int) schedule {
	return func(day time.Time, r *rand.Rand) []int {
		if weekend(day) {
			return nil
		}
		var starts []int
		for range between([2]int{least, most}, r) {
			starts = append(starts, opens+r.IntN(closes-opens))
		}
		return starts
	}
}

// mornings starts one session on every working day, soon after the office opens.
func mornings() schedule {
	return func(day time.Time, r *rand.Rand) []int {
		at := opens + r.IntN(2*hour)
		if weekend(day) {
			return nil
		}
		return []int{at}
	}
}

// sometimes starts one session on a share of the working days.
func sometimes(share float64) schedule {
	return func(day time.Time, r *rand.Rand) []int {
		luck, at := r.Float64(), opens+r.IntN(closes-opens)
		if luck >= share || weekend(day) {
			return nil
		}
		return []int{at}
	}
}

// demand starts sessions round the clock, as the visitors of a shop come: few at night, most in the afternoon.
func demand(peakPerHour float64) schedule {
	share := [24]float64{ // of the peak, by hour
		.15, .1, .1, .1, .1, .2, .4, .6, .7, .8, .9, 1, 1, .9, 1, 1, .9, .9, .8, .8, .7, .5, .3, .2,
	}
	return func(_ time.Time, r *rand.Rand) []int {
		var starts []int
		for h, s := range share {
			for range 4 { // four chances an hour, so that no hour is a crowd
				luck, at := r.Float64(), h*hour+r.IntN(hour)
				if luck < s*peakPerHour/4 {
					starts = append(starts, at)
				}
			}
		}
		return starts
	}
}

func weekend(day time.Time) bool {
	return day.Weekday() == time.Saturday || day.Weekday() == time.Sunday
}

func between(limits [2]int, r *rand.Rand) int {
	return limits[0] + r.IntN(limits[1]-limits[0]+1)
}

func choose[T any](list []T, r *rand.Rand) T { return list[r.IntN(len(list))] }
