package model

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/schemas"
)

// Several are machines that make one detector: they see the same panes, find the same type, and know nothing of each other.
// Their keys must differ, because insight ids are made of them.
type Several struct {
	parts []Part
	out   []schemas.Finding
}

// A Part is one of several machines.
type Part struct {
	Prefix  string // of its state keys, for ever; no prefix may begin with another one
	Machine *Machine

	// Tell adds to a finding of the machine what it does not know: Object, Service, Event, Why.Detector, Why.Text.
	Tell func(*schemas.Finding)
}

// NewSeveral returns a detector of machines without state, at least one. They share the keys that a commit may change.
func NewSeveral(parts ...Part) *Several {
	for _, part := range parts {
		part.Machine.slices = newStateSlices(len(parts))
	}
	return &Several{parts: parts}
}

// Type implements detect.Detector.
func (s *Several) Type() schemas.InsightType { return s.parts[0].Machine.Type() }

// Constants implements detect.Detector.
func (s *Several) Constants() string { return s.parts[0].Machine.Constants() }

// Observe implements detect.Detector. The findings of all machines are emitted in one order; a finding is valid until emit
// returns.
func (s *Several) Observe(p *schemas.Pane, settings schemas.Settings, emit func(*schemas.Finding)) {
	s.out = s.out[:0]
	for i := range s.parts {
		part := &s.parts[i]
		part.Machine.Observe(p, settings, func(f *schemas.Finding) {
			part.Tell(f)
			s.out = append(s.out, *f)
		})
	}
	if len(s.parts) > 1 {
		slices.SortStableFunc(s.out, compareFindings)
	}
	for i := range s.out {
		emit(&s.out[i])
	}
}

// compareFindings is the order in which a detector emits.
func compareFindings(x, y schemas.Finding) int {
	return cmp.Or(cmp.Compare(x.Start, y.Start), strings.Compare(x.Key, y.Key), cmp.Compare(x.Ordinal, y.Ordinal),
		cmp.Compare(x.Kind, y.Kind))
}

// Snapshot implements detect.Detector.
func (s *Several) Snapshot(changed func(key string, state []byte)) error {
	for _, part := range s.parts {
		if err := part.Machine.Snapshot(func(key string, state []byte) { changed(part.Prefix+key, state) }); err != nil {
			return err
		}
	}
	return nil
}

// Restore implements detect.Detector.
func (s *Several) Restore(key string, state []byte) error {
	for _, part := range s.parts {
		if own, ok := strings.CutPrefix(key, part.Prefix); ok {
			return part.Machine.Restore(own, state)
		}
	}
	return fmt.Errorf("state key %q: %w", key, pages.ErrState)
}

// NearMisses implements detect.Explainer.
func (s *Several) NearMisses() []detect.NearMiss {
	var all []detect.NearMiss
	for _, part := range s.parts {
		all = append(all, part.Machine.NearMisses()...)
	}
	slices.SortStableFunc(all, detect.NearMiss.Compare)
	return all[:min(len(all), detect.MaxNearMisses)]
}

// Learning implements detect.Explainer. All machines have seen the same accounts for the same time.
func (s *Several) Learning() []detect.Learning { return s.parts[0].Machine.Learning() }
