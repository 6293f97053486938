package policychange

import (
	"math"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// One test per promise of the contract of insights (rules 1 to 11 of the detection specification, and what it says of
// operators).

const start = detecttest.Epoch + 20*schemas.Day

const bob = "arn:aws:iam::123456789012:user/bob"

// habit is twenty days in which a role changes permissions every morning while bob works, and the feed that goes on.
func habit(t *testing.T) (*Detector, *detecttest.Feed) {
	t.Helper()
	d := New()
	f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "123456789012"}, Region: "eu-west-1", Lateness: 15}
	var calls []detecttest.Call
	for m := detecttest.Epoch; m < start; m += schemas.Day {
		c := call(m+10*schemas.Hour, "arn:aws:sts::123456789012:assumed-role/terraform")
		c.Type, c.UserAgent, c.SourceIP = schemas.RolePrincipal, "Terraform/1.7", "192.0.2.10"
		c.Traits.Auth, c.Traits.Target = schemas.TemporaryAuth, schemas.OtherTarget
		work := call(m+9*schemas.Hour, bob)
		work.Event, work.Service, work.SourceIP = "RunInstances", "ec2.amazonaws.com", "198.51.100.7"
		work.Traits = schemas.Traits{Auth: schemas.KeyAuth}
		calls = append(calls, c, work)
	}
	if found := watch(d, f.Panes(calls, 5)...); len(found) != 0 {
		t.Fatalf("a habit is an insight: %s", found[0].Why.Text)
	}
	return d, f
}

func call(m schemas.Minute, who string) detecttest.Call {
	return detecttest.Call{Minute: m, Service: "iam.amazonaws.com", Event: "AttachUserPolicy", Principal: who, Count: 1,
		Type:      schemas.UserPrincipal,
		UserAgent: "aws-cli/2.15", AccessKey: "AKIAIOSFODNN7EXAMPLE", SourceIP: "203.0.113.77", Traits: schemas.Traits{
			Sensitive: schemas.Sensitive(0).With(schemas.PolicyClass,
				schemas.CoreTier), Target: schemas.AdminTarget, Auth: schemas.KeyAuth}}
}

func watch(d *Detector, panes ...schemas.Pane) (found []schemas.Finding) {
	for i := range panes {
		d.Observe(&panes[i], schemas.DefaultSettings(), func(f *schemas.Finding) { found = append(found, *f) })
	}
	return found
}

// attack is calls by bob's stolen key, one in each of the minutes given, and time going on.
func attack(f *detecttest.Feed, change func(*detecttest.Call), minutes ...schemas.Minute) []schemas.Pane {
	var panes []schemas.Pane
	for _, m := range minutes {
		c := call(start+m, bob)
		if change != nil {
			change(&c)
		}
		panes = append(panes, f.Pane([]detecttest.Call{c}))
	}
	return append(panes, f.Tick(start+minutes[len(minutes)-1]+61))
}

// Rules 1 and 8: a Start at the first event, while it is running, an End after, one open insight per key.
func TestStartIsToldAtOnce(t *testing.T) {
	d, f := habit(t)
	panes := attack(f, nil, 192, 195, 200)
	if found := watch(d, panes[0]); len(found) != 1 || found[0].Kind != schemas.OpenFinding || found[0].Start != start+192 {
		t.Fatalf("the first event: %+v", found)
	}
	found := watch(d, panes[1:]...)
	if len(found) != 1 || found[0].Kind != schemas.CloseFinding || found[0].Ordinal != 0 || found[0].End != start+201 ||
		found[0].Why.EndReason != schemas.Silence || found[0].Statistics.InsightCount != 3 {
		t.Errorf("then %+v", found)
	}
}

// Of a hundred programs with a call each none is said to have made many.
func TestAttributionsAreSure(t *testing.T) {
	d, f := habit(t)
	var calls []detecttest.Call
	for i := range schemas.Minute(100) {
		c := call(start+192+i/10, bob)
		c.UserAgent = "agent " + c.Minute.String() + string(rune('a'+i%10))
		calls = append(calls, c)
	}
	found := watch(d, append(f.Panes(calls, 1), f.End())...)
	for _, a := range found[len(found)-1].Attributions {
		if a.Attribute == schemas.UserAgentAttribute && a.Insight[0].Average > 0.1 {
			t.Errorf("one call in 10 minutes is %+v", a.Insight)
		}
	}
}

// Section 1.2: an hour without such an event of operator and service is the end; the next one is another insight, if it is told.
func TestSilence(t *testing.T) {
	for gap, want := range map[schemas.Minute]int{59: 2, 61: 4} {
		d, f := habit(t)
		if got := watch(d, attack(f, nil, 192, 192+gap)...); len(got) != want {
			t.Errorf("%d minutes between two events: %d findings, want %d", gap, len(got), want)
		}
	}
}

// Rule 2: no insight before 24 hours of learning, from the account's first event anywhere.
func TestLearning(t *testing.T) {
	for hours, want := range map[schemas.Minute]int{20: 0, 25: 1} {
		d := New()
		other := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "us-east-1", Lateness: 15}
		c := call(start-hours*schemas.Hour, "root")
		c.Type, c.Traits.Sensitive = schemas.RootPrincipal, 0
		watch(d, other.Pane([]detecttest.Call{c}))
		f := &detecttest.Feed{Account: other.Account, Region: "eu-west-1", Lateness: 15}
		got := watch(d, attack(f, func(c *detecttest.Call) { c.Type = schemas.RootPrincipal }, 1)...)
		if len(got) != 2*want {
			t.Errorf("%d hours after the first event: %d findings, want %d", hours, len(got), 2*want)
		}
	}
	d, _ := habit(t)
	if l := d.Learning(); len(l) != 0 {
		t.Errorf("after twenty days: still learning %+v", l)
	}
}

// Rule 3 and section 1.2: the key is operator and service, per region; profiles are the account's. The object is the service.
func TestKeyAndObject(t *testing.T) {
	d, f := habit(t)
	got := watch(d, attack(f, nil, 192)...)[0]
	if got.Object != "iam.amazonaws.com" || got.Service != "iam.amazonaws.com" || got.Key != "iam.amazonaws.com/user:"+bob {
		t.Errorf("%+v", got)
	}
	d, _ = habit(t)
	elsewhere := &detecttest.Feed{Account: f.Account, Region: "us-east-1", Lateness: 15}
	quiet := call(start+11*schemas.Hour, "arn:aws:sts::123456789012:assumed-role/terraform")
	quiet.Type, quiet.UserAgent, quiet.SourceIP = schemas.RolePrincipal, "Terraform/1.7", "192.0.2.10"
	quiet.Traits.Auth = schemas.TemporaryAuth
	if found := watch(d, elsewhere.Pane([]detecttest.Call{quiet})); len(found) != 0 {
		t.Errorf("a habit is told in another region: %s", found[0].Why.Text)
	}
}

// Rules 4 to 6: times are whole minutes, the baseline is the operator's own calls of the week, averages are per minute.
func TestStatistics(t *testing.T) {
	d, f := habit(t)
	found := watch(d, attack(f, nil, 192, 195, 200)...)
	if s := found[0].Statistics; s.Insight != 1 || s.InsightDuration != 1 || s.InsightCount != 1 || s.Baseline != 0 ||
		s.BaselineDuration != 7*1440+192 {
		t.Errorf("Start: %+v", s)
	}
	if s := found[1].Statistics; s.InsightDuration != 9 || s.InsightCount != 3 || math.Abs(s.Insight-3./9) > 1e-6 {
		t.Errorf("End: %+v", s)
	}
	found = watch(d, attack(f, func(c *detecttest.Call) { c.UserAgent, c.SourceIP = "Pacu/1", "192.0.2.200" }, 2*1440+192)...)
	if len(found) != 2 || math.Abs(found[0].Statistics.Baseline-3./(7*1440+192)) > 1e-6 || found[0].Ordinal != 1 {
		t.Errorf("two days later, with another program from another network: %+v", found)
	}
}

// Rule 7: at most five values per dimension, descending; drivers for address and key; no error code is "null".
func TestAttributions(t *testing.T) {
	d, f := habit(t)
	n := 0
	found := watch(d, attack(f, func(c *detecttest.Call) {
		n++
		c.Count = uint32(n)
		c.UserAgent = "agent" + string('a'+rune(n))
	}, 192, 193, 194, 195, 196, 197)...)
	want := map[string]string{"principalId": bob, "userAgent": "agentg",
		"apiRelated": "iam.amazonaws.com/AttachUserPolicy", "errorCode": "null"}
	end := found[len(found)-1]
	if len(end.Attributions) != len(want) {
		t.Errorf("attributions %+v", end.Attributions)
	}
	for _, a := range end.Attributions {
		if len(a.Insight) > 5 || a.Insight[0].Value != want[a.Attribute] || a.Attribute == "userAgent" && len(a.Insight) != 5 {
			t.Errorf("%+v", a)
		}
	}
	drivers := ""
	for _, v := range end.Why.Drivers {
		drivers += v.Dimension + "=" + v.Value + " "
	}
	if drivers != "sourceIPAddress=203.0.113.77 accessKeyId=AKIAIOSFODNN7EXAMPLE " {
		t.Errorf("drivers: %s", drivers)
	}
}

// Section 1.3: who, what, how odd, in numbers and in a sentence, with the rule that is broken.
func TestWhy(t *testing.T) {
	d, f := habit(t)
	w := watch(d, attack(f, nil, 192)...)[0].Why
	o := w.Operator
	if o == nil || o.Class != "policy" || o.Operation != "iam.amazonaws.com/AttachUserPolicy" || o.Tier != "core" ||
		!o.FirstTime ||
		o.Target != schemas.AdminTarget.String() || !(o.Hazard > 0 && o.Hazard < 0.01) || o.Surprise < 8 ||
		o.HabitualDays != 0 || o.Denied != 0 {
		t.Errorf("%+v", o)
	}
	if len(o.Surprises) == 0 || len(o.Surprises) > 5 || o.Surprises[0].Attribute != "operator" || len(o.Rules) == 0 ||
		len(o.Rules) > 3 {
		t.Errorf("%+v", o)
	}
	if r := o.Rules[0]; r.Hits != 20 || r.Days != 20 || r.Lower < 0.8 || r.Lower > 1 {
		t.Errorf("%+v", r)
	}
	if w.ModelVersion != "operator-1" || w.Detector != "policychange" || !(w.Log10P < math.Log10(w.Alpha)) ||
		len(w.SampleEventIDs) != 1 {
		t.Errorf("%+v", w)
	}
	const text = "AttachUserPolicy is done by role terraform on 20 of 20 days (at least "
	const who = "here by bob, for the first time, from a new network, at 03:12"
	if !strings.Contains(w.Text, text) || !strings.Contains(w.Text, who) {
		t.Errorf("%q", w.Text)
	}
}

// Attempts count, are marked, and the sentence says that it was tried.
func TestDenied(t *testing.T) {
	d, f := habit(t)
	n := 0
	found := watch(d, attack(f, func(c *detecttest.Call) {
		if n++; n < 3 {
			c.Error = "AccessDenied"
		}
	}, 192, 193, 194)...)
	if w := found[0].Why; w.Operator.Denied != 1 || !strings.Contains(w.Text, "tried") {
		t.Errorf("Start: %q %+v", w.Text, w.Operator)
	}
	if w := found[1].Why; w.Operator.Denied != 2 || !strings.Contains(w.Text, "2 of them denied") {
		t.Errorf("End: %q %+v", w.Text, w.Operator)
	}
}

// Core and adjacent operations count; indirect ones open nothing, and are named in an insight of their operator.
func TestTiers(t *testing.T) {
	for tier, want := range map[schemas.Tier]int{schemas.CoreTier: 2, schemas.AdjacentTier: 2, schemas.IndirectTier: 0,
		schemas.NoTier: 0} {
		d, f := habit(t)
		got := watch(d,
			attack(f, func(c *detecttest.Call) {
				c.Traits.Sensitive = schemas.Sensitive(0).With(schemas.PolicyClass,
					tier)
			}, 192)...)
		if len(got) != want {
			t.Errorf("tier %s: %d findings, want %d", tier, len(got), want)
		}
	}
	d, f := habit(t)
	found := watch(d, attack(f, func(c *detecttest.Call) {
		if c.Minute > start+192 {
			c.Event, c.Traits.Sensitive = "PassRole", schemas.Sensitive(0).With(schemas.PolicyClass, schemas.IndirectTier)
		}
	}, 192, 193)...)
	if end := found[1]; !strings.Contains(end.Why.Text, "iam.amazonaws.com/PassRole") || end.Statistics.InsightCount != 1 {
		t.Errorf("%q, %d events", end.Why.Text, end.Statistics.InsightCount)
	}
}

// Late events are judged and counted: nothing here needs their order. Those of before an open insight are only learned.
func TestLateEvents(t *testing.T) {
	d, f := habit(t)
	later := call(start+12*schemas.Hour, "arn:aws:iam::123456789012:user/carol")
	later.Event, later.Traits.Sensitive = "RunInstances", 0
	watch(d, f.Pane([]detecttest.Call{later}))
	p := f.Pane([]detecttest.Call{call(start+192, bob)})
	if !p.Rows[0].Late {
		t.Fatal("the event is not late")
	}
	found := watch(d, p, f.Pane([]detecttest.Call{call(start+100, bob)}), f.Tick(start+13*schemas.Hour))
	if len(found) != 2 || found[1].Statistics.InsightCount != 1 || found[1].Start != start+192 {
		t.Errorf("%+v", found)
	}
}

// The budget buys sensitivity; without one only the root is told.
func TestBudget(t *testing.T) {
	for budget, want := range map[float64]int{0: 0, 1: 1, 4: 1} {
		d, f := habit(t)
		s := schemas.DefaultSettings()
		s.Budget = budget
		n := 0
		for _, p := range attack(f, func(c *detecttest.Call) { c.UserAgent, c.SourceIP = "aws-cli/2.15", "198.51.100.7" }, 192) {
			d.Observe(&p, s, func(f *schemas.Finding) {
				if f.Kind == schemas.OpenFinding {
					n++
				}
			})
		}
		if n != want {
			t.Errorf("budget %v: %d insights, want %d", budget, n, want)
		}
	}
}

// What was nearly told can be asked for, once for each operator and call.
func TestNearMisses(t *testing.T) {
	d, f := habit(t)
	s := schemas.DefaultSettings()
	s.Budget = 0.05
	for _, p := range attack(f, func(c *detecttest.Call) {
		c.Traits.Target, c.SourceIP = schemas.OtherTarget,
			"198.51.100.7"
	}, 600, 700) {
		d.Observe(&p, s, func(f *schemas.Finding) { t.Errorf("told: %s", f.Why.Text) })
	}
	near := d.NearMisses()
	if len(near) != 1 || near[0].Object != "iam.amazonaws.com" || near[0].Log10P <= near[0].Line ||
		!strings.Contains(near[0].Text, "bob called AttachUserPolicy, for the first time") {
		t.Errorf("%+v", near)
	}
}
