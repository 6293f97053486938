package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// readBytes bounds the bodies that one Read returns, so that output and commits come in between.
const readBytes = 1 << 20

// SourceConfig says how to read a plan.
type SourceConfig struct {
	Plan      *Plan
	Connector Connector
	Format    string // of all objects, empty if it is found out object by object

	// Detect returns the format of a raw record.
	Detect func(record string) (format string, ok bool)

	Progress *Progress // may be nil
}

// A Source reads the objects of a plan in their order. The subjects of its records are those on which the processor puts
// them. It ends with io.EOF behind the last entry.
//
// What it returns behind a position is a function of the plan and the bytes of the objects: reading again gives the same
// records, byte for byte. A jump reads the object from its start, without putting together what is before the position.
type Source struct {
	plan    *Plan
	id      string    // of the plan at the first look
	follow  *follower // nil if the plan does not grow
	reader  objectReader
	records []runner.Record
	bytes   int

	place  int    // entry that is being read, from 1
	opened bool   // it is an object, and open
	pos    uint64 // last position that was passed
	after  uint64 // what is up to here was returned before
	began  bool
	back   bool // behind a jump, nothing was returned yet
	lost   bool // the position is not in the object: it has changed
}

var _ runner.Source = (*Source)(nil)

// NewSource returns a reader of a plan.
func NewSource(c SourceConfig) *Source {
	s := &Source{plan: c.Plan}
	s.reader = objectReader{
		connector: c.Connector, lane: c.Plan.lane, format: c.Format, detect: c.Detect, progress: c.Progress, put: s.put,
	}
	return s
}

// Info says what the plan holds. It is the same input for ever. The first look at a plan that is followed gives it its id.
func (s *Source) Info(ctx context.Context) (runner.Info, error) {
	if s.follow != nil {
		if err := s.load(ctx); err != nil {
			return runner.Info{}, err
		}
	}
	if s.id == "" {
		s.id = s.plan.id
	}
	first := uint64(1)
	if base := s.plan.base; base > 0 {
		first = uint64(base+1) << offsetBits
	}
	return runner.Info{ID: s.plan.id, First: first, Last: uint64(s.plan.Len()+1)<<offsetBits - 1}, nil
}

// Read returns the records behind a position, at least one. The bodies are never used again, so they may be kept.
func (s *Source) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	if s.follow != nil {
		return s.readFollowed(ctx, after)
	}
	if !s.began || after != s.pos {
		s.jump(after)
	}
	records, err := s.read(ctx)
	if err == nil && len(records) == 0 {
		return nil, io.EOF
	}
	return records, err
}

// Close closes the object that is being read. A Read afterwards begins anew where it is told to.
func (s *Source) Close() {
	s.reader.close()
	s.began = false
}

// read returns the next records of the plan, none at its end.
func (s *Source) read(ctx context.Context) ([]runner.Record, error) {
	clear(s.records)
	s.records, s.bytes = s.records[:0], 0
	if err := s.there(); err != nil {
		return nil, err
	}
	for s.bytes < readBytes && s.place <= s.plan.Len() {
		if err := ctx.Err(); err != nil && len(s.records) == 0 {
			return nil, err
		} else if err != nil {
			break
		}
		if err := s.step(ctx); err != nil {
			if len(s.records) > 0 {
				break // it comes again
			}
			return nil, err
		}
	}
	return s.records, nil
}

// jump goes to a position.
func (s *Source) jump(after uint64) {
	s.reader.close()
	s.began, s.opened, s.back, s.lost = true, false, true, false
	s.after = after
	s.place = int(after >> offsetBits)
	s.pos = uint64(s.place) << offsetBits
	switch {
	case after&lastOffset == lastOffset:
		s.place++
		s.pos = after
	case s.place == 0:
		s.place, s.pos = 1, after
	case s.place > s.plan.base && s.place <= s.plan.Len() && s.plan.at(s.place).Control == schemas.TickControl:
		s.place++ // ticks are of the moment
		s.pos = after
	}
	if p := s.reader.progress; p != nil {
		p.start(s.plan, s.place)
	}
}

// step reads a little of the entry at the place.
func (s *Source) step(ctx context.Context) error {
	e := s.plan.at(s.place)
	switch e.Control {
	case "":
	case schemas.TickControl:
		s.place++
		return nil
	default:
		s.put(lastOffset, schemas.RawSubject(s.plan.lane, string(e.Control)), func() []byte { return e.Body })
		s.place++
		return nil
	}
	if !s.opened {
		if err := s.open(ctx, e); err != nil {
			return err
		}
		s.opened = true
	}
	if !s.reader.step() {
		s.opened, s.lost = false, false
		s.place++
	}
	return nil
}

// there returns an error if the place is in the plan no more. Only a lane's former owner can be that far behind: what is
// forgotten was committed by another. Or somebody has removed the plan.
func (s *Source) there() error {
	switch {
	case s.id != "" && s.id != s.plan.id:
		return fmt.Errorf("%w: the plan is %s, it was %s", runner.ErrGap, s.plan.id, s.id)
	case s.place <= s.plan.base:
		return fmt.Errorf("%w: the plan %s begins at place %d, and %d was to be read", runner.ErrGap, s.plan.id, s.plan.base+1, s.place)
	}
	return nil
}

// open opens the object at the place.
func (s *Source) open(ctx context.Context, e *Entry) error {
	if c, ok := s.reader.connector.(Expecter); ok {
		c.Expect(s.next())
	}
	name, _ := s.plan.content(s.place)
	err := s.reader.open(ctx, e, name)
	if s.follow == nil || !errors.Is(err, ErrUnreadable) {
		return err
	}
	// It may have another name by now, or all that is below its folder is out of reach for a while.
	if err := s.poll(ctx); err != nil {
		return err
	}
	if err := s.there(); err != nil {
		return err
	}
	if other, ok := s.plan.moved(s.place); ok {
		name = other
	} else {
		name, _ = s.plan.content(s.place)
	}
	s.reader.sure = true
	defer func() { s.reader.sure = false }()
	return s.reader.open(ctx, e, name)
}

// next returns the objects from the place on that will be read.
func (s *Source) next() iter.Seq[Object] {
	return func(yield func(Object) bool) {
		for place := s.place; place <= s.plan.Len(); place++ {
			e := s.plan.at(place)
			if e.Control == "" && e.Skip == "" && e.Problem == "" && !yield(e.Object) {
				return
			}
		}
	}
}

// put appends a record, unless it was returned before.
func (s *Source) put(offset uint64, subject string, body func() []byte) {
	seq := uint64(s.place)<<offsetBits | offset
	if seq <= s.after {
		s.pos = seq
		return
	}
	if s.back && s.pos != s.after {
		// The bytes before the position are not what they were. Nobody can say which records behind it are new.
		s.pos, s.lost = s.after, true
		if offset < finalOffset {
			s.reader.final(Changed, "the object has changed since a part of it was read")
		}
	}
	if s.lost && offset < finalOffset {
		return
	}
	s.back = false
	b := body()
	s.records = append(s.records, runner.Record{Seq: seq, Prev: s.pos, Subject: subject, Body: b})
	s.bytes += len(b) + 256 // so that many small objects end a read, too
	s.pos = seq
}
