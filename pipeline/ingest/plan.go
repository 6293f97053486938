package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// maxPlaces bounds the entries of a plan, because record numbers have 24 bits for the place.
const maxPlaces = 1<<24 - 2

// unknownTime orders what is of no use as a log, or unlike any: it must not move time for the others.
const unknownTime = math.MaxInt64

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
	Was     int    // place of the entry that has the same content, as far as it goes, under another name; 0 if none

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

	// Identity makes a name for a plan that begins, unlike that of any plan before it. The names of producers have it: a plan that
	// is made again, because its state was removed, gives the same numbers to other records, which readers would drop as
	// repeats. If nil, the lane is all its name.
	Identity func() string

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
	id      string // for ever
	base    int    // places that are forgotten
	entries []Entry
	stored  int   // entries that are committed, of those
	newest  int64 // of the times of all objects, 0 if there is none
	pages   pages
	found   Found

	feeds   bool             // there are objects that may be logs
	index   map[string]known // objects by name
	moves   map[string][]int // places with Was, by the name that their content had before
	folders map[string][]int // the last places of each folder whose objects may be renamed
}

// known is where an object's present content stands in a plan.
type known struct{ first, last int }

// maxRecent bounds the entries of a folder among which the former name of an object is looked for. What is rotated away
// was written last, and nobody keeps more generations.
const maxRecent = 64

// add appends entries.
func (p *Plan) add(entries ...Entry) {
	if p.index == nil {
		p.index, p.moves, p.folders = make(map[string]known), make(map[string][]int), make(map[string][]int)
	}
	for _, e := range entries {
		p.entries = append(p.entries, e)
		if e.Control != "" {
			continue
		}
		p.feeds = p.feeds || e.Skip == ""
		if e.Time != unknownTime {
			p.newest = max(p.newest, e.Time)
		}
		place := p.Len()
		k, ok := p.index[e.Name]
		if !ok || e.From == 0 || e.Was != 0 {
			k.first = place
		}
		k.last = place
		p.index[e.Name] = k
		if e.Was > p.base {
			name := p.at(e.Was).Name
			p.moves[name] = append(p.moves[name], place)
		}
		if e.Format == "" && e.Tag != "" && e.Size > 0 { // vendors never rename what they have delivered
			dir := path.Dir(e.Name)
			recent := append(p.folders[dir], place)
			p.folders[dir] = recent[max(0, len(recent)-maxRecent):]
		}
	}
}

// at returns the entry at a place. It must not be changed.
func (p *Plan) at(place int) *Entry { return &p.entries[place-p.base-1] }

// latest returns the last entry of an object, nil if there is none.
func (p *Plan) latest(name string) *Entry {
	if k, ok := p.index[name]; ok {
		return p.at(k.last)
	}
	return nil
}

// content returns the name that the content of a place has now; ok is false if a later place has other content under its
// name, and none has this one under another.
func (p *Plan) content(place int) (name string, ok bool) {
	name = p.at(place).Name
	if place >= p.index[name].first {
		return name, true
	}
	return p.moved(place)
}

// moved returns another name that has the content of a place, if there is one.
func (p *Plan) moved(place int) (name string, ok bool) {
	name = p.at(place).Name
	moves := p.moves[name]
	i := slices.IndexFunc(moves, func(m int) bool { return p.at(m).Was >= place })
	if i < 0 || p.begins(name, place+1, p.at(moves[i]).Was) {
		return "", false
	}
	return p.content(moves[i]) // a later place, so this ends
}

// begins reports whether one of some places begins other content of a name.
func (p *Plan) begins(name string, from, to int) bool {
	for place := from; place <= to; place++ {
		if e := p.at(place); e.Name == name && e.Control == "" && (e.From == 0 || e.Was != 0) {
			return true
		}
	}
	return false
}

// Found says what the objects were compared with the plan before.
type Found struct {
	New, Grown, Known int
}

// Found returns what was found when the plan was made.
func (p *Plan) Found() Found { return p.found }

// Len returns the number of entries, which is the last place.
func (p *Plan) Len() int { return p.base + len(p.entries) }

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
	if err := p.begin(ctx, c.Store, c.Identity); err != nil {
		return nil, err
	}
	fresh, err := p.compare(ctx, c)
	if err != nil {
		return nil, err
	}
	p.extend(c.Settings, fresh)
	if c.End != nil {
		e := *c.End
		e.Lane = c.Lane
		p.control(schemas.EndControl, e.Append(nil))
	}
	return p, p.commit(ctx, c.Store)
}

// extend appends settings, if there are any, and objects in the order of their time.
func (p *Plan) extend(settings *schemas.Settings, fresh []Entry) {
	slices.SortFunc(fresh, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Name, b.Name))
	})
	if settings != nil {
		s := *settings
		s.Lane = p.lane
		p.control(schemas.SettingsControl, s.Append(nil))
	}
	p.add(fresh...)
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
	p.add(Entry{Control: kind, Body: body})
}

// compare returns entries for what the connector has and the plan does not.
func (p *Plan) compare(ctx context.Context, c PlanConfig) ([]Entry, error) {
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
		if p.tooOld(o.Name, at) {
			continue
		}
		e := Entry{Object: o, Account: at.Account, Format: at.Format, Time: at.Time, Skip: at.Skip}
		if err != nil {
			e.Tag, e.Problem = "", err.Error()
		}
		c.Progress.totalObjects.Add(1)
		c.Progress.totalBytes.Add(o.Size)
		known, err := look.at(ctx, &e, p.latest(o.Name), c.Remember)
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
		e.Time = unknownTime
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

// compare makes a tag of an object's content. If its beginning is in a plan, as the content of its own name or of another
// one in the folder, only what is behind that is new. Whole is false if there is less of it than was listed: it is being
// replaced.
func (l *looker) compare(ctx context.Context, e, before *Entry, p *Plan) (whole bool, err error) {
	own := p.index[e.Name].last
	var formers []int
	if before != nil {
		formers = append(formers, own)
	}
	if e.Format == "" {
		formers = append(formers, p.folders[path.Dir(e.Name)]...)
	}
	formers = slices.DeleteFunc(formers, func(place int) bool {
		f := p.at(place)
		return f.Tag == "" || f.Size == 0 || f.Size > e.Size || f.Name == e.Name && place != own
	})
	slices.SortStableFunc(formers, func(a, b int) int { return cmp.Compare(p.at(a).Size, p.at(b).Size) })

	stored, err := l.open(ctx, e)
	if stored == nil {
		return true, err
	}
	defer stored.Close()
	h := xxhash.New() // against accidents: who may write logs can write anything
	match, size := 0, int64(0)
	for _, place := range formers {
		f := p.at(place)
		n, err := io.CopyN(h, stored, f.Size-size)
		if size += n; err != nil {
			return l.unread(e, err)
		}
		if contentTag(h.Sum64()) == f.Tag && (match == 0 || match != own) {
			match = place
		}
	}
	if _, err := io.CopyN(h, stored, e.Size-size); err != nil {
		return l.unread(e, err)
	}
	e.Tag = contentTag(h.Sum64())
	if match == 0 {
		return true, nil
	}
	former := p.at(match)
	if match != own {
		e.Was = match
	}
	if former.Size == e.Size {
		if match != own {
			e.Skip = Renamed
		}
		return true, nil
	}
	again, err := l.open(ctx, e)
	if again == nil {
		return true, err
	}
	defer again.Close()
	e.From = l.wholeUpTo(io.LimitReader(again, former.Size), former.Size)
	return true, nil
}

// unread says what an error of reading means.
func (l *looker) unread(e *Entry, err error) (whole bool, _ error) {
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	return false, fmt.Errorf("read %s: %w", e.Name, err)
}

// contentPrefix begins the tags that are made of the content.
const contentPrefix = "xxh64:"

func contentTag(sum uint64) string { return contentPrefix + strconv.FormatUint(sum, 16) }

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
