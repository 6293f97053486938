package apicallrate

import (
	"math"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// One test per promise of the detection specification (docs, "Contract", rules 1 to 11) and of the vendors' pages that it cites.

// habit is eight days in which a call is made twice an hour by alice, and the feed that goes on.
func habit(t *testing.T) (*Detector, *detecttest.Feed) {
	t.Helper()
	d := New()
	f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "eu-west-1", Lateness: 15}
	var calls []detecttest.Call
	for m := detecttest.Epoch; m < start; m += 30 {
		calls = append(calls, call(m, 1, "alice"))
	}
	if found := watch(d, f.Panes(calls, 5)); len(found) != 0 {
		t.Fatalf("a habit is an insight: %+v", found[0])
	}
	return d, f
}

const start = detecttest.Epoch + 8*schemas.Day

func call(m schemas.Minute, n uint32, who string) detecttest.Call {
	return detecttest.Call{Minute: m, Service: "ec2.amazonaws.com", Event: "TerminateInstances", Principal: who, Count: n,
		UserAgent: "agent of " + who, AccessKey: "AKIA" + who, SourceIP: "192.0.2." + string('1'+rune(len(who)%9))}
}

func watch(d *Detector, panes []schemas.Pane) (found []schemas.Finding) {
	for i := range panes {
		d.Observe(&panes[i], schemas.DefaultSettings(), func(f *schemas.Finding) { found = append(found, *f) })
	}
	return found
}

// attack is the first minutes of habit's end: n calls a minute by mallory.
func attack(f *detecttest.Feed, minutes schemas.Minute, n uint32, change func(*detecttest.Call)) []schemas.Pane {
	var calls []detecttest.Call
	for m := start; m < start+minutes; m++ {
		c := call(m, n, "mallory")
		if change != nil {
			change(&c)
		}
		calls = append(calls, c)
	}
	return append(f.Panes(calls, 1), f.Tick(start+minutes+60))
}

// Rule 1: every insight is a Start and an End with one id; the Start may be told while the activity is running.
func TestStartIsToldAtOnce(t *testing.T) {
	d, f := habit(t)
	panes := attack(f, 10, 100, nil)
	if found := watch(d, panes[:1]); len(found) != 1 || found[0].Kind != schemas.OpenFinding {
		t.Fatalf("100 calls in the first minute: %+v", found)
	}
	found := watch(d, panes[1:])
	if len(found) != 1 || found[0].Kind != schemas.CloseFinding || found[0].Ordinal != 0 {
		t.Fatalf("then %+v", found)
	}
}

// Rule 2: no insight before 24 hours of learning, counted in event time from the account's first event anywhere.
func TestLearningCountsFromTheFirstEventAnywhere(t *testing.T) {
	for hours, want := range map[schemas.Minute]int{20: 0, 25: 1} {
		d := New()
		// The first event is a read in another region.
		other := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "us-east-1", Lateness: 15}
		first := other.Pane([]detecttest.Call{{Minute: start - hours*60, Service: "s3.amazonaws.com", Event: "GetBucketAcl", Read: true, Count: 1}})
		f := &detecttest.Feed{Account: other.Account, Region: "eu-west-1", Lateness: 15}
		if got := len(watch(d, append([]schemas.Pane{first}, attack(f, 20, 300, nil)...))); got != 2*want {
			t.Errorf("%d hours after the first event: %d findings, want %d", hours, got, 2*want)
		}
	}
}

// Rule 3: rate models are per region; section 1.2: the key is service and event, the object is the event name.
func TestKeyAndObject(t *testing.T) {
	d, f := habit(t)
	got := watch(d, attack(f, 5, 100, nil))[0]
	if got.Object != "TerminateInstances" || got.Event != "TerminateInstances" || got.Service != "ec2.amazonaws.com" ||
		got.Key != "ec2.amazonaws.com/TerminateInstances" {
		t.Errorf("%+v", got)
	}
}

// Rule 4: times are whole minutes; the Start is the first abnormal minute, the End the first that is no longer abnormal.
func TestTimes(t *testing.T) {
	for _, minutes := range []schemas.Minute{1, 7, 45} {
		d, f := habit(t)
		found := watch(d, attack(f, minutes, 120, nil))
		if len(found) != 2 || found[0].Start != start || found[1].Start != start || found[1].End != start+minutes {
			t.Errorf("%d minutes: %+v", minutes, found)
		}
	}
}

// Rule 5: the baseline is calls per minute over the seven days before the start and the open day.
func TestBaseline(t *testing.T) {
	d, f := habit(t)
	for _, got := range watch(d, attack(f, 5, 100, nil)) {
		if s := got.Statistics; math.Abs(s.Baseline-1./30) > 1e-6 || s.BaselineDuration != 10080 {
			t.Errorf("%+v, want a baseline of 1/30 over 10080 minutes", s)
		}
	}
}

// Rule 6: the Start has the mean from start to alarm, the End that of the whole duration, with the number of events.
func TestStatistics(t *testing.T) {
	d, f := habit(t)
	n := uint32(80)
	found := watch(d, attack(f, 6, 0, func(c *detecttest.Call) { c.Count = n; n += 20 }))
	if s := found[0].Statistics; s.Insight != 80 || s.InsightDuration != 1 || s.InsightCount != 80 {
		t.Errorf("Start: %+v", s)
	}
	if s := found[1].Statistics; s.Insight != 130 || s.InsightDuration != 6 || s.InsightCount != 780 {
		t.Errorf("End: %+v", s)
	}
}

// Rule 7: at most five values per dimension, descending, insight and baseline averages per minute; no error code is "null".
func TestAttributions(t *testing.T) {
	d, f := habit(t)
	found := watch(d, attack(f, 6, 100, nil))
	attributions := map[string]schemas.Attribution{}
	for _, a := range found[1].Attributions {
		attributions[a.Attribute] = a
	}
	if len(attributions) != 3 {
		t.Errorf("dimensions %v, want userAgent, principalId and errorCode", attributions)
	}
	who := attributions["principalId"]
	if len(who.Insight) != 1 || who.Insight[0] != (schemas.Attributed{Value: "mallory", Average: 100}) {
		t.Errorf("principal: %+v", who)
	}
	if len(who.Baseline) != 1 || who.Baseline[0].Value != "alice" || math.Abs(who.Baseline[0].Average-1./30) > 1e-6 {
		t.Errorf("usual principal: %+v", who.Baseline)
	}
	if e := attributions["errorCode"].Insight; len(e) != 1 || e[0].Value != "null" {
		t.Errorf("error code: %+v", e)
	}
	drivers := ""
	for _, v := range found[1].Why.Drivers {
		drivers += v.Dimension + "=" + v.Value + " "
	}
	if drivers != "sourceIPAddress=192.0.2.8 accessKeyId=AKIAmallory " {
		t.Errorf("drivers: %s", drivers)
	}

	d, f = habit(t)
	var calls []detecttest.Call
	for i := range 9 {
		calls = append(calls, call(start, uint32(10+i), "user"+string('a'+rune(i))))
	}
	for _, a := range watch(d, []schemas.Pane{f.Pane(calls)})[0].Attributions {
		if a.Attribute == "principalId" && (len(a.Insight) != 5 || a.Insight[0].Value != "useri" || a.Insight[4].Value != "usere") {
			t.Errorf("nine principals: %+v", a.Insight)
		}
	}
}

// Rule 8: one open insight per key; nothing is retracted; a new one soon after the End says which it continues.
func TestContinues(t *testing.T) {
	d, f := habit(t)
	n := schemas.Minute(0)
	found := watch(d, attack(f, 30, 0, func(c *detecttest.Call) {
		if n++; n <= 5 || n > 25 {
			c.Count = 300
		} else {
			c.Count = 0
		}
	}))
	if len(found) != 4 || found[2].Ordinal != 1 || found[2].Why.Continues != "0" || found[0].Why.Continues != "" {
		t.Errorf("%d findings: %+v", len(found), found)
	}
}

// Section 1.2: write events count, failed ones included; reads do not.
func TestWritesCount(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*detecttest.Call)
		want   int
	}{
		"failed writes": {func(c *detecttest.Call) { c.Error = "UnauthorizedOperation" }, 2},
		"reads":         {func(c *detecttest.Call) { c.Read = true }, 0},
	} {
		d, f := habit(t)
		if got := len(watch(d, attack(f, 5, 500, c.change))); got != c.want {
			t.Errorf("%s: %d findings, want %d", name, got, c.want)
		}
	}
}

// Section 1.3: why says what was seen, what was expected, how rare that is, and the same in a sentence.
func TestWhy(t *testing.T) {
	d, f := habit(t)
	found := watch(d, attack(f, 5, 100, nil))
	for _, g := range found {
		w := g.Why
		if w.Rate == nil || w.Rate.Observed <= w.Rate.Expected || w.Rate.NormalMax >= w.Rate.Observed || w.Rate.Blocks < 100 ||
			w.Direction != "rise" || w.Route != "rate" || !(w.Log10P < -4) || len(w.SampleEventIDs) == 0 || len(w.SampleEventIDs) > 5 {
			t.Errorf("%+v %+v", w, w.Rate)
		}
		for _, word := range []string{"TerminateInstances was called", "by mallory", "normally 2 an hour", "active hours is so unusual"} {
			if !strings.Contains(w.Text, word) {
				t.Errorf("%q does not say %q", w.Text, word)
			}
		}
	}
	if found[1].Why.EndReason != schemas.Cooled || !found[1].Why.Confirmed {
		t.Errorf("the End: %+v", found[1].Why)
	}
}

// Section 6: an insight lasts a day at most.
func TestMaxDuration(t *testing.T) {
	d, f := habit(t)
	n := uint32(0)
	found := watch(d, attack(f, 30*60, 0, func(c *detecttest.Call) { n++; c.Count = 100 + n*n/10 }))
	if len(found) < 2 || found[1].Why.EndReason != schemas.MaxDuration || found[1].End != start+schemas.Day {
		t.Errorf("%+v", found)
	}
}

// The vendor's own figures (published Insights records): these fire there, and must here, on an account that has learned.
func TestVendorExamples(t *testing.T) {
	for name, c := range map[string]struct {
		baseline float64 // calls per minute
		rate     uint32
		minutes  schemas.Minute
	}{
		"ssm UpdateInstanceInformation": {85.42, 664, 1},
		"deleteBucket":                  {20, 100, 5},
	} {
		d := New()
		f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "eu-west-1", Lateness: 15}
		var calls []detecttest.Call
		for m := detecttest.Epoch; m < start; m++ {
			jitter := uint32(m*7919%13) - 6
			calls = append(calls, call(m, uint32(c.baseline)+jitter, "alice"))
		}
		watch(d, f.Panes(calls, 5))
		if got := watch(d, attack(f, c.minutes, c.rate, nil)); len(got) != 2 {
			t.Errorf("%s: %d findings, want a Start and an End", name, len(got))
		}
	}
}

// Section 2.4: an hour without any event where twenty were expected is an outage: what an hour's calls are compared with does
// not fall, however often the logs are missing.
func TestOutageKeepsTheLevel(t *testing.T) {
	ratio := func(reads uint32) float64 {
		d := New()
		f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "eu-west-1", Lateness: 15}
		at := func(m schemas.Minute) (calls []detecttest.Call) {
			if m%15 == 0 && reads > 0 {
				calls = append(calls, detecttest.Call{Minute: m, Service: "s3.amazonaws.com", Event: "GetBucketAcl", Read: true, Count: reads})
			}
			if m%15 == 0 {
				calls = append(calls, call(m, 3, "alice"))
			}
			return calls
		}
		var calls []detecttest.Call
		for m := start - 8*schemas.Day; m < start; m++ {
			if m < start-schemas.Day || m >= start-schemas.Hour {
				calls = append(calls, at(m)...)
			}
		}
		watch(d, f.Panes(calls, 5))
		found := watch(d, attack(f, 5, 100, nil))
		if len(found) != 2 {
			t.Fatalf("%d reads: %d findings", reads, len(found))
		}
		return found[1].Why.Rate.RatePerMinute * found[1].Why.Rate.Season
	}
	quiet, busy := ratio(0), ratio(10)
	if quiet > 0.16 || busy < 0.185 {
		t.Errorf("expected %v a minute where a day without calls may be silence, %v where it must be an outage; want less and 0.2", quiet, busy)
	}
}

// Section 6: a level that stays ends its insight as the new normal, within a day, and is not told again.
func TestNewNormal(t *testing.T) {
	for rate, within := range map[uint32]schemas.Minute{3: schemas.Day, 100: schemas.Day} {
		d, f := habit(t)
		found := watch(d, attack(f, 10*schemas.Day, rate, nil))
		if len(found) != 2 || found[1].Why.EndReason != schemas.NewNormal || found[1].End >= start+within {
			t.Errorf("%d a minute for good: %d findings, the last %+v", rate, len(found), found[len(found)-1])
		}
	}
}

// Section 6: an insight whose calls end is cooled, however long it was; what follows a burst of minutes is not the new normal.
func TestCooled(t *testing.T) {
	for _, minutes := range []schemas.Minute{5, 50, 600} {
		d, f := habit(t)
		found := watch(d, attack(f, minutes+20, 100, func(c *detecttest.Call) {
			if c.Minute >= start+minutes {
				c.Count = 1
			}
		}))
		if len(found) != 2 || found[1].Why.EndReason != schemas.Cooled {
			t.Errorf("%d minutes: %+v", minutes, found)
		}
	}
}

// Section 1.2: a roll-up is of a service, which is its object; it has no event name, also where it was nearly told.
func TestRollUp(t *testing.T) {
	for kinds, want := range map[int]int{1: 0, 30: 2} {
		d, f := habit(t)
		var calls []detecttest.Call
		for m := start; m < start+10; m++ {
			for k := range kinds {
				c := call(m, 2, "mallory")
				c.Event = "Delete" + strings.Repeat("X", k)
				calls = append(calls, c)
			}
		}
		found := watch(d, append(f.Panes(calls, 1), f.Tick(start+3*schemas.Hour)))
		if len(found) != want {
			t.Fatalf("%d kinds: %d findings, want %d: %+v", kinds, len(found), want, found)
		}
		for _, g := range found {
			if g.Object != "ec2.amazonaws.com" || g.Service != g.Object || g.Event != "" || !strings.HasPrefix(g.Why.Text, "Destructive calls of ec2") {
				t.Errorf("%+v", g)
			}
		}
		later := call(start+5*schemas.Hour, 1, "alice")
		watch(d, []schemas.Pane{f.Pane([]detecttest.Call{later}), f.Tick(start + 6*schemas.Hour)})
		for _, n := range d.NearMisses() {
			if strings.Contains(n.Object, "//") {
				t.Errorf("nearly told: %+v", n)
			}
		}
	}
}

// An event cannot be named so that it is taken for a roll-up.
func TestRollUpHasAKeyOfItsOwn(t *testing.T) {
	p := schemas.Pane{Strings: []string{"", "s", "/destructive", "DeleteIt"}}
	if key := string(appendKey(nil, &p, &schemas.Row{Service: 1, Name: 2})); key == rollUp(string(appendKey(nil, &p, &schemas.Row{Service: 1, Name: 3}))) {
		t.Errorf("both are %s", key)
	}
}
