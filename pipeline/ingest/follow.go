package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// FollowConfig says what to follow.
type FollowConfig struct {
	Plan PlanConfig // without an End

	Format string // as in SourceConfig
	Detect func(record string) (format string, ok bool)

	// Now returns the time of the broker, which is asked before each poll. Its error makes the poll fail.
	Now func(ctx context.Context) (time.Time, error)

	// Wait returns when the next poll is due, or the context's error. The next call after that error goes on waiting.
	Wait func(ctx context.Context) error

	// Committed returns the position up to which nobody will read again: that of the lane's checkpoint.
	Committed func(ctx context.Context) (uint64, error)

	// Found is told how many objects, or parts by which one has grown, a poll has added to the plan; it may be nil.
	Found func(objects int)

	// TooOld is told of how many objects have come that are left out, because what is as old is forgotten.
	TooOld func(objects int)

	// Failed is told why a poll, or a part of one, failed. It is tried again after Wait.
	Failed func(err error)
}

// Follow returns a Source whose plan grows while it is read. Before it reads from a new position, and whenever it has read
// everything, it polls: it lists the objects and appends what is new or has grown to the plan, in the order of its time,
// before it reads on. So the first poll puts history before live, and an input that has ended is waited for.
//
// Behind everything that a poll found, it returns a tick with the time before the poll, at most one a minute. A poll that
// failed, or a part of it, gives none, and neither does a plan without logs: there is no account whose time could move on.
//
// Nothing is planned before the first Read, when the runner has claimed the lane. A former owner that extends the plan
// after that does no harm: the plan is one history, from which both read the same records with the same numbers, and
// whoever finds it extended by the other reads it anew.
func Follow(c FollowConfig) *Source {
	s := &Source{plan: &Plan{lane: c.Plan.Lane}, follow: &follower{FollowConfig: c, seen: make(map[string]sight), stale: true}}
	s.reader = objectReader{
		connector: c.Plan.Connector, lane: c.Plan.Lane, format: c.Format, detect: c.Detect, put: s.put, followed: true,
	}
	return s
}

// follower is what a source remembers of what it follows. None of it decides what a number stands for.
type follower struct {
	FollowConfig

	look  looker
	seen  map[string]sight // objects of the last list, by name
	poll  uint64           // counts polls
	stale bool             // the plan in memory may not be the stored one
	due   bool             // a poll

	reached schemas.Minute // before the last poll that succeeded, 0 if there is none
	ticked  schemas.Minute // of the last tick
	live    int            // place of our ticks, 0 if there is none yet; nobody else's are there
	ticks   uint64         // at that place
}

// load reads the plan as it is stored.
func (s *Source) load(ctx context.Context) error {
	f := s.follow
	f.stale, f.live = true, 0
	p := &Plan{lane: s.plan.lane}
	if err := p.load(ctx, f.Plan.Store); err != nil {
		return err
	}
	if err := p.begin(ctx, f.Plan.Store, f.Plan.Identity); err != nil {
		return err // somebody else has, perhaps; then the next call finds it
	}
	s.plan, f.stale = p, false
	for name, seen := range f.seen { // what was found and is not in the plan may be there now
		if seen.fresh != nil {
			delete(f.seen, name)
		}
	}
	return nil
}

// readFollowed is Read of a plan that grows.
func (s *Source) readFollowed(ctx context.Context, after uint64) ([]runner.Record, error) {
	f := s.follow
	if f.stale {
		if err := s.load(ctx); err != nil {
			return nil, err
		}
	}
	if !s.began || after != s.pos {
		s.jump(after)
		// Objects may have been renamed meanwhile. And what has been in our ticks' place since is not known.
		f.due, f.live, f.reached = true, 0, 0
	}
	for {
		if f.due {
			err := s.poll(ctx)
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case err != nil:
				f.Failed(err)
				if err := f.Wait(ctx); err != nil {
					return nil, err
				}
				continue
			}
		}
		records, err := s.read(ctx)
		if err != nil || len(records) > 0 {
			return records, err
		}
		if err := s.tick(ctx); err != nil {
			return nil, err
		}
		if len(s.records) > 0 {
			return s.records, nil
		}
		if f.due {
			continue
		}
		if err := f.Wait(ctx); err != nil {
			return nil, err
		}
		f.due = true
	}
}

// tick returns a tick at the end of the plan, if time has moved on.
func (s *Source) tick(ctx context.Context) error {
	f := s.follow
	if f.reached <= f.ticked || !s.plan.feeds {
		return nil
	}
	if f.live == 0 || f.live != s.plan.Len() {
		s.plan.add(Entry{Control: schemas.TickControl})
		switch err := s.commit(ctx); {
		case errors.Is(err, runner.ErrConflict): // what else is there now was not read
			f.due = true
			return s.load(ctx)
		case err != nil:
			return err
		}
		f.live, f.ticks = s.plan.Len(), 0
	}
	f.ticked = f.reached
	f.ticks++
	s.place = f.live
	t := schemas.Tick{Lane: s.plan.lane, Time: f.reached}
	s.back = false
	s.put(f.ticks, schemas.RawSubject(s.plan.lane, string(schemas.TickControl)), func() []byte { return t.Append(nil) })
	s.place++
	return nil
}

// commit stores the plan. After an error it has to be loaded.
func (s *Source) commit(ctx context.Context) error {
	err := s.plan.commit(ctx, s.follow.Plan.Store)
	s.follow.stale = err != nil
	return err
}

// poll lists the objects and extends the plan.
func (s *Source) poll(ctx context.Context) error {
	f := s.follow
	for {
		if f.stale {
			if err := s.load(ctx); err != nil {
				return err
			}
		}
		now, err := f.Now(ctx)
		if err != nil {
			return fmt.Errorf("ask for the time: %w", err)
		}
		fresh, failed := f.list(ctx, s.plan, now)
		if failed != nil && fresh == nil {
			return failed
		}
		s.plan.extend(f.Plan.Settings, fresh)
		err = s.commit(ctx)
		switch {
		case errors.Is(err, runner.ErrConflict):
			continue // somebody has extended it
		case err != nil:
			return err
		}
		for name, seen := range f.seen {
			if seen.fresh != nil {
				seen.fresh = nil
				f.seen[name] = seen
			}
		}
		if c, ok := f.Plan.Connector.(PartialLister); ok {
			c.Planned()
		}
		if f.Found != nil && len(fresh) > 0 {
			f.Found(len(fresh))
		}
		if err := s.forget(ctx, now); err != nil {
			return err
		}
		f.due = false
		if failed != nil {
			f.reached = 0
			f.Failed(failed)
			return nil
		}
		f.reached = schemas.MinuteOf(now.Unix())
		return nil
	}
}

// A sight is what was seen of an object at the last poll.
type sight struct {
	size     int64
	modified int64
	tag      string
	held     bool // a part was not complete, and may become so
	poll     uint64
	fresh    *Entry // for the plan, until it is stored there
}

// same reports whether an object is certainly as it was seen.
func (v *sight) same(o *Object) bool {
	return v.size == o.Size && v.tag == o.Tag && v.modified == o.Modified && (o.Tag != "" || o.Modified != 0) &&
		!(v.held && o.Settled)
}

// newsTime is how old an object may be that is news: a list that leaves out old days is complete once a day.
const newsTime = 24 * time.Hour

// list returns entries for what is not in a plan. With an error and entries that are not nil, a part was out of reach.
func (f *follower) list(ctx context.Context, p *Plan, now time.Time) ([]Entry, error) {
	c := &f.Plan
	f.poll++
	f.look.connector, f.look.eventTime = c.Connector, c.EventTime
	fresh := []Entry{}
	var failed error
	old := 0
	for o, err := range c.Connector.List(ctx) {
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil && o.Name == "":
			return nil, fmt.Errorf("list objects: %w", err)
		case errors.Is(err, fs.ErrNotExist):
			continue // it was there a moment ago
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("list %s: %w", o.Name, err))
			continue
		}
		at := Locate(o.Name)
		if c.Lanes > 1 && Lane(c.Connector.Name(), at.Folder, c.Lanes) != c.Lane {
			continue
		}
		seen, ok := f.seen[o.Name]
		if p.tooOld(o.Name, at) {
			// At the first poll nobody can tell what was read once, nor when a list comes upon old days again.
			if !ok && f.poll > 1 && (o.Stored == 0 || o.Stored > now.Add(-newsTime).UnixNano()) {
				old++
			}
			f.seen[o.Name] = sight{size: o.Size, modified: o.Modified, tag: o.Tag, poll: f.poll}
			continue
		}
		if !ok || !seen.same(&o) {
			seen = sight{size: o.Size, modified: o.Modified, tag: o.Tag}
			if seen.fresh, seen.held, err = f.look.follow(ctx, p, o, at); err != nil {
				return nil, err
			}
		}
		seen.poll = f.poll
		f.seen[o.Name] = seen
		if seen.fresh != nil {
			fresh = append(fresh, *seen.fresh)
		}
	}
	for name, seen := range f.seen {
		if seen.poll != f.poll && failed == nil {
			delete(f.seen, name)
		}
	}
	if old > 0 && f.TooOld != nil {
		f.TooOld(old)
	}
	return fresh, failed
}

// forget makes a plan forget what is old, at most so much at a time as one commit holds.
func (s *Source) forget(ctx context.Context, now time.Time) error {
	f := s.follow
	if f.Committed == nil || s.plan.forgettable(s.place-1, now.Unix()) == 0 {
		return nil
	}
	position, err := f.Committed(ctx)
	if err != nil {
		return fmt.Errorf("look where the lane is: %w", err)
	}
	pages := s.plan.forgettable(int(position>>offsetBits)-1, now.Unix())
	if pages == 0 {
		return nil
	}
	// Who may still grow is remembered by a new entry.
	for _, place := range s.plan.keepers(pages) {
		e := *s.plan.at(place)
		if _, ok := f.seen[e.Name]; ok {
			e.From, e.Was, e.Skip, e.Problem, e.Time = e.Size, place, Renamed, "", s.plan.newest
			s.plan.add(e)
		}
	}
	err = s.commit(ctx)
	if err == nil {
		err = s.plan.forget(ctx, f.Plan.Store, pages)
	}
	if f.stale = err != nil; errors.Is(err, runner.ErrConflict) {
		return s.load(ctx) // somebody has extended it, or forgotten
	}
	return err
}

// follow returns an entry for what a plan does not have of an object, nil if there is nothing. Held says that a part
// of the object is left, because it is not complete yet.
func (l *looker) follow(ctx context.Context, p *Plan, o Object, at Location) (fresh *Entry, held bool, err error) {
	e := &Entry{Object: o, Account: at.Account, Format: at.Format, Time: at.Time, Skip: at.Skip}
	before := p.latest(o.Name)
	if before != nil && before.Problem == "" && before.Size == o.Size && before.Tag == o.Tag && o.Tag != "" ||
		before != nil && before.Problem == "" && before.Size == o.Size && before.Modified == o.Modified && o.Modified != 0 {
		return nil, false, nil
	}
	if o.Tag == "" && e.Skip == "" {
		if !o.Settled {
			if held, err = l.whole(ctx, e); err != nil {
				return nil, false, err
			}
		}
		if e.Size == 0 && (held || before == nil) && e.Problem == "" {
			return nil, held, nil // nothing in it yet
		}
		if held && before != nil && e.Size < before.Size && before.Size <= o.Size {
			same := *e // more of it was taken, when it was thought to stay as it was
			same.Size = before.Size
			if whole, err := l.compare(ctx, &same, before, p); err != nil || !whole || same.Tag == before.Tag {
				return nil, true, err
			}
		}
		if e.Problem == "" {
			if whole, err := l.compare(ctx, e, before, p); err != nil || !whole {
				return nil, true, err
			}
		}
	}
	if before != nil && before.Size == e.Size && before.Tag == e.Tag && (before.Problem == "") == (e.Problem == "") {
		return nil, held, nil
	}
	if e.Time == 0 {
		e.Time = unknownTime
		if e.Problem == "" && e.Skip == "" && l.eventTime != nil {
			if err := l.peek(ctx, e); err != nil {
				return nil, false, err
			}
		}
		if e.Time == unknownTime && e.From > 0 && before != nil && before.Time == unknownTime && before.Size > peekSize {
			return nil, held, nil // what is no log grows, too
		}
	}
	return e, held, nil
}

// whole finds out how far an object is complete. What is not compressed is complete up to the record that was begun last,
// and the entry gets that size; anything else, with all its containers, or not at all, when the size becomes zero.
func (l *looker) whole(ctx context.Context, e *Entry) (held bool, err error) {
	stored, err := l.open(ctx, e)
	if stored == nil {
		return false, err
	}
	defer stored.Close()
	size := &counter{r: io.LimitReader(stored, e.Size)}
	l.reset(l.expand.reset(size, e.Size))
	cut, begun := false, int64(0)
	for {
		item, err := l.split.Next()
		if err != nil {
			break
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		cut, begun = item.Reason == Truncated, item.Offset
	}
	switch failed := l.split.Err(); {
	case size.n < e.Size: // it is being replaced
		e.Size = 0
		return true, nil
	case l.split.Unclosed(), errors.Is(failed, io.ErrUnexpectedEOF), cut && l.expand.compressed():
		e.Size = 0
		return true, nil
	case cut:
		e.Size = begun
		return true, nil
	}
	return false, nil
}

// A counter counts what was read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
