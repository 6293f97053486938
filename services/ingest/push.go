package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	natsjetstream "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/service"
)

const (
	// pushProducer numbers what was pushed into a lane, whoever puts it. Each number is put by one owner of the lane's head only.
	pushProducer = "http"

	// fenceIndex is that of the record behind which a number counts no more.
	fenceIndex = math.MaxUint32

	// maxGroup bounds the requests that are put together: what waited while the group before was put.
	maxGroup = 64

	// takeoverTime is how long another owner's group may be under way before it is settled by us. A group takes milliseconds.
	takeoverTime = 2 * time.Second

	// settlePoll is how often it is looked at meanwhile.
	settlePoll = 20 * time.Millisecond
)

// What a push can end with, beside an answer.
var (
	errFull     = errors.New("raw input is full")
	errAway     = errors.New("the broker is away")
	errOtherKey = errors.New("the key was used with another body")
)

// A push is a request that waits to be stored.
type push struct {
	key     string // of idempotency, hashed
	sum     string // of the body
	body    ingest.Body
	subject string
	size    int
	trace   string // traceparent of its records, empty for none

	number uint64      // under which it was tried last
	done   chan result // of size 1
	gone   atomic.Bool // its client has been told to come again
}

type result struct {
	answer   answer
	repeated bool
	err      error
}

// An answer is what is remembered of a push, by its key.
type answer struct {
	Number   uint64 `json:"number"`
	Sum      string `json:"sum"`
	Accepted int    `json:"accepted"`
	Refused  int    `json:"refused,omitempty"`
	Format   string `json:"format"`
}

// A pusher puts what is pushed into one lane, group after group. All pushers of a lane, in whatever instances, agree by its head.
type pusher struct {
	js       natsjetstream.JetStream
	lane     int
	settings []byte // encoded
	owner    string // unique
	pushed   *jetstream.Pushed
	sink     *jetstream.Sink // of dead letters
	log      *slog.Logger
	waiting  chan *push
	kept     *atomic.Int64 // bytes in memory; those of a push are given back with its answer

	// The head as it is known to be; not known after an error.
	known    bool
	head     jetstream.PushHead
	revision uint64

	// For tests: how long another owner is waited for, and what is called before and after each step, whose error takes its place.
	takeover time.Duration
	step     func(name string) error
}

func newPusher(d *service.Deployment, lane int, owner string, kept *atomic.Int64, log *slog.Logger) (*pusher, error) {
	sink, err := jetstream.NewSink(d.JS)
	if err != nil {
		return nil, err
	}
	settings := service.Settings(d.Identity)
	settings.Lane = lane
	return &pusher{
		js: d.JS, lane: lane, settings: settings.Append(nil), owner: owner, pushed: jetstream.OpenPushed(d.JS), sink: sink,
		log: log.With("lane", lane), waiting: make(chan *push, maxRequests), kept: kept, takeover: takeoverTime, step: func(string) error { return nil },
	}, nil
}

// run stores what waits until the context ends. What waits then is for its requests to give up.
func (p *pusher) run(ctx context.Context) {
	defer p.sink.Close()
	var next *push // that did not fit into the group before
	for {
		if next == nil {
			select {
			case next = <-p.waiting:
			case <-ctx.Done():
				return
			}
		}
		var group []*push
		if group, next = p.gather(next); len(group) == 0 {
			continue
		}
		patience, cancel := context.WithTimeout(ctx, storeTime)
		p.store(patience, group)
		cancel()
	}
}

// gather returns what waits, as much as one atomic batch holds, and what comes after. Who has given up is left out: nothing was
// stored, and the memory is for those who come again.
func (p *pusher) gather(first *push) (group []*push, next *push) {
	messages, size := 2, 0
	next = first
	for {
		if next.gone.Load() {
			p.answer(next, result{err: errAway})
		} else {
			messages += len(next.body.Chunks)
			if size += next.size; len(group) > 0 && (messages > jetstream.MaxAtomic || size > ingest.MaxBody) {
				return group, next
			}
			group = append(group, next)
		}
		if len(group) == maxGroup {
			return group, nil
		}
		select {
		case next = <-p.waiting:
		default:
			return group, nil
		}
	}
}

// answer lets go of a push. Each is answered once.
func (p *pusher) answer(g *push, r result) {
	p.kept.Add(-int64(g.size))
	g.done <- r
}

// store stores a group and answers each of it. Whenever something fails it looks again how things stand, and goes on from there.
func (p *pusher) store(ctx context.Context, group []*push) {
	for {
		rest, err := p.attempt(ctx, group)
		if group = rest; len(group) == 0 {
			return
		}
		switch {
		case errors.Is(err, errFull):
			p.answerAll(group, result{err: errFull})
			return
		case ctx.Err() != nil:
			p.log.Warn("cannot store what was pushed", "requests", len(group), "err", err)
			p.answerAll(group, result{err: errAway})
			return
		case err != nil && !errors.Is(err, jetstream.ErrTaken):
			p.log.Debug("store again what was pushed", "requests", len(group), "err", err)
		}
		_ = sleep(ctx, settlePoll) // its end is seen at the next attempt
	}
}

func (p *pusher) answerAll(group []*push, r result) {
	for _, g := range group {
		p.answer(g, r)
	}
}

// attempt stores a group, or finds that it was stored. It returns those that are not answered yet.
func (p *pusher) attempt(ctx context.Context, group []*push) (rest []*push, err error) {
	defer func() { p.known = err == nil }()
	if err := p.settled(ctx); err != nil {
		return group, err
	}
	group, again, err := p.unanswered(ctx, group)
	rest = append(group, again...)
	if err != nil || len(group) == 0 {
		return rest, err
	}
	head, outputs, err := p.begin(ctx, group)
	if err != nil {
		return rest, err
	}
	if err := p.put(ctx, outputs); err != nil {
		if errors.Is(err, jetstream.ErrFull) {
			err = errors.Join(errFull, p.end(ctx, head, void(head.Keys)))
		}
		return rest, err
	}
	// Only now, and only if nobody has taken over meanwhile, is it sure that readers had this before a fence.
	if err := p.end(ctx, head, nil); err != nil {
		return rest, err
	}
	for _, g := range group {
		p.answer(g, result{answer: g.accepted(head.Number)})
	}
	return again, nil
}

func (g *push) accepted(number uint64) answer {
	return answer{Number: number, Sum: g.sum, Accepted: g.body.Records, Refused: g.body.Refused, Format: g.body.Format}
}

// void takes keys back.
func void(keys []string) map[string][]byte {
	answers := make(map[string][]byte, len(keys))
	for _, key := range keys {
		answers[key] = nil
	}
	return answers
}

// unanswered answers those whose keys are known, and returns the others: each key once, and what comes again with a key.
func (p *pusher) unanswered(ctx context.Context, group []*push) (rest, again []*push, err error) {
	taken := make(map[string]bool, len(group))
	for i, g := range group {
		value, err := p.pushed.Answer(ctx, p.lane, g.key)
		var a answer
		if err == nil && len(value) > 0 {
			err = json.Unmarshal(value, &a)
		}
		switch {
		case err != nil:
			return append(rest, group[i:]...), again, err
		case len(value) > 0 && a.Sum != g.sum:
			p.answer(g, result{err: errOtherKey})
		case len(value) > 0:
			p.answer(g, result{answer: a, repeated: a.Number != g.number})
		case taken[g.key]:
			again = append(again, g)
		default:
			taken[g.key] = true
			rest = append(rest, g)
		}
	}
	return rest, again, nil
}

// begin writes down what is about to be put, and returns it.
func (p *pusher) begin(ctx context.Context, group []*push) (jetstream.PushHead, []runner.Output, error) {
	_, last, now, err := jetstream.Held(ctx, p.js, jetstream.RawStream(p.lane))
	if err != nil {
		return p.head, nil, err
	}
	head := jetstream.PushHead{Number: p.head.Number + 1, After: last, Owner: p.owner}
	first := p.revision == 0
	if first {
		// Nothing was put for an hour, or ever. The broker's clock, in milliseconds, is ahead of all numbers that were given then.
		had, _, err := jetstream.HadBy(ctx, p.js, normalize.Stage, strconv.Itoa(p.lane), pushProducer)
		if err != nil {
			return head, nil, err
		}
		head.Number = max(had.Seq+1, uint64(now.UnixMilli()))
	}
	var outputs []runner.Output
	put := func(subject, trace string, body []byte) {
		outputs = append(outputs, runner.Output{
			Subject: subject, Body: body, Producer: pushProducer, Trace: trace,
			Number: schemas.Number{Seq: head.Number, Index: uint32(len(outputs))},
		})
	}
	if first { // nobody else may feed the lane, and so tell it
		put(schemas.RawSubject(p.lane, string(schemas.SettingsControl)), "", p.settings)
	}
	var letters []runner.Output
	answers := make(map[string][]byte, len(group))
	for _, g := range group {
		g.number = head.Number
		head.Keys = append(head.Keys, g.key)
		if answers[g.key], err = json.Marshal(g.accepted(head.Number)); err != nil {
			return head, nil, err
		}
		for _, chunk := range g.body.Chunks {
			put(g.subject, g.trace, chunk)
		}
		for _, letter := range g.body.Letters {
			letters = append(letters, runner.Output{
				Subject: schemas.DeadSubject(Bucket), Body: letter, Producer: Bucket + "." + strconv.Itoa(p.lane) + "." + pushProducer,
				Number: schemas.Number{Seq: head.Number, Index: uint32(len(letters))},
			})
		}
	}
	if err := p.write(ctx, "begin", head, answers); err != nil {
		if errors.Is(err, jetstream.ErrFull) {
			err = errors.Join(errFull, err)
		}
		return head, nil, err
	}
	// Before the records: a letter may come twice after a crash, but none is lost.
	if _, err := p.sink.Put(ctx, letters...); err != nil {
		return head, nil, err
	}
	return head, outputs, nil
}

// write replaces the head.
func (p *pusher) write(ctx context.Context, step string, head jetstream.PushHead, answers map[string][]byte) error {
	if err := p.step(step); err != nil {
		return err
	}
	revision, err := p.pushed.Write(ctx, p.lane, head, p.revision, answers)
	if err != nil {
		return err
	}
	p.head, p.revision = head, revision
	return p.step(step + " done")
}

// put stores the records of a group.
func (p *pusher) put(ctx context.Context, outputs []runner.Output) error {
	if err := p.step("put"); err != nil {
		return err
	}
	if err := jetstream.PutAtomic(ctx, p.js, outputs...); err != nil {
		return err
	}
	return p.step("put done")
}

// end writes down that nothing is under way any more.
func (p *pusher) end(ctx context.Context, head jetstream.PushHead, answers map[string][]byte) error {
	return p.write(ctx, "end", jetstream.PushHead{Number: head.Number}, answers)
}

// settled returns when nothing is under way in the lane. Whatever is, and was begun by somebody who does not bring it to its end,
// is brought to its end: either it is stored, or it never will be as far as any reader is concerned.
func (p *pusher) settled(ctx context.Context) error {
	if p.known && len(p.head.Keys) == 0 {
		return nil
	}
	var since time.Time
	for revision := uint64(0); ; {
		var err error
		if p.head, p.revision, err = p.pushed.Head(ctx, p.lane); err != nil {
			return err
		}
		switch {
		case len(p.head.Keys) == 0:
			return nil
		case p.head.Owner == p.owner: // ours, and we are not at it
			return p.settle(ctx)
		case p.revision != revision:
			revision, since = p.revision, time.Now()
		case time.Since(since) > p.takeover:
			return p.settle(ctx)
		}
		if err := sleep(ctx, settlePoll); err != nil {
			return err
		}
	}
}

// settle brings a group that was begun to its end.
//
// First it takes the head over, so that whoever had begun cannot end it any more, and so answers nobody. Then it looks whether the
// group is stored. If not, it puts a fence: a record with the same number and the last index, exactly behind the last record that
// was there when it looked. What of the group is stored later stands behind the fence, and readers drop it, since its number is
// not higher. That a fence is there says therefore that the group was not stored before it.
func (p *pusher) settle(ctx context.Context) error {
	head := p.head
	head.Owner = p.owner
	if err := p.write(ctx, "take over", head, nil); err != nil {
		return err
	}
	for {
		fate, last, err := p.fate(ctx, head)
		if err != nil {
			return err
		}
		switch fate {
		case stored:
			return p.end(ctx, head, nil)
		case fenced:
			return p.end(ctx, head, void(head.Keys))
		}
		if err := p.step("fence"); err != nil {
			return err
		}
		err = jetstream.PutAfter(ctx, p.js, runner.Output{
			Subject: schemas.RawSubject(p.lane, string(schemas.SettingsControl)), Body: p.settings,
			Producer: pushProducer, Number: schemas.Number{Seq: head.Number, Index: fenceIndex},
		}, last)
		switch {
		case errors.Is(err, jetstream.ErrFull):
			return errors.Join(errFull, err)
		case err != nil && !errors.Is(err, jetstream.ErrTaken):
			return err // it may be stored: then we come back and find it
		}
	}
}

type fate int

const (
	unknownFate fate = iota
	stored
	fenced
)

var errDecided = errors.New("decided")

// fate looks what has become of the group of a head. Unless that is known, it was not stored up to the last sequence.
func (p *pusher) fate(ctx context.Context, head jetstream.PushHead) (f fate, last uint64, err error) {
	stream := jetstream.RawStream(p.lane)
	_, last, _, err = jetstream.Held(ctx, p.js, stream)
	if err != nil {
		return f, 0, err
	}
	decide := func(n schemas.Number) {
		switch {
		case n.Seq != head.Number:
		case n.Index == fenceIndex:
			f = fenced
		default:
			f = stored
		}
	}
	err = jetstream.ReadFrom(ctx, p.js, stream, "", head.After, func(r runner.Record) error {
		if r.Producer == pushProducer {
			if decide(r.Number); f != unknownFate {
				return errDecided
			}
		}
		return nil
	})
	if err = ignore(err, errDecided); f == fenced || err != nil {
		return f, last, err
	}
	// What is not there any more, its reader has had, and committed before. That goes for a fence, too: what is found may have come
	// behind it, and then its reader drops it.
	first, _, _, err := jetstream.Held(ctx, p.js, stream)
	if err != nil || first <= head.After+1 {
		return f, last, err
	}
	had, _, err := jetstream.HadBy(ctx, p.js, normalize.Stage, strconv.Itoa(p.lane), pushProducer)
	if err != nil {
		return unknownFate, last, err
	}
	decide(had)
	return f, last, nil
}

func ignore(err, what error) error {
	if errors.Is(err, what) {
		return nil
	}
	return err
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
