package detecttest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// keys gives a detector thousands of accounts: what changes must fit into one commit, whatever changes.
func keys(t *testing.T, newDetector New) {
	d := newDetector()
	r := result{state: make(map[string][]byte)}
	for i := range 4000 {
		f := Feed{Account: schemas.Account{Provider: schemas.AWS, ID: fmt.Sprint(i)}, Region: "r", Lateness: 15}
		c := Call{Minute: Epoch, Service: "s", Event: "DeleteThing", Error: "AccessDenied", Principal: "p", AccessKey: "AKIA1",
			SourceIP: "203.0.113.9", Count: 1}
		p := f.Pane([]Call{c})
		r.observe(d, &p)
		p = f.Tick(Epoch + schemas.Day)
		r.observe(d, &p)
	}
	r.snapshot(d)
	if len(r.state) > runner.MaxDirty {
		t.Errorf("%d state keys may change at once, want at most %d", len(r.state), runner.MaxDirty)
	}
}

// values gives a detector an account in which strangers with long names do everything everywhere: each value of its state must
// still fit into a message, or no commit succeeds any more and nothing is detected. Everything that is open survives a restart, and
// gets its End.
func values(t *testing.T, newDetector New) {
	account := schemas.Account{Provider: schemas.AWS, ID: "4"}
	d := newDetector()
	r := result{state: make(map[string][]byte)}
	feeds := make([]Feed, schemas.MaxRegions)
	observe := func(p schemas.Pane) { r.observe(d, &p) }
	for i := range feeds {
		feeds[i] = Feed{Account: account, Region: fmt.Sprintf("region-%02d", i), Lateness: 15}
		observe(feeds[i].Pane([]Call{{Minute: Epoch, Service: "s", Event: "e", Principal: "p", SourceIP: "192.0.2.1", Count: 1}}))
		observe(feeds[i].Tick(Epoch + 3*schemas.Day))
	}
	long := func(kind string, n int) string { return fmt.Sprint(kind, n, strings.Repeat(" x", 500)) }
	all := schemas.Sensitive(0).With(schemas.PolicyClass, schemas.CoreTier).With(schemas.PasswordClass, schemas.CoreTier).
		With(schemas.TrailClass, schemas.CoreTier)
	for i := range feeds {
		var calls []Call
		for who := range 40 {
			for n := range 9 {
				calls = append(calls, Call{
					Minute: Epoch + 3*schemas.Day + 60 + schemas.Minute(n), Service: long("service", who), Event: long("Delete", n),
					Error: long("AccessDenied", n), Principal: long("p", who), UserAgent: long("agent", n),
					AccessKey: long("AKIA", n), SourceIP: fmt.Sprintf("203.%d.113.%d", who%12, who), Count: 1000,
					Type: schemas.UserPrincipal, Traits: schemas.Traits{Sensitive: all, Target: schemas.AdminTarget},
				})
			}
		}
		observe(feeds[i].Pane(calls))
	}
	r.snapshot(d)
	open, largest := 0, 0
	for _, f := range r.findings {
		if f.Kind == schemas.OpenFinding {
			open++
		}
	}
	for key, state := range r.state {
		largest = max(largest, len(state))
		if len(state) > runner.MaxBody {
			t.Errorf("state key %s has %d bytes, more than a message holds", key, len(state))
		}
	}
	t.Logf("%d insights, largest value %d bytes", open, largest)
	d = restored(t, newDetector, r.state)
	for i := range feeds {
		observe(feeds[i].End())
	}
	pairs(t, r.findings)
}
