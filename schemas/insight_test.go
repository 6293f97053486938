package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sampleInsights are one of each kind that renders differently.
func sampleInsights() map[string]*Insight {
	values := func(v string, average float64) []Attributed { return []Attributed{{v, average}} }
	base := func(p Provider, region, account string, state State, minute Minute) Insight {
		return Insight{
			EventVersion: InsightVersion, EventCategory: InsightEventCategory,
			EventID: "1f0c7a52-6d1b-4c53-9b7e-2e4b9d0a1c11", SharedEventID: "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20",
			EventTime: minute, Provider: p, Region: region, AccountID: account,
			Details: InsightDetails{State: state},
		}
	}

	callRate := base(Alibaba, "cn-hangzhou", "1234567890123456", StartState, 29462740)
	callRate.Details.Type = APICallRate
	callRate.Details.Object = "DeleteInstances"
	callRate.Details.EventSource = "Ecs"
	callRate.Details.EventName = "DeleteInstances"
	callRate.Details.Context = InsightContext{
		Statistics: Statistics{Insight: 12, Baseline: 0.00039682539, InsightDuration: 1, BaselineDuration: 10080,
			InsightCount: 12},
		Attributions: []Attribution{
			{UserAgentAttribute, values("AlibabaCloud CLI <3.0> & more", 12), values("ecs.console.aliyun.com", 0.0004)},
			{PrincipalAttribute, values("203766561706070001", 12), values("203766561706070002", 0.0004)},
			{ErrorCodeAttribute, values("", 12), values("null", 0.0004)},
		},
	}
	callRate.Details.Trailvane.Why = samples()["finding"].(*Finding).Why
	callRate.Details.Trailvane.Why.EndReason = ""
	callRate.Details.Trailvane.Why.Address, callRate.Details.Trailvane.Why.Operator = nil, nil
	callRate.Details.Trailvane.Why.Drivers[0].Lift = 1.0 / 3

	errorRate := base(AWS, "eu-west-1", "123456789012", EndState, 29462861)
	errorRate.Details.Type = APIErrorRate
	errorRate.Details.Object = "DescribeRegions"
	errorRate.Details.EventSource = "ec2.amazonaws.com"
	errorRate.Details.EventName = "DescribeRegions"
	errorRate.Details.ErrorCode = "Client.RequestLimitExceeded"
	errorRate.Details.Context = InsightContext{
		Statistics: Statistics{Insight: 3574.5950413223, Baseline: 154.063788119, InsightDuration: 121,
			BaselineDuration: 10723, InsightCount: 432526},
		Attributions: []Attribution{
			{UserAgentAttribute, []Attributed{{"a", 6}, {"b", 5}, {"c", 4}, {"d", 3}, {"e", 2}, {"beyond the limit", 1}}, nil},
			{PrincipalAttribute, values("arn:aws:iam::123456789012:role/scanner", 3574.5950413223), nil},
			{ErrorCodeAttribute, values("Client.RequestLimitExceeded", 3574.5950413223), nil},
		},
	}
	errorRate.Details.Trailvane.Why = Why{Detector: "apierrorrate", ModelVersion: "1",
		Log10P: math.Inf(-1), OneIn: math.Inf(1), EndReason: Cooled, Text: "Over."}

	rollup := base(AWS, "eu-west-1", "123456789012", StartState, 29462740)
	rollup.Details.Type = APICallRate
	rollup.Details.Object = "ec2.amazonaws.com"
	rollup.Details.EventSource = "ec2.amazonaws.com"
	rollup.Details.Context.Statistics = Statistics{Insight: 3, InsightDuration: 2, InsightCount: 6}
	rollup.Details.Trailvane.Why = Why{Detector: "apicallrate", ModelVersion: "1",
		Continues: "7B6E1D2C-0F55-4E0E-8C39-5A1D7F3B9E00"}

	address := base(Alibaba, "cn-hangzhou", "1234567890123456", StartState, 29462740)
	address.Details.Type = IP
	address.Details.Object = "203.0.113.7"
	address.Details.Context = InsightContext{
		Statistics: Statistics{Insight: 3, InsightDuration: 1, BaselineDuration: 10080, InsightCount: 3},
		Attributions: []Attribution{
			{UserAgentAttribute, values("AlibabaCloud API Workbench", 3), nil},
			{PrincipalAttribute, values("203766561706070001", 3), nil},
			{APIAttribute, values("Actiontrail/EnableInsight", 3), nil},
			{ErrorCodeAttribute, values("null", 3), nil},
		},
	}
	address.Details.Trailvane.Why = Why{Detector: "ip", ModelVersion: "1",
		Continues: "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e00", Address: samples()["finding"].(*Finding).Why.Address}

	policy := base(AWS, "us-east-1", "123456789012", EndState, 29462800)
	policy.Details.Type = PolicyChange
	policy.Details.Object = "iam.amazonaws.com"
	policy.Details.EventSource = "iam.amazonaws.com"
	policy.Details.Context.Statistics = Statistics{Insight: 0.05, InsightDuration: 60, BaselineDuration: 10080, InsightCount: 3}
	policy.Details.Trailvane = TrailvaneDetails{
		Why: Why{Detector: "policychange", ModelVersion: "1", EndReason: Silence,
			Operator: samples()["finding"].(*Finding).Why.Operator},
		Severity: "high", Score: 61, IncidentID: "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e00",
		Linked: []string{"7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e01"},
	}

	return map[string]*Insight{"call_rate": &callRate, "error_rate": &errorRate, "rollup": &rollup, "ip": &address, "policy": &policy}
}

// Each shape of each sample is a golden file, indented for reading, and valid by the shape's JSON Schema.
func TestGoldenInsights(t *testing.T) {
	for name, insight := range sampleInsights() {
		for _, shape := range Shapes() {
			for _, strict := range []bool{false, true} {
				rendered := insight.Render(shape, strict)
				validate(t, shape, rendered)
				suffix := ".golden.json"
				if strict {
					suffix = ".strict.golden.json"
				}
				path := filepath.Join("testdata", "insight", name+"."+string(shape)+suffix)
				compareGolden(t, path, append(indent(t, rendered), '\n'))
			}
		}
		if own := insight.Render(OwnShape, false); !bytes.Equal(own, insight.Render(map[Provider]Shape{
			AWS: CloudTrailShape, Alibaba: ActionTrailShape}[insight.Provider], false)) {
			t.Errorf("%s: own shape is %s", name, own)
		}
		if got := insight.Append(nil); !bytes.Equal(got, insight.Render(NativeShape, false)) {
			t.Errorf("%s: Append = %s, want the native shape", name, got)
		}
	}
}

func indent(t *testing.T, line []byte) []byte {
	t.Helper()
	if bytes.ContainsRune(line, '\n') {
		t.Errorf("more than one line: %s", line)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, line, "", "  "); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// CloudTrail's readers always find what was judged: the call, or else the object.
func TestCloudTrailShapeNamesTheCallOrTheObject(t *testing.T) {
	for _, typ := range InsightTypes() {
		for _, call := range [][2]string{{"s3.amazonaws.com", "DeleteBucket"}, {"s3.amazonaws.com", ""}, {"", "DeleteBucket"}, {}} {
			insight := sampleInsights()["ip"]
			insight.Details.Type, insight.Details.EventSource, insight.Details.EventName = typ, call[0], call[1]
			validate(t, CloudTrailShape, insight.Render(CloudTrailShape, true))
		}
	}
}

// The vendors' records, by the paths of their keys: what a strict rendering may hold, no more and no less.
const (
	cloudTrailKeys = `awsRegion eventCategory eventID eventTime eventType eventVersion insightDetails
		insightDetails.eventName insightDetails.eventSource insightDetails.insightContext
		insightDetails.insightContext.attributions insightDetails.insightContext.attributions.attribute
		insightDetails.insightContext.attributions.baseline insightDetails.insightContext.attributions.baseline.average
		insightDetails.insightContext.attributions.baseline.value insightDetails.insightContext.attributions.insight
		insightDetails.insightContext.attributions.insight.average
		insightDetails.insightContext.attributions.insight.value insightDetails.insightContext.statistics
		insightDetails.insightContext.statistics.baseline insightDetails.insightContext.statistics.baseline.average
		insightDetails.insightContext.statistics.baselineDuration insightDetails.insightContext.statistics.insight
		insightDetails.insightContext.statistics.insight.average insightDetails.insightContext.statistics.insightDuration
		insightDetails.insightType insightDetails.state recipientAccountId sharedEventID`
	actionTrailKeys = `acsRegion eventCategory eventId eventTime eventType eventVersion insightDetails
		insightDetails.insightContext insightDetails.insightContext.attributions
		insightDetails.insightContext.attributions.attribute insightDetails.insightContext.attributions.baseline
		insightDetails.insightContext.attributions.baseline.average
		insightDetails.insightContext.attributions.baseline.value insightDetails.insightContext.attributions.insight
		insightDetails.insightContext.attributions.insight.average
		insightDetails.insightContext.attributions.insight.value insightDetails.insightContext.statistics
		insightDetails.insightContext.statistics.baseline insightDetails.insightContext.statistics.baseline.average
		insightDetails.insightContext.statistics.baselineDuration insightDetails.insightContext.statistics.insight
		insightDetails.insightContext.statistics.insight.average insightDetails.insightContext.statistics.insightCount
		insightDetails.insightContext.statistics.insightDuration insightDetails.insightObject insightDetails.insightType
		insightDetails.state recipientAccountId sharedEventId`
)

func TestStrictShapesHaveTheVendorsKeys(t *testing.T) {
	insight := sampleInsights()["call_rate"]
	for shape, keys := range map[Shape]string{CloudTrailShape: cloudTrailKeys, ActionTrailShape: actionTrailKeys} {
		if diff := cmp.Diff(strings.Fields(keys), keyPaths(t, insight.Render(shape, true))); diff != "" {
			t.Errorf("%s (-vendor +ours):\n%s", shape, diff)
		}
	}
}

// The vendors' own samples, where they are at hand.
func TestPublishedSamples(t *testing.T) {
	data := os.Getenv("TRAILVANE_DATA")
	if data == "" {
		t.Skip("SKIP: no TRAILVANE_DATA")
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(data, "insight-event-samples", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, name := range []string{"aws_docs_call_rate_start.json", "aws_docs_call_rate_end.json"} {
		sample := read(name)
		ours := sampleInsights()["call_rate"].Render(CloudTrailShape, true)
		if diff := cmp.Diff(keyPaths(t, sample), keyPaths(t, ours)); diff != "" {
			t.Errorf("%s (-vendor +ours):\n%s", name, diff)
		}
		validate(t, CloudTrailShape, bytes.Replace(sample, []byte(`"1.07"`), []byte(`"1.09"`), 1))
	}
	lines := 0
	for line := range bytes.Lines(read("synthetic_actiontrail_insights.jsonl")) {
		var head struct {
			InsightDetails struct{ InsightType InsightType }
		}
		if err := json.Unmarshal(line, &head); err != nil {
			t.Fatal(err)
		}
		sample := map[InsightType]string{APICallRate: "call_rate", IP: "ip"}[head.InsightDetails.InsightType]
		validate(t, ActionTrailShape, line)
		if sample == "" {
			continue
		}
		ours := sampleInsights()[sample].Render(ActionTrailShape, true)
		if diff := cmp.Diff(keyPaths(t, line), keyPaths(t, ours)); diff != "" {
			t.Errorf("line %d (-published +ours):\n%s", lines, diff)
		}
		lines++
	}
	if lines < 2 {
		t.Errorf("compared %d ActionTrail samples, want at least 2", lines)
	}
}

// keyPaths returns the paths of all keys of a document, sorted; elements of lists share theirs.
func keyPaths(t *testing.T, doc []byte) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	var paths []string
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, e := range v {
				paths = append(paths, prefix+key)
				walk(prefix+key+".", e)
			}
		case []any:
			for _, e := range v {
				walk(prefix, e)
			}
		}
	}
	walk("", v)
	slices.Sort(paths)
	return slices.Compact(paths)
}

func TestInsightDecode(t *testing.T) {
	for name, want := range sampleInsights() {
		line := want.Append(nil)
		var got Insight
		if err := got.Decode(line); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again := got.Append(nil); !bytes.Equal(again, line) {
			t.Errorf("%s: round trip\n%s\n%s", name, line, again)
		}
		if got.Account() != want.Account() || got.EventTime != want.EventTime || got.Details.Type != want.Details.Type {
			t.Errorf("%s: got %+v", name, got)
		}

		later := bytes.Replace(line, []byte(`"insightDetails":{`), []byte(`"later":[1],"insightDetails":{"later":{},`), 1)
		var tolerant Insight
		if err := tolerant.Decode(later); err != nil {
			t.Errorf("%s with later fields: %v", name, err)
		} else if diff := cmp.Diff(got, tolerant); diff != "" {
			t.Errorf("%s with later fields (-want +got):\n%s", name, diff)
		}
	}

	for _, test := range []struct {
		body string
		want error
	}{
		{``, ErrMalformed},
		{`null`, ErrMalformed},
		{`[]`, ErrMalformed},
		{`{"eventCategory":"Management","eventVersion":"1"}`, ErrMalformed},
		{`{"eventCategory":"Insight","eventVersion":"2"}`, ErrVersion},
		{`{"eventCategory":"Insight","eventVersion":1}`, ErrMalformed},
		{`{"eventCategory":"Insight","eventVersion":"1","eventTime":"2026-01-07T05:40:01Z"}`, ErrMalformed},
		{strings.Repeat(`[`, 1<<20), ErrMalformed},
	} {
		var got Insight
		if err := got.Decode([]byte(test.body)); !errors.Is(err, test.want) {
			t.Errorf("Decode(%.80s) = %v, want %v", test.body, err, test.want)
		}
	}
}

func TestAppendLeavesTheInsightAsItIs(t *testing.T) {
	for name, insight := range sampleInsights() {
		insight.Render(CloudTrailShape, false)
		insight.Render(ActionTrailShape, true)
		insight.Append(nil)
		if diff := cmp.Diff(sampleInsights()[name], insight); diff != "" {
			t.Errorf("%s was changed (-before +after):\n%s", name, diff)
		}
	}
	prefix := []byte("before")
	if got := sampleInsights()["ip"].Append(prefix); !bytes.HasPrefix(got, []byte(`before{"eventVersion":"1",`)) {
		t.Errorf("Append = %.60s", got)
	}
}

func TestParseShape(t *testing.T) {
	for _, s := range append(Shapes(), OwnShape) {
		if got, err := ParseShape(string(s)); err != nil || got != s {
			t.Errorf("ParseShape(%q) = %q, %v", s, got, err)
		}
	}
	if got, err := ParseShape("CloudTrail"); err == nil {
		t.Errorf("ParseShape(CloudTrail) = %q, want an error", got)
	}
}

func TestRound(t *testing.T) {
	for _, test := range []struct {
		in   float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "0"}, {0.1 + 0.2, "0.3"}, {1.0 / 3, "0.333333"}, {-1.0 / 3, "-0.333333"},
		{0.0000882145, "0.0000882145"}, {12, "12"}, {999999, "999999"}, {999999.5, "1000000"}, {1234567, "1234570"},
		{3574.5950413223, "3574.6"}, {1e21, "1e+21"}, {0.0000001, "1e-7"}, {5e-324, "5e-324"},
		{math.NaN(), "0"}, {math.Inf(1), "1.79769e+308"}, {math.Inf(-1), "-1.79769e+308"}, {math.MaxFloat64, "1.79769e+308"},
	} {
		got, err := json.Marshal(Round(test.in))
		if err != nil || string(got) != test.want {
			t.Errorf("Round(%v) = %s, %v, want %s", test.in, got, err, test.want)
		}
		if r := Round(test.in); Round(r) != r {
			t.Errorf("Round(Round(%v)) = %v, want %v", test.in, Round(r), r)
		}
	}
}

func FuzzInsight(f *testing.F) {
	for _, insight := range sampleInsights() {
		f.Add(insight.Append(nil))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var first Insight
		if err := first.Decode(body); err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) {
				t.Fatalf("Decode: %v", err)
			}
			return
		}
		form := first.Append(nil)
		var second Insight
		if err := second.Decode(form); err != nil {
			t.Fatalf("Decode(Append()): %v\n%s", err, form)
		}
		if again := second.Append(nil); !bytes.Equal(again, form) {
			t.Fatalf("round trip:\n%s\n%s", form, again)
		}
		for _, shape := range Shapes() {
			if got := second.Render(shape, true); !bytes.Equal(got, first.Render(shape, true)) {
				t.Fatalf("%s: %s", shape, got)
			}
		}
	})
}
