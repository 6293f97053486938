package present

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/view"
	"github.com/trailvane/trailvane/schemas"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got), -update if it is meant:\n%s", file, diff)
	}
}

var monday = schemas.MinuteOf(time.Date(2026, 3, 9, 0, 0, 0, 0, time.UTC).Unix())

// hostile is what an attacker may write into a user agent: it clears the screen, turns the direction, hides, breaks lines.
const hostile = "\x1b[2J\x1b]0;pwned\x07evil\u202eexe.nohtyp\u200b\r\nALL IS WELL\x00\xff"

// insights are two stretches that are over, one that is open, and one of which only the End is shown.
func insights() []schemas.Insight {
	one := func(id string, state schemas.State, at schemas.Minute, minutes uint32, calls uint64) schemas.Insight {
		i := schemas.Insight{
			EventVersion: schemas.InsightVersion, EventCategory: schemas.InsightEventCategory,
			EventID: id + string(state), SharedEventID: id, EventTime: at,
			Provider: schemas.AWS, Region: "eu-central-1", AccountID: "123456789012",
		}
		i.Details = schemas.InsightDetails{
			State: state, Type: schemas.APICallRate, Object: "TerminateInstances",
			EventSource: "ec2.amazonaws.com", EventName: "TerminateInstances",
		}
		i.Details.Context = schemas.InsightContext{
			Statistics: schemas.Statistics{
				Insight: float64(calls) / float64(minutes), Baseline: 0.04, InsightDuration: minutes,
				BaselineDuration: 10265, InsightCount: calls,
			},
			Attributions: []schemas.Attribution{
				{Attribute: "userAgent", Insight: []schemas.Attributed{{Value: "aws-cli/1.22.34", Average: 22}}},
				{Attribute: "principalId", Insight: []schemas.Attributed{
					{Value: "arn:aws:iam::123456789012:user/ci-deploy", Average: 21}, {Value: "autoscaling.amazonaws.com", Average: 1},
				}, Baseline: []schemas.Attributed{{Value: "autoscaling.amazonaws.com", Average: 0.04}}},
				{Attribute: "errorCode", Insight: []schemas.Attributed{
					{Value: schemas.NoError, Average: 20}, {Value: "Client.OperationNotPermitted", Average: 2},
				}},
			},
		}
		i.Details.Trailvane.Why = schemas.Why{
			Detector: "apicallrate", OneIn: 3.4e9, Text: "TerminateInstances was called 312 times in 14 minutes by user/ci-deploy; " +
				"normally 2.5 an hour; one in 3 billion active hours is so unusual.",
			SampleEventIDs: []string{"b9ae9d33-e18e-4788-b0cc-197328fbd67e"},
			Drivers: []schemas.Driver{
				{Dimension: "sourceIPAddress", Value: "203.0.113.66", Insight: 22.3},
				{Dimension: "accessKeyId", Value: "AKIAGH6PZ5N7IEXAMPLE", Insight: 22.3, Baseline: 0.0006},
			},
		}
		if state == schemas.EndState {
			i.Details.Trailvane.Why.EndReason = schemas.Cooled
		}
		return i
	}
	odd := one("odd", schemas.StartState, monday+200, 3, 1)
	odd.Provider, odd.AccountID, odd.Region = schemas.Alibaba, "1234567890123456", "ap-southeast-1"
	odd.Details.Object = hostile
	odd.Details.Context.Statistics.Baseline = 0
	odd.Details.Context.Attributions = []schemas.Attribution{
		{Attribute: "principalId", Insight: []schemas.Attributed{{Value: hostile, Average: 1}}},
		{Attribute: hostile, Insight: []schemas.Attributed{{Value: hostile, Average: 1}}},
	}
	odd.Details.Trailvane.Why = schemas.Why{
		Text: hostile, OneIn: 5e14, SampleEventIDs: []string{hostile},
		Drivers: []schemas.Driver{{Dimension: hostile, Value: hostile, Insight: 1}},
	}
	alone := one("alone", schemas.EndState, monday+4000, 1505, 90000)
	alone.Details.Type, alone.Details.Object = schemas.IP, "203.0.113.140"
	return viewed([]schemas.Insight{
		one("b", schemas.StartState, monday+100, 1, 23), one("b", schemas.EndState, monday+114, 14, 312), odd, alone,
		one("a", schemas.StartState, monday+100, 2, 40), one("a", schemas.EndState, monday+285, 185, 1312),
	})
}

// viewed fills in severity and incidents.
func viewed(all []schemas.Insight) []schemas.Insight {
	for i, v := range view.All(all) {
		v.Fill(&all[i])
	}
	return all
}

// story is an incident with one insight of each type, by one key from one address.
func story() []schemas.Insight {
	var all []schemas.Insight
	add := func(id string, kind schemas.InsightType, region, object, service, event string, at schemas.Minute, minutes uint32, calls uint64, why schemas.Why, codes ...string) {
		i := schemas.Insight{
			EventVersion: schemas.InsightVersion, EventCategory: schemas.InsightEventCategory,
			EventID: id + "-end", SharedEventID: id, EventTime: monday + at + schemas.Minute(minutes),
			Provider: schemas.AWS, Region: region, AccountID: "123456789012",
			Details: schemas.InsightDetails{State: schemas.EndState, Type: kind, Object: object, EventSource: service, EventName: event},
		}
		i.Details.Context.Statistics = schemas.Statistics{
			Insight: float64(calls) / float64(minutes), InsightDuration: minutes, BaselineDuration: 10265, InsightCount: calls,
		}
		if why.Rate != nil {
			i.Details.Context.Statistics.Baseline = 0.04
		}
		outcome := schemas.Attribution{Attribute: schemas.ErrorCodeAttribute}
		for _, c := range codes {
			outcome.Insight = append(outcome.Insight, schemas.Attributed{Value: c, Average: 1})
		}
		i.Details.Context.Attributions = []schemas.Attribution{
			{Attribute: schemas.PrincipalAttribute, Insight: []schemas.Attributed{{Value: "arn:aws:iam::123456789012:user/ci-deploy", Average: 21}}},
			outcome,
		}
		why.Drivers = []schemas.Driver{{Dimension: "sourceIPAddress", Value: "203.0.113.66", Insight: 21}}
		why.EndReason, why.Text = schemas.Silence, "In one sentence."
		i.Details.Trailvane.Why = why
		all = append(all, i)
	}
	rate := func(ratio float64) *schemas.RateWhy { return &schemas.RateWhy{Ratio: ratio} }
	broad := rate(80)
	broad.Breadth, broad.BreadthExpected, broad.DormantDays = 14, 3.2, 40
	codes := rate(50)
	codes.ErrorRatio, codes.ErrorRatioBaseline = 0.98, 0.0125
	add("ip", schemas.IP, "eu-central-1", "203.0.113.66", "", "", 200, 31, 330, schemas.Why{Log10P: -5, Address: &schemas.AddressWhy{
		AccountKnew: "nothing", PrincipalKnew: "its country (ZZ)", PrincipalDays: 9.5, NoveltyDays: 0.2, BackOff: "kind", ASN: "AS64500", Country: "ZZ",
		Modifiers: []schemas.Modifier{{Name: "new user agent", Ratio: 4}, {Name: "shared by three people", Ratio: 0.5}}, More: 2,
	}}, schemas.NoError)
	add("rate", schemas.APICallRate, "eu-central-1", "TerminateInstances", "ec2.amazonaws.com", "TerminateInstances", 204, 14, 312,
		schemas.Why{Log10P: -9, Rate: rate(520)}, schemas.NoError)
	add("ak", schemas.AK, "eu-central-1", "AKIAGH6PZ5N7IEXAMPLE", "", "", 204, 15, 320, schemas.Why{Log10P: -7, Rate: broad}, schemas.NoError)
	add("policy", schemas.PolicyChange, "us-east-1", "iam.amazonaws.com", "iam.amazonaws.com", "", 221, 1, 2, schemas.Why{
		Log10P: -3, Operator: &schemas.OperatorWhy{
			Class: "policy", Operation: "iam.amazonaws.com/AttachUserPolicy", Tier: "core", Target: "an administrator's policy", FirstTime: true,
			Hazard: 0.002, Surprise: 9, Denied: 1,
			Surprises: []schemas.Surprise{{Attribute: "network", Value: "203.0.113.0/24", Nats: 4.6}},
			Rules:     []schemas.Rule{{Text: "AttachUserPolicy is done by role infrastructure", Hits: 57, Days: 57, Lower: 0.967}},
		},
	}, schemas.NoError, "AccessDenied")
	add("password", schemas.PasswordChange, "us-east-1", "iam.amazonaws.com", "iam.amazonaws.com", "", 223, 1, 1, schemas.Why{
		Log10P: -3, Operator: &schemas.OperatorWhy{Class: "password", Operation: "iam.amazonaws.com/CreateLoginProfile", HabitualDays: 1},
	}, schemas.NoError)
	add("trail", schemas.TrailConcealment, "eu-central-1", "cloudtrail.amazonaws.com", "cloudtrail.amazonaws.com", "", 225, 1, 1, schemas.Why{
		Log10P: -1, Operator: &schemas.OperatorWhy{Class: "trail", Operation: "cloudtrail.amazonaws.com/StopLogging", FirstTime: true, Denied: 1},
	}, "AccessDenied")
	add("errors", schemas.APIErrorRate, "eu-central-1", "GetBucketPolicy", "s3.amazonaws.com", "GetBucketPolicy", 226, 4, 90,
		schemas.Why{Log10P: -6, Rate: codes}, "AccessDenied")
	all[len(all)-1].Details.ErrorCode = "AccessDenied"
	return viewed(all)
}

// evil is the story as an attacker would write it, who has a say in every text.
func evil() []schemas.Insight {
	all := story()
	for n := range all {
		i := &all[n]
		i.Region, i.AccountID, i.Details.Object, i.Details.ErrorCode = hostile, hostile, hostile, hostile
		for a := range i.Details.Context.Attributions {
			for v := range i.Details.Context.Attributions[a].Insight {
				i.Details.Context.Attributions[a].Insight[v].Value = "arn:aws:iam::1:" + hostile
			}
		}
		t := &i.Details.Trailvane
		t.Why.Text = hostile
		t.Severity = hostile
		t.Why.SampleEventIDs = []string{hostile}
		t.Why.Drivers = []schemas.Driver{{Dimension: hostile, Value: "!" + hostile, Insight: math.Inf(1), Baseline: math.Inf(1)},
			{Dimension: "sourceIPAddress", Value: "!" + hostile, Insight: math.NaN()}}
		if a := t.Why.Address; a != nil {
			a.AccountKnew, a.PrincipalKnew, a.BackOff, a.ASN, a.Country = hostile, hostile, hostile, hostile, hostile
			a.Modifiers = []schemas.Modifier{{Name: hostile, Ratio: math.NaN()}, {Name: strings.Repeat("x", 2000), Ratio: math.Inf(1)}}
		}
		if o := t.Why.Operator; o != nil {
			o.Operation, o.Target, o.Class = hostile+"/"+hostile, hostile, hostile
			o.Surprises = []schemas.Surprise{{Attribute: hostile, Value: hostile, Nats: math.Inf(1)}}
			o.Rules = []schemas.Rule{{Text: hostile}}
		}
	}
	return all
}

func TestTable(t *testing.T) {
	golden(t, "table.txt", Table(insights(), 0))
	golden(t, "table_80.txt", Table(insights(), 80))
	golden(t, "story.txt", Table(append(story(), insights()...), 0))
	golden(t, "story_80.txt", Table(append(story(), insights()...), 80))
	if got := Table(nil, 80); got != "" {
		t.Errorf("Table(nil) = %q, want nothing", got)
	}
}

func TestTableFits(t *testing.T) {
	for _, all := range [][]schemas.Insight{insights(), story(), evil()} {
		for width := leastWidth; width < 300; width++ {
			for line := range strings.Lines(Table(all, width)) {
				if n := columns(strings.TrimSuffix(line, "\n")); n > width {
					t.Fatalf("width %d: line of %d columns: %s", width, n, line)
				}
			}
		}
	}
}

// fed is what a feed has written of insights.
func fed(all []schemas.Insight, f Feed, width int) string {
	var b strings.Builder
	for i := range all {
		b.WriteString(f.Row(&all[i], width))
	}
	return b.String()
}

func TestFeed(t *testing.T) {
	all := append(story(), insights()...)
	golden(t, "feed_80.txt", fed(all, Feed{}, 80))
	golden(t, "feed_200.txt", fed(all, Feed{}, 200))
	for width := leastWidth; width < 300; width++ {
		text := fed(append(all, evil()...), Feed{}, width)
		for line := range strings.Lines(text) {
			if n := columns(strings.TrimSuffix(line, "\n")); n > width {
				t.Fatalf("width %d: line of %d columns: %s", width, n, line)
			}
		}
		colours := fed(append(all, evil()...), Feed{Colours: true}, width)
		if colours == text {
			t.Fatalf("width %d: no colours", width)
		}
		for _, sequence := range []string{"\x1b[33m", "\x1b[31m", "\x1b[1;31m", "\x1b[0m"} {
			colours = strings.ReplaceAll(colours, sequence, "")
		}
		if colours != text {
			t.Fatalf("width %d: with colours the text is another", width)
		}
	}
}

func TestExplanationFits(t *testing.T) {
	for _, s := range Stretches(append(story(), evil()...)) {
		for _, width := range []int{40, 60, 110} {
			for line := range strings.Lines(Explain(s, width)) {
				// The title is of names that are cut, each by itself.
				if n := columns(strings.TrimSuffix(line, "\n")); n > width && strings.HasPrefix(line, " ") {
					t.Errorf("width %d: line of %d columns: %s", width, n, line)
				}
			}
		}
	}
}

func TestIncidents(t *testing.T) {
	for _, n := range Incidents(Stretches(append(story(), insights()...))) {
		for _, s := range n.Stretches {
			if got := s.last().Details.Trailvane.IncidentID; got != n.ID {
				t.Errorf("insight of incident %s in incident %s", got, n.ID)
			}
		}
	}
	plain := insights()
	for i := range plain {
		plain[i].Details.Trailvane.IncidentID = ""
	}
	if got := Incidents(Stretches(plain)); len(got) != 4 {
		t.Errorf("%d incidents of four insights without views", len(got))
	}
}

func TestNovelty(t *testing.T) {
	for knew, want := range map[string]string{
		"nothing": "new network", "its country (ZZ)": "new network", "its network (AS64500)": "new part of a known network",
		"its /24": "new address", "its /16": "new part of a known network", "its /8": "new network", "the address itself": "new for this caller",
		"its /64": "new address", "its /48": "new address", "": "new address",
	} {
		if got := novelty(&schemas.AddressWhy{AccountKnew: knew}); got != want {
			t.Errorf("%q: %s, want %s", knew, got, want)
		}
	}
	if got := novelty(&schemas.AddressWhy{AccountKnew: "nothing", Country: "ZZ"}); got != "new country" {
		t.Error(got)
	}
}

func TestExplain(t *testing.T) {
	var b strings.Builder
	for _, s := range Stretches(insights()) {
		b.WriteString(Explain(s, 100) + "\n")
	}
	golden(t, "explain.txt", b.String())
	b.Reset()
	for _, s := range Stretches(story()) {
		b.WriteString(Explain(s, 100) + "\n")
	}
	golden(t, "explain_story.txt", b.String())
}

func TestStretchesDoNotDependOnOrder(t *testing.T) {
	all := insights()
	want := Table(all, 0)
	for i := range all {
		all[0], all[i] = all[i], all[0]
		if got := Table(all, 0); got != want {
			t.Errorf("table depends on the order of events:\n%s", cmp.Diff(want, got))
		}
	}
}

func summary() *Summary {
	return &Summary{
		Files: 7141, Store: 7000, New: 141, Skipped: map[string]int64{"digest": 240, "not_a_log": 1, "empty": 0}, NotLogs: []string{"notes.txt" + hostile},
		Stored: 12_265_034, Records: 75_600,
		Events: 75_450, Dropped: map[string]uint64{"data": 12, "network": 1}, Duplicates: 150, Late: 7, Stale: 3,
		Dead: map[string]uint64{"malformed": 2, "too_large": 12},
		FirstDead: []schemas.DeadLetter{
			{Object: "a.json.gz", Offset: 1234, Reason: "malformed", Error: "eventTime: no time"},
			{Object: hostile, Offset: 0, Reason: hostile, Error: hostile},
			{Object: "c.json.gz", Offset: 1 << 33, Reason: "too_large", Error: "record of 5 MB"},
			{Object: "d.json.gz", Reason: "too_large"},
		},
		Seen: true, First: monday, Last: monday + 10*schemas.Day, Took: 2295 * time.Millisecond,
	}
}

func TestSummary(t *testing.T) {
	golden(t, "summary.txt", summary().Text(append(story(), insights()...)))
	golden(t, "summary_empty.txt", new(Summary).Text(nil))
}

func TestNothing(t *testing.T) {
	aws, acs := schemas.Account{Provider: schemas.AWS, ID: "123456789012"}, schemas.Account{Provider: schemas.Alibaba, ID: hostile}
	learning := []detect.Learning{
		{Type: schemas.IP, Account: aws, Seen: 60, Needed: schemas.Day},
		{Type: schemas.APICallRate, Account: acs, Seen: 20 * 60, Needed: schemas.Day},
		{Type: schemas.APICallRate, Account: aws, Seen: 56, Needed: schemas.Day},
	}
	misses := []detect.NearMiss{
		{Type: schemas.APICallRate, Account: aws, Region: "us-east-1", Object: "DeleteBucket", At: monday, Count: 9, Log10P: -4.2, Line: -5,
			Text: "DeleteBucket was called 9 times in 5 minutes; normally never; 12 would have been unusual."},
		{Type: schemas.APICallRate, Account: acs, Region: hostile, Object: hostile, At: monday, Log10P: -3, Line: -5, Text: hostile},
	}
	s := summary()
	golden(t, "nothing_learning.txt", s.Nothing(learning, nil))
	golden(t, "nothing_near.txt", s.Nothing(nil, misses))
	golden(t, "nothing_quiet.txt", s.Nothing(nil, nil))
	golden(t, "nothing_read.txt", new(Summary).Nothing(nil, nil))
}

// Whatever a log says, what is shown holds only printable characters and our own line ends.
func TestHostileTextIsShownEscaped(t *testing.T) {
	s := summary()
	learning := []detect.Learning{{Account: schemas.Account{ID: hostile}}}
	misses := []detect.NearMiss{{Object: hostile, Region: hostile, Text: hostile, Account: schemas.Account{ID: hostile}}}
	texts := map[string]string{
		"table": Table(insights(), 0), "narrow table": Table(insights(), 60), "summary": s.Text(insights()),
		"feed": fed(insights(), Feed{}, 80), "wide feed": fed(evil(), Feed{}, 0), "evil feed": fed(evil(), Feed{}, 60),
		"learning": s.Nothing(learning, nil), "near": NearMisses(misses),
	}
	texts["evil table"], texts["evil narrow table"], texts["evil summary"] = Table(evil(), 0), Table(evil(), 60), s.Text(evil())
	for _, e := range append(Stretches(insights()), Stretches(evil())...) {
		texts["explain "+e.first().SharedEventID] = Explain(e, 0)
	}
	for name, text := range texts {
		for _, r := range text {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s holds %q:\n%q", name, r, text)
				break
			}
		}
		if strings.Contains(text, "\nALL IS WELL") {
			t.Errorf("%s: a log has begun a line of its own:\n%s", name, text)
		}
	}
}

func TestSafe(t *testing.T) {
	tests := []struct {
		name, in string
		width    int
		want     string
	}{
		{"plain", "user/ci-deploy", 20, "user/ci-deploy"},
		{"exact", "12345", 5, "12345"},
		{"long", "123456", 5, "1234…"},
		{"no room", "123456", 0, ""},
		{"one column", "123456", 1, "…"},
		{"empty", "", 0, ""},
		{"ansi", "\x1b[31mred", 20, `\x1b[31mred`},
		{"c1 control", "\u009b31m", 20, `\x9b31m`},
		{"lines", "a\r\nb\tc", 20, `a\r\nb\tc`},
		{"bidi", "a\u202eb\u2066c", 20, `a\u202eb\u2066c`},
		{"no width", "a\u200bb\ufeff", 20, `a\u200bb\ufeff`},
		{"tag characters", "a\U000e0041", 20, `a\U000e0041`},
		{"not UTF-8", "a\xff\xfeb", 20, `a\xff\xfeb`},
		{"real replacement character", "a\ufffdb", 20, "a\ufffdb"},
		{"wide", "删除实例", 8, "删除实例"},
		{"wide and long", "删除实例", 7, "删除实…"},
		{"an escape is not cut", "abc\x1b", 6, "abc…"},
		{"other spaces", "a\u00a0\u3000b", 20, `a\xa0\u3000b`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Safe(tt.in, tt.width); got != tt.want {
				t.Errorf("Safe(%q, %d) = %q, want %q", tt.in, tt.width, got, tt.want)
			}
		})
	}
}

func FuzzSafe(f *testing.F) {
	f.Add(hostile, 10)
	f.Add("删除实例", 3)
	f.Add(strings.Repeat("e\u0301", 50), 20)
	f.Fuzz(func(t *testing.T, in string, width int) {
		got := Safe(in, width)
		if !utf8.ValidString(got) {
			t.Errorf("Safe(%q, %d) = %q is not UTF-8", in, width, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Errorf("Safe(%q, %d) = %q holds %q", in, width, got, r)
			}
		}
		if n := columns(got); n > max(width, 0) {
			t.Errorf("Safe(%q, %d) = %q takes %d columns", in, width, got, n)
		}
		if Safe(got, width) != got {
			t.Errorf("Safe(%q, %d) = %q is not safe itself", in, width, got)
		}
	})
}

func TestNDJSON(t *testing.T) {
	var b bytes.Buffer
	all := insights()
	if err := NDJSON(&b, all, schemas.OwnShape, false); err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(b.Bytes()) {
		n++
		if !json.Valid(line) || bytes.ContainsAny(line, "\x1b\x00\r") {
			t.Errorf("line %d: %q", n, line)
		}
	}
	if n != len(all) {
		t.Errorf("%d lines, want %d", n, len(all))
	}
}

func TestBar(t *testing.T) {
	tests := []struct {
		name        string
		done, total int64
		elapsed     time.Duration
		width       int
		want        string
	}{
		{"no total yet", 0, 0, 1500 * time.Millisecond, 79, "looking for logs, 1.5 s"},
		{"begun", 0, 87e6, 0, 79, "[                                        ]   0 %  0 bytes of 87.0 MB"},
		{"half", 43.5e6, 87e6, 10 * time.Second, 79, "[===============               ]  50 %  43.5 MB of 87.0 MB  4.3 MB/s  10 s left"},
		{"done", 87e6, 87e6, 20 * time.Second, 79, "[=============================] 100 %  87.0 MB of 87.0 MB  4.3 MB/s  0.0 s left"},
		{"more than there was", 90e6, 87e6, 20 * time.Second, 60, "[==========] 100 %  90.0 MB of 87.0 MB  4.5 MB/s  0.0 s left"},
		{"narrow", 43.5e6, 87e6, 10 * time.Second, 30, "50 %  43.5 MB of 87.0 MB  4.3…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := bar(tt.done, tt.total, tt.elapsed, Bytes, tt.width)
			if got != tt.want {
				t.Errorf("bar = %q\nwant  %q", got, tt.want)
			}
			if columns(got) > tt.width {
				t.Errorf("bar takes %d columns of %d: %q", columns(got), tt.width, got)
			}
		})
	}
}

// Into a file or a pipe no bar is drawn.
func TestProgressIsForTerminals(t *testing.T) {
	var b bytes.Buffer
	stop := Progress(&b, Bytes, func() (int64, int64) { t.Error("asked for progress"); return 0, 0 })
	stop()
	stop()
	if b.Len() > 0 {
		t.Errorf("wrote %q", b.String())
	}
}

func TestNumbers(t *testing.T) {
	for in, want := range map[float64]string{0: "0", 0.04: "0.04", 9.99: "10", 10: "10", 556.4: "556", 199364: "199,364", 8132090: "8.13 million", 5.66824e11: "567 billion", 1e12: "over a trillion"} {
		if got := large(in); got != want {
			t.Errorf("large(%v) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := count(in); got != want {
			t.Errorf("count(%d) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[time.Duration]string{0: "0.0 s", 2295 * time.Millisecond: "2.3 s", 42 * time.Second: "42 s", 185 * time.Second: "3 min 5 s"} {
		if got := took(in); got != want {
			t.Errorf("took(%v) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[schemas.Minute]string{1: "1m", 59: "59m", 185: "3h05m", 1505: "1d01h"} {
		if got := lasted(in); got != want {
			t.Errorf("lasted(%d) = %q, want %q", in, got, want)
		}
	}
}
