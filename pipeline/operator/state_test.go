package operator

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// State that is cut short or has a wrong byte anywhere is refused or read, and never a panic, neither then nor with the next
// panes.
func TestDamagedState(t *testing.T) {
	m := NewMachine(config())
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
	for d := range schemas.Minute(4) {
		for i := range schemas.Minute(4) {
			c := policyCall(detecttest.Epoch+d*schemas.Day+600+i, fmt.Sprintf("arn:aws:iam::123456789012:user/x/user%d", i))
			c.ASN = "64500"
			observe(m, f.Pane([]detecttest.Call{c}))
		}
	}
	stranger := policyCall(detecttest.Epoch+4*schemas.Day, "mallory")
	stranger.SourceIP, stranger.UserAgent, stranger.Traits.Target = "203.0.113.9", "Pacu", schemas.AdminTarget
	if found := observe(m, f.Pane([]detecttest.Call{stranger})); len(found) != 1 {
		t.Fatalf("%d findings: no insight is open in the state", len(found))
	}
	next := f.Pane([]detecttest.Call{stranger, policyCall(detecttest.Epoch+4*schemas.Day+30, "user9")})
	end := f.End()
	try := func(key string, state []byte) bool {
		n := NewMachine(config())
		if n.Restore(key, state) != nil {
			return false
		}
		for _, g := range observe(n, next, end) {
			for _, x := range []float64{g.Why.Log10P, g.Why.OneIn, g.Statistics.Insight, g.Statistics.Baseline,
				g.Why.Operator.Surprise} {
				if math.IsNaN(x) || math.IsInf(x, 0) {
					t.Fatalf("not a number: %+v %+v", g.Statistics, g.Why)
				}
			}
		}
		snapshot(t, n)
		return true
	}
	refused, read := 0, 0
	for key, state := range snapshot(t, m) {
		for i := range state {
			if try(key, state[:i]) && i > 0 {
				t.Errorf("state cut to %d of %d bytes is taken", i, len(state))
			}
			for _, x := range []byte{1, 0x80, 0xff} {
				damaged := slices.Clone(state)
				damaged[i] ^= x
				if try(key, damaged) {
					read++
				} else {
					refused++
				}
			}
		}
	}
	t.Logf("%d refused, %d read", refused, read)
	if refused == 0 {
		t.Error("nothing was refused")
	}
}
