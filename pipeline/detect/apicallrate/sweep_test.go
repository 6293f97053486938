package apicallrate

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// sweep adds to a simulated account somebody who deletes one or two of each of many kinds of things, over and over for some
// minutes: kinds that nobody else deletes.
func (s *simulated) sweep(seed uint64, kinds int) {
	r := rand.New(rand.NewPCG(seed, uint64(kinds)))
	b := burst{key: "sweep", start: detecttest.Epoch + 15*schemas.Day + schemas.Minute(r.IntN(5*1440))}
	b.end = b.start + 5 + schemas.Minute(r.IntN(20))
	for m := b.start; m < b.end; m++ {
		if s.counts[m] == nil {
			s.counts[m] = make(map[string]uint32)
		}
		for k := range kinds {
			s.counts[m][fmt.Sprintf("Kind%d", k)] = 1 + uint32(r.IntN(2))
		}
	}
	s.bursts = []burst{b}
}

// TestSweep: one or two deletions a minute of each of 10 and more kinds are found by the roll-up, and told once. SIMULATE=from,to
// as TestSimulation.
func TestSweep(t *testing.T) {
	from, to := uint64(1), uint64(2)
	if _, err := fmt.Sscanf(os.Getenv("SIMULATE"), "%d,%d", &from, &to); err != nil && os.Getenv("SIMULATE") != "" {
		t.Fatal(err)
	}
	for _, kinds := range []int{5, 10, 40} {
		v := verdict{verb: "Delete"}
		for seed := from; seed <= to; seed++ {
			s := simulate(seed)
			s.sweep(seed, kinds)
			v.judgeAccount(seed, 1, s, func(f *schemas.Finding) string {
				if f.Event != "" { // a key by itself, of the habit or of a long sweep, is not what is asked for
					return ""
				}
				return "sweep"
			})
		}
		t.Logf("%d kinds: %v", kinds, &v)
		if kinds >= 10 && v.found*10 < v.bursts*9 {
			t.Errorf("%d kinds: %d of %d sweeps found", kinds, v.found, v.bursts)
		}
		if v.extra > v.accounts/4 {
			t.Errorf("%d kinds: %d roll-ups beyond the first of a sweep", kinds, v.extra)
		}
	}
}
