package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// A batch is what one stream gets in one round.
type batch struct {
	stream  string
	outputs []int // indices, ascending
	stored  int   // how many of the first ones are stored

	id   string // of the attempt that is running
	sent int    // messages in that attempt
	err  error  // why it ended early
	done bool
}

// A batcher speaks the server's fast-ingest protocol: a batch is a row of messages to one stream whose reply subjects carry
// the batch's id, the message's place and what to do,
//
//	<inbox>.<id>.<flow>.fail.<place>.<operation>.$FI
//
// The server stores them as they come, stops at the first gap or error ("fail"), and answers the last one with the count
// that it stored. It is written here, and not taken from the client's extension library, because that one waits for a
// round trip before the second message, makes a subscription and a goroutine per batch, and loses the count of a batch
// that ends early; with this one, the batches of all streams share one round trip and one subscription.
type batcher struct {
	nc      *nats.Conn
	inbox   string
	name    string // leads the ids of batches: the server tells those of a stream apart by nothing else
	sub     *nats.Subscription
	answers chan *nats.Msg
	status  chan nats.Status // of the connection, when it is lost: the answers are lost too
	serial  uint64
	scratch []byte // of the message that is being sent; the connection copies it
}

// Operations of the protocol.
const (
	opStart  = "0"
	opAppend = "1"
	opCommit = "2"
)

// batchFlow asks the server to report progress as seldom as it can; a round is bounded by its size instead.
const batchFlow = "500"

func newBatcher(nc *nats.Conn) (*batcher, error) {
	inbox := nc.NewInbox()
	b := &batcher{
		nc:    nc,
		inbox: inbox,
		name:  inbox[strings.LastIndexByte(inbox, '.')+1:], // which is unique
		// After an error every message of a round gets an answer of its own.
		answers: make(chan *nats.Msg, 4*roundMessages),
		status:  nc.StatusChanged(nats.RECONNECTING, nats.CLOSED),
	}
	var err error
	if b.sub, err = nc.ChanSubscribe(b.inbox+".>", b.answers); err != nil {
		nc.RemoveStatusListener(b.status)
		return nil, err
	}
	return b, nil
}

func (b *batcher) close() {
	b.nc.RemoveStatusListener(b.status)
	_ = b.sub.Unsubscribe()
}

// send sends what is not stored yet, waits for the answers, and moves stored forward. The error is that of the first
// batch that is not complete.
func (b *batcher) send(ctx context.Context, outputs []runner.Output, batches []*batch) error {
	for len(b.status) > 0 {
		<-b.status // of a loss before this round
	}
	open := 0
	for _, t := range batches {
		rest := t.outputs[t.stored:]
		if len(rest) == 0 {
			continue
		}
		b.serial++
		t.id, t.sent, t.err, t.done = b.name+"-"+strconv.FormatUint(b.serial, 10), len(rest), nil, false
		for i, output := range rest {
			op := opAppend
			switch {
			case i == len(rest)-1:
				op = opCommit
			case i == 0:
				op = opStart
			}
			reply := b.inbox + "." + t.id + "." + batchFlow + ".fail." + strconv.Itoa(i+1) + "." + op + ".$FI"
			if err := b.nc.PublishMsg(encode(&outputs[output], reply, &b.scratch)); err != nil {
				return fmt.Errorf("%s: %w", outputs[output].Subject, err)
			}
		}
		open++
	}
	timeout := time.NewTimer(apiTimeout)
	defer timeout.Stop()
	for open > 0 {
		select {
		case m := <-b.answers:
			t := b.batchOf(batches, m)
			if t == nil || t.done {
				continue // late word about an earlier attempt
			}
			t.answer(m)
			if t.done {
				open--
			}
		case s := <-b.status:
			return fmt.Errorf("no answer: connection is %v", s)
		case <-timeout.C:
			return errors.New("no answer")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, t := range batches {
		if t.stored < len(t.outputs) {
			return fmt.Errorf("stream %s: %w", t.stream, t.err)
		}
	}
	return nil
}

// batchOf finds the running attempt that an answer belongs to, by the id in the subject.
func (b *batcher) batchOf(batches []*batch, m *nats.Msg) *batch {
	id, _, _ := strings.Cut(strings.TrimPrefix(m.Subject, b.inbox+"."), ".")
	for _, t := range batches {
		if t.id == id {
			return t
		}
	}
	return nil
}

// batchAnswer is any of the server's answers.
type batchAnswer struct {
	Type  string              `json:"type"`  // "ack", "gap" or "err": progress; "": the end
	Batch string              `json:"batch"` // at the end
	Count *int                `json:"count"` // at the end: how many are stored
	Seq   uint64              `json:"seq"`   // of the message that the answer is about
	Error *jetstream.APIError `json:"error"`
}

var errBatchGap = errors.New("the server missed a message of the batch")

// answer takes in one answer of the server. Whatever is wrong, the batch counts as stored only as far as the server said
// so in a final count; and never if any error was reported before it.
func (t *batch) answer(m *nats.Msg) {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		t.end(0, nats.ErrNoResponders)
		return
	}
	if bytes.HasPrefix(m.Data, []byte(`{"type":"ack"`)) {
		return
	}
	var a batchAnswer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		t.end(0, fmt.Errorf("answer %.100q: %w", m.Data, err))
		return
	}
	switch {
	case a.Type == "err" && a.Error != nil:
		t.err = a.Error
	case a.Type == "gap":
		if t.err == nil {
			t.err = errBatchGap
		}
	case a.Type != "":
	case a.Error != nil:
		t.end(0, a.Error)
	case a.Count == nil || *a.Count < 0 || *a.Count > t.sent || a.Batch != t.id:
		t.end(0, fmt.Errorf("answer %.200q does not fit batch %s of %d", m.Data, t.id, t.sent))
	case *a.Count < t.sent && t.err == nil:
		t.end(*a.Count, errBatchGap)
	default:
		t.end(*a.Count, t.err)
	}
}

func (t *batch) end(count int, err error) {
	if err != nil && count == t.sent {
		count = 0 // complete, and yet something went wrong: what is stored is unknown
	}
	t.stored += count
	t.err = err
	t.done = true
}
