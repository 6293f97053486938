package schemas

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A message is what every wire type is.
type message interface {
	Append(b []byte) []byte
	Decode(body []byte) error
}

func samples() map[string]message {
	return map[string]message{
		"chunk": &Chunk{
			Object:  "AWSLogs/123456789012/CloudTrail/eu-central-1/2026/01/07/x.json.gz",
			Account: "123456789012",
			Records: []RawRecord{
				{Offset: 12, Body: []byte(`{"eventName":"RunInstances"}`)},
				{Offset: 41, Body: []byte(`{"eventName":"TerminateInstances"}`)},
				{Offset: 76, Body: []byte{}},
			},
		},
		"event_batch": &EventBatch{Sections: []Section{
			{
				Account: Account{AWS, "123456789012"},
				Region:  "eu-central-1",
				Lane:    3,
				Strings: []string{"", "ec2.amazonaws.com", "RunInstances", "TerminateInstances", "role/deploy",
					"203.0.113.7", "aws-cli/2"},
				Rows: []EventRow{
					{ID: "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20", Time: 1767764400, Service: 1, Name: 2, Principal: 4,
						SourceIP: 5, UserAgent: 6, PrincipalType: RolePrincipal, Write: true,
						Traits: Traits{Auth: TemporaryAuth}},
					{ID: "C2A97B10-93F4-4E0A-A0B8-6D2F0F8E7744", Time: 1767764399, Service: 1, Name: 3, Principal: 4,
						SourceIP: 5, UserAgent: 6, PrincipalType: RolePrincipal, Write: true},
					{ID: "EXAMPLE-9b6f-45f8", Time: 1767764460, Service: 1, Name: 2},
				},
			},
			{Account: Account{Alibaba, "1234567890123456"}, Region: "cn-hangzhou", Lane: 3, Strings: []string{""}},
		}},
		"pane_batch": &PaneBatch{Panes: []Pane{
			{
				Account:   Account{AWS, "123456789012"},
				Region:    "eu-central-1",
				Lane:      3,
				Watermark: 29462725,
				Strings:   []string{"", "ec2.amazonaws.com", "RunInstances", "role/deploy"},
				Rows: []Row{
					{Minute: 29462700, Service: 1, Name: 2, Principal: 3, Late: true, Count: 1, Sample: "e1"},
					{Minute: 29462740, Service: 1, Name: 2, Principal: 3, PrincipalType: RolePrincipal, Write: true,
						Traits: Traits{Sensitive(0).With(PolicyClass, CoreTier).With(TrailClass, IndirectTier), AdminTarget, KeyAuth},
						Count:  1200, Sample: "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20"},
				},
			},
			{Account: Account{Alibaba, "1234567890123456"}, Region: "cn-hangzhou", Watermark: -1, Close: true},
		}},
		"metrics": &Metrics{
			Account: Account{AWS, "123456789012"}, Region: "eu-central-1", Hour: 29462700, Events: 1305, Late: 3, Stale: 1,
			Strings: []string{"", "ec2.amazonaws.com", "RunInstances", "Client.UnauthorizedOperation"},
			Series: []Series{
				{Service: 1, Name: 2, Write: true, Minutes: []MinuteCount{{0, 1}, {1, 1200}, {59, 70}}},
				{Service: 1, Name: 2, ErrorCode: 3, Write: true, Minutes: []MinuteCount{{40, 30}}},
			},
			Other: []MinuteCount{{7, 4}},
		},
		"finding": &Finding{
			Kind: CloseFinding, Type: APICallRate, Generation: 7, Account: Account{AWS, "123456789012"},
			Region: "eu-central-1", Key: "ec2.amazonaws.com/TerminateInstances", Ordinal: 1, Object: "TerminateInstances",
			Service: "ec2.amazonaws.com", Event: "TerminateInstances", ErrorCode: "AccessDenied",
			Start: 29462740, End: 29462746,
			Statistics: Statistics{Insight: 9.5, Baseline: 0.0004, InsightDuration: 6, BaselineDuration: 10080,
				InsightCount: 57},
			Attributions: []Attribution{
				{Attribute: "userAgent", Insight: []Attributed{{"aws-cli/2", 9.5}},
					Baseline: []Attributed{{"terraform", 0.0004}}},
				{Attribute: "principalId", Insight: []Attributed{{"role/deploy", 9.5}}},
			},
			Why: Why{
				Detector: "apicallrate", ModelVersion: "1", Route: "rate", Direction: "rise", Log10P: -6.1, OneIn: 1.25e6,
				Alpha: 1e-4, Tested30d: 3000, BudgetPerMonth: 1, ModelAgeDays: 12.5, Confirmed: true,
				SampleEventIDs: []string{"7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20"},
				Drivers:        []Driver{{Dimension: "sourceIPAddress", Value: "203.0.113.7", Insight: 9.5, Lift: 23750}},
				EndReason:      Cooled, Continues: "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e21", Text: "Much more than usual.",
				Rate: &RateWhy{WindowMinutes: 5, Observed: 47, Expected: 0.002, Ratio: 23750, NormalMax: 4,
					RatePerMinute: 0.0004, Season: 1, Spread: 0.7, Blocks: 31, ErrorRatio: 0.5, ErrorRatioBaseline: 0.01,
					Breadth: 12, BreadthExpected: 1.5, DormantDays: 40},
				Address: &AddressWhy{AccountKnew: "its /16", PrincipalKnew: "nothing", PrincipalDays: 21.5, NoveltyDays: 0.5,
					BackOff: "principal", Modifiers: []Modifier{{"first request is a write", 2}}, ASN: "AS64500 Example",
					Country: "DE", More: 7},
				Operator: &OperatorWhy{Class: "policy", Operation: "iam.amazonaws.com/AttachUserPolicy", Tier: "core",
					Target: "the caller itself", FirstTime: true, Hazard: 0.002, Surprise: 9.5, HabitualDays: 1, Denied: 2,
					Surprises: []Surprise{{"network", "203.0.113.0/24", 4.5}},
					Rules:     []Rule{{"AttachUserPolicy is done by role terraform", 57, 57, 0.967}}},
			},
		},
		"tick":     &Tick{Lane: 3, Time: 29462740, Account: Account{Provider: AWS, ID: "123456789012"}},
		"end":      &End{Lane: 3, Close: true},
		"settings": &Settings{Lane: 3, Lateness: 15, Learn: Day, Budget: 0.5},
		"dead_letter": &DeadLetter{Stage: "normalizer", Object: "a.json", Offset: 12, Size: -1, Reason: "malformed",
			Error: "unexpected end", Raw: []byte("{\x00")},
		"checkpoint": &Checkpoint{
			Stream: "2026-01-07T05:40:00.123456789Z", Seq: 1 << 40, Owner: "normalizer-1", Epoch: 2, Generation: 1,
			Constants: "1", Seen: []Seen{{"raw-0", Number{Seq: 9, Index: 70000}}}, Keys: 400, Sum: 1<<64 - 1, Version: 3,
		},
	}
}

func fresh(m message) message {
	return reflect.New(reflect.TypeOf(m).Elem()).Interface().(message)
}

// A checkpoint from before states had versions.
func TestCheckpointWithoutAVersion(t *testing.T) {
	want := samples()["checkpoint"].(*Checkpoint)
	b := want.Append(nil)
	b[0]-- // one field less
	got := Checkpoint{Version: 9}
	if err := got.Decode(b[:len(b)-1]); err != nil {
		t.Fatal(err)
	}
	old := *want
	old.Version = 0
	if !reflect.DeepEqual(got, old) {
		t.Errorf("got %+v, want %+v", got, old)
	}
}

// A tick from before one could be that of an account.
func TestTickWithoutAnAccount(t *testing.T) {
	want := samples()["tick"].(*Tick)
	b := (&Tick{Lane: want.Lane, Time: want.Time}).Append(nil)
	b[0] -= 2 // two fields less, which are empty strings
	got := *want
	if err := got.Decode(b[:len(b)-2]); err != nil {
		t.Fatal(err)
	}
	if got != (Tick{Lane: want.Lane, Time: want.Time}) {
		t.Errorf("got %+v", got)
	}
}

func TestRoundTrip(t *testing.T) {
	for name, want := range samples() {
		t.Run(name, func(t *testing.T) {
			b := want.Append([]byte("before"))
			got := fresh(want)
			for range 2 { // the second time into used memory
				if err := got.Decode(b[len("before"):]); err != nil {
					t.Fatalf("Decode: %v", err)
				}
				if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("round trip (-want +got):\n%s", diff)
				}
			}
		})
	}
}
