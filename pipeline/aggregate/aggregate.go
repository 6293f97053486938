// Package aggregate is the second processor of the pipeline: it puts events into one-minute windows and says which minutes
// are final.
//
// Section by section it drops events whose id the open window has seen, joins events that are equal in everything but id
// and second into rows, and emits them at once as a [schemas.Pane] with the watermark after them: detectors score before
// a minute is final, and learn when it is. Late events are marked, stale ones left out.
//
// Beside them it gathers all events, stale ones too, into hours of calls per minute. An hour is emitted as a part of
// [schemas.Metrics] when the watermark passes its end; what comes for it later, when the watermark passes the next.
package aggregate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/trailvane/trailvane/pipeline/eventtime"
	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/pipeline/settings"
	"github.com/trailvane/trailvane/pipeline/window"
	"github.com/trailvane/trailvane/schemas"
)

const (
	// Stage is the name of the stage.
	Stage = "aggregator"

	// Constants is the version of what decides outputs beside state and record: bounds and hashes.
	Constants = "3"
)

const (
	// maxBatchBytes bounds a windows message well below the broker's 1 MiB.
	maxBatchBytes = 512 << 10
	// maxSpan bounds the minutes that one pane closes and that hold rows, so that a detector's work for one pane is
	// bounded too; an hour is the longest window of the models.
	maxSpan = schemas.Hour
)

// MaxLateness is the largest lateness that can be configured: minutes that are pending when a pane begins must fit into the
// span that it may close.
const MaxLateness = maxSpan

// A Processor aggregates the events of one partition.
type Processor struct {
	partition int
	settings  settings.ByLane
	groups    map[groupKey]*group
	kept      *pages.Kept[*group]
	stats     Stats
	counted   bool

	events schemas.EventBatch
	out    builder
	hashes []uint64 // scratch of tally
	coder  coder
}

type groupKey struct {
	account schemas.Account
	region  string
}

// group is the event time, the open windows and the hours of one account and region.
type group struct {
	groupKey
	lane  int
	slice int
	mark  eventtime.Watermark
	open  window.Open
	hours []*hour // ascending
}

var _ runner.Processor = (*Processor)(nil)

// New returns a processor with empty state.
func New(partition int) *Processor {
	return &Processor{
		partition: partition,
		settings:  settings.ByLane{},
		groups:    make(map[groupKey]*group),
		kept:      pages.Keep[*group]("groups", 128),
	}
}

// Apply aggregates one events message.
func (p *Processor) Apply(r runner.Record, emit func(runner.Output)) error {
	switch schemas.ControlKind(schemas.LastToken(r.Subject)) {
	case schemas.TickControl:
		var t schemas.Tick
		if err := t.Decode(r.Body); err != nil {
			return fmt.Errorf("tick: %w", err)
		}
		p.tick(t, emit)
	case schemas.EndControl:
		var e schemas.End
		if err := e.Decode(r.Body); err != nil {
			return fmt.Errorf("end: %w", err)
		}
		p.end(e, emit)
	case schemas.SettingsControl:
		var s schemas.Settings
		if err := s.Decode(r.Body); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
		s.Lateness = min(max(s.Lateness, 0), MaxLateness)
		p.settings.Set(s)
		p.counted = true
		emit(runner.Output{
			Subject: schemas.WindowsControl(p.partition, schemas.SettingsControl),
			Body:    s.Append(nil),
		})
	default:
		if err := p.events.Decode(r.Body); err != nil {
			return fmt.Errorf("events: %w", err)
		}
		for i := range p.events.Sections {
			p.section(&p.events.Sections[i], emit)
		}
		p.flush(schemas.CountsPane, emit)
	}
	return nil
}

// section adds the events of one account and region. The watermark moves event by event, so that what is late does not
// depend on where the stream was cut.
func (p *Processor) section(s *schemas.Section, emit func(runner.Output)) {
	g := p.group(groupKey{s.Account, s.Region})
	g.lane = s.Lane
	p.counted = true
	p.kept.Touch(g.slice)
	lateness := p.settings.Of(s.Lane).Lateness

	p.out.begin(s.Strings)
	var base schemas.Minute // the watermark before the pane
	for i := range s.Rows {
		e := &s.Rows[i]
		at := schemas.MinuteOf(e.Time)
		p.stats.observe(at)
		before := g.mark.Before(at, lateness)
		punctual := g.mark.Judge(at)
		if punctual == eventtime.Stale {
			p.stats.Stale++
			g.stale(at, s.Strings, e)
			if g.crowded() {
				p.releaseClosed(g, emit)
			}
			continue
		}
		if punctual == eventtime.OnTime {
			if e.ID != "" && !g.open.Add(at, window.HashID(e.ID)) {
				p.stats.Duplicates++
				continue
			}
			if !p.out.empty() && g.mark.After(at, lateness) > base+maxSpan {
				p.pane(g, base, emit)
				p.out.begin(s.Strings)
			}
			g.mark.Observe(at, lateness)
			g.open.Close(g.mark.First())
		} else {
			p.stats.Late++
		}
		if p.out.empty() {
			base = before
		}
		p.stats.Events++
		p.out.add(at, e, punctual == eventtime.Late)
	}
	if !p.out.empty() {
		p.pane(g, base, emit)
	}
}

// pane ends the pane that is being built, with the watermark as it is now and as it was before.
func (p *Processor) pane(g *group, before schemas.Minute, emit func(runner.Output)) {
	p.out.finish(schemas.Pane{
		Account: g.account, Region: g.region, Lane: g.lane, Watermark: g.mark.First(),
	})
	p.tally(g, &p.out.panes[len(p.out.panes)-1])
	p.advance(g, before, emit)
	if p.out.bytes > maxBatchBytes {
		p.flush(schemas.CountsPane, emit)
	}
}

// flush emits the finished panes, all of one region, as one message.
func (p *Processor) flush(kind schemas.PaneKind, emit func(runner.Output)) {
	panes := p.out.take()
	if len(panes) == 0 {
		return
	}
	emit(runner.Output{
		Subject: schemas.WindowsSubject(p.partition, panes[0].Region, kind),
		Body:    (&schemas.PaneBatch{Panes: panes}).Append(nil),
	})
}

// tick moves the event time of the quiet regions of a lane, or of one of its accounts. One that has been quiet for so long that no tick moves it gives out
// the hours that it has: nobody knows whether another will ever be over.
func (p *Processor) tick(t schemas.Tick, emit func(runner.Output)) {
	lateness := p.settings.Of(t.Lane).Lateness
	for _, g := range p.fedBy(t.Lane) {
		if t.Account.ID != "" && g.account != t.Account {
			continue
		}
		if g.mark.Idle(t.Time) && len(g.hours) > 0 {
			p.kept.Touch(g.slice)
			p.release(g, len(g.hours), emit)
		}
		before := g.mark.First()
		if !g.mark.Tick(t.Time, lateness) {
			continue
		}
		g.open.Close(g.mark.First())
		p.kept.Touch(g.slice)
		p.advance(g, before, emit)
		p.control(g, schemas.TickPane, false, emit)
	}
	p.flush(schemas.TickPane, emit)
}

// end closes the minutes that a lane's bounded input has shown, and gives out all hours, also the last one, which may not be
// over: what follows in another run adds to it.
func (p *Processor) end(e schemas.End, emit func(runner.Output)) {
	for _, g := range p.fedBy(e.Lane) {
		g.mark.End()
		g.open.Close(g.mark.First())
		p.kept.Touch(g.slice)
		p.release(g, len(g.hours), emit)
		p.control(g, schemas.EndPane, e.Close, emit)
	}
	p.flush(schemas.EndPane, emit)
}

// control adds a pane without rows. A message holds panes of one region.
func (p *Processor) control(g *group, kind schemas.PaneKind, closing bool, emit func(runner.Output)) {
	if n := len(p.out.panes); n > 0 && (p.out.panes[n-1].Region != g.region || p.out.bytes > maxBatchBytes) {
		p.flush(kind, emit)
	}
	p.out.begin(nil)
	p.out.finish(schemas.Pane{
		Account: g.account, Region: g.region, Lane: g.lane, Watermark: g.mark.First(), Close: closing,
	})
}

// fedBy returns the groups of a lane by region, then account.
func (p *Processor) fedBy(lane int) []*group {
	groups := slices.Collect(maps.Values(p.groups))
	groups = slices.DeleteFunc(groups, func(g *group) bool { return g.lane != lane })
	slices.SortFunc(groups, func(a, b *group) int {
		return cmp.Or(strings.Compare(a.region, b.region), a.account.Compare(b.account))
	})
	return groups
}

func (p *Processor) group(key groupKey) *group {
	g := p.groups[key]
	if g == nil {
		g = &group{groupKey: key, slice: p.kept.Slice(xxhash.Sum64String(key.account.String() + "/" + key.region))}
		p.groups[key] = g
		p.kept.Add(g.slice, g)
	}
	return g
}
