package dead_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/broker"
	"github.com/trailvane/trailvane/services/internal/dead"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/stages"
)

const lanes = 2

// deploy makes a deployment on a server of its own.
func deploy(t *testing.T) *service.Deployment {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{Dir: jetstreamtest.Dir(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	id := jetstream.Identity{Lanes: lanes, Partitions: 2, Lateness: 15, Learn: 60, Budget: 1}
	if err := jetstream.Deploy(t.Context(), js, jetstream.DefaultTopology(id, stages.Names()...)); err != nil {
		t.Fatal(err)
	}
	return &service.Deployment{JS: js, Identity: id, Instance: "test", Log: slog.New(slog.DiscardHandler)}
}

// record is a CloudTrail record of a minute ago.
func record(id string) string {
	return fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::123456789012:user/ann",`+
		`"accountId":"123456789012","userName":"ann"},"eventTime":%q,"eventSource":"ec2.amazonaws.com","eventName":"StopInstances",`+
		`"awsRegion":"eu-west-1","sourceIPAddress":"192.0.2.1","eventID":%q,"eventType":"AwsApiCall","recipientAccountId":"123456789012",`+
		`"managementEvent":true,"readOnly":false}`, time.Now().Add(-time.Minute).UTC().Format(time.RFC3339), id)
}

// put writes a chunk as a connector does.
func put(t *testing.T, js natsjs.JetStream, lane int, number uint64, records ...string) {
	t.Helper()
	sink, err := jetstream.NewSink(js)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	chunk := schemas.Chunk{Object: "logs/evil\x1b[31m.json"}
	for i, r := range records {
		chunk.Records = append(chunk.Records, schemas.RawRecord{Offset: int64(100 * i), Body: []byte(r)})
	}
	_, err = sink.Put(t.Context(), runner.Output{
		Subject: schemas.RawSubject(lane, "cloudtrail"), Body: chunk.Append(nil),
		Producer: runner.Producer("ingest", fmt.Sprint(lane), "", 0), Number: schemas.Number{Seq: number},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A narrow decoder knows less than the one of its format.
type narrow struct {
	decode.Decoder
	refuses string
}

func (n narrow) Decode(r string, emit func(*schemas.Event)) error {
	if strings.Contains(r, n.refuses) {
		return errors.New("not understood \x1b]0;yet\a")
	}
	return n.Decoder.Decode(r, emit)
}

// drain runs the normalizer of a lane until it has read everything. It refuses records with some text, if there is one.
func drain(t *testing.T, d *service.Deployment, lane int, refuses string) {
	t.Helper()
	var decoders []decode.Decoder
	for _, f := range formats.All() {
		if refuses != "" {
			decoders = append(decoders, narrow{f, refuses})
		} else {
			decoders = append(decoders, f)
		}
	}
	p, err := service.Open(t.Context(), d, service.Stage[*normalize.Processor]{
		Name: normalize.Stage, Partition: lane, Input: jetstream.RawStream(lane), Constants: normalize.Constants(catalog.Default()),
		New: func(uint64) *normalize.Processor {
			return normalize.New(normalize.Config{Lane: lane, Partitions: d.Identity.Partitions, Decoders: decoders})
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Drain()
	if err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// events returns the ids of all events that the normalizers have put, sorted.
func events(t *testing.T, d *service.Deployment) []string {
	t.Helper()
	var ids []string
	for p := range d.Identity.Partitions {
		err := jetstream.ReadAll(t.Context(), d.JS, jetstream.EventsStream(p), func(r runner.Record) error {
			var b schemas.EventBatch
			if err := b.Decode(r.Body); err != nil {
				return err
			}
			for _, s := range b.Sections {
				for _, row := range s.Rows {
					ids = append(ids, row.ID)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(ids)
	return ids
}

func all(t *testing.T, js natsjs.JetStream) []dead.Letter {
	t.Helper()
	letters, err := dead.Find(t.Context(), js, dead.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	return letters
}

func replay(ctx context.Context, r *dead.Replayer, l dead.Letter) error {
	trial, err := r.Try(ctx, l)
	if err != nil {
		return err
	}
	return r.Replay(ctx, trial)
}

func newReplayer(t *testing.T, js natsjs.JetStream) *dead.Replayer {
	t.Helper()
	r, err := dead.NewReplayer(t.Context(), js, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// A record that was refused goes through when the normalizer is mended and it is replayed; twice is once, in any order.
func TestReplay(t *testing.T) {
	d := deploy(t)
	put(t, d.JS, 1, 1, record("good"), record("bad-1"), record("bad-2"), record("bad-3"), record("bad-4"))
	drain(t, d, 1, "bad-")
	letters := all(t, d.JS)
	if len(letters) != 4 {
		t.Fatalf("got %d dead letters, want 4", len(letters))
	}
	if lane, ok := letters[0].Lane(); lane != 1 || !ok {
		t.Errorf("got lane %d, %v", lane, ok)
	}
	for _, n := range []int{2, 0} { // a later one first
		if err := replay(t.Context(), newReplayer(t, d.JS), letters[n]); err != nil {
			t.Fatal(err)
		}
		drain(t, d, 1, "")
	}
	if got, want := events(t, d), []string{"bad-1", "bad-3", "good"}; !slices.Equal(got, want) {
		t.Fatalf("got events %v, want %v", got, want)
	}
	if err := replay(t.Context(), newReplayer(t, d.JS), letters[2]); !errors.Is(err, dead.ErrRefused) {
		t.Errorf("the second time: got %v, want ErrRefused", err)
	}
	if rest := all(t, d.JS); len(rest) != 2 || rest[0].Seq != letters[1].Seq {
		t.Errorf("got %d letters left", len(rest))
	}
	// It fails again, and so comes back.
	if err := replay(t.Context(), newReplayer(t, d.JS), letters[1]); err != nil {
		t.Fatal(err)
	}
	drain(t, d, 1, "bad-")
	rest := all(t, d.JS)
	if len(rest) != 2 || rest[0].Seq != letters[3].Seq || rest[1].Seq <= letters[3].Seq {
		t.Fatalf("got %+v", rest)
	}
	if err := replay(t.Context(), newReplayer(t, d.JS), rest[1]); err != nil {
		t.Fatal(err)
	}
	drain(t, d, 1, "")
	if got, want := events(t, d), []string{"bad-1", "bad-2", "bad-3", "good"}; !slices.Equal(got, want) {
		t.Errorf("got events %v, want %v", got, want)
	}
}

// Several who replay the same letters at the same time replay each once.
func TestReplayByTwo(t *testing.T) {
	d := deploy(t)
	var records, want []string
	for i := range 20 {
		id := fmt.Sprintf("bad-%02d", i)
		records, want = append(records, record(id)), append(want, id)
	}
	put(t, d.JS, 0, 1, records...)
	drain(t, d, 0, "bad-")
	letters := all(t, d.JS)
	done := make(chan error)
	for range 2 {
		r := newReplayer(t, d.JS)
		go func() {
			var err error
			for _, l := range letters {
				if e := replay(t.Context(), r, l); e != nil && !errors.Is(e, dead.ErrRefused) {
					err = errors.Join(err, e)
				}
			}
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	drain(t, d, 0, "")
	if got := events(t, d); !slices.Equal(got, want) {
		t.Errorf("got events %v, want %v", got, want)
	}
	if rest := all(t, d.JS); len(rest) != 0 {
		t.Errorf("%d letters are left", len(rest))
	}
}

// What cannot be replayed is refused with the reason, and stays.
func TestReplayRefuses(t *testing.T) {
	d := deploy(t)
	long := strings.Replace(record("long"), `"managementEvent"`, `"requestParameters":{"x":"`+strings.Repeat("y", schemas.MaxDeadRaw)+`"},"managementEvent"`, 1)
	future := strings.Replace(record("bad-future"), `"eventTime":"20`, `"eventTime":"21`, 1)
	put(t, d.JS, 0, 1, strings.Replace(long, "long", "bad-long", 1), future, `{"bad-":1}`)
	drain(t, d, 0, "bad-")
	letter(t, d.JS, "ingest.0.g0", 7, schemas.DeadLetter{Stage: "ingest", Object: "a", Size: 3, Reason: "malformed", Raw: []byte("{{{")})
	letter(t, d.JS, "", 8, schemas.DeadLetter{Stage: "normalizer", Object: "a", Size: 2, Reason: "malformed", Raw: []byte("{}")})
	want := []string{"of the record's", "it would fail again: future", "no format knows it", "mend the object", "names no lane"}
	letters := all(t, d.JS)
	if len(letters) != len(want) {
		t.Fatalf("got %d letters, want %d", len(letters), len(want))
	}
	for i, l := range letters {
		err := replay(t.Context(), newReplayer(t, d.JS), l)
		if !errors.Is(err, dead.ErrRefused) || !strings.Contains(err.Error(), want[i]) {
			t.Errorf("letter %d: got %v, want %q", i, err, want[i])
		}
	}
	if rest := all(t, d.JS); len(rest) != len(letters) {
		t.Errorf("%d of %d letters are left", len(rest), len(letters))
	}
}

func letter(t *testing.T, js natsjs.JetStream, producer string, number uint64, l schemas.DeadLetter) {
	t.Helper()
	sink, err := jetstream.NewSink(js)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	o := runner.Output{Subject: schemas.DeadSubject(l.Stage), Body: l.Append(nil), Producer: producer}
	if producer != "" {
		o.Number = schemas.Number{Seq: number}
	}
	if _, err := sink.Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// A letter that was put twice is one: listed, counted, replayed and taken away with its copy.
func TestCopies(t *testing.T) {
	d := deploy(t)
	l := schemas.DeadLetter{Stage: "normalizer", Object: "o", Reason: "malformed", Raw: []byte(record("x"))}
	l.Size = int64(len(l.Raw))
	for _, n := range []uint64{1, 2, 1, 2, 3} {
		letter(t, d.JS, "normalizer.0.g0", n, l)
	}
	letters, total, err := dead.List(t.Context(), d.JS, dead.Filter{}, 2)
	if err != nil || total != 3 || len(letters) != 2 || letters[0].Seq != 5 || letters[1].Seq != 2 {
		t.Fatalf("got %+v, %d, %v", letters, total, err)
	}
	found, missing, err := dead.Select(t.Context(), d.JS, []uint64{1, 99})
	if err != nil || len(found) != 1 || !slices.Equal(found[0].Copies, []uint64{3}) || !slices.Equal(missing, []uint64{99}) {
		t.Fatalf("got %+v, missing %v, %v", found, missing, err)
	}
	if err := replay(t.Context(), newReplayer(t, d.JS), found[0]); err != nil {
		t.Fatal(err)
	}
	drain(t, d, 0, "")
	if got := events(t, d); len(got) != 1 {
		t.Errorf("got events %v", got)
	}
	rest := all(t, d.JS)
	if len(rest) != 2 || rest[0].Seq != 2 || rest[1].Seq != 5 {
		t.Errorf("got %+v", rest)
	}
}

func TestPurge(t *testing.T) {
	d := deploy(t)
	for i, stage := range []string{"ingest", "normalizer", "ingest", "normalizer"} {
		letter(t, d.JS, stage+".0.g0", uint64(i+1), schemas.DeadLetter{Stage: stage, Reason: "malformed"})
	}
	letters := all(t, d.JS)
	if n, err := dead.Purge(t.Context(), d.JS, "ingest", letters[2].Time); err != nil || n != 1 {
		t.Errorf("older ones of ingest: got %d, %v", n, err)
	}
	if n, err := dead.Purge(t.Context(), d.JS, "normalizer", time.Time{}); err != nil || n != 2 {
		t.Errorf("normalizer: got %d, %v", n, err)
	}
	if rest := all(t, d.JS); len(rest) != 1 || rest[0].Seq != 3 {
		t.Errorf("got %+v", rest)
	}
	if n, err := dead.Purge(t.Context(), d.JS, "", time.Time{}); err != nil || n != 1 {
		t.Errorf("all: got %d, %v", n, err)
	}
}

func TestGet(t *testing.T) {
	d := deploy(t)
	put(t, d.JS, 0, 1, record("bad-1"))
	drain(t, d, 0, "bad-")
	l, ok, err := dead.Get(t.Context(), d.JS, 1)
	if err != nil || !ok || !bytes.Contains(l.Raw, []byte("bad-1")) || l.Reason != "malformed" {
		t.Errorf("got %+v, %v, %v", l, ok, err)
	}
	if _, ok, err := dead.Get(t.Context(), d.JS, 2); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

// A replay that died, before or behind its put, is brought to its end by the next one, once.
func TestReplayAfterACrash(t *testing.T) {
	for _, stored := range []bool{false, true} {
		d := deploy(t)
		put(t, d.JS, 0, 1, record("bad-1"), record("bad-2"))
		drain(t, d, 0, "bad-")
		letters := all(t, d.JS)
		r := newReplayer(t, d.JS)
		trial, err := r.Try(t.Context(), letters[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Begin(t.Context(), trial, stored); err != nil {
			t.Fatal(err)
		}
		drain(t, d, 0, "")
		if err := replay(t.Context(), newReplayer(t, d.JS), letters[0]); err != nil {
			t.Fatal(err)
		}
		drain(t, d, 0, "")
		if got, want := events(t, d), []string{"bad-1", "bad-2"}; !slices.Equal(got, want) {
			t.Errorf("put=%v: got events %v, want %v", stored, got, want)
		}
		if rest := all(t, d.JS); len(rest) != 0 {
			t.Errorf("put=%v: %d letters are left", stored, len(rest))
		}
	}
}
