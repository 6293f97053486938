package e2e

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

// falseAlarms is how many insights that nobody planted each account of the story may have: none. The models tolerate a few in a
// month, so another seed may have one.
const falseAlarms = 0

// An attack is what the simulator says that it has planted.
type attack struct {
	name, account, from, to string
	expect                  []expected
}

type expected struct{ kind, object, region string }

// attacks reads the truth as "simulate" prints it.
func attacks(t *testing.T, account string) []attack {
	t.Helper()
	var all []attack
	planted := regexp.MustCompile(`^planted: (.*) of \S+ in \w+:(\d+), from (\S+) to (\S+), from \S+$`)
	insight := regexp.MustCompile(`^  (\w+Insight) (\S+) in (\S+)$`)
	for line := range strings.Lines(truth) {
		line = strings.TrimRight(line, "\n")
		if m := planted.FindStringSubmatch(line); m != nil {
			all = append(all, attack{name: m[1], account: m[2], from: m[3], to: m[4]})
		}
		if m := insight.FindStringSubmatch(line); m != nil {
			last := &all[len(all)-1]
			last.expect = append(last.expect, expected{m[1], m[2], m[3]})
		}
	}
	return slices.DeleteFunc(all, func(a attack) bool { return a.account != account })
}

// The story of the vendor's overview page, in both clouds and their own formats: a key is stolen, and used from an address that
// nobody knows to delete what there is; then it takes rights and a password, and switches the trail off. Each insight type that
// has to see it does, once, and all of them are one incident. On another day a program loses a permission. Whoever changes
// permissions or passwords because it is his work, works from a new address or gets a new key, is not told.
func TestOverviewStory(t *testing.T) {
	for _, c := range []struct{ format, account, bucket string }{
		{"cloudtrail", "123456789012", "tamarisk-cloudtrail"},
		{"actiontrail", "1234567890123456", "tamarisk-actiontrail-1234567890123456"},
	} {
		t.Run(c.format, func(t *testing.T) {
			var events []gjson.Result
			for line := range strings.Lines(analyze(t, "--format", c.format, "--shape", "native", company+"/"+c.bucket).out) {
				events = append(events, gjson.Parse(line))
			}
			incidents := map[string]bool{}
			for _, a := range attacks(t, c.account) {
				incident := a.found(t, events)
				if incidents[incident] {
					t.Errorf("%s: in the incident of something else", a.name)
				}
				incidents[incident] = true
			}
			if len(incidents) != 2 {
				t.Fatalf("%d incidents, want that of the key and that of the permission", len(incidents))
			}
			var others []string
			for _, e := range events {
				if e.Get("insightDetails.state").String() == "Start" && !incidents[e.Get("insightDetails.trailvane.incidentId").String()] {
					others = append(others, inWords(e.Raw)...)
				}
			}
			if len(others) > falseAlarms {
				t.Errorf("%d false alarms, want at most %d:\n%s", len(others), falseAlarms, strings.Join(others, "\n"))
			}
		})
	}
}

// found checks that everything expected is there, once, while it was done, and in one incident, which it returns.
func (a *attack) found(t *testing.T, events []gjson.Result) string {
	t.Helper()
	incident, severities := "", []string{}
	for _, x := range a.expect {
		seen := map[string][]string{} // states by shared id
		for _, e := range events {
			d := e.Get("insightDetails")
			got := expected{d.Get("insightType").String(), d.Get("insightObject").String(), e.Get("region").String()}
			at := e.Get("eventTime").String()
			end := d.Get("state").String() == "End"
			if got != x || !end && (at < a.from[:len("2006-01-02T15:04")] || at > a.to) || end && at < a.from {
				continue
			}
			id := e.Get("sharedEventId").String()
			seen[id] = append(seen[id], d.Get("state").String())
			incident = cmp.Or(incident, d.Get("trailvane.incidentId").String())
			if got := d.Get("trailvane.incidentId").String(); got != incident {
				t.Errorf("%s: %v is in incident %s, others in %s", a.name, x, got, incident)
			}
			severity := d.Get("trailvane.severity").String()
			severities = append(severities, severity)
			if x.kind == "TrailConcealmentInsight" && severity != "high" && severity != "critical" {
				t.Errorf("%s: %v has severity %s", a.name, x, severity)
			}
		}
		if len(seen) != 1 {
			t.Errorf("%s: %d insights %v, want one", a.name, len(seen), x)
		}
		for _, states := range seen {
			if d := gocmp.Diff([]string{"Start", "End"}, states); d != "" {
				t.Errorf("%s: events of %v (-want +found):\n%s", a.name, x, d)
			}
		}
	}
	if a.name == "stolen key" && !slices.Contains(severities, "critical") {
		t.Errorf("%s: severities %v, want a critical one", a.name, severities)
	}
	return incident
}
