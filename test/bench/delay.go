//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/detect/all"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

const (
	goalDelay       = 250 * time.Millisecond // p99, at half load, of every type
	delayAccounts   = 60                     // about a million records, and four hundred incidents
	delayPartitions = 4
	delayBudget     = 10 // times the default, so that detectors speak at once, and not after hundreds of calls
	fewestStarts    = 20 // of each type: fewer say nothing about a p99
)

// types returns the insight types, in order.
func types() []schemas.InsightType { return slices.Sorted(maps.Keys(all.Detectors())) }

// A delayed is what one run has shown.
type delayed struct {
	records int64
	rate    float64 // records a second, from the first stored in RAW until nothing more comes out at the end
	bytes   float64 // of RAW, a second
	starts  map[schemas.InsightType][]time.Duration
	ends    map[schemas.InsightType][]time.Duration
	hops    [len(hops)][]time.Duration // of Starts
}

// hops are the streams on the way back from INSIGHTS, and the stage that writes the stream behind each.
var hops = [...]struct{ stream, stage string }{
	{"FINDINGS", "pairer"}, {"WINDOWS", "detectors"}, {"EVENTS", "aggregator"}, {"RAW", "normalizer"},
}

// benchDelay measures how long it takes from the record that causes an insight event, stored in RAW, to the event, stored in
// INSIGHTS: at half of the rate that the same services reach with the same input when nothing holds it back.
func (b *bench) benchDelay(ctx context.Context, out io.Writer) error {
	input, err := incidents(max(1, delayAccounts/b.part))
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "delay: as fast as it goes")
	full, err := b.delayOf(ctx, input, 0)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "delay: at half of that rate")
	half, err := b.delayOf(ctx, input, full.bytes/2)
	if err != nil {
		return err
	}
	if err := printDelay(out, full, half); err != nil {
		return err
	}
	return half.enough()
}

// enough returns an error if a type was seen too rarely to say anything.
func (d *delayed) enough() error {
	var missing []error
	for _, t := range types() {
		if n := len(d.starts[t]); n < fewestStarts {
			missing = append(missing, fmt.Errorf("%s has %d Starts, at least %d are needed", t, n, fewestStarts))
		}
	}
	return errors.Join(missing...)
}

// delayOf runs all stages as processes over the input, offered at a rate in bytes of RAW a second.
func (b *bench) delayOf(ctx context.Context, input *logs, rate float64) (*delayed, error) {
	s, err := b.deploy(ctx, "--lanes", "1", "--partitions", strconv.Itoa(delayPartitions), "--budget", strconv.Itoa(delayBudget))
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := keepAll(ctx, s.js); err != nil {
		return nil, err
	}
	for _, stage := range []string{"normalizer", "aggregator", "detector", "pairer"} {
		if _, err := s.run("", stage); err != nil {
			return nil, err
		}
	}
	if err := s.balanced(ctx); err != nil {
		return nil, err
	}
	settings := schemas.DefaultSettings()
	settings.Budget = delayBudget
	patient, cancel := context.WithTimeout(ctx, drainTime) // RAW is full for ever if a service has died
	defer cancel()
	f, err := ingestAll(patient, s.js, feeding{connector: input, settings: settings, end: &schemas.End{Close: true}, rate: rate})
	if err != nil {
		return nil, errors.Join(err, s.alive())
	}
	if err := s.drained(ctx); err != nil {
		return nil, err
	}
	d := &delayed{records: f.Records}
	begun, ended, err := d.trace(ctx, s.js)
	if err != nil {
		return nil, err
	}
	d.rate, d.bytes = float64(f.Records)/ended.Sub(begun).Seconds(), float64(f.Bytes)/ended.Sub(begun).Seconds()
	return d, nil
}

// keepAll switches trimming off, so that causes can be looked up when everything is over.
func keepAll(ctx context.Context, js jetstream.JetStream) error {
	kv, err := js.KeyValue(ctx, tvjetstream.DeploymentBucket)
	if err != nil {
		return err
	}
	e, err := kv.Get(ctx, "readers")
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var readers map[string]any
	if err := json.Unmarshal(e.Value(), &readers); err != nil {
		return err
	}
	readers["trim"] = false
	body, err := json.Marshal(readers)
	if err == nil {
		_, err = kv.Update(ctx, "readers", body, e.Revision())
	}
	return err
}

// A caused is a message whose cause is looked for: the number of a message is the place of its cause in the stream before.
type caused struct {
	producer string
	cause    uint64
	at       time.Time
}

// stored reads what a stream holds, by its place. Nothing may have been trimmed.
func stored(ctx context.Context, js jetstream.JetStream, stream string, each func(runner.Record) error) ([]caused, error) {
	all := []caused{{}} // places count from 1
	err := tvjetstream.ReadAll(ctx, js, stream, func(r runner.Record) error {
		if r.Seq != uint64(len(all)) {
			return fmt.Errorf("record %d follows %d: something was trimmed", r.Seq, len(all)-1)
		}
		all = append(all, caused{r.Producer, r.Number.Seq, r.Time})
		if each == nil {
			return nil
		}
		return each(r)
	})
	return all, err
}

// trace follows every insight event back to the record in RAW that caused it, and returns when the first record was stored,
// and the last message of any stage.
func (d *delayed) trace(ctx context.Context, js jetstream.JetStream) (begun, ended time.Time, err error) {
	read := make(map[string][]caused)
	names := []string{tvjetstream.RawStream(0)}
	for p := range delayPartitions {
		names = append(names, tvjetstream.EventsStream(p), tvjetstream.WindowsStream(p), tvjetstream.FindingsStream(p))
	}
	for _, name := range names {
		if read[name], err = stored(ctx, js, name, nil); err != nil {
			return begun, ended, err
		}
	}
	d.starts, d.ends = make(map[schemas.InsightType][]time.Duration), make(map[schemas.InsightType][]time.Duration)
	insights, err := stored(ctx, js, tvjetstream.InsightsStream, func(r runner.Record) error {
		var i schemas.Insight
		if err := i.Decode(r.Body); err != nil {
			return err
		}
		m := caused{r.Producer, r.Number.Seq, r.Time}
		start := i.Details.State == schemas.StartState
		for h, hop := range hops {
			partition, err := partitionOf(m.producer)
			if err != nil {
				return err
			}
			stream := read[hop.stream+"_"+partition]
			if m.cause == 0 || m.cause >= uint64(len(stream)) {
				return fmt.Errorf("%s: no cause %d in %s_%s", r.Subject, m.cause, hop.stream, partition)
			}
			after := m.at
			if m = stream[m.cause]; start {
				d.hops[h] = append(d.hops[h], after.Sub(m.at))
			}
		}
		of := d.ends
		if start {
			of = d.starts
		}
		of[i.Details.Type] = append(of[i.Details.Type], r.Time.Sub(m.at))
		return nil
	})
	read[tvjetstream.InsightsStream] = insights
	for _, stream := range read {
		if last := stream[len(stream)-1].at; last.After(ended) {
			ended = last
		}
	}
	return read[tvjetstream.RawStream(0)][1].at, ended, err
}

// partitionOf takes the partition out of a producer's name, stage.partition.generation….
func partitionOf(producer string) (string, error) {
	parts := strings.Split(producer, ".")
	if len(parts) < 3 {
		return "", fmt.Errorf("producer %q names no partition", producer)
	}
	return parts[1], nil
}

func printDelay(out io.Writer, full, half *delayed) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\ndelay, RAW to INSIGHTS, ms, of %d records at %.0f records/s; as fast as it goes: %.0f\n", half.records, half.rate, full.rate)
	fmt.Fprintf(w, "\tStarts\tp50\tp99\tmax\tgoal, p99\t\tEnds\tp50\tp99\tmax\tStarts at full load, p99\n")
	var starts, ends, atFull []time.Duration
	line := func(name string, starts, ends, atFull []time.Duration) {
		for _, all := range [][]time.Duration{starts, ends, atFull} {
			slices.Sort(all)
		}
		p99 := percentile(starts, 99)
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t≤ %d\t%s\t%d\t%s\t%s\t%s\t%s\n", name, len(starts), ms(percentile(starts, 50)), ms(p99),
			ms(percentile(starts, 100)), goalDelay.Milliseconds(), verdict(len(starts) > 0 && p99 <= goalDelay), len(ends),
			ms(percentile(ends, 50)), ms(percentile(ends, 99)), ms(percentile(ends, 100)), ms(percentile(atFull, 99)))
	}
	for _, t := range types() {
		line(string(t), half.starts[t], half.ends[t], full.starts[t])
		starts, ends, atFull = append(starts, half.starts[t]...), append(ends, half.ends[t]...), append(atFull, full.starts[t]...)
	}
	line("all", starts, ends, atFull)
	fmt.Fprintf(w, "\nof a Start, ms, in\tp50\tp99\tmax\n")
	for h, hop := range slices.Backward(hops[:]) {
		slices.Sort(half.hops[h])
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", hop.stage, ms(percentile(half.hops[h], 50)), ms(percentile(half.hops[h], 99)), ms(percentile(half.hops[h], 100)))
	}
	return w.Flush()
}

// percentile returns the value that p percent of the sorted times do not exceed, 0 if there is none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
