package pair_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/pair"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

var account = schemas.Account{Provider: schemas.AWS, ID: "123456789012"}

func finding(kind schemas.FindingKind, key string, ordinal uint32) schemas.Finding {
	f := schemas.Finding{
		Kind: kind, Type: schemas.APICallRate, Account: account, Region: "eu-west-1", Key: key, Ordinal: ordinal,
		Object: key, Service: "ec2.amazonaws.com", Event: key, Start: 1000,
		Statistics: schemas.Statistics{Insight: 20, Baseline: 0.1, InsightDuration: 1, BaselineDuration: 10080, InsightCount: 20},
	}
	if kind == schemas.CloseFinding {
		f.End, f.Statistics.InsightDuration, f.Why.EndReason = 1012, 12, schemas.Cooled
	}
	return f
}

func reset(generation uint64) schemas.Finding {
	return schemas.Finding{Kind: schemas.ResetFinding, Type: schemas.APICallRate, Generation: generation}
}

// feed applies findings to a processor and returns what it published.
func feed(t *testing.T, p *pair.Processor, findings ...schemas.Finding) []schemas.Insight {
	t.Helper()
	var got []schemas.Insight
	for i, f := range findings {
		r := runner.Record{Seq: uint64(i + 1), Subject: schemas.FindingsSubject(0, f.Region, f.Type), Body: f.Append(nil)}
		err := p.Apply(r, func(o runner.Output) {
			var in schemas.Insight
			if err := in.Decode(o.Body); err != nil {
				t.Fatal(err)
			}
			if want := schemas.InsightSubject(in.Region, account, in.Details.Type, in.EventID); o.Subject != want || !o.Once {
				t.Errorf("published on %s (once %v), want once on %s", o.Subject, o.Once, want)
			}
			got = append(got, in)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// inWords tells insight events shortly.
func inWords(insights []schemas.Insight) []string {
	var words []string
	for _, i := range insights {
		reason := ""
		if i.Details.State == schemas.EndState {
			reason = " " + string(i.Details.Trailvane.Why.EndReason)
		}
		words = append(words, fmt.Sprintf("%s %s at %s%s", i.Details.Object, i.Details.State, i.EventTime, reason))
	}
	return words
}

func TestOneStartAndOneEnd(t *testing.T) {
	p := pair.New(0)
	got := feed(t, p, reset(0),
		finding(schemas.OpenFinding, "A", 0), finding(schemas.UpdateFinding, "A", 0), finding(schemas.CloseFinding, "A", 0))
	want := []string{"A Start at 1970-01-01T16:40:00Z", "A End at 1970-01-01T16:52:00Z Cooled"}
	if d := cmp.Diff(want, inWords(got)); d != "" {
		t.Fatalf("published (-want +got):\n%s", d)
	}
	if got[0].SharedEventID != got[1].SharedEventID || got[0].EventID == got[1].EventID {
		t.Errorf("ids: start %s %s, end %s %s", got[0].SharedEventID, got[0].EventID, got[1].SharedEventID, got[1].EventID)
	}
	if s := p.Stats(); s.Started[schemas.APICallRate] != 1 || s.Ended[schemas.APICallRate] != 1 || s.Strange != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestIdsTellInsightsApart(t *testing.T) {
	ids := map[string]string{}
	for name, change := range map[string]func(*schemas.Finding){
		"same":       func(*schemas.Finding) {},
		"type":       func(f *schemas.Finding) { f.Type = schemas.AK },
		"provider":   func(f *schemas.Finding) { f.Account.Provider = schemas.Alibaba },
		"region":     func(f *schemas.Finding) { f.Region = "eu-west-2" },
		"ordinal":    func(f *schemas.Finding) { f.Ordinal = 1 },
		"generation": func(f *schemas.Finding) { f.Generation = 7 },
		"key":        func(f *schemas.Finding) { f.Key = "B" },
		"shifted":    func(f *schemas.Finding) { f.Region, f.Key = "eu-west-", "1A" },
	} {
		f := finding(schemas.OpenFinding, "A", 0)
		change(&f)
		var id string
		r := runner.Record{Subject: schemas.FindingsSubject(0, f.Region, f.Type), Body: f.Append(nil)}
		err := pair.New(0).Apply(r, func(o runner.Output) {
			var in schemas.Insight
			if err := in.Decode(o.Body); err != nil {
				t.Fatal(err)
			}
			id = in.SharedEventID
		})
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := ids[id]; ok {
			t.Errorf("%s and %s have the same id %s", name, other, id)
		}
		ids[id] = name
	}
}

func TestContinuedInsightIsNamed(t *testing.T) {
	second := finding(schemas.OpenFinding, "A", 1)
	second.Why.Continues = "0"
	got := feed(t, pair.New(0), finding(schemas.OpenFinding, "A", 0), finding(schemas.CloseFinding, "A", 0), second)
	if name := got[2].Details.Trailvane.Why.Continues; name != got[0].SharedEventID {
		t.Errorf("continues %q, want %s", name, got[0].SharedEventID)
	}
}

// The id of an insight is part of what people store: it stays.
func TestIdsStay(t *testing.T) {
	got := feed(t, pair.New(0), finding(schemas.OpenFinding, "A", 0))[0]
	if want := "d9be7583-1ab6-58e7-a2af-77ddc06985e5"; got.SharedEventID != want {
		t.Errorf("sharedEventId %s, want %s", got.SharedEventID, want)
	}
}

func TestResetEndsWhatOlderGenerationsHadOpen(t *testing.T) {
	p := pair.New(0)
	feed(t, p, reset(0), finding(schemas.OpenFinding, "B", 0), finding(schemas.OpenFinding, "A", 3))
	if got := feed(t, p, reset(0)); len(got) != 0 {
		t.Errorf("a reset of the same generation ended %v", inWords(got))
	}
	got := feed(t, p, reset(500))
	want := []string{"A End at 1970-01-01T16:41:00Z ModelChanged", "B End at 1970-01-01T16:41:00Z ModelChanged"}
	if d := cmp.Diff(want, inWords(got)); d != "" {
		t.Errorf("published (-want +got):\n%s", d)
	}
	if got := feed(t, p, reset(600)); len(got) != 0 {
		t.Errorf("ended twice: %v", inWords(got))
	}
}

// An owner of another version that was paused wakes up and goes on behind the reset of its successor: whatever it says, the
// insights are those of the successor, each with one End.
func TestFindingsOfAGenerationThatIsOver(t *testing.T) {
	of := func(generation uint64, f schemas.Finding) schemas.Finding {
		f.Generation = generation
		return f
	}
	p := pair.New(0)
	feed(t, p, reset(0), finding(schemas.OpenFinding, "A", 0))
	got := feed(t, p, reset(500), of(500, finding(schemas.OpenFinding, "A", 0)),
		finding(schemas.UpdateFinding, "A", 0), finding(schemas.CloseFinding, "A", 0), // it wakes up
		finding(schemas.OpenFinding, "A", 1), finding(schemas.OpenFinding, "B", 0),
		of(500, finding(schemas.CloseFinding, "A", 0)))
	want := []string{
		"A End at 1970-01-01T16:41:00Z ModelChanged", "A Start at 1970-01-01T16:40:00Z", "A End at 1970-01-01T16:52:00Z Cooled",
	}
	if d := cmp.Diff(want, inWords(got)); d != "" {
		t.Errorf("published (-want +got):\n%s", d)
	}
	if s := p.Stats(); s.Strange != 4 {
		t.Errorf("%d strange findings, want 4", s.Strange)
	}
}

func TestStrangeFindingsLeaveEveryStartWithOneEnd(t *testing.T) {
	p := pair.New(0)
	got := feed(t, p,
		finding(schemas.CloseFinding, "A", 0), finding(schemas.OpenFinding, "A", 1), finding(schemas.CloseFinding, "A", 0),
		finding(schemas.OpenFinding, "A", 2), finding(schemas.CloseFinding, "A", 2))
	want := []string{
		"A Start at 1970-01-01T16:40:00Z", "A End at 1970-01-01T16:41:00Z ModelChanged",
		"A Start at 1970-01-01T16:40:00Z", "A End at 1970-01-01T16:52:00Z Cooled",
	}
	if d := cmp.Diff(want, inWords(got)); d != "" {
		t.Errorf("published (-want +got):\n%s", d)
	}
	if s := p.Stats(); s.Strange != 3 {
		t.Errorf("%d strange findings, want 3", s.Strange)
	}
}

func TestRestoreChangesNothing(t *testing.T) {
	findings := []schemas.Finding{
		reset(0), finding(schemas.OpenFinding, "A", 0), finding(schemas.OpenFinding, "B", 0),
		finding(schemas.UpdateFinding, "A", 0), finding(schemas.CloseFinding, "B", 0), finding(schemas.OpenFinding, "B", 1),
		finding(schemas.CloseFinding, "A", 0), reset(9), finding(schemas.OpenFinding, "A", 1),
	}
	want := feed(t, pair.New(0), findings...)
	for cut := range findings {
		first := pair.New(0)
		got := feed(t, first, findings[:cut]...)
		saved := map[string][]byte{}
		if err := first.Snapshot(func(key string, state []byte) { saved[key] = state }); err != nil {
			t.Fatal(err)
		}
		second := pair.New(0)
		for key, state := range saved {
			if err := second.Restore(key, state); err != nil {
				t.Fatal(err)
			}
		}
		got = append(got, feed(t, second, findings[cut:]...)...)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("cut after %d (-want +got):\n%s", cut, d)
		}
	}
}

// The server lets a detector publish on subjects of its type only. What it says there of another type is not heard, and neither is
// what it says in the name of another detector.
func TestNobodySpeaksForAnother(t *testing.T) {
	p := pair.New(0)
	open := finding(schemas.OpenFinding, "RunInstances", 1)
	other := schemas.FindingsSubject(0, open.Region, schemas.AK)
	for _, f := range []schemas.Finding{open, reset(7)} {
		err := p.Apply(runner.Record{Seq: 1, Subject: other, Body: f.Append(nil)}, func(o runner.Output) { t.Errorf("published %s", o.Subject) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := p.Stats().Strange; n != 2 {
		t.Errorf("%d findings were strange, want 2", n)
	}
	if got := feed(t, p, open); len(got) != 1 {
		t.Errorf("the detector of the type itself started %d insights, want 1", len(got))
	}

	own := schemas.FindingsSubject(0, open.Region, open.Type)
	for producer, want := range map[string]bool{
		"": false, "detector-ApiCallRateInsight.0.g1.0011aabb": true, "detector-ApiCallRateInsight.0.g1": true,
		"detector-AkInsight.0.g1.0011aabb": false, "detector-ApiCallRateInsight": false, "aggregator.0.g1.0011aabb": false,
	} {
		if got := pair.Accept(&runner.Record{Subject: own, Producer: producer}); got != want {
			t.Errorf("accepts %q: %t, want %t", producer, got, want)
		}
	}
}
