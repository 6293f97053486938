package apicallrate

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

// A simulated account has 20 to 50 keys for three weeks: sparse ones, people in office hours, deployments of log-normal
// size, jobs, steady callers. In the last two weeks three bursts of 30 to 300 calls a minute for 5 to 40 minutes are
// planted, one in five on a call that was never made before. The simulator shares nothing with the model.
type simulated struct {
	counts map[schemas.Minute]map[string]uint32
	bursts []burst
}

type burst struct {
	key        string
	start, end schemas.Minute
	rate       int
}

const simulatedDays = 21

func simulate(seed uint64) *simulated {
	r := rand.New(rand.NewPCG(seed, 7))
	s := &simulated{counts: make(map[schemas.Minute]map[string]uint32)}
	end := detecttest.Epoch + simulatedDays*schemas.Day
	keys := 20 + r.IntN(31)
	for k := range keys {
		name := fmt.Sprintf("Call%d", k)
		add := func(m schemas.Minute, n int) {
			if n > 0 && m < end {
				if s.counts[m] == nil {
					s.counts[m] = make(map[string]uint32)
				}
				s.counts[m][name] += uint32(n)
			}
		}
		switch x := r.Float64(); {
		case x < 0.35: // sparse: 0.05 to 2 a day
			gap := 1440 / (0.05 * math.Exp(r.Float64()*3.7))
			for m := r.ExpFloat64() * gap; m < simulatedDays*1440; m += 1 + r.ExpFloat64()*gap {
				add(detecttest.Epoch+schemas.Minute(m), 1+int(r.ExpFloat64()*0.8))
			}
		case x < 0.60: // people: work periods of a few calls in office hours
			perDay := 0.3 + 3*r.Float64()
			sigma := 0.5 + 0.5*r.Float64()
			for d := range simulatedDays {
				if d%7 >= 5 && r.Float64() < 0.9 {
					continue
				}
				for range poisson(r, perDay) {
					m := float64(d*1440) + 480 + r.Float64()*600
					for range 1 + int(math.Exp(r.NormFloat64()*sigma+1)) {
						add(detecttest.Epoch+schemas.Minute(m), 1)
						m += r.ExpFloat64() * 2
					}
				}
			}
		case x < 0.75: // deployments: log-normal bursts over a few minutes
			perDay := 0.5 + 4*r.Float64()
			sigma := 0.6 + 0.6*r.Float64()
			for d := range simulatedDays {
				for range poisson(r, perDay) {
					m := float64(d*1440) + 420 + r.Float64()*720
					left := int(math.Exp(r.NormFloat64()*sigma + 2.5))
					for left > 0 {
						n := min(left, 1+r.IntN(20))
						add(detecttest.Epoch+schemas.Minute(m), n)
						left -= n
						m++
					}
				}
			}
		case x < 0.90: // jobs: every 5 minutes to daily, a little jitter
			every := []int{5, 15, 60, 360, 1440}[r.IntN(5)]
			size := 1 + int(math.Exp(r.Float64()*4))
			offset := r.IntN(every)
			for m := offset; m < simulatedDays*1440; m += every {
				add(detecttest.Epoch+schemas.Minute(m+r.IntN(2)), max(1, size+r.IntN(1+size/5)))
			}
		default: // steady, with a daily shape
			rate := math.Exp(r.Float64()*4 - 2)
			for m := range simulatedDays * 1440 {
				shape := 1 + 0.6*math.Sin(float64(m%1440)/1440*2*math.Pi)
				add(detecttest.Epoch+schemas.Minute(m), poisson(r, rate*shape))
			}
		}
	}
	for i := range 3 {
		b := burst{key: fmt.Sprintf("Call%d", r.IntN(keys)), rate: int(30 * math.Exp(r.Float64()*math.Log(10)))}
		if r.IntN(5) == 0 {
			b.key = fmt.Sprintf("New%d", i)
		}
		b.start = detecttest.Epoch + 7*schemas.Day + schemas.Minute(i*6500+r.IntN(6000))
		b.end = b.start + 5 + schemas.Minute(r.IntN(36))
		for m := b.start; m < b.end; m++ {
			if s.counts[m] == nil {
				s.counts[m] = make(map[string]uint32)
			}
			s.counts[m][b.key] += uint32(max(1, poisson(r, float64(b.rate))))
		}
		s.bursts = append(s.bursts, b)
	}
	return s
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
	verb string // that calls begin with: destructive ones are rolled up, too

	accounts, bursts, found, insights, extra, unconfirmed int
	falseKeys                                             []string
	delay, calls, endError                                []int
	missed                                                []string
}

func (v *verdict) judge(seed uint64, budget float64) {
	v.judgeAccount(seed, budget, simulate(seed), func(f *schemas.Finding) string { return strings.TrimPrefix(f.Event, v.verb) })
}

// judgeAccount watches an account. What is told of is the key of a burst, or nothing for findings that do not matter.
func (v *verdict) judgeAccount(seed uint64, budget float64, s *simulated, toldOf func(*schemas.Finding) string) {
	d := New()
	feed := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: strconv.FormatUint(seed, 10)}, Region: "r", Lateness: 15}
	settings := schemas.DefaultSettings()
	settings.Budget = budget
	hits := make([]int, len(s.bursts))
	var now schemas.Minute
	settle := func(f *schemas.Finding) {
		key := toldOf(f)
		if key == "" && f.Event != "" {
			return
		}
		at := slices.IndexFunc(s.bursts, func(b burst) bool {
			return b.key == key && f.Start >= b.start-60 && f.Start < b.end+60
		})
		if f.Kind == schemas.CloseFinding {
			if !f.Why.Confirmed {
				v.unconfirmed++
			}
			if at >= 0 && hits[at] == 1 {
				v.endError = append(v.endError, int(f.End-s.bursts[at].end))
			}
			return
		}
		v.insights++
		if at < 0 {
			v.falseKeys = append(v.falseKeys, fmt.Sprintf("%d/%s %.0f in %d min, p=1e%.1f", seed, f.Key, float64(f.Statistics.InsightCount), f.Statistics.InsightDuration, f.Why.Log10P))
			return
		}
		if hits[at]++; hits[at] == 1 {
			v.found++
			v.delay = append(v.delay, int(now-s.bursts[at].start))
			v.calls = append(v.calls, int(f.Statistics.InsightCount))
		} else {
			v.extra++
		}
	}
	for m := detecttest.Epoch; m < detecttest.Epoch+simulatedDays*schemas.Day; m++ {
		now = m
		var calls []detecttest.Call
		for key, n := range s.counts[m] {
			calls = append(calls, detecttest.Call{Minute: m, Service: "s", Event: v.verb + key, Principal: "p", Count: n})
		}
		if len(calls) == 0 {
			continue
		}
		p := feed.Pane(calls)
		d.Observe(&p, settings, settle)
	}
	p := feed.End()
	d.Observe(&p, settings, settle)
	v.accounts++
	v.bursts += len(s.bursts)
	for i, b := range s.bursts {
		if hits[i] == 0 {
			v.missed = append(v.missed, fmt.Sprintf("%d/%s %d/min for %d min", seed, b.key, b.rate, b.end-b.start))
		}
	}
}

func quantile(x []int, q float64) int {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return x[int(q*float64(len(x)-1))]
}

func (v *verdict) String() string {
	months := float64(v.accounts) * (simulatedDays - 1) / 30
	return fmt.Sprintf("%d accounts: found %d of %d bursts, delay median %d p90 %d min, calls before the alarm median %d p90 %d, "+
		"end error median %d p90 %d min; %d false insights (%.2f per account and month), %d repeats, %d unconfirmed",
		v.accounts, v.found, v.bursts, quantile(v.delay, 0.5), quantile(v.delay, 0.9), quantile(v.calls, 0.5), quantile(v.calls, 0.9),
		quantile(v.endError, 0.5), quantile(v.endError, 0.9), len(v.falseKeys), float64(len(v.falseKeys))/months, v.extra, v.unconfirmed)
}

// TestSimulation finds planted bursts and stays near the budget of one false insight per account and month. Constants are
// chosen on seeds 1 to 40, and what is reported comes from seeds above 100; SIMULATE=from,to runs others. With a destructive
// verb all calls of an account are in one roll-up, too, which must not add to what is told.
func TestSimulation(t *testing.T) {
	from, to := uint64(1), uint64(8)
	if _, err := fmt.Sscanf(os.Getenv("SIMULATE"), "%d,%d", &from, &to); err != nil && os.Getenv("SIMULATE") != "" {
		t.Fatal(err)
	}
	for _, verb := range []string{"", "Delete"} {
		t.Run("verb="+verb, func(t *testing.T) {
			v := verdict{verb: verb}
			for seed := from; seed <= to; seed++ {
				v.judge(seed, 1)
			}
			v.check(t)
		})
	}
}

func (v *verdict) check(t *testing.T) {
	t.Log(v)
	if v.found*100 < v.bursts*80 {
		t.Errorf("found %d of %d bursts, want 80 of 100", v.found, v.bursts)
	}
	if months := float64(v.accounts) * (simulatedDays - 1) / 30; float64(len(v.falseKeys)) > 1+months*Budget {
		t.Errorf("%d false insights in %.1f account-months, the budget is %d a month", len(v.falseKeys), months, Budget)
	}
	if v.unconfirmed > 0 {
		t.Errorf("%d Starts are not confirmed by their closed minutes", v.unconfirmed)
	}
	for _, f := range v.falseKeys {
		t.Log("false: ", f)
	}
	for _, m := range v.missed {
		t.Log("missed:", m)
	}
}
