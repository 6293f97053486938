package detect

import (
	"fmt"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/settings"
	"github.com/trailvane/trailvane/schemas"
	"github.com/vmihailenco/msgpack/v5"
)

// Stage names the stage of a type's detector: by it its outputs are known, and its state is kept.
func Stage(t schemas.InsightType) string { return "detector-" + string(t) }

// A Processor runs one detector as a stage of the pipeline: it reads panes and puts findings. It knows the settings of every
// lane, and it announces a detector that begins with an empty state by a reset finding.
type Processor struct {
	partition  int
	generation uint64
	detector   Detector
	settings   settings.ByLane
	begun      bool // the reset finding is out
	changed    bool // of the fields above, since the last snapshot

	panes  schemas.PaneBatch
	decode Decode
}

// A Decode returns the panes of a windows message. Nobody writes to them, and they stay as they are for as long as somebody has
// them, so that all detectors of a process may look at the same ones: decoding is about a third of what a detector costs.
type Decode func(r *runner.Record) (*schemas.PaneBatch, error)

var _ runner.Processor = (*Processor)(nil)

// NewProcessor returns a stage around a detector with empty state. Generation is the input sequence at which that state
// began to be empty.
func NewProcessor(partition int, generation uint64, d Detector) *Processor {
	return &Processor{
		partition: partition, generation: generation, detector: d, settings: settings.ByLane{},
	}
}

// Share makes the processor ask decode for panes, instead of decoding by itself into memory that it uses again.
func (p *Processor) Share(decode Decode) { p.decode = decode }

// Detector returns the detector.
func (p *Processor) Detector() Detector { return p.detector }

// Apply judges the panes of one windows message.
func (p *Processor) Apply(r runner.Record, emit func(runner.Output)) error {
	if !p.begun {
		p.begun, p.changed = true, true
		p.put(&schemas.Finding{Kind: schemas.ResetFinding}, emit)
	}
	switch kind := schemas.LastToken(r.Subject); kind {
	case string(schemas.SettingsControl):
		var s schemas.Settings
		if err := s.Decode(r.Body); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
		p.settings.Set(s)
		p.changed = true
	case string(schemas.CountsPane), string(schemas.TickPane), string(schemas.EndPane):
		batch, err := p.read(&r)
		if err != nil {
			return fmt.Errorf("panes: %w", err)
		}
		for i := range batch.Panes {
			pane := &batch.Panes[i]
			p.detector.Observe(pane, p.settings.Of(pane.Lane), func(f *schemas.Finding) {
				f.Account, f.Region = pane.Account, pane.Region
				p.put(f, emit)
			})
		}
	}
	return nil // panes of other kinds are for other detectors
}

func (p *Processor) read(r *runner.Record) (*schemas.PaneBatch, error) {
	if p.decode != nil {
		return p.decode(r)
	}
	return &p.panes, p.panes.Decode(r.Body)
}

func (p *Processor) put(f *schemas.Finding, emit func(runner.Output)) {
	f.Type, f.Generation = p.detector.Type(), p.generation
	emit(runner.Output{Subject: schemas.FindingsSubject(p.partition, f.Region, f.Type), Body: f.Append(nil)})
}

// headKey is the processor's own state key; the detector's keys have a prefix, so that none can be taken for it.
const (
	headKey        = "head"
	detectorPrefix = "d."
)

type savedHead struct {
	Begun    bool
	Settings []schemas.Settings
}

// Snapshot gives out what has changed.
func (p *Processor) Snapshot(changed func(key string, state []byte)) error {
	if p.changed {
		p.changed = false
		head := savedHead{Begun: p.begun, Settings: p.settings.List()}
		b, err := msgpack.Marshal(head)
		if err != nil {
			return err
		}
		changed(headKey, b)
	}
	return p.detector.Snapshot(func(key string, state []byte) { changed(detectorPrefix+key, state) })
}

// Restore gives a key back.
func (p *Processor) Restore(key string, state []byte) error {
	if key == headKey {
		var head savedHead
		if err := msgpack.Unmarshal(state, &head); err != nil {
			return fmt.Errorf("detector state %s: %w", key, err)
		}
		p.begun = head.Begun
		for _, s := range head.Settings {
			p.settings.Set(s)
		}
		return nil
	}
	if len(key) <= len(detectorPrefix) || key[:len(detectorPrefix)] != detectorPrefix {
		return fmt.Errorf("detector state has an unknown key %q", key)
	}
	return p.detector.Restore(key[len(detectorPrefix):], state)
}
