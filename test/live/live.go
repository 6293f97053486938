// Package live compares the insights that services have published while logs came in with those that analyze finds in the same
// logs, at once.
//
// Two things may differ, and nothing else. Severity, score and incident are views: they depend on what else is known when one looks.
// And only analyze knows that its input ends, so an End that it gives for that reason may be missing live, or come for another one.
package live

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// views are the fields that are made when an insight is read.
var views = []string{"severity", "score", "incidentId"}

// inputEnd is the reason of an End that only analyze gives.
const inputEnd = "InputEnd"

// An Insight is one insight event, taken apart.
type Insight struct {
	ID, Type, State string
	reason          string         // of an End
	fields          map[string]any // all others, but views
}

// Parse reads insight events, as they are stored or printed in the shape native.
func Parse(events ...[]byte) (map[string]Insight, error) {
	all := make(map[string]Insight)
	for _, e := range events {
		var i struct {
			EventID        string
			InsightDetails struct {
				State, InsightType string
				Trailvane          struct{ Why struct{ EndReason string } }
			}
		}
		var fields map[string]any
		if err := json.Unmarshal(e, &i); err != nil {
			return nil, fmt.Errorf("%.200s: %w", e, err)
		}
		if err := json.Unmarshal(e, &fields); err != nil {
			return nil, fmt.Errorf("%.200s: %w", e, err)
		}
		details, _ := fields["insightDetails"].(map[string]any)
		own, _ := details["trailvane"].(map[string]any)
		for _, view := range views {
			delete(own, view)
		}
		d := i.InsightDetails
		why, _ := own["why"].(map[string]any)
		delete(why, "endReason")
		if _, twice := all[i.EventID]; twice || i.EventID == "" {
			return nil, fmt.Errorf("event id %q is missing or comes twice", i.EventID)
		}
		all[i.EventID] = Insight{i.EventID, d.InsightType, d.State, d.Trailvane.Why.EndReason, fields}
	}
	return all, nil
}

// Lines cuts what was printed into events.
func Lines(printed []byte) [][]byte {
	return slices.DeleteFunc(bytes.Split(printed, []byte("\n")), func(l []byte) bool { return len(bytes.TrimSpace(l)) == 0 })
}

// Compare returns how what was published differs from what analyze finds, one line for each event.
func Compare(published, analyzed map[string]Insight) (differences []string) {
	for id, want := range analyzed {
		got, ok := published[id]
		switch {
		case !ok && want.reason == inputEnd:
		case !ok:
			differences = append(differences, fmt.Sprintf("missing: %s %s %s", want.Type, want.State, id))
		case !same(got, want):
			differences = append(differences, fmt.Sprintf("other: %s %s %s\n  published %s\n  analyzed  %s", want.Type, want.State, id, text(got), text(want)))
		}
	}
	for id, got := range published {
		if _, ok := analyzed[id]; !ok {
			differences = append(differences, fmt.Sprintf("not found by analyze: %s %s %s\n  published %s", got.Type, got.State, id, text(got)))
		}
	}
	slices.Sort(differences)
	return differences
}

func same(got, want Insight) bool {
	return reflect.DeepEqual(got.fields, want.fields) && (got.reason == want.reason || want.reason == inputEnd)
}

func text(i Insight) string {
	b, _ := json.Marshal(i.fields)
	return fmt.Sprintf("%s %s", b, i.reason)
}
