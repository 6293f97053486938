package operator

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

func config() Config {
	return Config{Type: schemas.PolicyChange, Class: schemas.PolicyClass, Detector: "test",
		Things: "permission changes", Budget: 1,
		Cap: 5e-3, Hazard: 2e-3}
}

func TestDecay(t *testing.T) {
	for _, c := range []struct {
		days int64
		want float64
	}{{0, 1}, {-5, 1}, {60, 0.5}, {600, 1. / 1024}, {30, math.Sqrt2 / 2}, {1 << 40, 0}} {
		if got := decay(c.days); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("after %d days %v is left, want %v", c.days, got, c.want)
		}
	}
}

// Weights grow by ten half-lives at most before they are taken back, and counts do not notice.
func TestForwardDecay(t *testing.T) {
	tab := newTable()
	const first = int32(20000)
	tab.roll(first)
	c := &call{op: 1, act: 2, svc: 3}
	want := 0.0
	for day := first; day < first+2000; day++ {
		tab.roll(day)
		want *= decay(1)
		if day%7 == 0 {
			tab.learn(c, day)
			want++
		}
		if got := tab.n(tab.get(setHash(setOpAct, 1, 2)), day); math.Abs(got-want) > 1e-4*(want+1) {
			t.Fatalf("day %d: %v operator-days, want %v", day-first, got, want)
		}
	}
	tab.roll(first + 200000)
	if len(tab.entries) != 0 || len(tab.index) != 0 {
		t.Errorf("%d item sets are left after five hundred years", len(tab.entries))
	}
}

// One operator-day counts once, however many events it has.
func TestOperatorDays(t *testing.T) {
	tab := newTable()
	tab.roll(100)
	for range 500 {
		tab.learn(&call{op: 1, act: 2, svc: 3, target: schemas.OtherTarget}, 100)
	}
	tab.learn(&call{op: 7, act: 2, svc: 3}, 100)
	for name, c := range map[string]struct {
		e    *entry
		want float64
	}{
		"class": {&tab.class[0], 2}, "operator": {tab.get(setHash(setOp, 1, 0)), 1}, "act": {tab.get(setHash(setAct, 2, 0)), 2},
		"operator and act": {tab.get(setHash(setOpAct, 1, 2)), 1}, "act and target": {tab.get(setHash(setActTarget, 2, 1)), 1},
	} {
		if got := tab.n(c.e, 100); got != c.want {
			t.Errorf("%s: %v operator-days, want %v", name, got, c.want)
		}
	}
}

func TestLowerBound(t *testing.T) {
	for _, c := range []struct{ k, n, least, most float64 }{
		{57, 57, 0.95, 0.967}, // Jeffreys: 0.967
		{0, 10, 0, 0.001}, {0, 0, 0, 0}, {8, 10, 0.5, 0.6}, {5, 5, 0.6, 0.7}, {1e9, 1e9, 0.999, 1},
	} {
		if got := lowerBound(c.k, c.n); got < c.least || got > c.most {
			t.Errorf("%v of %v: %v, want %v to %v", c.k, c.n, got, c.least, c.most)
		}
	}
}

// A higher score is never more likely, whatever was seen.
func TestTailIsMonotone(t *testing.T) {
	var h histogram
	for i := range 3000 {
		if i%97 == 0 {
			last := 0.0
			for s := 0.0; s < 40; s += 0.1 {
				p := h.lnP(s)
				if p > last+1e-9 || math.IsNaN(p) {
					t.Fatalf("after %d days p rises at %v: %v to %v", i, s, last, p)
				}
				last = p
			}
		}
		h.add(float64(i*i%23)/float64(1+i%5), unit)
	}
	if h.mass() > maxMass {
		t.Errorf("mass %d", h.mass())
	}
}

func TestWords(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "::ffff:192.0.2.77": "192.0.2.0/24", "2001:db8:1:2::9": "2001:db8:1::/48",
		"AWS Internal": "AWS Internal",
		"fe80::1%eth0": "fe80::/48", "253.252.51.07": "253.252.51.07", "": "",
	} {
		if got := network(in); got != want {
			t.Errorf("network of %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"aws-cli/2.15.0 Python/3.11": "aws-cli", "Boto3/1.34 Botocore/1.34": "boto", "console.amazonaws.com": "console",
		"signin.amazonaws.com": "console",
		"Mozilla/5.0 (X11)":    "console", "APN/1.0 HashiCorp/1.0 Terraform/1.7": "terraform", "cloudtrail.amazonaws.com": "a service",
		"Pacu/1.0": "pacu", "AlibabaCloud (Linux) Java/1.8": "alibaba sdk", "": "", "Custom Thing": "custom",
	} {
		got, bit := program(in)
		if got != want || (bit == 0) != (in == "") || bit&(bit-1) != 0 {
			t.Errorf("program of %q: %q, bit %b, want %q", in, got, bit, want)
		}
	}
	for _, c := range []struct {
		kind       schemas.PrincipalType
		in, as, of string
	}{
		{schemas.UserPrincipal, "arn:aws:iam::123456789012:user/admins/eu/alice", "alice", "users of /admins/eu/"},
		{schemas.UserPrincipal, "arn:aws:iam::123456789012:user/bob", "bob", ""},
		{schemas.RolePrincipal, "arn:aws:sts::123456789012:assumed-role/terraform", "role terraform", ""},
		{schemas.RootPrincipal, "arn:aws:iam::123456789012:root", "the root of the account", ""},
		{schemas.FederatedPrincipal, "carol@example.com", "carol@example.com", ""}, {0, "", "somebody without a name", ""},
	} {
		if as, of := shown(c.kind, c.in), groupOf(c.kind, c.in); as != c.as || of != c.of {
			t.Errorf("%q: %q of %q, want %q of %q", c.in, as, of, c.as, c.of)
		}
	}
	long := strings.Repeat("é", 5000)
	if a, b := operatorName(0, long), operatorName(0, long+"x"); len(a) > maxPrincipal+12 || a == b {
		t.Errorf("long names: %d bytes, equal %v", len(a), a == b)
	}
	monday, saturday := hourBit(detecttest.Epoch+9*60), hourBit(detecttest.Epoch+5*schemas.Day+9*60)
	if monday != 1<<2 || saturday != 1<<8 {
		t.Errorf("nine o'clock is %b on Mondays and %b on Saturdays", monday, saturday)
	}
}

func observe(m *Machine, panes ...schemas.Pane) (found []schemas.Finding) {
	for i := range panes {
		m.Observe(&panes[i], schemas.DefaultSettings(), func(f *schemas.Finding) { found = append(found, *f) })
	}
	return found
}

func policyCall(at schemas.Minute, who string) detecttest.Call {
	return detecttest.Call{Minute: at, Service: "iam.amazonaws.com", Event: "AttachUserPolicy", Principal: who,
		Type:     schemas.UserPrincipal,
		SourceIP: "192.0.2.1", UserAgent: "aws-cli/2", AccessKey: "AKIAEXAMPLE", Count: 1,
		Traits: schemas.Traits{Sensitive: schemas.Sensitive(0).With(schemas.PolicyClass, schemas.CoreTier),
			Target: schemas.OtherTarget, Auth: schemas.KeyAuth}}
}

// An attacker who makes up a hundred thousand principals pushes out each other, not the regulars; opens a bounded number of
// insights; and a regular with a habit is silent the day after.
func TestMadeUpPrincipals(t *testing.T) {
	m := NewMachine(config())
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
	const days = 10
	for d := range schemas.Minute(days) {
		for i := range schemas.Minute(20) {
			observe(m, f.Pane([]detecttest.Call{policyCall(detecttest.Epoch+d*schemas.Day+600+i, fmt.Sprintf("regular%d", i))}))
		}
	}
	var starts, ends int
	at := detecttest.Epoch + days*schemas.Day + 60
	for i := range 100 {
		var calls []detecttest.Call
		for k := range 1000 {
			c := policyCall(at+schemas.Minute(i/10), fmt.Sprint("made up ", i*1000+k))
			c.SourceIP = fmt.Sprintf("203.0.%d.%d", k%256, i)
			calls = append(calls, c)
		}
		for _, g := range observe(m, f.Pane(calls)) {
			if g.Kind == schemas.OpenFinding {
				starts++
			} else {
				ends++
			}
		}
	}
	a := m.accounts[f.Account]
	if len(a.profiles) > maxProfiles || len(a.table.entries) > maxSets || len(a.pairs) > maxPairs+1 || len(a.open) > maxOpen+1 {
		t.Errorf("%d profiles, %d item sets, %d pairs, %d open insights", len(a.profiles), len(a.table.entries),
			len(a.pairs), len(a.open))
	}
	if starts == 0 || starts > maxOpen+1 {
		t.Errorf("%d insights of a hundred thousand names, want at most %d", starts, maxOpen+1)
	}
	for i := range 20 {
		op := operatorHash(schemas.UserPrincipal, fmt.Sprintf("regular%d", i))
		if a.profiles[op] == nil || !a.table.knows(op, 0, a.day) {
			t.Errorf("regular %d is forgotten", i)
		}
	}
	found := observe(m, f.Pane([]detecttest.Call{policyCall(at+schemas.Day, "regular3")}), f.Tick(at+2*schemas.Day))
	for _, g := range found {
		if g.Kind == schemas.OpenFinding {
			t.Errorf("a regular is told: %s", g.Why.Text)
		}
		ends++
	}
	if starts != ends {
		t.Errorf("%d Starts, %d Ends", starts, ends)
	}
}

// Names of ten kilobytes, none at all, texts for addresses, a thousand million calls in a row, and years between them.
func TestHostile(t *testing.T) {
	m := NewMachine(config())
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
	long := strings.Repeat("x\xff", 5000)
	starts, ends := 0, 0
	for year := range schemas.Minute(12) {
		at := detecttest.Epoch + year*400*schemas.Day
		for k, who := range []string{"", long, long + "y", "arn:", "arn:aws:iam::1:user/" + long + "/" + long, "a"} {
			for kind := range schemas.PrincipalType(9) {
				c := policyCall(at+schemas.Minute(int(kind)*7+k), who)
				c.Type, c.Count, c.SourceIP, c.UserAgent, c.ASN, c.Service, c.Event = kind, math.MaxUint32, long, long, long, long, long
				c.Traits.Target, c.Traits.Auth, c.Error = schemas.Target(kind), schemas.Auth(kind), long
				for _, g := range observe(m, f.Pane([]detecttest.Call{c, policyCall(c.Minute, who)})) {
					if len(g.Key) > 1200 || len(g.Why.Text) > 2000 || len(g.Object) > 256 {
						t.Fatalf("key of %d bytes, text of %d, object of %d", len(g.Key), len(g.Why.Text), len(g.Object))
					}
					for _, x := range []float64{g.Why.Log10P, g.Why.OneIn, g.Statistics.Insight,
						g.Why.Operator.Surprise, g.Why.Operator.Hazard} {
						if math.IsNaN(x) || math.IsInf(x, 0) {
							t.Fatalf("%+v %+v", g.Why, g.Why.Operator)
						}
					}
					if g.Kind == schemas.OpenFinding {
						starts++
					} else {
						ends++
					}
				}
			}
		}
	}
	row := schemas.Row{Minute: math.MaxInt32, Service: 99, Principal: 99, Count: 1, Traits: policyCall(0, "").Traits}
	bad := schemas.Pane{Account: f.Account, Region: "r", Watermark: math.MaxInt32 - 1, Rows: []schemas.Row{row}}
	last := schemas.Pane{Account: f.Account, Region: "r", Watermark: math.MaxInt32, Close: true}
	for _, g := range observe(m, bad, last) {
		if g.Kind == schemas.OpenFinding {
			starts++
		} else {
			ends++
		}
	}
	if starts == 0 || starts != ends {
		t.Errorf("%d Starts, %d Ends", starts, ends)
	}
	for k, v := range snapshot(t, m) {
		if len(v) > 512<<10 {
			t.Errorf("%s has %d bytes", k, len(v))
		}
		if err := NewMachine(config()).Restore(k, v); err != nil {
			t.Errorf("%s: %v", k, err)
		}
	}
}

func snapshot(t *testing.T, m *Machine) map[string][]byte {
	t.Helper()
	state := make(map[string][]byte)
	if err := m.Snapshot(func(key string, b []byte) { state[key] = b }); err != nil {
		t.Fatal(err)
	}
	return state
}

// A full table, with two hundred principals, is at most 16 KB of state.
func TestStateSize(t *testing.T) {
	m := NewMachine(config())
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "123456789012"}, Region: "eu-west-1", Lateness: 15}
	for d := range schemas.Minute(40) {
		var calls []detecttest.Call
		for i := range 200 {
			at := detecttest.Epoch + d*schemas.Day + schemas.Minute(500+i)
			c := policyCall(at, fmt.Sprintf("arn:aws:iam::123456789012:user/user%03d", i))
			c.SourceIP = fmt.Sprintf("10.%d.%d.1", i%3, int(d)%2*i)
			if i >= 52 { // works, but changes no permissions
				c.Traits = schemas.Traits{Auth: schemas.KeyAuth}
			} else {
				c.Event = fmt.Sprint("Attach", (i+int(d))%7)
			}
			calls = append(calls, c)
		}
		observe(m, f.Panes(calls, 5)...)
	}
	a := m.accounts[f.Account]
	if len(a.table.entries) != maxSets || len(a.profiles) != 200 {
		t.Fatalf("%d item sets, %d principals: not what is to be measured", len(a.table.entries), len(a.profiles))
	}
	total := 0
	for _, v := range snapshot(t, m) {
		total += len(v)
	}
	w := writer{}
	a.table.append(&w, a.day)
	t.Logf("%d bytes, of these %d the table", total, len(w.B))
	if total > 16<<10 {
		t.Errorf("%d bytes, want at most %d", total, 16<<10)
	}
}

// Accounts that nothing came of are not written again, and a commit changes at most 500 keys.
func TestChangedKeys(t *testing.T) {
	m := NewMachine(config())
	for i := range 3000 {
		f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: fmt.Sprint(i)}, Region: "r", Lateness: 15}
		observe(m, f.Pane([]detecttest.Call{policyCall(detecttest.Epoch, "a")}))
	}
	if n := len(snapshot(t, m)); n > 500 || n < 200 {
		t.Errorf("%d keys", n)
	}
	if n := len(snapshot(t, m)); n != 0 {
		t.Errorf("%d keys, but nothing has changed", n)
	}
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "7"}, Region: "r", Lateness: 15}
	observe(m, f.Pane([]detecttest.Call{policyCall(detecttest.Epoch+1, "a")}))
	if n := len(snapshot(t, m)); n != 1 {
		t.Errorf("%d keys for one account", n)
	}
}

// BenchmarkClass measures an event of the class by a habitual operator, in an account of two hundred principals.
func BenchmarkClass(b *testing.B) {
	m := NewMachine(config())
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
	var calls []detecttest.Call
	for d := range schemas.Minute(10) {
		for i := range 200 {
			c := policyCall(detecttest.Epoch+d*schemas.Day+schemas.Minute(500+i), fmt.Sprint("user", i))
			if i > 9 {
				c.Traits = schemas.Traits{}
			}
			calls = append(calls, c)
		}
	}
	observe(m, f.Panes(calls, 60)...)
	calls = calls[:0]
	for i := range 100 {
		calls = append(calls, policyCall(detecttest.Epoch+10*schemas.Day+schemas.Minute(i%5), fmt.Sprint("user", i%10)))
	}
	p := f.Pane(calls)
	b.ReportAllocs()
	for b.Loop() {
		observe(m, p)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(p.Rows)), "ns/row")
}

// A pair of operator and service that gave way to others after months has new ordinals when it comes back.
func TestOrdinalsNeverComeAgain(t *testing.T) {
	m := NewMachine(config())
	f := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
	told := make(map[string]bool)
	at := detecttest.Epoch
	for range 3 {
		for d := range schemas.Minute(10) {
			observe(m, f.Pane([]detecttest.Call{policyCall(at+d*schemas.Day+600, "regular")}))
		}
		at += 11 * schemas.Day
		odd := policyCall(at+60, "root")
		odd.Type = schemas.RootPrincipal // always told
		for _, g := range observe(m, f.Pane([]detecttest.Call{odd}), f.Tick(at+schemas.Day)) {
			id := fmt.Sprint(g.Key, g.Ordinal)
			if g.Kind == schemas.OpenFinding && told[id] {
				t.Errorf("%s was told before", id)
			}
			told[id] = told[id] || g.Kind == schemas.OpenFinding
		}
		at += 101 * schemas.Day
		for i := range maxPairs { // months later others need the room
			other := policyCall(at+schemas.Minute(i%200), fmt.Sprint("other", i))
			other.Count = 5
			observe(m, f.Pane([]detecttest.Call{other}))
		}
		again := NewMachine(config())
		for key, b := range snapshot(t, m) {
			if err := again.Restore(key, b); err != nil {
				t.Fatal(err)
			}
		}
		m = again
		at += 2 * schemas.Day
	}
	if len(told) < 3 {
		t.Errorf("only %v were told", told)
	}
}
