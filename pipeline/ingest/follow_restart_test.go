package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// An ingest that follows a folder is killed after any read, while logs are written, rotated and cut, and former owners wake up
// beside it. What readers have of RAW is what the plan says, every chunk once, with the same bytes; and every event is there.
func TestFollowRestart(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { testFollowRestart(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func testFollowRestart(t *testing.T, random *rand.Rand) {
	clock := time.Unix(1_000_000*60, 0)
	now := func() time.Time { return clock }
	broker := memory.NewBroker(now)
	f := newFolder()
	events, generation, steps := 0, 0, 120
	half := ""
	event := func() string { events++; return lines(events, 1) }
	// change does what happens in the folder between two reads.
	change := func() {
		clock = clock.Add(time.Duration(random.IntN(50)) * time.Second)
		if steps--; steps <= 0 {
			if half != "" {
				f.add("logs/audit", half)
				half = ""
			}
			return
		}
		switch random.IntN(8) {
		case 0, 1:
			f.add("logs/audit", half+event()+event())
			half = ""
		case 2:
			if half == "" {
				line := event()
				cut := 1 + random.IntN(len(line)-1)
				f.add("logs/audit", line[:cut])
				half = line[cut:]
			}
		case 3:
			f.write(fmt.Sprintf("new/%d.json", events), event())
		case 4:
			if _, ok := f.files["logs/audit"]; ok && half == "" {
				generation++
				f.rename("logs/audit", fmt.Sprintf("logs/audit.%d", generation))
			}
		case 5:
			f.write(fmt.Sprintf("new/%d.json.gz", events), compress(t, event()+event()))
		}
	}
	following := func() *follow {
		l := newFollow(f, broker.Store("ingest"), func(c *FollowConfig) {
			c.Now = func(context.Context) (time.Time, error) { return clock, nil }
			c.Wait = func(context.Context) error {
				if steps <= -3 {
					return errWait
				}
				change()
				return nil
			}
		})
		return l
	}

	var zombies []*killed
	for life := 0; ; life++ {
		if life > 1000 {
			t.Fatal("does not get on")
		}
		k := &killed{Source: following().Source, reads: 1 + random.IntN(6), change: change}
		commits := 1
		if random.IntN(2) == 0 {
			commits = 1 << 30
		}
		err := runner.Run(t.Context(), runner.Config{
			Stage: "ingest", Partition: "0", Instance: fmt.Sprint(life), Source: k,
			Sink: broker.Sink(), Store: broker.Store("ingest"), CommitBytes: commits,
			New: func(uint64) runner.Processor { return NewProcessor() },
		})
		if errors.Is(err, errWait) {
			break
		}
		if !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		if zombies = append(zombies, k); random.IntN(3) == 0 {
			zombies[random.IntN(len(zombies))].wake(t, broker.Sink())
		}
	}

	all := newFollow(f, broker.Store("ingest"), func(c *FollowConfig) {
		c.Now = func(context.Context) (time.Time, error) { return time.Unix(0, 0), nil }
	}).records(t)
	var want []string
	last := make(map[string]int)
	for _, r := range all {
		if schemas.LastToken(r.Subject) == "cloudtrail" {
			want = append(want, fmt.Sprintf("%d %x", r.Seq, r.Body))
			var c schemas.Chunk
			if err := c.Decode(r.Body); err != nil {
				t.Fatal(err)
			}
			for _, raw := range c.Records {
				last[string(raw.Body)]++
			}
		}
	}
	if len(last) != events {
		t.Errorf("%d of %d events arrived", len(last), events)
	}
	for event, n := range last {
		if n != 1 {
			t.Errorf("%s arrived %d times", event, n)
		}
	}
	got, ticks := readRaw(t, broker)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("RAW (-plan +got):\n%.2000s", diff)
	}
	if ticks == 0 {
		t.Error("no ticks")
	}
}

// readRaw returns the chunks of a lane, as readers have them, and counts the ticks.
func readRaw(t *testing.T, broker *memory.Broker) (chunks []string, ticks int) {
	t.Helper()
	in := broker.Source("RAW_0")
	in.Drain()
	var last schemas.Number
	for after := uint64(0); ; {
		records, err := in.Read(t.Context(), after)
		if errors.Is(err, io.EOF) {
			return chunks, ticks
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			after = r.Seq
			if !last.Less(r.Number) {
				continue
			}
			last = r.Number
			switch schemas.LastToken(r.Subject) {
			case "tick":
				ticks++
			case "cloudtrail":
				chunks = append(chunks, fmt.Sprintf("%d %x", r.Number.Seq, r.Body))
			}
		}
	}
}

// A killed source ends its reader without a last commit, after some reads.
type killed struct {
	*Source
	reads  int
	change func()
	after  uint64
}

func (k *killed) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	k.change()
	if k.reads == 0 {
		k.after = after
		return nil, fmt.Errorf("%w: %w", runner.ErrGap, errStop)
	}
	k.reads--
	records, err := k.Source.Read(ctx, after)
	if errors.Is(err, errWait) {
		return nil, fmt.Errorf("%w: %w", runner.ErrGap, errWait)
	}
	return records[:min(len(records), 3)], err
}

// wake lets a former owner read and put once more, as if it had been paused.
func (k *killed) wake(t *testing.T, sink runner.Sink) {
	t.Helper()
	records, err := k.Source.Read(t.Context(), k.after)
	if errors.Is(err, errWait) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		k.after = r.Seq
		if r.Subject == reportSubject {
			continue
		}
		o := runner.Output{
			Subject: r.Subject, Body: r.Body, Number: schemas.Number{Seq: r.Seq},
			Producer: runner.Producer("ingest", "0", planPartition(0), 0),
		}
		if _, err := sink.Put(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}
