package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// maxPlaces bounds the entries of a plan, because record numbers have 24 bits for the place.
const maxPlaces = 1<<24 - 2

// peekSize bounds what is read of an object to find the time of its first event.
const peekSize = 64 << 10

// An Entry is one place in a plan: an object, a part that an object has grown by, or a control record.
type Entry struct {
	Object
	Account string // of the path, empty if it names none
	Format  string // of the path, empty if it names none
	Time    int64  // Unix seconds by which it is ordered, math.MaxInt64 if unknown
	From    int64  // what is before this offset, uncompressed, was in an earlier entry
	Skip    Reason // why it is not read, empty if it is
	Problem string // why it cannot be read, empty if nothing is known

	Control schemas.ControlKind // of a control record, which is no object
	Body    []byte
}

// PlanConfig says what to plan.
type PlanConfig struct {
	Connector Connector
	Store     runner.Store // of the stage; the plan has a partition of its own in it
	Lane      int
	Lanes     int // 1 if zero

	// Settings go in front, if they differ from the last ones in the plan. End goes behind, for a bounded input. Either
	// may be nil.
	Settings *schemas.Settings
	End      *schemas.End

	// EventTime returns the time of a raw record. It orders the objects whose names do not tell.
	EventTime func(record string) (unix int64, ok bool)

	// Remember says that the store outlives the program. Objects are then known by their content: those without a tag
	// are read once more to make one.
	Remember bool

	Progress *Progress // of the planning, may be nil
}

// A Plan is the order of the objects and control records of a lane. Entries are only ever appended.
type Plan struct {
	lane    int
	entries []Entry
	stored  int // entries that are committed
	pages   pages
	found   Found
}

// Found says what the objects were compared with the plan before.
type Found struct {
	New, Grown, Known int
}

// Found returns what was found when the plan was made.
func (p *Plan) Found() Found { return p.found }

// Len returns the number of entries.
func (p *Plan) Len() int { return len(p.entries) }

// Objects returns the number of objects, each once however often it has grown, control records not counted.
func (p *Plan) Objects() int {
	n := 0
	for i := range p.entries {
		if p.entries[i].Control == "" && p.entries[i].From == 0 {
			n++
		}
	}
	return n
}

// replaced returns the places of objects whose whole content a later place has anew.
func (p *Plan) replaced() map[int]bool {
	gone := make(map[int]bool)
	newest := make(map[string]bool)
	for i, e := range slices.Backward(p.entries) {
		switch {
		case e.Control != "":
		case newest[e.Name]:
			gone[i+1] = true
		case e.From == 0:
			newest[e.Name] = true
		}
	}
	return gone
}

// MakePlan reads the plan of a lane, appends the objects that are new or have grown in the order of their time, and
// commits it. When it returns, the order is settled. If it is interrupted, a part may be committed; the next call goes on.
func MakePlan(ctx context.Context, c PlanConfig) (*Plan, error) {
	if c.Progress == nil {
		c.Progress = new(Progress)
	}
	p := &Plan{lane: c.Lane}
	if err := p.load(ctx, c.Store); err != nil {
		return nil, err
	}
	fresh, err := p.compare(ctx, c)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(fresh, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Name, b.Name))
	})
	if c.Settings != nil {
		s := *c.Settings
		s.Lane = c.Lane
		p.control(schemas.SettingsControl, s.Append(nil))
	}
	p.entries = append(p.entries, fresh...)
	if c.End != nil {
		e := *c.End
		e.Lane = c.Lane
		p.control(schemas.EndControl, e.Append(nil))
	}
	if len(p.entries) > maxPlaces {
		return nil, fmt.Errorf("%d objects in one lane, at most %d fit", len(p.entries), maxPlaces)
	}
	return p, p.commit(ctx, c.Store)
}

// control appends a control record, if it says something new: settings unlike the last ones, an end that is not yet there.
func (p *Plan) control(kind schemas.ControlKind, body []byte) {
	for _, e := range slices.Backward(p.entries) {
		if e.Control == kind {
			if string(e.Body) == string(body) {
				return
			}
			break
		}
		if kind == schemas.EndControl {
			break // there is something behind the last end
		}
	}
	p.entries = append(p.entries, Entry{Control: kind, Body: body})
}

// compare returns entries for what the connector has and the plan does not.
func (p *Plan) compare(ctx context.Context, c PlanConfig) ([]Entry, error) {
	last := make(map[string]int, len(p.entries))
	for i := range p.entries {
		if p.entries[i].Control == "" {
			last[p.entries[i].Name] = i
		}
	}
	look := looker{connector: c.Connector, eventTime: c.EventTime}
	var fresh []Entry
	for o, err := range c.Connector.List(ctx) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err != nil && o.Name == "" {
			return nil, fmt.Errorf("list objects: %w", err)
		}
		at := Locate(o.Name)
		if c.Lanes > 1 && Lane(c.Connector.Name(), at.Folder, c.Lanes) != c.Lane {
			continue
		}
		e := Entry{Object: o, Account: at.Account, Format: at.Format, Time: at.Time, Skip: at.Skip}
		if err != nil {
			e.Tag, e.Problem = "", err.Error()
		}
		c.Progress.totalObjects.Add(1)
		c.Progress.totalBytes.Add(o.Size)
		var before *Entry
		if i, ok := last[o.Name]; ok {
			before = &p.entries[i]
		}
		known, err := look.at(ctx, &e, before, c.Remember)
		if err != nil {
			return nil, err
		}
		c.Progress.objects.Add(1)
		c.Progress.bytes.Add(o.Size)
		switch {
		case known:
			p.found.Known++
			continue
		case e.From > 0:
			p.found.Grown++
		default:
			p.found.New++
		}
		fresh = append(fresh, e)
	}
	return fresh, nil
}

// A looker looks into objects before they are planned. It uses its memory again.
type looker struct {
	connector Connector
	eventTime func(string) (int64, bool)
	expand    expander
	split     *Splitter
}

// at completes an entry, and reports whether its content is in the plan already, as the entry before.
func (l *looker) at(ctx context.Context, e, before *Entry, remember bool) (known bool, err error) {
	if e.Problem == "" && e.Tag == "" && remember && e.Skip == "" {
		if err := l.tag(ctx, e, before); err != nil {
			return false, err
		}
	}
	if before != nil && before.Size == e.Size && before.Tag == e.Tag && (before.Problem == "") == (e.Problem == "") {
		return true, nil
	}
	if e.Time == 0 {
		e.Time = math.MaxInt64 // of no use as a log, or unlike any: it must not move time for the others
		if e.Problem == "" && e.Skip == "" && l.eventTime != nil {
			return false, l.peek(ctx, e)
		}
	}
	return false, nil
}

// tag makes a tag of an object's content, and finds out whether its beginning is the content of the entry before.
func (l *looker) tag(ctx context.Context, e, before *Entry) error {
	stored, err := l.open(ctx, e)
	if stored == nil {
		return err
	}
	defer stored.Close()
	h := xxhash.New() // against accidents: who may write logs can write anything
	all := io.TeeReader(io.LimitReader(stored, e.Size), h)
	if before != nil && before.Size < e.Size && before.Tag != "" {
		prefix := io.LimitReader(all, before.Size)
		end := l.wholeUpTo(prefix, before.Size)
		_, err = io.Copy(io.Discard, prefix)
		if err == nil && contentTag(h.Sum64()) == before.Tag {
			e.From = end
		}
	}
	if err == nil {
		_, err = io.Copy(io.Discard, all)
	}
	if err != nil {
		e.Problem = err.Error()
		return nil
	}
	e.Tag = contentTag(h.Sum64())
	return nil
}

func contentTag(sum uint64) string { return "xxh64:" + strconv.FormatUint(sum, 16) }

// wholeUpTo returns the end of the last part of some stored bytes that is complete.
func (l *looker) wholeUpTo(stored io.Reader, size int64) int64 {
	l.reset(l.expand.reset(stored, size))
	end := int64(0)
	for {
		item, err := l.split.Next()
		if err != nil {
			return end
		}
		if item.Reason != Truncated {
			end = item.End()
		}
	}
}

// peek reads the time of an object's first event.
func (l *looker) peek(ctx context.Context, e *Entry) error {
	stored, err := l.open(ctx, e)
	if stored == nil {
		return err
	}
	defer stored.Close()
	l.reset(io.LimitReader(l.expand.reset(stored, e.Size), peekSize))
	for {
		item, err := l.split.Next()
		if err != nil {
			return nil
		}
		if item.Reason != "" {
			continue
		}
		if t, ok := l.eventTime(string(item.Body)); ok {
			e.Time = t
			return nil
		}
	}
}

// open opens an object. Without a reader and error, it cannot be read, and the entry says so.
func (l *looker) open(ctx context.Context, e *Entry) (io.ReadCloser, error) {
	stored, err := l.connector.Open(ctx, e.Object)
	switch {
	case err == nil:
		return stored, nil
	case errors.Is(err, ErrUnreadable):
		e.Problem = err.Error()
		return nil, nil
	}
	return nil, fmt.Errorf("open %s: %w", e.Name, err)
}

func (l *looker) reset(r io.Reader) {
	if l.split == nil {
		l.split = NewSplitter(r)
		return
	}
	l.split.Reset(r)
}
