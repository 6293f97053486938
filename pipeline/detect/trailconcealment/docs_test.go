package trailconcealment

import (
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// What holds for all detectors of operators is tested with package policychange; here is what is special about trails.

const start = detecttest.Epoch + 10*schemas.Day + 9*schemas.Hour

func call(m schemas.Minute, who, event string, s schemas.Sensitive) detecttest.Call {
	return detecttest.Call{Minute: m, Service: "cloudtrail.amazonaws.com", Event: event, Principal: who, Count: 1,
		Type:      schemas.UserPrincipal,
		UserAgent: "console.amazonaws.com", SourceIP: "198.51.100.7", Traits: schemas.Traits{Sensitive: s,
			Auth: schemas.ConsoleMFAAuth}}
}

var conceals = schemas.Sensitive(0).With(schemas.TrailClass, schemas.CoreTier)

// working is ten days in which two people work from an office.
func working() (*Detector, *detecttest.Feed) {
	d := New()
	f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "123456789012"}, Region: "eu-west-1", Lateness: 15}
	for m := detecttest.Epoch; m < start; m += schemas.Day {
		watch(d, f.Pane([]detecttest.Call{call(m+9*schemas.Hour, "ann", "RunInstances", 0),
			call(m+9*schemas.Hour, "ben", "RunInstances", 0)}))
	}
	return d, f
}

func watch(d *Detector, panes ...schemas.Pane) (found []schemas.Finding) {
	for i := range panes {
		d.Observe(&panes[i], schemas.DefaultSettings(), func(f *schemas.Finding) { found = append(found, *f) })
	}
	return found
}

// What is set-up and what is concealment: (first call by ann), then (second) so many minutes later.
func TestSetUp(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second string
		fail, by, ip  string
		after         schemas.Minute
		told          bool
		region        string
	}{
		{"updated after its creation", "CreateTrail", "UpdateTrail", "", "ann", "198.51.100.7", 5, false, ""},
		{"selectors after logging was started", "StartLogging", "PutEventSelectors", "", "ann", "203.0.113.9", 29, false, ""},
		{"in other letters", "CreateTrail", "putInsightSelectors", "", "ann", "198.51.100.7", 1, false, ""},
		{"too late", "CreateTrail", "UpdateTrail", "", "ann", "198.51.100.7", 31, true, ""},
		{"by somebody else", "CreateTrail", "UpdateTrail", "", "ben", "198.51.100.7", 5, true, ""},
		{"in another region", "CreateTrail", "UpdateTrail", "", "ann", "198.51.100.7", 5, true, "us-east-1"},
		{"the creation failed", "CreateTrail", "UpdateTrail", "AccessDenied", "ann", "198.51.100.7", 5, true, ""},
		{"a test rig deletes what it created", "CreateTrail", "DeleteTrail", "", "ann", "198.51.100.7", 5, false, ""},
		{"so does a thief, from elsewhere", "CreateTrail", "DeleteTrail", "", "ann", "203.0.113.9", 5, true, ""},
		{"started is not created", "StartLogging", "StopLogging", "", "ann", "198.51.100.7", 5, true, ""},
		{"an event data store is no part of it", "CreateTrail", "DeleteEventDataStore", "", "ann", "198.51.100.7", 5, true, ""},
	} {
		d, f := working()
		first := call(start, "ann", c.first, schemas.RestoresTrail)
		first.Error = c.fail
		second := call(start+c.after, c.by, c.second, conceals)
		second.SourceIP = c.ip
		found := watch(d, f.Pane([]detecttest.Call{first}))
		if c.region != "" {
			f.Region = c.region
		}
		found = append(found, watch(d, f.Pane([]detecttest.Call{second}))...)
		if (len(found) != 0) != c.told {
			t.Errorf("%s: told %v, want %v", c.name, len(found) != 0, c.told)
		}
	}
}

// Switching logging on again ends the insight, in its region only, and never before its last event.
func TestRestored(t *testing.T) {
	for _, c := range []struct {
		name, fail, region string
		at                 schemas.Minute
		want               schemas.EndReason
		end                schemas.Minute
	}{
		{"half an hour later", "", "eu-west-1", 30, schemas.Restored, 30},
		{"in the same minute", "", "eu-west-1", 0, schemas.Restored, 1},
		{"denied", "AccessDenied", "eu-west-1", 30, schemas.Silence, 1},
		{"in another region", "", "us-east-1", 30, schemas.Silence, 1},
	} {
		d, f := working()
		found := watch(d, f.Pane([]detecttest.Call{call(start, "ann", "StopLogging", conceals)}))
		again := call(start+c.at, "ben", "StartLogging", schemas.RestoresTrail)
		again.Error = c.fail
		other := *f
		other.Region = c.region
		found = append(found, watch(d, other.Pane([]detecttest.Call{again}), f.Tick(start+100))...)
		if len(found) != 2 || found[1].Why.EndReason != c.want || found[1].End != start+c.end {
			t.Errorf("%s: %+v", c.name, found)
		}
	}
}

// Whether the events of a day come in one pane or in many: an hour of silence ends the insight before logging is switched on again.
func TestRestoredAfterSilence(t *testing.T) {
	calls := []detecttest.Call{call(start, "ann", "StopLogging", conceals), call(start+100, "ben", "RunInstances", 0),
		call(start+300, "ben", "StartLogging", schemas.RestoresTrail)}
	for _, batch := range []schemas.Minute{1, schemas.Day} {
		d, f := working()
		found := watch(d, f.Panes(calls, batch)...)
		if len(found) != 2 || found[1].Why.EndReason != schemas.Silence || found[1].End != start+1 {
			t.Errorf("panes of %d minutes: %+v", batch, found)
		}
	}
}

// Without a habit everybody is told, from the usual network too; TrailNotFoundException is half as surprising.
func TestDefaultIsToTell(t *testing.T) {
	var surprise []float64
	for _, code := range []string{"", "TrailNotFoundException", "AccessDenied"} {
		d, f := working()
		c := call(start, "ann", "StopLogging", conceals)
		c.Error = code
		found := watch(d, f.Pane([]detecttest.Call{c}))
		if len(found) != 1 || found[0].Object != "cloudtrail.amazonaws.com" ||
			(found[0].Why.Operator.Denied == 1) != (code != "") {
			t.Fatalf("%q: %+v", code, found)
		}
		surprise = append(surprise, found[0].Why.Operator.Surprise)
	}
	if surprise[1] > surprise[0]*0.6 || surprise[2] != surprise[0] {
		t.Errorf("done, not found, denied: %v", surprise)
	}
}

// A second day of switching off is told as the first was; three days of the last ninety are a habit, though not of the root.
func TestHabit(t *testing.T) {
	for kind, want := range map[schemas.PrincipalType]int{schemas.UserPrincipal: 3, schemas.RootPrincipal: 8} {
		d, f := working()
		told := 0
		for day := range schemas.Minute(8) {
			work := call(start+day*schemas.Day, "ann", "RunInstances", 0)
			stop := call(start+day*schemas.Day+10, "ann", "UpdateTrail", conceals)
			work.Type, stop.Type = kind, kind
			for _, g := range watch(d, f.Pane([]detecttest.Call{work, stop}), f.Tick(stop.Minute+100)) {
				if g.Kind == schemas.OpenFinding {
					told++
				}
			}
		}
		if told != want {
			t.Errorf("principal type %d: told %d times in eight days, want %d", kind, told, want)
		}
	}
}
