package techniques

import (
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/pair"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A line is the whole pipeline of one partition, every processor directly behind the one before: no broker, no clock.
type line struct {
	stages   [][]runner.Processor // those of a stage all read what the stage before puts
	seq      uint64
	insights []schemas.Insight // all insight events so far
}

func newLine() *line {
	var decoders []decode.Decoder
	for _, f := range formats.All() {
		decoders = append(decoders, f)
	}
	var detectors []runner.Processor
	create := all.Detectors()
	for _, kind := range schemas.InsightTypes() {
		if create[kind] != nil {
			detectors = append(detectors, detect.NewProcessor(0, 1, create[kind]()))
		}
	}
	return &line{stages: [][]runner.Processor{
		{normalize.New(normalize.Config{Partitions: 1, Decoders: decoders})}, {aggregate.New(0)}, detectors, {pair.New(0)},
	}}
}

// feed puts records in as chunks like a trail delivers them, one for every five minutes. Records are in the order of time.
func (l *line) feed(t *testing.T, records []record) {
	t.Helper()
	const delivery = 5 * time.Minute
	for len(records) > 0 {
		until := records[0].at.Truncate(delivery).Add(delivery)
		c := schemas.Chunk{Object: "techniques"}
		for len(records) > 0 && records[0].at.Before(until) {
			c.Records = append(c.Records, schemas.RawRecord{Offset: int64(len(c.Records)), Body: records[0].body})
			records = records[1:]
		}
		l.put(t, 0, runner.Record{Subject: schemas.RawSubject(0, "cloudtrail"), Body: c.Append(nil), Time: until})
	}
}

// end says that nothing more comes, so that every insight ends.
func (l *line) end(t *testing.T, at time.Time) {
	t.Helper()
	end := schemas.End{Close: true}
	l.put(t, 0, runner.Record{Subject: schemas.RawSubject(0, string(schemas.EndControl)), Body: end.Append(nil), Time: at})
}

// put gives a record to a stage, and what that puts to the next one.
func (l *line) put(t *testing.T, stage int, r runner.Record) {
	t.Helper()
	if stage == len(l.stages) {
		var i schemas.Insight
		if err := i.Decode(r.Body); err != nil {
			t.Fatal(err)
		}
		l.insights = append(l.insights, i)
		return
	}
	l.seq++
	r.Seq = l.seq
	for _, p := range l.stages[stage] {
		err := p.Apply(r, func(o runner.Output) {
			if schemas.LastToken(o.Subject) == normalize.Stage {
				var d schemas.DeadLetter
				if err := d.Decode(o.Body); err != nil {
					t.Fatal(err)
				}
				t.Fatalf("dead letter: %s\n%.500s", d.Error, d.Raw)
			}
			l.put(t, stage+1, runner.Record{Subject: o.Subject, Body: o.Body, Time: r.Time})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// A saved line is the state of its processors, in their order.
type saved []map[string][]byte

func (l *line) save(t *testing.T) (s saved) {
	t.Helper()
	for _, stage := range l.stages {
		for _, p := range stage {
			state := map[string][]byte{}
			if err := p.Snapshot(func(key string, b []byte) { state[key] = b }); err != nil {
				t.Fatal(err)
			}
			s = append(s, state)
		}
	}
	return s
}

// open returns a line that goes on where the saved one was.
func (s saved) open(t *testing.T) *line {
	t.Helper()
	l := newLine()
	for _, stage := range l.stages {
		for _, p := range stage {
			for key, state := range s[0] {
				if err := p.Restore(key, state); err != nil {
					t.Fatal(err)
				}
			}
			s = s[1:]
		}
	}
	return l
}
