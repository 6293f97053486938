package apicallrate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// A shifted account has sixteen keys for five weeks, four of each kind: people, deployments, jobs and steady callers. Between
// the eighth and the fifteenth day each becomes low to five times low as busy for good. In the last week each is abused once, at
// six times its new rate.
type shifted struct {
	counts map[schemas.Minute]map[string]uint32
	at     map[string]schemas.Minute // of the shift
	burst  map[string]schemas.Minute // first minute of its burst
	kind   map[string]string
	factor map[string]float64
	low    float64
}

const shiftedDays = 35

func shift(seed uint64, low float64) *shifted {
	r := rand.New(rand.NewPCG(seed, 11))
	s := &shifted{make(map[schemas.Minute]map[string]uint32), make(map[string]schemas.Minute), make(map[string]schemas.Minute),
		make(map[string]string), make(map[string]float64), low}
	kinds := []string{"people", "deployments", "job", "steady"}
	for k := range 16 {
		kind := kinds[k%4]
		name := fmt.Sprintf("%s%d", kind, k)
		at := schemas.Minute(8*1440 + r.IntN(7*1440))
		factor := s.low * math.Exp(r.Float64()*math.Log(5))
		s.at[name], s.kind[name], s.factor[name] = detecttest.Epoch+at, kind, factor
		day := 0.0 // calls a day
		add := func(m, n int) {
			if n > 0 && m < shiftedDays*1440 {
				minute := detecttest.Epoch + schemas.Minute(m)
				if s.counts[minute] == nil {
					s.counts[minute] = make(map[string]uint32)
				}
				s.counts[minute][name] += uint32(n)
				if m >= 27*1440 {
					day += float64(n) / 8
				}
			}
		}
		f := func(m float64) float64 {
			if m >= float64(at) {
				return factor
			}
			return 1
		}
		switch kind {
		case "people":
			perDay, sigma := 0.5+3*r.Float64(), 0.5+0.5*r.Float64()
			for d := range shiftedDays {
				if d%7 >= 5 && r.Float64() < 0.9 {
					continue
				}
				for range poisson(r, perDay*f(float64(d*1440))) {
					m := float64(d*1440) + 480 + r.Float64()*600
					for range 1 + int(math.Exp(r.NormFloat64()*sigma+1)) {
						add(int(m), 1)
						m += r.ExpFloat64() * 2
					}
				}
			}
		case "deployments":
			perDay, sigma := 0.5+4*r.Float64(), 0.6+0.6*r.Float64()
			for d := range shiftedDays {
				for range poisson(r, perDay) {
					m := float64(d*1440) + 420 + r.Float64()*720
					for left := int(f(m) * math.Exp(r.NormFloat64()*sigma+2.5)); left > 0; m++ {
						n := min(left, 1+r.IntN(20))
						add(int(m), n)
						left -= n
					}
				}
			}
		case "job":
			every, size := []int{5, 15, 60, 360, 1440}[r.IntN(5)], 1+int(math.Exp(r.Float64()*4))
			for m := r.IntN(every); m < shiftedDays*1440; m += every {
				add(m+r.IntN(2), int(f(float64(m))*float64(max(1, size+r.IntN(1+size/5)))))
			}
		case "steady":
			rate := math.Exp(r.Float64()*4 - 2)
			for m := range shiftedDays * 1440 {
				shape := 1 + 0.6*math.Sin(float64(m%1440)/1440*2*math.Pi)
				add(m, poisson(r, rate*shape*f(float64(m))))
			}
		}
		start := schemas.Minute(29*1440 + r.IntN(6*1440-60))
		s.burst[name] = detecttest.Epoch + start
		for m := range 5 + r.IntN(25) {
			add(int(start)+m, max(30, poisson(r, 6*day/1440)))
		}
	}
	return s
}

// TestLevelShift: callers that become two to ten times as busy for good are told once each at most, in the mean, and are the
// normal within two days; those that become ten to fifty times as busy, too, with more insights. SIMULATE=from,to as above.
func TestLevelShift(t *testing.T) {
	from, to := uint64(1), uint64(2)
	if _, err := fmt.Sscanf(os.Getenv("SIMULATE"), "%d,%d", &from, &to); err != nil && os.Getenv("SIMULATE") != "" {
		t.Fatal(err)
	}
	for _, c := range []struct{ low, perShift float64 }{{2, 1}, {10, 2}} {
		v := shiftVerdict{reasons: make(map[schemas.EndReason]int), insights: make(map[string]int), found: make(map[string]int)}
		for seed := from; seed <= to; seed++ {
			v.judge(t, seed, c.low)
		}
		t.Logf("%v to %v times as busy: %s", c.low, 5*c.low, &v)
		if n := float64(v.told + v.again); n > c.perShift*float64(v.shifts) {
			t.Errorf("%v insights of %d shifts, want %v of each at most", n, v.shifts, c.perShift)
		}
		if q := quantile(v.adoption, 0.95); q > 48 {
			t.Errorf("95 of 100 shifts are the normal after %d hours, want 48", q)
		}
		if max := v.shifts / 20; v.reasons[schemas.MaxDuration] > max {
			t.Errorf("%d insights of %d shifts lasted for a day, want %d at most", v.reasons[schemas.MaxDuration], v.shifts, max)
		}
		if v.found["steady"]*10 < v.shifts/4*9 {
			t.Errorf("%d bursts above %d new levels were found, want nine of ten", v.found["steady"], v.shifts/4)
		}
	}
}

// A shiftVerdict sums up shifted accounts.
type shiftVerdict struct {
	shifts, told, again int
	most                int   // insights of one shift
	adoption            []int // hours until the last End
	reasons             map[schemas.EndReason]int
	insights, found     map[string]int // by kind
}

func (v *shiftVerdict) judge(t *testing.T, seed uint64, low float64) {
	s := shift(seed, low)
	d := New()
	feed := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: strconv.FormatUint(seed, 10)}, Region: "r", Lateness: 15}
	count, normal, hit := map[string]int{}, map[string]schemas.Minute{}, map[string]bool{}
	settle := func(f *schemas.Finding) {
		at, b := s.at[f.Event], s.burst[f.Event]
		switch {
		case f.Start >= b && f.Start < b+60:
			hit[f.Event] = true
		case f.Kind == schemas.OpenFinding && f.Start >= at:
			count[f.Event]++
			v.insights[s.kind[f.Event]]++
		case f.Kind == schemas.CloseFinding && f.Start >= at:
			normal[f.Event] = f.End
			v.reasons[f.Why.EndReason]++
			if os.Getenv("SIMULATE") != "" {
				t.Logf("%d/%s x%.1f: after %.1f h for %.1f h, %s, 1e%.1f", seed, f.Event, s.factor[f.Event],
					float64(f.Start-at)/60, float64(f.End-f.Start)/60, f.Why.EndReason, f.Why.Log10P)
			}
		}
	}
	for m := detecttest.Epoch; m < detecttest.Epoch+shiftedDays*schemas.Day; m++ {
		var calls []detecttest.Call
		for key, n := range s.counts[m] {
			calls = append(calls, detecttest.Call{Minute: m, Service: "s", Event: key, Principal: "p", Count: n})
		}
		if len(calls) > 0 {
			p := feed.Pane(calls)
			d.Observe(&p, schemas.DefaultSettings(), settle)
		}
	}
	p := feed.End()
	d.Observe(&p, schemas.DefaultSettings(), settle)
	for key, at := range s.at {
		v.shifts++
		if hit[key] {
			v.found[s.kind[key]]++
		}
		if n := count[key]; n > 0 {
			v.told++
			v.again += n - 1
			v.most = max(v.most, n)
			v.adoption = append(v.adoption, int(normal[key]-at)/60)
		}
	}
}

func (v *shiftVerdict) String() string {
	return fmt.Sprintf("%d shifts, %d told, %d told again (%v, at most %d of one); last End after median %d h, p90 %d h, p95 %d h, max %d h; "+
		"%v; bursts above the new level found %v of %d each", v.shifts, v.told, v.again, v.insights, v.most, quantile(v.adoption, 0.5),
		quantile(v.adoption, 0.9), quantile(v.adoption, 0.95), quantile(v.adoption, 1), v.reasons, v.found, v.shifts/4)
}
