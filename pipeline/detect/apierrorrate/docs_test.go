package apierrorrate

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// One test per promise of the detection specification (sections 1, 3.8 and 6) and of the vendors' pages that it cites. What is
// promised of all rate detectors is tested in package apicallrate and by the laws.

// habit is eight days in which a call is made by alice ten times an hour, and fails once in four hours, and the feed that goes on.
func habit(t *testing.T) (*Detector, *detecttest.Feed) {
	t.Helper()
	d := New()
	f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "eu-west-1", Lateness: 15}
	var calls []detecttest.Call
	for m := detecttest.Epoch; m < start; m += 6 {
		c := call(m, 1, "alice")
		if m%240 != 0 {
			c.Error = ""
		}
		calls = append(calls, c)
	}
	if found := watch(d, f.Panes(calls, 5)); len(found) != 0 {
		t.Fatalf("a habit is an insight: %+v", found[0])
	}
	return d, f
}

const start = detecttest.Epoch + 8*schemas.Day

func call(m schemas.Minute, n uint32, who string) detecttest.Call {
	return detecttest.Call{Minute: m, Service: "ec2.amazonaws.com", Event: "TerminateInstances", Principal: who, Count: n,
		Error: "Client.UnauthorizedOperation", UserAgent: "agent of " + who, AccessKey: "AKIA" + who, SourceIP: "192.0.2.7"}
}

func watch(d *Detector, panes []schemas.Pane) (found []schemas.Finding) {
	for i := range panes {
		d.Observe(&panes[i], schemas.DefaultSettings(), func(f *schemas.Finding) { found = append(found, *f) })
	}
	return found
}

// attack is the first minutes of habit's end: n failures a minute by mallory.
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

// Section 1.2: the key is service, event and normalised code; the object is the event name, the code is told.
func TestKeyAndObject(t *testing.T) {
	d, f := habit(t)
	for _, got := range watch(d, attack(f, 5, 60, nil)) {
		if got.Object != "TerminateInstances" || got.Event != "TerminateInstances" || got.Service != "ec2.amazonaws.com" ||
			got.ErrorCode != "Client.UnauthorizedOperation" ||
			got.Key != "ec2.amazonaws.com/TerminateInstances/Client.UnauthorizedOperation" {
			t.Errorf("%+v", got)
		}
	}
}

// Section 1.2: reads and writes with an error code count; others do not.
func TestFailuresCount(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*detecttest.Call)
		want   int
	}{
		"writes":    {nil, 2},
		"reads":     {func(c *detecttest.Call) { c.Read = true }, 2},
		"successes": {func(c *detecttest.Call) { c.Error = "" }, 0},
	} {
		d, f := habit(t)
		if got := len(watch(d, attack(f, 5, 60, c.change))); got != c.want {
			t.Errorf("%s: %d findings, want %d", name, got, c.want)
		}
	}
}

// Rules 4 and 6: whole minutes; the Start is told at once, and has the mean up to the alarm, the End that of the whole.
func TestTimesAndStatistics(t *testing.T) {
	d, f := habit(t)
	n := uint32(60)
	panes := attack(f, 6, 0, func(c *detecttest.Call) { c.Count = n; n += 20 })
	found := watch(d, panes[:1])
	if len(found) != 1 || found[0].Kind != schemas.OpenFinding || found[0].Start != start {
		t.Fatalf("60 failures in the first minute: %+v", found)
	}
	if s := found[0].Statistics; s.Insight != 60 || s.InsightDuration != 1 || math.Abs(s.Baseline-1./240) > 1e-6 {
		t.Errorf("Start: %+v", s)
	}
	found = watch(d, panes[1:])
	if len(found) != 1 || found[0].End != start+6 || found[0].Why.EndReason != schemas.Cooled || !found[0].Why.Confirmed {
		t.Fatalf("End: %+v", found)
	}
	if s := found[0].Statistics; s.Insight != 110 || s.InsightDuration != 6 || s.InsightCount != 660 {
		t.Errorf("End: %+v", s)
	}
}

// Section 1.2: attributions are user agent, principal and error code, the code as the record has it.
func TestAttributions(t *testing.T) {
	d, f := habit(t)
	found := watch(d, attack(f, 6, 60, func(c *detecttest.Call) { c.Error += ".12345" }))
	if len(found) != 2 {
		t.Fatalf("%+v", found)
	}
	got := map[string]string{}
	for _, a := range found[1].Attributions {
		got[a.Attribute] = a.Insight[0].Value
	}
	want := map[string]string{"userAgent": "agent of mallory", "principalId": "mallory", "errorCode": "Client.UnauthorizedOperation.12345"}
	for k, v := range want {
		if got[k] != v || len(got) != len(want) {
			t.Errorf("%s is %q, want %q: %v", k, got[k], v, got)
		}
	}
}

// Section 3.8: both questions must say yes. Failures that become more frequent are told; as many as these are not when the calls
// that succeed are as many times more.
func TestBothQuestions(t *testing.T) {
	for name, c := range map[string]struct {
		successes uint32
		want      int
	}{
		"as frequent as ever": {39 * 20, 0},
		"twice as frequent":   {19 * 20, 0},
		"half of all":         {20, 2},
		"nothing else":        {0, 2},
	} {
		d, f := habit(t)
		var calls []detecttest.Call
		for m := start; m < start+30; m++ {
			calls = append(calls, call(m, 20, "mallory"))
			if ok := call(m, c.successes, "mallory"); c.successes > 0 {
				ok.Error = ""
				calls = append(calls, ok)
			}
		}
		found := watch(d, append(f.Panes(calls, 1), f.Tick(start+100)))
		if len(found) != c.want {
			t.Errorf("%s: %d findings, want %d: %+v", name, len(found), c.want, found)
		}
	}
}

// Section 1.3: why has both questions' figures, and a sentence that says the same.
func TestWhy(t *testing.T) {
	d, f := habit(t)
	found := watch(d, attack(f, 10, 60, func(c *detecttest.Call) {
		if c.Minute%2 == 1 {
			c.Error, c.Count = "", 20
		}
	}))
	if len(found) != 2 {
		t.Fatalf("%+v", found)
	}
	for _, g := range found {
		w := g.Why.Rate
		if w.ErrorRatio < 0.7 || w.ErrorRatio > 1 || math.Abs(w.ErrorRatioBaseline-0.025) > 0.002 || w.Observed <= w.Expected {
			t.Errorf("%+v", w)
		}
		for _, word := range []string{"TerminateInstances was denied with Client.UnauthorizedOperation", "by mallory", "% of the calls",
			"normally 6 a day, 2.5 % of the calls", "active hours is so unusual"} {
			if !strings.Contains(g.Why.Text, word) {
				t.Errorf("%q does not say %q", g.Why.Text, word)
			}
		}
	}
}

// Section 3.8: an event has 64 codes at most, the rest is one.
func TestCodesAreBounded(t *testing.T) {
	d, f := habit(t)
	n := 0
	watch(d, attack(f, 100, 1, func(c *detecttest.Call) { c.Error = letters(n); n++ }))
	late := call(start+200, 400, "mallory")
	late.Error = "Brand.New"
	found := watch(d, []schemas.Pane{f.Pane([]detecttest.Call{late}), f.Tick(start + 300)})
	if len(found) != 2 || found[0].ErrorCode != "__other" || found[0].Event != "TerminateInstances" {
		t.Errorf("%+v", found)
	}
}

// Section 3.8: a broken call is told once, whether it is repaired or not.
func TestBrokenCall(t *testing.T) {
	for days, reasons := range map[schemas.Minute][]schemas.EndReason{
		1: {schemas.Cooled, schemas.NewNormal}, 10: {schemas.NewNormal},
	} {
		d, f := habit(t)
		minutes := 6 * schemas.Hour
		if days > 1 {
			minutes = days * schemas.Day
		}
		found := watch(d, attack(f, minutes, 30, nil))
		if len(found) != 2 || !slices.Contains(reasons, found[1].Why.EndReason) || found[1].End > start+schemas.Day {
			t.Errorf("%d days: %d findings, the last %+v", days, len(found), found[len(found)-1])
		}
	}
}

// The vendor's own figures (a published Insights record): 154 refusals a minute, which become 3,574. They fire there, and must here.
func TestVendorExample(t *testing.T) {
	d := New()
	f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "eu-west-1", Lateness: 15}
	both := func(m schemas.Minute, refused, answered uint32) []detecttest.Call {
		c := detecttest.Call{Minute: m, Service: "ec2.amazonaws.com", Event: "DescribeRegions", Read: true, Principal: "app", Count: answered}
		r := c
		r.Error, r.Count = "Client.RequestLimitExceeded", refused
		return []detecttest.Call{c, r}
	}
	var calls []detecttest.Call
	for m := detecttest.Epoch; m < start; m++ {
		calls = append(calls, both(m, 154+uint32(m*7919%31)-15, 600)...)
	}
	watch(d, f.Panes(calls, 5))
	calls = nil
	for m := start; m < start+121; m++ {
		calls = append(calls, both(m, 3574, 600)...)
	}
	found := watch(d, append(f.Panes(calls, 1), f.Tick(start+300)))
	if len(found) != 2 || !strings.Contains(found[0].Why.Text, "was throttled with Client.RequestLimitExceeded") {
		t.Errorf("%+v", found)
	}
}
