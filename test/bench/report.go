//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What was promised, and when the run counts.
const (
	goalRate   = 100_000 // events a second, of analyze on two cores
	goalRatio  = 1.0     // of the CPU time of the pipeline and the counter
	maxCounter = 12.0    // µs per record: a machine on which the counter needs more is busy or too unlike ours
)

// A report is all that was measured.
type report struct {
	records int
	machine string
	analyze []usage
	counter []counted
	profile profiled
	streams []stream
}

// A stream is what was left in the streams of one kind.
type stream struct {
	kind     string
	messages uint64
	bytes    uint64
}

// streams runs the program under test with a store, and looks into the store.
func (b *bench) streams(ctx context.Context) ([]stream, error) {
	dir := filepath.Join(b.dir, "store")
	defer os.RemoveAll(dir)
	if _, err := b.analyze(ctx, "--store", dir); err != nil {
		return nil, err
	}
	s, err := serve(dir)
	if err != nil {
		return nil, err
	}
	defer s.Shutdown()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	sums := make(map[string]stream)
	list := js.ListStreams(ctx)
	for info := range list.Info() {
		k := kindOf(info.Config.Name)
		sums[k] = stream{k, sums[k].messages + info.State.Msgs, sums[k].bytes + info.State.Bytes}
	}
	if err := list.Err(); err != nil {
		return nil, err
	}
	var all []stream
	for _, s := range sums {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b stream) int { return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.kind, b.kind)) })
	return all, nil
}

// print writes the table.
func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	cpu := median(r.analyze, func(u usage) float64 { return r.micros(u.cpu()) })
	plain := median(r.counter, func(c counted) float64 { return r.micros(c.CPU) })
	rate := median(r.analyze, func(u usage) float64 { return float64(r.records) / u.wall.Seconds() })

	fmt.Fprintf(w, "%s\n%d records, median of %d runs\n\n", r.machine, r.records, len(r.analyze))
	fmt.Fprintf(w, "\tmeasured\tgoal\t\n")
	fmt.Fprintf(w, "rate, events/s\t%.0f\t≥ %d\t%s\n", rate, goalRate, verdict(rate >= goalRate))
	fmt.Fprintf(w, "pipeline, CPU µs/event, server included\t%.2f\t\t\n", cpu)
	fmt.Fprintf(w, "plain counter, CPU µs/event, server included\t%.2f\t≤ %g\t%s\n", plain, maxCounter, verdict(plain <= maxCounter))
	fmt.Fprintf(w, "pipeline / counter\t%.2f\t≤ %g\t%s\n", cpu/plain, goalRatio, verdict(cpu <= goalRatio*plain))
	fmt.Fprintf(w, "peak memory, MB\t%.0f\t\t\n", median(r.analyze, func(u usage) float64 { return float64(u.memory) / 1e6 }))
	fmt.Fprintf(w, "allocations/event\t%.2f\t\t\n", r.each(float64(r.profile.allocations)))
	fmt.Fprintf(w, "allocated, bytes/event\t%.0f\t\t\n", r.each(float64(r.profile.allocated)))

	fmt.Fprintf(w, "\nrun\tevents/s\tµs/event\tuser\tsystem\tMB\tcounter µs/event\tratio\t\n")
	for i, u := range r.analyze {
		plain := r.micros(r.counter[i].CPU)
		fmt.Fprintf(w, "%d\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f\t%.2f\t%.2f\t\n", i+1, float64(r.records)/u.wall.Seconds(),
			r.micros(u.cpu()), r.micros(u.user), r.micros(u.system), float64(u.memory)/1e6, plain, r.micros(u.cpu())/plain)
	}

	var sum time.Duration
	for _, s := range r.profile.cpu {
		sum += s.cpu
	}
	fmt.Fprintf(w, "\nwhere the CPU time goes (one run with the profiler)\tµs/event\tshare\t\n")
	for _, s := range r.profile.cpu {
		fmt.Fprintf(w, "%s\t%.2f\t%.0f %%\t\n", s.name, r.micros(s.cpu), 100*s.cpu.Seconds()/sum.Seconds())
	}
	fmt.Fprintf(w, "\nstreams\tmessages\tbytes/event\t\n")
	for _, s := range r.streams {
		fmt.Fprintf(w, "%s\t%d\t%.1f\t\n", s.kind, s.messages, r.each(float64(s.bytes)))
	}
	if plain > maxCounter {
		fmt.Fprintf(w, "\nThe run does not count: the plain counter needs more than %g µs, so the machine is busy with something else.\n", maxCounter)
	}
	return w.Flush()
}

func (r *report) each(sum float64) float64 { return sum / float64(r.records) }
func (r *report) micros(d time.Duration) float64 {
	return r.each(float64(d) / float64(time.Microsecond))
}

func verdict(ok bool) string {
	if ok {
		return "ok"
	}
	return "missed"
}

// median returns the middle of what f says, the lower one of two.
func median[T any](of []T, f func(T) float64) float64 {
	var all []float64
	for _, v := range of {
		all = append(all, f(v))
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}
