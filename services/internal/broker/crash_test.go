package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/broker"
)

func connect(url string) (*nats.Conn, error) { return nats.Connect(url) }

func streamOf(bytes int64) natsjs.StreamConfig {
	return natsjs.StreamConfig{Name: "S", Subjects: []string{"s"}, MaxBytes: bytes}
}

// childDir makes the test binary be the process that is killed.
const childDir = "TRAILVANE_TEST_BROKER_DIR"

const (
	perStep = 7  // outputs of one step, over two streams
	slices  = 50 // state keys, one of which changes in each step; and one that always does
)

// step is what the child does once: put, then commit, saying each time that it was acknowledged.
func step(ctx context.Context, sink *jetstream.Sink, store *jetstream.Store, n uint64) error {
	out := make([]runner.Output, perStep)
	for i := range out {
		out[i] = runner.Output{
			Subject: schemas.EventsSubject(i%2, "here"), Body: fmt.Appendf(make([]byte, 2000), "%d.%d", n, i),
			Producer: "child", Number: schemas.Number{Seq: n, Index: uint32(i)},
		}
	}
	if _, err := sink.Put(ctx, out...); err != nil {
		return err
	}
	fmt.Println("put", n)
	value := strconv.AppendUint(nil, n, 10)
	err := store.Commit(ctx, "0", schemas.Checkpoint{Seq: n}, map[string][]byte{
		"always": value, fmt.Sprint("slice.", n%slices): value,
	})
	if err == nil {
		fmt.Println("commit", n)
	}
	return err
}

// child works until it is killed.
func child(dir string) {
	err := func() error {
		ctx := context.Background()
		b, err := broker.Start(ctx, broker.Config{Dir: dir})
		if err != nil {
			return err
		}
		js, err := b.JetStream()
		if err != nil {
			return err
		}
		sink, store, err := open(ctx, js)
		if err != nil {
			return err
		}
		cp, _, err := store.Load(ctx, "0")
		for n := cp.Seq + 1; err == nil; n++ {
			err = step(ctx, sink, store, n)
		}
		return err
	}()
	fmt.Println("error", err)
	os.Exit(1)
}

func open(ctx context.Context, js natsjs.JetStream) (*jetstream.Sink, *jetstream.Store, error) {
	id := jetstream.Identity{Lanes: 1, Partitions: 2, Lateness: 15, Learn: 60, Budget: 1}
	if err := jetstream.Deploy(ctx, js, jetstream.DefaultTopology(id, "stage")); err != nil {
		return nil, nil, err
	}
	store, err := jetstream.OpenStore(ctx, js, "stage")
	if err != nil {
		return nil, nil, err
	}
	sink, err := jetstream.NewSink(js)
	return sink, store, err
}

// Rule 9: SIGKILL at any moment. What was acknowledged is there, in order and without gaps, and a state is never half
// committed.
func TestRule9AKilledProcessLosesNothing(t *testing.T) {
	dir := t.TempDir()
	var put, committed uint64
	for round := range 8 {
		put, committed = killAfter(t, dir, 1+rand.IntN(120), put, committed)
		var said bytes.Buffer // nothing: a kill is nobody's business when nothing is lost
		b := start(t, broker.Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&said, nil))})
		check(t, b, put, committed)
		b.Shutdown()
		if said.Len() > 0 {
			t.Errorf("the broker says %s", said.String())
		}
		if t.Failed() {
			t.Fatalf("after round %d", round)
		}
	}
	t.Logf("%d steps put, %d committed", put, committed)
}

// killAfter runs a child until it has said so many lines, and returns what was acknowledged before it died.
func killAfter(t *testing.T, dir string, lines int, put, committed uint64) (uint64, uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for said := 0; scanner.Scan(); said++ { // what it said before it died counts too
		var what string
		var n uint64
		if _, err := fmt.Sscan(scanner.Text(), &what, &n); err != nil {
			t.Fatalf("the child says %q", scanner.Text())
		}
		switch what {
		case "put":
			put = max(put, n)
		case "commit":
			committed = n
		}
		if said == lines {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed
	if ctx.Err() != nil {
		t.Fatal("the child did not work")
	}
	return put, committed
}

func check(t *testing.T, b *broker.Broker, put, committed uint64) {
	t.Helper()
	ctx := t.Context()
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	defer js.Conn().Close()

	for p := range 2 {
		checkStream(t, js, p, put)
	}
	sink, store, err := open(ctx, js)
	if err != nil {
		t.Fatal(err)
	}
	sink.Close()
	cp, state, err := store.Load(ctx, "0")
	if err != nil {
		t.Fatal(err)
	}
	if cp.Seq < committed || cp.Seq > committed+1 {
		t.Errorf("checkpoint is %d, acknowledged was %d", cp.Seq, committed)
	}
	keys := 0
	for key, value := range state {
		keys++
		want := cp.Seq
		if key != "always" {
			var slice uint64
			if _, err := fmt.Sscanf(key, "slice.%d", &slice); err != nil {
				t.Fatalf("key %q", key)
			}
			want = cp.Seq - (cp.Seq+slices-slice)%slices // the last step that wrote it
		}
		if string(value) != strconv.FormatUint(want, 10) {
			t.Errorf("checkpoint %d: key %s is %s, want %d", cp.Seq, key, value, want)
		}
	}
	if want := min(int(cp.Seq), slices) + min(int(cp.Seq), 1); keys != want {
		t.Errorf("checkpoint %d has %d keys, want %d", cp.Seq, keys, want)
	}
}

// checkStream reads a stream as a runner does, dropping repeats, and compares it with what the child put into it.
func checkStream(t *testing.T, js natsjs.JetStream, partition int, put uint64) {
	t.Helper()
	source := jetstream.NewSource(js, jetstream.EventsStream(partition), jetstream.SourceConfig{})
	defer source.Close()
	source.Drain()
	var after uint64
	var seen schemas.Number
	next := schemas.Number{Seq: 1, Index: uint32(partition)}
	for {
		records, err := source.Read(t.Context(), after)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Prev != after {
				t.Fatalf("record %d follows %d", r.Seq, after)
			}
			after = r.Seq
			if !seen.Less(r.Number) {
				continue
			}
			if r.Number != next {
				t.Fatalf("partition %d: after %v comes %v, want %v", partition, seen, r.Number, next)
			}
			seen = next
			if next.Index += 2; next.Index >= perStep {
				next = schemas.Number{Seq: next.Seq + 1, Index: uint32(partition)}
			}
		}
	}
	last := schemas.Number{Seq: put, Index: uint32(perStep - 1 - partition)}
	if put > 0 && seen.Less(last) {
		t.Errorf("partition %d ends at %v, acknowledged was %v", partition, seen, last)
	}
}
