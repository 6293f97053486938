package ingest

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// Stats are what became of the objects. Every object counts once, also when the program was interrupted while it read it.
type Stats struct {
	Objects int64 // that were read
	Records int64
	Bytes   int64 // of the records
	Stored  int64 // of the objects that were read
	Grown   int64 // objects that grew while they were read; the rest is left for the next run

	Skipped map[Reason]int64 // objects that were not read
	Dead    map[Reason]int64 // dead letters
	Formats map[string]int64 // objects by format

	NotLogs []string // names of the first objects that are not logs
}

// maxNames bounds Stats.NotLogs: enough to see what they are.
const maxNames = 5

// A Processor hands on what the Source reads, and counts.
type Processor struct {
	stats   Stats
	changed bool
}

var _ runner.Processor = (*Processor)(nil)

// NewProcessor returns an empty Processor.
func NewProcessor() *Processor {
	return &Processor{stats: Stats{
		Skipped: make(map[Reason]int64), Dead: make(map[Reason]int64), Formats: make(map[string]int64),
	}}
}

// Stats returns a copy of the counters.
func (p *Processor) Stats() Stats {
	s := p.stats
	s.Skipped, s.Dead, s.Formats = maps.Clone(s.Skipped), maps.Clone(s.Dead), maps.Clone(s.Formats)
	s.NotLogs = append([]string(nil), s.NotLogs...)
	return s
}

// Apply emits the record, which has its subject and body already, or counts an object's report.
func (p *Processor) Apply(r runner.Record, emit func(runner.Output)) error {
	if r.Subject != reportSubject {
		emit(runner.Output{Subject: r.Subject, Body: r.Body}) // the Source does not use it again
		return nil
	}
	var o report
	if err := json.Unmarshal(r.Body, &o); err != nil {
		return fmt.Errorf("report of an object: %w", err)
	}
	p.changed = true
	for why, n := range o.Dead {
		p.stats.Dead[why] += n
	}
	if o.Skip != "" {
		p.stats.Skipped[o.Skip]++
		if o.Skip == NotALog && len(p.stats.NotLogs) < maxNames {
			p.stats.NotLogs = append(p.stats.NotLogs, o.Object)
		}
		return nil
	}
	p.stats.Objects++
	p.stats.Records += o.Records
	p.stats.Bytes += o.Bytes
	p.stats.Stored += o.Stored
	if o.Format != "" {
		p.stats.Formats[o.Format]++
	}
	if o.Grown {
		p.stats.Grown++
	}
	return nil
}

const statsKey = "stats"

// Snapshot gives out the counters.
func (p *Processor) Snapshot(changed func(key string, state []byte)) error {
	if !p.changed {
		return nil
	}
	b, err := json.Marshal(&p.stats) // maps in the order of their keys
	if err != nil {
		return err
	}
	p.changed = false
	changed(statsKey, b)
	return nil
}

// Restore takes the counters back.
func (p *Processor) Restore(key string, state []byte) error {
	if key != statsKey {
		return fmt.Errorf("unknown state key %q", key)
	}
	return json.Unmarshal(state, &p.stats)
}
