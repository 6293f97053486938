package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/runner/runnertest"
	"github.com/trailvane/trailvane/schemas"
	"pgregory.net/rapid"
)

// A way to run the pipeline, of which nothing may be seen in what comes out.
type way struct {
	partitions  int
	commitBytes int
	restarts    int // of each stage: it is stopped, and its position and state come back from the commit
	wrong       func(*runner.Config)
}

// replay runs raw records through the pipeline and returns the insight events by subject.
func replay(records []runnertest.Raw, w way) (map[string]string, error) {
	b, err := play(records, w)
	if err != nil {
		return nil, err
	}
	insights := make(map[string]string)
	for _, r := range b.Records("INSIGHTS") {
		insights[r.Subject] = string(r.Body)
	}
	return insights, nil
}

// play runs raw records through the pipeline, stage after stage, and returns the broker that holds everything.
func play(records []runnertest.Raw, w way) (*memory.Broker, error) {
	stored := records[0].Time
	b := memory.NewBroker(func() time.Time { return stored })
	for _, r := range records {
		stored = r.Time
		if err := b.Publish(r.Subject, bytes.Clone(r.Body), r.Trace); err != nil {
			return nil, err
		}
	}
	for _, s := range stages(w.partitions) {
		for p := range s.Partitions {
			for i := range w.restarts + 1 {
				source := b.Source(s.Input(p))
				source.Drain()
				c := runner.Config{
					Stage: s.Name, Partition: strconv.Itoa(p), Instance: strconv.Itoa(i), Constants: s.Constants,
					Source: cut{source, i, w.restarts}, Sink: b.Sink(), Store: b.Store(s.Name), CommitBytes: w.commitBytes,
					New: func(generation uint64) runner.Processor { return s.New(p, generation) },
				}
				if w.wrong != nil {
					w.wrong(&c)
				}
				if err := runner.Run(context.Background(), c); err != nil {
					return nil, fmt.Errorf("%s.%d: %w", s.Name, p, err)
				}
			}
		}
	}
	if b.Conflicts() != 0 {
		return nil, errors.New("insight events met other bytes")
	}
	return b, nil
}

// undisturbed is what every other way is compared with.
var undisturbed = way{partitions: 1, commitBytes: 1 << 30}

// cut ends an input early, so that the next run of several has something left.
type cut struct {
	*memory.Source
	run, last int
}

func (c cut) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	records, err := c.Source.Read(ctx, after)
	if err != nil || c.run == c.last {
		return records, err
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	until := info.Last * uint64(c.run+1) / uint64(c.last+1)
	n, _ := slices.BinarySearchFunc(records, until, func(r runner.Record, until uint64) int {
		if r.Seq <= until {
			return -1
		}
		return 1
	})
	if n == 0 {
		return c.Source.Read(ctx, info.Last) // the end
	}
	return records[:n], nil
}

// Each type must begin and end several times in each account, or the tests of this package would be blind to its detector.
func TestEveryTypeIsFound(t *testing.T) {
	type what struct {
		kind    schemas.InsightType
		account string
		state   schemas.State
	}
	insights, err := replay(raw(), undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[what]int)
	for subject, body := range insights {
		var i schemas.Insight
		if err := i.Decode([]byte(body)); err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		got[what{i.Details.Type, i.AccountID, i.Details.State}]++
	}
	for kind := range all.Detectors() {
		for _, c := range clouds {
			started, ended := got[what{kind, c.account, schemas.StartState}], got[what{kind, c.account, schemas.EndState}]
			if started < incidents || ended != started {
				t.Errorf("%s begins %d times in account %s and ends %d times, want at least %d",
					kind, started, c.account, ended, incidents)
			}
		}
	}
}

// The same RAW gives the same insight bytes with any number of partitions, any commit points and any restarts.
func TestReplayGivesTheSameBytes(t *testing.T) {
	records := raw()
	want, err := replay(records, undisturbed)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		got, err := replay(records, way{
			partitions:  rapid.IntRange(1, 32).Draw(t, "partitions"),
			commitBytes: rapid.SampledFrom([]int{1, 1000, 20_000, 100_000, 1 << 30}).Draw(t, "bytes between commits"),
			restarts:    rapid.IntRange(0, 4).Draw(t, "restarts"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("insight events (-want +got):\n%s", d)
		}
	})
}
