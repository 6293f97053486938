package ak

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// One test per promise of the detection specification about access keys, and of the manual.

const (
	start = detecttest.Epoch + 10*schemas.Day
	known = "AKIAALICEEXAMPLE"
)

// habit is ten days in which alice's key makes one of three calls twice an hour, and the feed that goes on.
func habit(t *testing.T) (*Detector, *detecttest.Feed) {
	t.Helper()
	d := New()
	f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "eu-west-1", Lateness: 15}
	var calls []detecttest.Call
	for m := detecttest.Epoch; m < start; m += 30 {
		calls = append(calls, call(m, known, "alice", fmt.Sprint("PutThing", m/30%3), 1))
	}
	if found := watch(d, f.Panes(calls, 5)); len(found) != 0 {
		t.Fatalf("a habit is an insight: %+v", found[0])
	}
	return d, f
}

func call(m schemas.Minute, key, who, event string, n uint32) detecttest.Call {
	return detecttest.Call{Minute: m, Service: "s3.amazonaws.com", Event: event, Principal: who, Type: schemas.UserPrincipal,
		AccessKey: key, Count: n, UserAgent: "agent of " + who, SourceIP: "203.0.113.66"}
}

func watch(d *Detector, panes []schemas.Pane) (found []schemas.Finding) {
	for i := range panes {
		d.Observe(&panes[i], schemas.DefaultSettings(), func(f *schemas.Finding) { found = append(found, *f) })
	}
	return found
}

// burst is some minutes of n calls each.
func burst(f *detecttest.Feed, minutes schemas.Minute, key, who string, n uint32) []schemas.Pane {
	var calls []detecttest.Call
	for m := start; m < start+minutes; m++ {
		calls = append(calls, call(m, key, who, "PutThing1", n))
	}
	return append(f.Panes(calls, 1), f.Tick(start+minutes+60))
}

// scan is one call each on n APIs, some in a minute.
func scan(f *detecttest.Feed, key, who string, n, aMinute int) []schemas.Pane {
	var calls []detecttest.Call
	for i := range n {
		calls = append(calls, call(start+schemas.Minute(i/aMinute), key, who, fmt.Sprint("OddThing", i), 1))
	}
	return append(f.Panes(calls, 1), f.Tick(start+schemas.Minute(n/aMinute)+60))
}

// Section 1.2: the object is the access key's id; there is no one service or event.
func TestObject(t *testing.T) {
	d, f := habit(t)
	for _, g := range watch(d, burst(f, 6, known, "alice", 50)) {
		if g.Object != known || g.Key != known || g.Service != "" || g.Event != "" {
			t.Errorf("%+v", g)
		}
	}
}

// Section 1.2: user agent, principal, API and error code are attributions; address and key are drivers.
func TestAttributions(t *testing.T) {
	d, f := habit(t)
	found := watch(d, burst(f, 6, known, "alice", 50))
	names := ""
	for _, a := range found[1].Attributions {
		names += a.Attribute + " "
		if a.Attribute == schemas.APIAttribute && a.Insight[0].Value != "s3.amazonaws.com/PutThing1" {
			t.Errorf("API: %+v", a)
		}
	}
	if names != "userAgent principalId apiRelated errorCode " {
		t.Errorf("attributions %s", names)
	}
	if w := found[1].Why.Drivers; len(w) != 2 || w[0].Value != "203.0.113.66" || w[1].Value != known {
		t.Errorf("drivers %+v", w)
	}
}

// The API that is called most is told, also where a minute has more different calls than a detector of single calls tells apart.
func TestManyAPIsInAMinute(t *testing.T) {
	d, f := habit(t)
	var calls []detecttest.Call
	for i := range 120 {
		calls = append(calls, call(start, known, "alice", fmt.Sprint("OddThing", i), uint32(1+i/119*300)))
	}
	found := watch(d, []schemas.Pane{f.Pane(calls)})
	if len(found) != 1 || found[0].Attributions[2].Insight[0].Value != "s3.amazonaws.com/OddThing119" {
		t.Errorf("%+v", found)
	}
	if b := found[0].Why.Rate.Breadth; b < 105 || b > 140 {
		t.Errorf("%d different calls, want about 120", b)
	}
}

// Section 3.9, breadth: one call each on many APIs is told, though no rate is; the Start is the first minute that is abnormal,
// the End the first after the last call that was new to the hour.
func TestBreadth(t *testing.T) {
	d, f := habit(t)
	found := watch(d, scan(f, known, "alice", 60, 3))
	if len(found) != 2 || found[0].Start > start+5 || found[1].End != start+20 || found[1].Why.EndReason != schemas.Cooled {
		t.Fatalf("%+v", found)
	}
	w := found[1].Why
	if w.Route != "breadth" || w.Rate.Breadth < 50 || w.Rate.Breadth > 75 || !(w.Rate.BreadthExpected < 4) || w.Rate.WindowMinutes != 60 ||
		math.Abs(w.Rate.Observed-float64(w.Rate.Breadth)) > 1 || !w.Confirmed || !strings.Contains(w.Text, "different ones") {
		t.Errorf("%+v %+v", w, w.Rate)
	}
	for _, v := range found[1].Attributions[2].Insight { // each was called once
		if n := v.Average * float64(found[1].Statistics.InsightDuration); n > 1.001 {
			t.Errorf("%s was called %v times", v.Value, n)
		}
	}
	d, f = habit(t)
	if found := watch(d, scan(f, known, "alice", 6, 1)); len(found) != 0 {
		t.Errorf("six kinds: %+v", found)
	}
}

// Each of rate and breadth has half of the budget.
func TestBudgetIsShared(t *testing.T) {
	d, f := habit(t)
	w := watch(d, burst(f, 6, known, "alice", 50))[0].Why
	if want := 0.9 * Budget / 2 / w.Tested30d; w.BudgetPerMonth != Budget || math.Abs(w.Alpha-want) > 1e-4*want {
		t.Errorf("budget %v, alpha %v, want %v", w.BudgetPerMonth, w.Alpha, want)
	}
}

// Section 3.9, temporary credentials: sessions of one role are one key; the object is the key with most of the calls.
func TestTemporaryCredentials(t *testing.T) {
	for _, prefix := range []string{"ASIA", "STS."} {
		d := New()
		f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "eu-west-1", Lateness: 15}
		var calls []detecttest.Call
		for m := detecttest.Epoch; m < start; m += 10 {
			c := call(m, fmt.Sprint(prefix, m/60), "deployer", "PutThing", 2)
			c.Type = schemas.RolePrincipal
			calls = append(calls, c)
		}
		if found := watch(d, f.Panes(calls, 5)); len(found) != 0 {
			t.Fatalf("sessions: %+v", found[0])
		}
		calls = nil
		for m := start; m < start+5; m++ {
			for i, n := range []uint32{1, 90, 5} {
				c := call(m, fmt.Sprint(prefix, "SESSION", i), "deployer", "PutThing", n)
				c.Type = schemas.RolePrincipal
				calls = append(calls, c)
			}
		}
		found := watch(d, append(f.Panes(calls, 1), f.Tick(start+100)))
		if len(found) != 2 || found[1].Object != prefix+"SESSION1" || found[1].Key != "STS.role/deployer" {
			t.Errorf("%s: %+v", prefix, found)
		}
	}
}

// A user and a role of the same name are two principals, and no long-lived key can be taken for temporary ones.
func TestKeysDoNotCollide(t *testing.T) {
	p := schemas.Pane{Strings: []string{"", "STS.x", "ASIAx", "AKIAx", "name"}}
	seen := map[string]bool{}
	for _, r := range []schemas.Row{
		{AccessKey: 1, Principal: 4, PrincipalType: schemas.UserPrincipal}, {AccessKey: 2, Principal: 4, PrincipalType: schemas.RolePrincipal},
		{AccessKey: 3, Principal: 4},
	} {
		seen[string(appendKey(nil, &p, &r))] = true
	}
	if !seen["STS.user/name"] || !seen["STS.role/name"] || !seen["AKIAx"] || len(seen) != 3 {
		t.Errorf("%v", seen)
	}
}

// Section 3.9, inheritance: what is told of a new key depends on whether its principal is known, as a whole: user alice and role
// alice are two.
func TestInheritance(t *testing.T) {
	for name, c := range map[string]struct {
		who  string
		kind schemas.PrincipalType
		want int
	}{
		"same principal":    {"alice", schemas.UserPrincipal, 2},
		"another one":       {"bob", schemas.UserPrincipal, 0},
		"another kind":      {"alice", schemas.FederatedPrincipal, 0},
		"nobody is claimed": {"", schemas.UserPrincipal, 0},
	} {
		d, f := habit(t)
		var calls []detecttest.Call
		for m := start; m < start+6; m++ {
			x := call(m, "AKIANEWEXAMPLE", c.who, "PutThing1", 15)
			x.Type = c.kind
			calls = append(calls, x)
		}
		if got := watch(d, append(f.Panes(calls, 1), f.Tick(start+100))); len(got) != c.want {
			t.Errorf("%s: %d findings, want %d", name, len(got), c.want)
		}
	}
}

// Section 3.9, dormant keys: the first hour after a month is judged as that of a new key, and says how long it was idle.
func TestDormant(t *testing.T) {
	for days, want := range map[schemas.Minute]uint32{3: 0, 40: 40} {
		d, f := habit(t)
		var calls []detecttest.Call
		for m := start; m < start+days*schemas.Day; m += 30 {
			calls = append(calls, call(m, "AKIAOTHEREXAMPLE", "bob", "PutThing1", 1))
		}
		for m := range schemas.Minute(6) {
			calls = append(calls, call(start+days*schemas.Day+m, known, "alice", "PutThing1", 500))
		}
		found := watch(d, append(f.Panes(calls, 1), f.Tick(start+days*schemas.Day+100)))
		if len(found) != 2 || found[0].Why.Rate.DormantDays != want || found[1].Why.Rate.DormantDays != want ||
			strings.Contains(found[0].Why.Text, "had not been used for 40 days") != (want > 0) {
			t.Errorf("%d days: %+v", days, found)
		}
	}
}

// Section 1.2: write events with a key count, failed ones included.
func TestWhatCounts(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*detecttest.Call)
		want   int
	}{
		"failed writes": {func(c *detecttest.Call) { c.Error = "AccessDenied" }, 2},
		"reads":         {func(c *detecttest.Call) { c.Read = true }, 0},
		"no key":        {func(c *detecttest.Call) { c.AccessKey = "" }, 0},
	} {
		d, f := habit(t)
		var calls []detecttest.Call
		for m := start; m < start+6; m++ {
			x := call(m, known, "alice", "PutThing1", 50)
			c.change(&x)
			calls = append(calls, x)
		}
		if got := watch(d, append(f.Panes(calls, 1), f.Tick(start+100))); len(got) != c.want {
			t.Errorf("%s: %d findings, want %d", name, len(got), c.want)
		}
	}
}

// Near misses of temporary credentials name the role.
func TestNearMisses(t *testing.T) {
	d := New()
	f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "eu-west-1", Lateness: 15}
	var calls []detecttest.Call
	for m := detecttest.Epoch; m < start; m += 10 {
		c := call(m, "ASIAEXAMPLE", "deployer", "PutThing", 2)
		if c.Type = schemas.RolePrincipal; m == start-600 {
			c.Count = 9
		}
		calls = append(calls, c)
	}
	if found := watch(d, f.Panes(calls, 5)); len(found) != 0 {
		t.Fatalf("%+v", found)
	}
	if near := d.NearMisses(); len(near) == 0 || near[0].Object != "deployer" {
		t.Errorf("%+v", near)
	}
}

// Sixty thousand keys in an hour stay bounded, and what is beyond the bound is judged together.
func TestManyKeys(t *testing.T) {
	d := New()
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
	for m := range schemas.Minute(30) {
		var calls []detecttest.Call
		for i := range 2000 {
			calls = append(calls, call(detecttest.Epoch+m, fmt.Sprintf("AKIA%05d%05d", i, m), "mallory", "PutThing", 1))
		}
		watch(d, []schemas.Pane{f.Pane(calls)})
	}
	watch(d, []schemas.Pane{f.Tick(detecttest.Epoch + schemas.Day)})
	bytes, keys := 0, 0
	if err := d.Snapshot(func(_ string, b []byte) { bytes += len(b); keys++ }); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of state in %d values", bytes, keys)
	if bytes > 50000*400 || keys > 500 {
		t.Errorf("%d bytes in %d values", bytes, keys)
	}
}
