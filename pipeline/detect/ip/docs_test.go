package ip

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// One test per promise of the detection specification (sections 1 and 4) and of the vendor's pages that it cites.

const start = detecttest.Epoch + 20*schemas.Day

// habit is twenty days in which alice works from one address, and the feed that goes on.
func habit(t testing.TB) (*Detector, *detecttest.Feed) {
	t.Helper()
	d := New()
	f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "eu-west-1", Lateness: 15}
	var calls []detecttest.Call
	for m := detecttest.Epoch; m < start; m += 60 {
		calls = append(calls, call(m, "203.0.113.7", "alice"))
	}
	if found := watch(d, f.Panes(calls, 5)); len(found) != 0 {
		t.Fatalf("a habit is an insight: %+v", found[0])
	}
	return d, f
}

func call(m schemas.Minute, ip, who string) detecttest.Call {
	return detecttest.Call{Minute: m, Service: "s3.amazonaws.com", Event: "ListBuckets", Principal: who, Count: 1, Read: true,
		UserAgent: "aws-cli/2", AccessKey: "AKIAEXAMPLE", SourceIP: ip}
}

func watch(d *Detector, panes []schemas.Pane) (found []schemas.Finding) {
	for i := range panes {
		d.Observe(&panes[i], schemas.DefaultSettings(), func(f *schemas.Finding) { found = append(found, *f) })
	}
	return found
}

func starts(found []schemas.Finding) (list []string) {
	for _, f := range found {
		if f.Kind == schemas.OpenFinding {
			list = append(list, f.Object)
		}
	}
	return list
}

// The address is told at its first request, while it is at work.
func TestStartIsToldAtOnce(t *testing.T) {
	d, f := habit(t)
	found := watch(d, []schemas.Pane{f.Pane([]detecttest.Call{call(start, "198.51.100.9", "alice")})})
	if got := starts(found); len(got) != 1 || got[0] != "198.51.100.9" || found[0].Start != start {
		t.Fatalf("the first request of a stranger: %+v", found)
	}
}

// Attributions are userAgent, principalId, apiRelated as Service/Event, and errorCode, where "null" is success; none has a
// baseline. Address and access key are drivers, so that readers can link insights.
func TestAttributions(t *testing.T) {
	d, f := habit(t)
	var calls []detecttest.Call
	for i := range schemas.Minute(20) {
		c := call(start+i, "198.51.100.9", "alice")
		c.Event, c.Error = fmt.Sprint("Get", int(i)%7), []string{"", "NoSuchKey"}[i%2]
		calls = append(calls, c)
	}
	found := watch(d, append(f.Panes(calls, 1), f.End()))
	end := found[len(found)-1]
	want := map[string]string{"userAgent": "aws-cli/2", "principalId": "alice", "apiRelated": "s3.amazonaws.com/Get0", "errorCode": "NoSuchKey"}
	for _, a := range end.Attributions {
		if len(a.Baseline) > 0 || len(a.Insight) == 0 || len(a.Insight) > 5 || a.Insight[0].Value != want[a.Attribute] {
			t.Errorf("%s: %+v", a.Attribute, a)
		}
		delete(want, a.Attribute)
	}
	if len(want) > 0 {
		t.Errorf("not attributed: %v", want)
	}
	var drivers []string
	for _, dr := range end.Why.Drivers {
		drivers = append(drivers, dr.Dimension+"="+dr.Value)
	}
	if got := strings.Join(drivers, " "); got != "sourceIPAddress=198.51.100.9 accessKeyId=AKIAEXAMPLE" {
		t.Errorf("drivers: %s", got)
	}
	if s := end.Statistics; s.InsightCount != 20 || s.Insight != 1 || s.InsightDuration != 20 || s.Baseline != 0 || s.BaselineDuration != 7*1440 {
		t.Errorf("statistics: %+v", s)
	}
}

// Of two hundred programs with a call each none is said to have made many.
func TestAttributionsAreSure(t *testing.T) {
	d, f := habit(t)
	var calls []detecttest.Call
	for i := range schemas.Minute(200) {
		c := call(start+i/10, "198.51.100.9", "alice")
		c.UserAgent = fmt.Sprint("agent ", i)
		calls = append(calls, c)
	}
	found := watch(d, append(f.Panes(calls, 1), f.End()))
	for _, a := range found[len(found)-1].Attributions {
		if a.Attribute == schemas.UserAgentAttribute && a.Insight[0].Average > 0.05 {
			t.Errorf("one call in 20 minutes is %+v", a.Insight)
		}
	}
}

// Every finding says what the account and the principal knew, whose habits decided, and what it was compared with.
func TestWhy(t *testing.T) {
	d, f := habit(t)
	c := call(start, "198.51.100.9", "alice")
	c.Read, c.UserAgent = false, "python-requests/2"
	c.Traits.Sensitive = schemas.Sensitive(0).With(schemas.PolicyClass, schemas.CoreTier)
	w := watch(d, []schemas.Pane{f.Pane([]detecttest.Call{c})})[0].Why
	a := w.Address
	if a.AccountKnew != "nothing" || a.PrincipalKnew != "nothing" || a.BackOff != "principal" || !(a.PrincipalDays > 6) || a.NoveltyDays != 0 {
		t.Errorf("address: %+v", a)
	}
	if want := []schemas.Modifier{{Name: "new user agent", Ratio: 3}, {Name: "sensitive first request", Ratio: 3}}; !slices.Equal(a.Modifiers, want) {
		t.Errorf("modifiers: %+v", a.Modifiers)
	}
	if w.BudgetPerMonth != Budget || !(w.Alpha > 0 && w.Alpha <= 0.1) || !(w.OneIn > 1/w.Alpha) || !(w.Tested30d > 0) || w.ModelVersion != "ip-1" || !w.Confirmed {
		t.Errorf("why: %+v", w)
	}
	for _, m := range a.Modifiers {
		if m.Ratio > 10 || m.Ratio < 0.333 {
			t.Errorf("a ratio beyond its cap: %+v", m)
		}
	}
}

// A flood of new addresses is ten insights and a count.
func TestFloodOfAddresses(t *testing.T) {
	d, f := habit(t)
	var calls []detecttest.Call
	for i := range 10000 {
		ip := fmt.Sprintf("%d.%d.%d.9", 60+i%90, i/90%256, i%251)
		calls = append(calls, call(start+schemas.Minute(i/200), ip, "alice"))
	}
	found := watch(d, append(f.Panes(calls, 1), f.Tick(start+2*schemas.Day)))
	if n := len(starts(found)); n != maxTold {
		t.Errorf("%d insights, want %d", n, maxTold)
	}
	var more uint64
	for _, g := range found {
		if g.Kind == schemas.CloseFinding {
			more += g.Why.Address.More
		}
	}
	if more < 1000 {
		t.Errorf("%d further addresses are counted", more)
	}
	a := d.accounts[f.Account]
	if len(a.seen.last) > maxSeen || len(a.waiting) > maxStrangers {
		t.Errorf("%d prefixes, %d strangers", len(a.seen.last), len(a.waiting))
	}
	if !a.seen.knows(pathOf(netip.MustParseAddr("203.0.113.7"), "", "")[0]) {
		t.Error("the flood has pushed out what was known")
	}
}

// Memory is bounded: principals without end, and prefixes without end, in state too.
func TestMemoryIsBounded(t *testing.T) {
	d := New()
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
	for day := range schemas.Minute(4) {
		var calls []detecttest.Call
		for i := range 25000 {
			ip := fmt.Sprintf("%d.%d.%d.%d", 60+day, i/250, i%250, 1+i%200)
			calls = append(calls, call(detecttest.Epoch+day*schemas.Day+schemas.Minute(i/50), ip, fmt.Sprint("user", day, "-", i)))
		}
		watch(d, f.Panes(calls, 60))
	}
	a := d.accounts[f.Account]
	if len(a.people) > maxPrincipals || len(a.seen.last) > maxSeen || len(a.open) > maxTold {
		t.Errorf("%d principals, %d prefixes, %d insights", len(a.people), len(a.seen.last), len(a.open))
	}
	size := map[byte]int{}
	values := 0
	if err := d.Snapshot(func(key string, state []byte) { size[key[0]] += len(state); values++ }); err != nil {
		t.Fatal(err)
	}
	if size['s'] > 125000 || size['a'] > 300000 || size['p'] > 400*maxPrincipals || values > 499 {
		t.Errorf("%d bytes of prefixes, %d of accounts, %d of principals, %d values", size['s'], size['a'], size['p'], values)
	}
	t.Logf("%d bytes of %d prefixes, %d of %d principals, %d of the account", size['s'], len(a.seen.last), size['p'], len(a.people), size['a'])
}

// A pane of known addresses does not write what an account knows; one new address writes a few shards.
func TestLittleIsWritten(t *testing.T) {
	d, f := habit(t)
	written := func() (n map[byte]int) {
		n = make(map[byte]int)
		if err := d.Snapshot(func(key string, state []byte) { n[key[0]]++ }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	watch(d, []schemas.Pane{f.Pane([]detecttest.Call{call(start, "203.0.113.7", "alice")})})
	written()
	watch(d, []schemas.Pane{f.Pane([]detecttest.Call{call(start+1, "203.0.113.7", "alice")})})
	if n := written(); n['s'] > 0 || n['p'] > 0 || n['a'] != 1 {
		t.Errorf("a known address writes %v", n)
	}
	watch(d, []schemas.Pane{f.Pane([]detecttest.Call{call(start+2, "203.0.113.8", "alice")})})
	if n := written(); n['s'] != 1 || n['p'] > 1 {
		t.Errorf("a new address of a known /24 writes %v", n)
	}
}

// After 90 days an address is forgotten.
func TestForgetting(t *testing.T) {
	for days, want := range map[schemas.Minute]int{60: 0, 100: 1} {
		d, f := habit(t)
		other := call(start, "203.0.113.200", "bob")
		var calls []detecttest.Call
		for m := start; m < start+days*schemas.Day; m += schemas.Day / 2 {
			calls = append(calls, call(m, "198.18.0.1", "nobody"), call(m, "62.1.2.3", "carol"))
		}
		watch(d, f.Panes(append(calls, other), 60))
		found := watch(d, []schemas.Pane{f.Pane([]detecttest.Call{call(start+days*schemas.Day, "203.0.113.7", "alice")})})
		if n := len(starts(found)); n != want {
			t.Errorf("after %d days: %d insights, want %d", days, n, want)
		}
	}
}

// The budget setting makes the detector quieter or livelier.
func TestBudget(t *testing.T) {
	var h histogram
	for i := range 300 {
		h.weight[i%20]++
	}
	a := newAccount(schemas.Account{})
	a.scores[ofPrincipal] = h
	a.news = news{n: 300, days: 30}
	last := math.Inf(1)
	for _, budget := range []float64{0, 0.1, 0.3, 1, 3, 1000} {
		a.linesBefore = false
		line := a.line(Budget * budget)[ofPrincipal]
		if line > last || line < minScore {
			t.Errorf("budget %v: the line is %v, and %v before", budget, line, last)
		}
		last = line
	}
	if last != minScore {
		t.Errorf("a line of %v, want the lowest", last)
	}
}

// What came nearest to the line is remembered, and who still learns.
func TestExplainer(t *testing.T) {
	d, f := habit(t)
	watch(d, []schemas.Pane{f.Pane([]detecttest.Call{call(start, "203.0.113.77", "alice")})})
	misses := d.NearMisses()
	if len(misses) != 1 || misses[0].Object != "203.0.113.77" || !(misses[0].Log10P > misses[0].Line) || misses[0].Text == "" {
		t.Errorf("near misses: %+v", misses)
	}
	if l := d.Learning(); len(l) != 0 {
		t.Errorf("learning after twenty days: %+v", l)
	}
	young := New()
	p := (&detecttest.Feed{Account: f.Account, Region: "r", Lateness: 15}).Pane([]detecttest.Call{call(start, "203.0.113.77", "alice")})
	watch(young, []schemas.Pane{p})
	if l := young.Learning(); len(l) != 1 || l[0].Seen != 1 || l[0].Needed != schemas.Day {
		t.Errorf("learning: %+v", l)
	}
}

// BenchmarkNewAddresses: every row is the first request of an address.
func BenchmarkNewAddresses(b *testing.B) {
	d, f := habit(b)
	const rows = 500
	n := 0
	var panes []schemas.Pane
	for range 40 {
		var calls []detecttest.Call
		for range rows {
			n++
			calls = append(calls, call(start, fmt.Sprintf("%d.%d.%d.9", 60+n%90, n/90%256, n%251), "alice"))
		}
		panes = append(panes, f.Pane(calls))
	}
	for i := 0; b.Loop(); i++ {
		watch(d, panes[i%len(panes):][:1])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}

// A flood that is cut by restarts, with countries, denied calls and two regions, is told as if there were none, and leaves the same
// state.
func TestRestartInAFlood(t *testing.T) {
	var panes []schemas.Pane
	feeds := map[string]*detecttest.Feed{}
	for i := range schemas.Minute(400) {
		region := []string{"eu-west-1", "us-east-1"}[i%2]
		if feeds[region] == nil {
			feeds[region] = &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: region, Lateness: 15}
		}
		var calls []detecttest.Call
		for k := range 5 {
			n := int(i)*5 + k
			c := call(detecttest.Epoch+i*60, fmt.Sprintf("%d.%d.%d.9", 60+n%90, n/9%256, n%251), fmt.Sprint("user", n%13))
			c.ASN, c.Country = fmt.Sprint("AS", n%17), []string{"DE", "NL", "", "FR", "SE", "US", "BR"}[n%7]
			c.Error = []string{"", "", "AccessDenied"}[n/7%3]
			if i < 200 && k > 0 {
				c = call(detecttest.Epoch+i*60, "203.0.113.7", fmt.Sprint("user", n%13))
			}
			calls = append(calls, c)
		}
		panes = append(panes, feeds[region].Pane(calls))
	}
	for _, f := range feeds {
		panes = append(panes, f.End())
	}
	run := func(every int) (found []string, state map[string]string) {
		d := New()
		state = make(map[string]string)
		keep := func() {
			if err := d.Snapshot(func(key string, b []byte) { state[key] = string(b) }); err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(state, func(_, b string) bool { return b == "" }) // as good as none
		}
		for i := range panes {
			for _, f := range watch(d, panes[i:i+1]) {
				found = append(found, fmt.Sprintf("%+v %+v", f, *f.Why.Address))
			}
			if i%every == every-1 {
				keep()
				d = New()
				for key, b := range state {
					if err := d.Restore(key, []byte(b)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		keep()
		return found, state
	}
	want, wantState := run(1 << 30)
	got, gotState := run(3)
	if strip(want) != strip(got) {
		t.Errorf("restarts change what is told: %d and %d findings", len(want), len(got))
	}
	for _, key := range slices.Sorted(maps.Keys(wantState)) {
		if wantState[key] != gotState[key] {
			t.Errorf("restarts change the state %s:\n%q\n%q", key, wantState[key], gotState[key])
		}
	}
	if len(wantState) != len(gotState) {
		t.Errorf("%d values, %d with restarts", len(wantState), len(gotState))
	}
	if len(want) < 20 {
		t.Errorf("only %d findings: the flood was not tested", len(want))
	}
}

// strip leaves out addresses in memory.
func strip(found []string) string {
	return regexp.MustCompile(`0x[0-9a-f]+`).ReplaceAllString(strings.Join(found, "\n"), "")
}
