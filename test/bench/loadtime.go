//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/apicallrate"
	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

const (
	goalLoad  = time.Second // of each 100,000 series
	loadUnit  = 100_000
	perOwner  = 10_000 // series of one account
	loadHours = 26     // in each of which every series is active once: a day, so that the season is there, and a little
	loadRows  = 500    // of a message

	loadCommit = 1000 * time.Hour // longer than making a state takes
)

// A loading is how long one state takes from the store into memory, verified and claimed, as in every take-over.
type loading struct {
	stage  string
	series int
	keys   uint64
	bytes  uint64
	took   time.Duration
}

// benchLoad makes states with the runner, in a file store, and lets the runner load them.
func (b *bench) benchLoad(ctx context.Context, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nload of a partition\tseries\tkeys\tMB\tseconds\tper %d series\tgoal\t\n", loadUnit)
	for _, series := range []int{10_000, 100_000, 1_000_000} {
		series = max(1, series/b.part)
		fmt.Fprintf(os.Stderr, "load: %d series\n", series)
		for _, stage := range []string{detect.Stage(schemas.APICallRate), aggregate.Stage} {
			l, err := b.loadOf(ctx, stage, series)
			if err != nil {
				return err
			}
			per := time.Duration(float64(l.took) * loadUnit / float64(l.series))
			fmt.Fprintf(w, "%s\t%d\t%d\t%.1f\t%.2f\t%.2f\t≤ %.0f\t%s\n", l.stage, l.series, l.keys, float64(l.bytes)/1e6, l.took.Seconds(),
				per.Seconds(), goalLoad.Seconds(), verdict(per <= goalLoad))
		}
	}
	return w.Flush()
}

// loadOf makes the state of one stage, and loads it.
func (b *bench) loadOf(ctx context.Context, stage string, series int) (l loading, err error) {
	dir, err := os.MkdirTemp(b.dir, "load-")
	if err != nil {
		return l, err
	}
	defer os.RemoveAll(dir)
	s, err := serve(filepath.Join(dir, "store"))
	if err != nil {
		return l, err
	}
	defer s.Shutdown()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return l, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return l, err
	}
	id := tvjetstream.Identity{Lanes: 1, Partitions: 1, Lateness: 15, Learn: 24 * 60, Budget: 1}
	if err := tvjetstream.Deploy(ctx, js, tvjetstream.DefaultTopology(id, stage)); err != nil {
		return l, err
	}
	input := panes(series)
	process := func(generation uint64) runner.Processor {
		return detect.NewProcessor(0, generation, apicallrate.New())
	}
	if stage == aggregate.Stage {
		input = events(series)
		process = func(uint64) runner.Processor { return aggregate.New(0) }
	}
	work := func(source runner.Source) error {
		store, err := tvjetstream.OpenStore(ctx, js, stage)
		if err != nil {
			return err
		}
		return runner.Run(ctx, runner.Config{
			Stage: stage, Partition: "0", Instance: "bench", Constants: "bench", Source: source, Sink: nowhereSink{}, Store: store, New: process,
			CommitEvery: loadCommit, CommitBytes: math.MaxInt, // once, at the end: making a state is not what is measured
		})
	}
	making := &made{messages: input}
	defer making.close()
	if err := work(making); err != nil {
		return l, err
	}
	in := new(made)
	begun := time.Now()
	if err := work(in); err != nil {
		return l, err
	}
	all, err := tvjetstream.Checkpoints(ctx, js, stage)
	if err != nil {
		return l, err
	}
	stream, err := js.Stream(ctx, "KV_"+tvjetstream.StateBucket(stage))
	if err != nil {
		return l, err
	}
	return loading{stage, series, all["0"].Keys, stream.CachedInfo().State.Bytes, in.first.Sub(begun)}, nil
}

// A messages calls yield for every message of an input, in order.
type messages = iter.Seq2[string, []byte]

// made is an input that is made while it is read.
type made struct {
	messages messages // nil for none
	next     func() (subject string, body []byte, ok bool)
	stop     func()
	seq      uint64
	first    time.Time // when a record was asked for first: everything is loaded and claimed then
}

// Read makes the next record. After a commit that failed everything is made again, from the start.
func (m *made) Read(_ context.Context, after uint64) ([]runner.Record, error) {
	if m.first.IsZero() {
		m.first = time.Now()
	}
	if m.messages == nil {
		return nil, io.EOF
	}
	if m.next == nil || after < m.seq {
		m.close()
		m.next, m.stop = iter.Pull2(m.messages)
		m.seq = 0
	}
	for {
		subject, body, ok := m.next()
		if !ok {
			return nil, io.EOF
		}
		m.seq++
		if m.seq > after {
			return []runner.Record{{Seq: m.seq, Prev: m.seq - 1, Subject: subject, Body: body}}, nil
		}
	}
}

func (m *made) close() {
	if m.stop != nil {
		m.stop()
	}
}

// Info says that it is the same input for ever, and of any length.
func (*made) Info(context.Context) (runner.Info, error) {
	return runner.Info{ID: "bench", First: 1, Last: 1 << 40}, nil
}

type nowhereSink struct{}

// Put forgets everything.
func (nowhereSink) Put(_ context.Context, outputs ...runner.Output) (int, error) {
	return len(outputs), nil
}

// holder is the account of some series.
func holder(n int) schemas.Account {
	return schemas.Account{Provider: schemas.AWS, ID: fmt.Sprint(410000000000 + n)}
}

// panes are what a detector of calls reads: account after account, in which every series is active in every hour.
func panes(series int) messages {
	return func(yield func(string, []byte) bool) {
		for first := 0; first < series; first += perOwner {
			n := min(perOwner, series-first)
			f := detecttest.Feed{Account: holder(first / perOwner), Region: "eu-central-1", Lateness: 15}
			for hour := range schemas.Minute(loadHours) {
				for from := 0; from < n; from += loadRows {
					var calls []detecttest.Call
					for i := from; i < min(n, from+loadRows); i++ {
						calls = append(calls, detecttest.Call{
							Minute:  detecttest.Epoch + hour*schemas.Hour + schemas.Minute(from/loadRows%40),
							Service: fmt.Sprintf("service%d.amazonaws.com", i%90), Event: fmt.Sprintf("DeleteThing%d", i),
							Principal: "arn:aws:iam::123456789012:user/user", AccessKey: "AKIAEXAMPLE", SourceIP: "198.51.100.7",
							UserAgent: "aws-cli/2.15", Type: schemas.UserPrincipal, Count: 3,
						})
					}
					batch := schemas.PaneBatch{Panes: []schemas.Pane{f.Pane(calls)}}
					if !yield(schemas.WindowsSubject(0, f.Region, schemas.CountsPane), batch.Append(nil)) {
						return
					}
				}
			}
		}
	}
}

// events are what the aggregator reads: one event of each series within the minutes that are open.
func events(series int) messages {
	return func(yield func(string, []byte) bool) {
		for first := 0; first < series; first += perOwner {
			n := min(perOwner, series-first)
			for from := 0; from < n; from += loadRows {
				s := schemas.Section{Account: holder(first / perOwner), Region: "eu-central-1", Strings: []string{""}}
				for i := from; i < min(n, from+loadRows); i++ {
					s.Strings = append(s.Strings, fmt.Sprintf("service%d.amazonaws.com", i%90), fmt.Sprintf("DeleteThing%d", i))
					last := uint32(len(s.Strings) - 1)
					s.Rows = append(s.Rows, schemas.EventRow{
						ID: fmt.Sprintf("%08d-%04d-4000-8000-000000000000", first+i, i%100), Service: last - 1, Name: last, Write: true,
						Time: int64(detecttest.Epoch)*60 + int64(from/loadRows%10*60), PrincipalType: schemas.UserPrincipal,
					})
				}
				batch := schemas.EventBatch{Sections: []schemas.Section{s}}
				if !yield(schemas.EventsSubject(0, s.Region), batch.Append(nil)) {
					return
				}
			}
		}
	}
}
