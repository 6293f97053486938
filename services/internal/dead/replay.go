package dead

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

var errFound = errors.New("found")

func isFound(err error) bool { return errors.Is(err, errFound) }

// Producer is the name under which records are put again. It numbers them by itself, so that no connector's numbers are disturbed.
const Producer = "dead-replay"

// ErrRefused: a letter cannot be replayed. The error says why.
var ErrRefused = errors.New("cannot be replayed")

// A Replayer puts records of dead letters into RAW again, each exactly once.
//
// A letter leaves DEAD when its record is in RAW: if it fails again, it comes back as another letter. That both happens once,
// whatever fails in between and whoever else replays, is kept as everywhere: what is about to be put is written down first, with
// its number, in the deployment's bucket; then it is put, then the letter is taken away. Whoever comes next puts what is written
// down once more before anything else, with the same number and the same bytes, and readers drop the repeat. A number is written
// down by compare-and-set and only grows, so that none is used for two letters and none comes behind a higher one.
type Replayer struct {
	js     natsjs.JetStream
	lanes  int
	format string
	sink   *jetstream.Sink
	kv     natsjs.KeyValue
	seen   map[int]uint64 // lane → highest number that the normalizer has had of ours
}

// NewReplayer returns a replayer on a deployment. Format is that of all records; empty: each record's is found out. Close it.
func NewReplayer(ctx context.Context, js natsjs.JetStream, format string) (*Replayer, error) {
	id, err := jetstream.ReadIdentity(ctx, js)
	if err != nil {
		return nil, err
	}
	kv, err := js.KeyValue(ctx, jetstream.DeploymentBucket)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", jetstream.DeploymentBucket, err)
	}
	checkpoints, err := jetstream.Checkpoints(ctx, js, normalize.Stage)
	if err != nil {
		return nil, err
	}
	r := &Replayer{js: js, lanes: id.Lanes, format: format, kv: kv, seen: make(map[int]uint64)}
	for partition, cp := range checkpoints {
		lane, err := strconv.Atoi(partition)
		if err != nil {
			continue
		}
		if i, ok := slices.BinarySearchFunc(cp.Seen, Producer, schemas.Seen.Compare); ok {
			r.seen[lane] = cp.Seen[i].Number.Seq
		}
	}
	if r.sink, err = jetstream.NewSink(js); err != nil {
		return nil, err
	}
	return r, nil
}

// Close gives back what the replayer holds.
func (r *Replayer) Close() { r.sink.Close() }

// A Trial is what becomes of a record.
type Trial struct {
	Letter
	Lane   int
	Format string
	Events int       // that go on
	Oldest time.Time // event time of the oldest of them; zero if there is none
}

// Try says what becomes of a letter's record, by the rules of this program, without changing anything. An error that wraps
// [ErrRefused] says why it cannot be replayed.
func (r *Replayer) Try(ctx context.Context, l Letter) (Trial, error) {
	t := Trial{Letter: l}
	full, ok, err := Get(ctx, r.js, l.Seq)
	switch {
	case err != nil:
		return t, err
	case !ok:
		return t, refuse(l, "it is not there any more")
	}
	t.DeadLetter = full.DeadLetter
	t.Lane, ok = full.Lane()
	switch {
	case full.Stage != normalize.Stage:
		return t, refuse(l, "%s could not take a whole record out of the object, so that there is nothing to put again; "+
			"mend the object: it is read again when its content has changed", full.Stage)
	case !full.Whole():
		return t, refuse(l, "it holds %d of the record's %d bytes; deliver the object again", len(full.Raw), full.Size)
	case !ok || t.Lane >= r.lanes:
		return t, refuse(l, "its producer %q names no lane", full.Producer)
	}
	if t.Format = r.format; t.Format == "" {
		if t.Format, ok = formats.Detect(string(t.Raw)); !ok {
			return t, refuse(l, "no format knows it; name one with --format")
		}
	}
	return t, t.normalize()
}

func refuse(l Letter, format string, args ...any) error {
	return fmt.Errorf("letter %d %w: %s", l.Seq, ErrRefused, fmt.Sprintf(format, args...))
}

// chunk is the record as ingest puts it, alone.
func (t *Trial) chunk() schemas.Chunk {
	return schemas.Chunk{
		Object: t.Object, Account: ingest.Locate(t.Object).Account, Records: []schemas.RawRecord{{Offset: t.Offset, Body: t.Raw}},
	}
}

// normalize does what the normalizer would do.
func (t *Trial) normalize() error {
	var decoders []decode.Decoder
	for _, f := range formats.All() {
		decoders = append(decoders, f)
	}
	p := normalize.New(normalize.Config{Lane: t.Lane, Partitions: 1, Decoders: decoders})
	chunk := t.chunk()
	record := runner.Record{Subject: schemas.RawSubject(t.Lane, t.Format), Time: time.Now(), Body: chunk.Append(nil)}
	var failed error
	err := p.Apply(record, func(o runner.Output) {
		if strings.HasPrefix(o.Subject, "dead.") {
			var again schemas.DeadLetter
			if err := again.Decode(o.Body); err != nil {
				failed = err
				return
			}
			failed = refuse(t.Letter, "it would fail again: %s: %s", again.Reason, again.Error)
			return
		}
		var batch schemas.EventBatch
		if err := batch.Decode(o.Body); err != nil {
			failed = err
			return
		}
		for _, s := range batch.Sections {
			for _, row := range s.Rows {
				at := time.Unix(row.Time, 0).UTC()
				if t.Events++; t.Oldest.IsZero() || at.Before(t.Oldest) {
					t.Oldest = at
				}
			}
		}
	})
	return errors.Join(err, failed)
}

// intent is what is about to be put into a lane. It is kept in the deployment's bucket, one for each lane.
type intent struct {
	Number uint64   `json:"number"`
	Letter uint64   `json:"letter"` // 0: nothing is under way
	Copies []uint64 `json:"copies,omitempty"`
	Format string   `json:"format,omitempty"`
}

func intentKey(lane int) string { return "replay." + strconv.Itoa(lane) }

// Replay puts the record of a letter into its lane and takes the letter away. Whatever an earlier run had begun in that lane is
// brought to its end before.
func (r *Replayer) Replay(ctx context.Context, t Trial) error {
	for {
		last, revision, err := r.resume(ctx, t.Lane)
		if err != nil {
			return err
		}
		if _, ok, err := Get(ctx, r.js, t.Seq); err != nil || !ok {
			return cmpErr(err, refuse(t.Letter, "it is not there any more: it was replayed or purged meanwhile"))
		}
		next := intent{Number: max(last, r.seen[t.Lane]) + 1, Letter: t.Seq, Copies: t.Copies, Format: t.Format}
		revision, err = r.write(ctx, t.Lane, next, revision)
		if isTaken(err) {
			continue // somebody else replays into this lane
		}
		if err != nil {
			return err
		}
		return r.finish(ctx, t.Lane, next, revision)
	}
}

// Resume brings to its end what earlier runs had begun.
func (r *Replayer) Resume(ctx context.Context) error {
	for lane := range r.lanes {
		if _, _, err := r.resume(ctx, lane); err != nil {
			return err
		}
	}
	return nil
}

// resume returns the last number of a lane, and the revision of what is written down, when nothing is under way any more.
func (r *Replayer) resume(ctx context.Context, lane int) (number, revision uint64, err error) {
	e, err := r.kv.Get(ctx, intentKey(lane))
	if errors.Is(err, natsjs.ErrKeyNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read what is replayed into lane %d: %w", lane, err)
	}
	var last intent
	if err := json.Unmarshal(e.Value(), &last); err != nil {
		return 0, 0, fmt.Errorf("read what is replayed into lane %d: %w", lane, err)
	}
	if last.Letter == 0 {
		return last.Number, e.Revision(), nil
	}
	if err := r.finish(ctx, lane, last, e.Revision()); err != nil {
		return 0, 0, err
	}
	return r.resume(ctx, lane)
}

// finish puts what is written down, takes the letter away, and writes down that nothing is under way. It may be done several
// times, and by several at the same time.
func (r *Replayer) finish(ctx context.Context, lane int, i intent, revision uint64) error {
	l, ok, err := Get(ctx, r.js, i.Letter)
	if err != nil {
		return err
	}
	if ok { // else it was put, and taken away after that
		t := Trial{Letter: l, Lane: lane, Format: i.Format}
		chunk := t.chunk()
		_, err := r.sink.Put(ctx, runner.Output{
			Subject: schemas.RawSubject(lane, i.Format), Body: chunk.Append(nil),
			Producer: Producer, Number: schemas.Number{Seq: i.Number},
		})
		if err != nil {
			return fmt.Errorf("put letter %d: %w", i.Letter, err)
		}
		l.Copies = i.Copies
		if err := Remove(ctx, r.js, l); err != nil {
			return err
		}
	}
	if _, err = r.write(ctx, lane, intent{Number: i.Number}, revision); isTaken(err) {
		return nil // somebody else has brought it to its end
	}
	return err
}

// write replaces what is written down, if it is still what it was; revision 0 is nothing.
func (r *Replayer) write(ctx context.Context, lane int, i intent, revision uint64) (uint64, error) {
	b, err := json.Marshal(i)
	if err != nil {
		return 0, err
	}
	if revision, err = r.kv.Update(ctx, intentKey(lane), b, revision); err != nil {
		return 0, fmt.Errorf("write down what is replayed into lane %d: %w", lane, err)
	}
	return revision, nil
}

// isTaken reports whether somebody else has written meanwhile.
func isTaken(err error) bool {
	var api *natsjs.APIError
	return errors.As(err, &api) && (api.ErrorCode == natsjs.JSErrCodeStreamWrongLastSequence || api.ErrorCode == codeWrongLastConstant)
}

// codeWrongLastConstant is the same, said by a replicated stream while another write is in flight.
const codeWrongLastConstant = 10164

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}
