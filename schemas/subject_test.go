package schemas

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func ExampleInsightSubject() {
	account := Account{Provider: AWS, ID: "123456789012"}
	subject := InsightSubject("eu-central-1", account, APICallRate, "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20")
	fmt.Println(subject)

	parts, err := ParseSubject(subject)
	if err != nil {
		panic(err)
	}
	owner, _ := ParseAccountToken(parts.Account)
	fmt.Println(parts.Region, owner, parts.Type)
	// Output:
	// insights.eu-central-1.aws-123456789012.ApiCallRateInsight.7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20
	// eu-central-1 aws:123456789012 ApiCallRateInsight
}

// hostile are names that a log could claim.
var hostile = []string{
	"", ".", "*", ">", "a.b", "eu-central-1.>", "eu central", "a\x00b", "ü", "\xff", "tick", "end", "settings", "all",
	strings.Repeat("a", 65), strings.Repeat("a", 1<<20), "x" + strings.Repeat("0", 32), "x" + strings.Repeat("AB", 16),
	"$JS.API.STREAM.DELETE.RAW_0",
}

var safe = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func TestTokenOfHostileNames(t *testing.T) {
	seen := map[string]string{}
	for _, name := range append(hostile, "eu-central-1", "cn-hangzhou", "us_gov", "Tick", strings.Repeat("a", 64)) {
		token := Token(name)
		if !safe.MatchString(token) {
			t.Errorf("Token(%.80q) = %q is not safe", name, token)
		}
		if other, ok := seen[token]; ok {
			t.Errorf("Token(%.80q) == Token(%.80q) = %q", name, other, token)
		}
		seen[token] = name
	}
}

func TestTokenIsStableForEver(t *testing.T) {
	for name, want := range map[string]string{
		"eu-central-1": "eu-central-1",
		"xab":          "xab",
		"":             "xe3b0c44298fc1c149afbf4c8996fb924",
		"tick":         "x55a4bc5be68ea5c30cbe4d07e3bf9511",
		"a.b":          "x2e7336dc8eba87ef472df568c35482ab",
	} {
		if got := Token(name); got != want {
			t.Errorf("Token(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestSubjects(t *testing.T) {
	const id = "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20"
	account := Account{Alibaba, "1234567890123456"}
	hash := Token("a.b")
	for _, test := range []struct {
		subject, want, stream string
		parsed                Subject
	}{
		{RawSubject(7, "cloudtrail"), "raw.7.cloudtrail", "RAW_7", Subject{Flow: RawFlow, Number: 7, Format: "cloudtrail"}},
		{RawSubject(7, "tick"), "raw.7.tick", "RAW_7", Subject{Flow: RawFlow, Number: 7, Control: TickControl}},
		{EventsSubject(0, "a.b"), "events.0." + hash, "EVENTS_0", Subject{Flow: EventsFlow, Region: hash}},
		{EventsSubject(0, "end"), "events.0." + Token("end"), "EVENTS_0", Subject{Flow: EventsFlow, Region: Token("end")}},
		{EventsControl(31, EndControl), "events.31.end", "EVENTS_31",
			Subject{Flow: EventsFlow, Number: 31, Control: EndControl}},
		{WindowsSubject(2, "cn-hangzhou", TickPane), "windows.2.cn-hangzhou.tick", "WINDOWS_2",
			Subject{Flow: WindowsFlow, Number: 2, Region: "cn-hangzhou", Kind: TickPane}},
		{WindowsControl(2, SettingsControl), "windows.2.settings", "WINDOWS_2",
			Subject{Flow: WindowsFlow, Number: 2, Control: SettingsControl}},
		{FindingsSubject(2, "", IP), "findings.2.all.IpInsight", "FINDINGS_2",
			Subject{Flow: FindingsFlow, Number: 2, Type: IP}},
		{FindingsSubject(2, "all", IP), "findings.2." + Token("all") + ".IpInsight", "FINDINGS_2",
			Subject{Flow: FindingsFlow, Number: 2, Region: Token("all"), Type: IP}},
		{MetricsSubject("a.b", account), "metrics." + hash + ".alibaba-1234567890123456", "METRICS",
			Subject{Flow: MetricsFlow, Region: hash, Account: account.Token()}},
		{InsightSubject("cn-hangzhou", account, AK, id),
			"insights.cn-hangzhou.alibaba-1234567890123456.AkInsight." + id, "INSIGHTS",
			Subject{Flow: InsightsFlow, Region: "cn-hangzhou", Account: account.Token(), Type: AK, ID: id}},
		{DeadSubject("normalizer"), "dead.normalizer", "DEAD", Subject{Flow: DeadFlow, Stage: "normalizer"}},
	} {
		if test.subject != test.want {
			t.Errorf("built %q, want %q", test.subject, test.want)
		}
		if stream, err := StreamOf(test.subject); err != nil || stream != test.stream {
			t.Errorf("StreamOf(%q) = %q, %v, want %q", test.subject, stream, err, test.stream)
		}
		got, err := ParseSubject(test.subject)
		if err != nil {
			t.Errorf("ParseSubject(%q): %v", test.subject, err)
		}
		if diff := cmp.Diff(test.parsed, got); diff != "" {
			t.Errorf("ParseSubject(%q) (-want +got):\n%s", test.subject, diff)
		}
		if s := got.String(); s != test.subject {
			t.Errorf("String() = %q, want %q", s, test.subject)
		}
	}
}

// Whatever a log calls its region and account, the subject keeps its form and says so.
func TestHostileNamesKeepTheForm(t *testing.T) {
	for _, name := range hostile {
		account := Account{AWS, name}
		for _, subject := range []string{
			EventsSubject(1, name), WindowsSubject(1, name, CountsPane), FindingsSubject(1, "r"+name, IP),
			InsightSubject(name, account, IP, name), MetricsSubject(name, account),
		} {
			got, err := ParseSubject(subject)
			if err != nil || got.Control != "" || got.Region == "" {
				t.Errorf("ParseSubject(%q) = %+v, %v of name %.80q", subject, got, err, name)
			}
		}
		if a, ok := ParseAccountToken(account.Token()); ok && a != account {
			t.Errorf("ParseAccountToken of %.80q is %v", account, a)
		}
	}
}

func TestParseSubjectRefuses(t *testing.T) {
	for _, s := range []string{
		"", "raw", "raw.", "raw.0", "raw.x.cloudtrail", "raw.-1.tick", "raw.00.tick", "raw.256.tick", "raw.+1.tick", "raw.0.a.b",
		"events.0.*", "events.0.eu.west", "windows.0.tick", "windows.0.eu-central-1", "windows.0.eu-central-1.other",
		"findings.0.eu-central-1.NoInsight", "insights.eu-central-1.aws-1.IpInsight", "insights.a.b.IpInsight.>", "dead", "dead.",
		"metrics", "metrics.eu-central-1", "metrics.a.b.c", "other.0.x", "RAW.0.tick", "raw.0.tick.",
	} {
		if got, err := ParseSubject(s); err == nil {
			t.Errorf("ParseSubject(%q) = %+v, want an error", s, got)
		}
	}
	for _, s := range []string{"", "raw", "raw.0", "raw.01.tick", "raw.256.tick", "raw.0.", "insights", "insights.", "metrics.", "x.0.y"} {
		if got, err := StreamOf(s); err == nil {
			t.Errorf("StreamOf(%q) = %q, want an error", s, got)
		}
	}
}

func TestInsightsFilter(t *testing.T) {
	for _, test := range []struct {
		region  string
		account Account
		typ     InsightType
		want    string
	}{
		{want: "insights.*.*.*.*"},
		{region: "eu-central-1", want: "insights.eu-central-1.*.*.*"},
		{region: ">", account: Account{AWS, "1"}, typ: IP, want: "insights." + Token(">") + ".aws-1.IpInsight.*"},
	} {
		if got := InsightsFilter(test.region, test.account, test.typ); got != test.want {
			t.Errorf("InsightsFilter(%q, %v, %q) = %q, want %q", test.region, test.account, test.typ, got, test.want)
		}
	}
}

func TestMetricsFilter(t *testing.T) {
	for _, test := range []struct {
		region  string
		account Account
		want    string
	}{
		{want: "metrics.*.*"},
		{region: "eu-central-1", want: "metrics.eu-central-1.*"},
		{region: ">", account: Account{AWS, "1"}, want: "metrics." + Token(">") + ".aws-1"},
	} {
		if got := MetricsFilter(test.region, test.account); got != test.want {
			t.Errorf("MetricsFilter(%q, %v) = %q, want %q", test.region, test.account, got, test.want)
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	for _, s := range []string{"raw.7.cloudtrail", "windows.2.settings", "findings.2.all.IpInsight", "insights.a.aws-1.IpInsight.b", "metrics.a.aws-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseSubject(s)
		if err != nil {
			return
		}
		if got.String() != s {
			t.Errorf("ParseSubject(%q).String() = %q", s, got.String())
		}
		if _, err := StreamOf(s); err != nil {
			t.Errorf("StreamOf(%q): %v, but it parses", s, err)
		}
	})
}
