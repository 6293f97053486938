package apierrorrate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// A simulated account has 15 to 35 calls for three weeks: sparse ones, people in office hours, deployments, jobs, steady callers. Each
// has one or two codes that a share of its calls fails with, anything from never to one in three, and failures come in runs:
// a call that follows a failed one fails in one of two cases. Deployments are throttled when they are large. In the last two
// weeks two bursts of 20 to 200 denied calls a minute for 5 to 30 minutes are planted, on any call; one busy call fails for 10 to 60
// minutes at its usual rate; and one busy call is made 5 to 20 times as often for 10 to 60 minutes and fails as usual, which must
// not be told. The simulator shares nothing with the model.
type simulated struct {
	counts map[schemas.Minute]map[[2]string]uint32 // by event and code
	bursts []burst
}

type burst struct {
	kind       string // "denied", "broken", or "busy", which is none
	event      string
	start, end schemas.Minute
	found      bool
}

const simulatedDays = 21

// An api is one call of a simulated account.
type api struct {
	name  string
	rate  float64 // of failure
	codes []string
	bad   bool // the last call failed
	calls uint32
}

func (s *simulated) add(r *rand.Rand, a *api, m schemas.Minute, n int, fails float64) {
	if m >= detecttest.Epoch+simulatedDays*schemas.Day {
		return
	}
	if s.counts[m] == nil {
		s.counts[m] = make(map[[2]string]uint32)
	}
	for range n {
		p := fails
		if a.bad {
			p = max(p, min(0.5, 20*p))
		}
		a.calls++
		if a.bad = r.Float64() < p; a.bad {
			s.counts[m][[2]string{a.name, a.codes[r.IntN(len(a.codes))]}]++
		} else {
			s.counts[m][[2]string{a.name, ""}]++
		}
	}
}

func simulate(seed uint64) *simulated {
	r := rand.New(rand.NewPCG(seed, 23))
	s := &simulated{counts: make(map[schemas.Minute]map[[2]string]uint32)}
	codes := []string{"AccessDenied", "NoSuchKey", "ValidationException", "ResourceNotFound", "InvalidParameter", "IncorrectStatus"}
	var apis []*api
	for k := range 15 + r.IntN(21) {
		a := &api{name: fmt.Sprint("Call", k), codes: codes[r.IntN(5):][:1+r.IntN(2)]}
		if r.Float64() < 0.7 {
			a.rate = 0.001 * math.Exp(r.Float64()*5.8)
		}
		apis = append(apis, a)
		s.habit(r, a)
	}
	busy := slices.Clone(apis)
	slices.SortStableFunc(busy, func(a, b *api) int { return int(b.calls) - int(a.calls) })
	place := func(kind string, a *api, i int) burst {
		b := burst{kind: kind, event: a.name, start: detecttest.Epoch + 7*schemas.Day + schemas.Minute(i*4900+r.IntN(4700))}
		b.end = b.start + 5 + schemas.Minute(r.IntN(26))
		if kind != "denied" {
			b.end = b.start + 10 + schemas.Minute(r.IntN(51))
		}
		s.bursts = append(s.bursts, b)
		return b
	}
	for i := range 2 {
		a := &api{name: apis[r.IntN(len(apis))].name, codes: codes[:1]}
		rate := 20 * math.Exp(r.Float64()*math.Log(10))
		for b, m := place("denied", a, i), schemas.Minute(0); m < b.end-b.start; m++ {
			s.add(r, a, b.start+m, max(1, poisson(r, rate)), 1)
		}
	}
	broken := &api{name: busy[0].name, codes: busy[0].codes[:1]}
	for b, m := place("broken", broken, 2), schemas.Minute(0); m < b.end-b.start; m++ {
		for key, n := range s.counts[b.start+m] { // what it calls in these minutes fails
			if key[0] == broken.name && key[1] == "" {
				s.counts[b.start+m][[2]string{broken.name, broken.codes[0]}] += n
				delete(s.counts[b.start+m], key)
			}
		}
	}
	often := busy[1]
	perMinute := float64(often.calls) / (simulatedDays * 1440)
	factor := 5 + 15*r.Float64()
	for b, m := place("busy", often, 3), schemas.Minute(0); m < b.end-b.start; m++ {
		s.add(r, often, b.start+m, poisson(r, factor*perMinute), often.rate)
	}
	return s
}

// habit adds the calls of three weeks.
func (s *simulated) habit(r *rand.Rand, a *api) {
	const end = simulatedDays * 1440
	at := func(m float64) schemas.Minute { return detecttest.Epoch + schemas.Minute(m) }
	switch x := r.Float64(); {
	case x < 0.30: // sparse: 0.05 to 2 a day
		gap := 1440 / (0.05 * math.Exp(r.Float64()*3.7))
		for m := r.ExpFloat64() * gap; m < end; m += 1 + r.ExpFloat64()*gap {
			s.add(r, a, at(m), 1+int(r.ExpFloat64()*0.8), a.rate)
		}
	case x < 0.55: // people: work periods in office hours
		perDay, sigma := 0.3+3*r.Float64(), 0.5+0.5*r.Float64()
		for d := range simulatedDays {
			for range poisson(r, perDay) {
				m := float64(d*1440) + 480 + r.Float64()*600
				for range 1 + int(math.Exp(r.NormFloat64()*sigma+1)) {
					s.add(r, a, at(m), 1, a.rate)
					m += r.ExpFloat64() * 2
				}
			}
		}
	case x < 0.70: // deployments, which are throttled when they are large
		perDay, sigma := 0.5+4*r.Float64(), 0.6+0.6*r.Float64()
		slow := api{name: a.name, codes: []string{"Throttling"}}
		for d := range simulatedDays {
			for range poisson(r, perDay) {
				m := float64(d*1440) + 420 + r.Float64()*720
				size := int(math.Exp(r.NormFloat64()*sigma + 2.5))
				for left := size; left > 0; m++ {
					n := min(left, 1+r.IntN(20))
					s.add(r, a, at(m), n, a.rate)
					if size > 30 {
						s.add(r, &slow, at(m), n/4, 1)
					}
					left -= n
				}
			}
		}
	case x < 0.85: // jobs, every 5 minutes to daily
		every, size := []int{5, 15, 60, 360, 1440}[r.IntN(5)], 1+int(math.Exp(r.Float64()*4))
		for m := r.IntN(every); m < end; m += every {
			s.add(r, a, at(float64(m+r.IntN(2))), max(1, size+r.IntN(1+size/5)), a.rate)
		}
	default: // steady, with a daily shape
		rate := math.Exp(r.Float64()*4 - 2)
		for m := range end {
			s.add(r, a, at(float64(m)), poisson(r, rate*(1+0.6*math.Sin(float64(m%1440)/1440*2*math.Pi))), a.rate)
		}
	}
}

func poisson(r *rand.Rand, mean float64) int {
	if mean > 50 {
		return max(0, int(mean+r.NormFloat64()*math.Sqrt(mean)+0.5))
	}
	n, p := 0, math.Exp(-mean)
	for x := r.Float64(); x > p; x *= r.Float64() {
		n++
	}
	return n
}

// A verdict sums up simulated accounts.
type verdict struct {
	accounts, repeats, unconfirmed int
	planted, found                 map[string]int
	delay, endError                []int
	wrong, missed                  []string
}

func (v *verdict) judge(seed uint64) {
	s := simulate(seed)
	d := New()
	feed := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: strconv.FormatUint(seed, 10)}, Region: "r", Lateness: 15}
	var now schemas.Minute
	settle := func(f *schemas.Finding) {
		at := slices.IndexFunc(s.bursts, func(b burst) bool {
			return b.event == f.Event && f.Start >= b.start-60 && f.Start < b.end+60
		})
		switch {
		case f.Kind == schemas.CloseFinding:
			if !f.Why.Confirmed {
				v.unconfirmed++
			}
			if at >= 0 && s.bursts[at].kind != "busy" {
				v.endError = append(v.endError, int(f.End-s.bursts[at].end))
			}
		case at < 0:
			v.wrong = append(v.wrong, fmt.Sprintf("%d/%s: %s 1e%.1f", seed, f.Key, f.Why.Text, f.Why.Log10P))
		case s.bursts[at].found:
			v.repeats++
		default:
			s.bursts[at].found = true
			v.found[s.bursts[at].kind]++
			v.delay = append(v.delay, int(now-s.bursts[at].start))
		}
	}
	for m := detecttest.Epoch; m < detecttest.Epoch+simulatedDays*schemas.Day; m++ {
		now = m
		var calls []detecttest.Call
		for key, n := range s.counts[m] {
			calls = append(calls, detecttest.Call{Minute: m, Service: "s", Event: key[0], Error: key[1], Principal: "p", Count: n})
		}
		if len(calls) > 0 {
			p := feed.Pane(calls)
			d.Observe(&p, schemas.DefaultSettings(), settle)
		}
	}
	p := feed.End()
	d.Observe(&p, schemas.DefaultSettings(), settle)
	v.accounts++
	for _, b := range s.bursts {
		v.planted[b.kind]++
		if !b.found && b.kind != "busy" {
			v.missed = append(v.missed, fmt.Sprintf("%d/%s %s for %d min", seed, b.event, b.kind, b.end-b.start))
		}
	}
}

func (v *verdict) months() float64 { return float64(v.accounts) * (simulatedDays - 1) / 30 }

func (v *verdict) String() string {
	return fmt.Sprintf("%d accounts: found %v of %v, delay median %d p90 %d min, end error median %d p90 %d min; "+
		"%d false insights (%.2f per account and month), %d repeats, %d unconfirmed", v.accounts, v.found, v.planted,
		quantile(v.delay, 0.5), quantile(v.delay, 0.9), quantile(v.endError, 0.5), quantile(v.endError, 0.9),
		len(v.wrong), float64(len(v.wrong))/v.months(), v.repeats, v.unconfirmed)
}

func quantile(x []int, q float64) int {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return x[int(q*float64(len(x)-1))]
}

// TestSimulation finds what is planted, is silent about calls that are busy and fail as usual, and stays near the budget of one
// false insight per account and month. Constants are chosen on seeds 1 to 40, and what is reported comes from seeds above
// 100; SIMULATE=from,to runs others.
func TestSimulation(t *testing.T) {
	from, to := uint64(1), uint64(8)
	if _, err := fmt.Sscanf(os.Getenv("SIMULATE"), "%d,%d", &from, &to); err != nil && os.Getenv("SIMULATE") != "" {
		t.Fatal(err)
	}
	v := verdict{planted: make(map[string]int), found: make(map[string]int)}
	for seed := from; seed <= to; seed++ {
		v.judge(seed)
	}
	t.Log(&v)
	t.Logf("missed:\n%s", strings.Join(v.missed, "\n"))
	t.Logf("false:\n%s", strings.Join(v.wrong, "\n"))
	if v.found["denied"]*100 < v.planted["denied"]*75 {
		t.Errorf("found %d of %d bursts of denied calls, want 75 of 100", v.found["denied"], v.planted["denied"])
	}
	if v.found["broken"]*100 < v.planted["broken"]*45 {
		t.Errorf("found %d of %d broken calls, want 45 of 100", v.found["broken"], v.planted["broken"])
	}
	if v.found["busy"]*10 > v.planted["busy"] {
		t.Errorf("%d of %d busy calls that fail as usual are told, want one of ten", v.found["busy"], v.planted["busy"])
	}
	if float64(len(v.wrong)) > 1+v.months()*Budget {
		t.Errorf("%d false insights in %.1f account-months, the budget is %d a month", len(v.wrong), v.months(), Budget)
	}
	if v.unconfirmed > 0 {
		t.Errorf("%d Starts are not confirmed by their closed minutes", v.unconfirmed)
	}
}
