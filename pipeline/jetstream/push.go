package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// What follows is for connectors into which others push. They cannot read anything again, so they write down what they are about
// to put, and whoever comes next finds out what became of it. docs/decisions/0021-http-connector.md has the protocol.

// PushBucket holds, for each lane, what is being put into it (head.<lane>), and what was answered to each key
// (key.<lane>.<key>).
const PushBucket = "PUSHED"

// PushAge is how long a key is remembered: longer than any client tries again at once. What does not come again for so long has
// been settled, or nobody asks for it any more.
const PushAge = time.Hour

// MaxAtomic is the most outputs that one atomic batch may hold: the server's own bound.
const MaxAtomic = 1000

var (
	// ErrFull: the stream has no room now. Nothing was stored.
	ErrFull = errors.New("the stream is full")

	// ErrTaken: somebody else has written meanwhile. Nothing was stored.
	ErrTaken = errors.New("somebody else has written meanwhile")
)

// PutAtomic stores outputs, of one stream, together and in their order, or none of them, and does not wait for room: see
// [ErrFull]. With any other error they may be stored, now or later.
func PutAtomic(ctx context.Context, js jetstream.JetStream, outputs ...runner.Output) error {
	messages := make([]*nats.Msg, len(outputs))
	for i := range outputs {
		messages[i] = encode(&outputs[i], "", new([]byte)) // each has its own scratch: all are needed until the end
		if messages[i].Header == nil {
			messages[i].Header = nats.Header{}
		}
	}
	_, err := publishTogether(ctx, js, messages)
	return outcome(err)
}

// PutAfter stores an output behind exactly this sequence, or not: see [ErrTaken].
func PutAfter(ctx context.Context, js jetstream.JetStream, o runner.Output, last uint64) error {
	m := encode(&o, "", new([]byte))
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	m.Header[jetstream.ExpectedLastSeqHeader] = []string{strconv.FormatUint(last, 10)}
	_, err := publishTogether(ctx, js, []*nats.Msg{m})
	return outcome(err)
}

// outcome tells the errors that mean that nothing was stored.
func outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case wrongLast(err):
		return fmt.Errorf("%w: %w", ErrTaken, err)
	case isFull(err):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// A PushHead says what is being put into a lane.
type PushHead struct {
	Number uint64   `json:"number"`          // of the last group of requests
	Keys   []string `json:"keys,omitempty"`  // of that group while it is under way; none: it is settled
	After  uint64   `json:"after,omitempty"` // last sequence of the lane before it
	Owner  string   `json:"owner,omitempty"` // who puts it
}

// Pushed is the bucket [PushBucket]. What is looked up there decides, so that the leader is asked.
type Pushed struct{ js jetstream.JetStream }

// OpenPushed opens the bucket, which [Deploy] made.
func OpenPushed(js jetstream.JetStream) *Pushed { return &Pushed{js} }

func pushKey(kind string, lane int) string { return kind + "." + strconv.Itoa(lane) }

// Head returns what is being put into a lane, and its revision; zero if nothing was put for long.
func (p *Pushed) Head(ctx context.Context, lane int) (h PushHead, revision uint64, err error) {
	value, revision, err := lastValue(ctx, p.js, PushBucket, pushKey("head", lane))
	if err == nil && revision > 0 {
		err = json.Unmarshal(value, &h)
	}
	if err != nil {
		return h, 0, fmt.Errorf("read what is pushed into lane %d: %w", lane, err)
	}
	return h, revision, nil
}

// Answer returns what was written down for a key, nil if nothing was.
func (p *Pushed) Answer(ctx context.Context, lane int, key string) ([]byte, error) {
	value, _, err := lastValue(ctx, p.js, PushBucket, pushKey("key", lane)+"."+key)
	if err != nil {
		return nil, fmt.Errorf("look up key %s in lane %d: %w", key, lane, err)
	}
	return value, nil
}

// Write replaces the head of a lane, if it is still of that revision, together with answers, by key; an empty one takes a key
// back. After an error other than [ErrTaken] and [ErrFull] both may be written.
func (p *Pushed) Write(
	ctx context.Context, lane int, h PushHead, revision uint64, answers map[string][]byte,
) (uint64, error) {
	head, err := json.Marshal(h)
	if err != nil {
		return 0, err
	}
	const prefix = "$KV." + PushBucket + "."
	messages := make([]*nats.Msg, 0, len(answers)+1)
	for key, answer := range answers {
		messages = append(messages, &nats.Msg{Subject: prefix + pushKey("key", lane) + "." + key, Header: nats.Header{}, Data: answer})
	}
	messages = append(messages, &nats.Msg{
		Subject: prefix + pushKey("head", lane), Data: head,
		Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(revision, 10)}},
	})
	revision, err = publishTogether(ctx, p.js, messages)
	if err = outcome(err); err != nil {
		return 0, fmt.Errorf("write down what is pushed into lane %d: %w", lane, err)
	}
	return revision, nil
}

// publishTogether stores messages in one atomic batch and returns the sequence of the last one. The client's extension library has
// this too, but waits for its answers in between without the context, so that a service that is told to stop would not.
func publishTogether(ctx context.Context, js jetstream.JetStream, messages []*nats.Msg) (uint64, error) {
	last := len(messages) - 1
	if last > 0 { // alone it is atomic by itself, and costs a fortieth: the server stages a batch in files of its own
		id := uuid.NewString()
		for i, m := range messages {
			m.Header.Set(jetstreamext.BatchIDHeader, id)
			m.Header.Set(jetstreamext.BatchSeqHeader, strconv.Itoa(i+1))
		}
		messages[last].Header.Set(jetstreamext.BatchCommitHeader, "1")
	}
	sent, total := 0, 0 // bytes, since the server has answered and in all
	for i, m := range messages[:last] {
		var err error
		total += len(m.Data)
		if sent += len(m.Data); i == 0 || sent >= commitWindow { // the first one, so that a server with too many open batches says so
			err, sent = staged(ctx, js.Conn(), m), 0
		} else {
			err = js.Conn().PublishMsg(m)
		}
		if err != nil {
			return 0, fmt.Errorf("message %d of %d: %w", i+1, len(messages), err)
		}
	}
	// Now the server writes it all: a gigabyte took it six seconds on two cores.
	ctx, cancel := context.WithTimeout(ctx, apiTimeout+time.Duration(total/commitWindow)*time.Second)
	defer cancel()
	ack, err := js.PublishMsg(ctx, messages[last], jetstream.WithRetryAttempts(0))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// staged sends a message of a batch that has more of them and waits until the server has it.
func staged(ctx context.Context, nc *nats.Conn, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	answer, err := nc.RequestMsgWithContext(ctx, m)
	if err != nil || len(answer.Data) == 0 {
		return err
	}
	var a struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &a); err != nil {
		return fmt.Errorf("answer %.100q: %w", answer.Data, err)
	}
	if a.Error != nil {
		return a.Error
	}
	return nil
}

// HadBy returns the highest number of a producer that a partition of a stage has had, as it has committed it, and the sequence of
// its input up to which it has committed. The leader is asked.
func HadBy(ctx context.Context, js jetstream.JetStream, stage, partition, producer string) (schemas.Number, uint64, error) {
	value, revision, err := lastValue(ctx, js, StateBucket(stage), checkpoints+"."+partition)
	if err != nil || revision == 0 {
		return schemas.Number{}, 0, err
	}
	var c schemas.Checkpoint
	if err := c.Decode(value); err != nil {
		return schemas.Number{}, 0, fmt.Errorf("checkpoint %s of %s: %w", partition, stage, err)
	}
	i, ok := slices.BinarySearchFunc(c.Seen, producer, schemas.Seen.Compare)
	if !ok {
		return schemas.Number{}, c.Seq, nil
	}
	return c.Seen[i].Number, c.Seq, nil
}

// Held returns the first sequence that a stream still holds, the last one ever stored, and the time by its server's clock.
func Held(ctx context.Context, js jetstream.JetStream, stream string) (first, last uint64, now time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := js.Stream(ctx, stream) // asks for its state
	if err != nil {
		return 0, 0, time.Time{}, fmt.Errorf("look up stream %s: %w", stream, err)
	}
	info := s.CachedInfo()
	return info.State.FirstSeq, info.State.LastSeq, info.TimeStamp, nil
}
