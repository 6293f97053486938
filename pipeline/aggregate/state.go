package aggregate

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/eventtime"
	"github.com/trailvane/trailvane/pipeline/window"
	"github.com/trailvane/trailvane/schemas"
	"github.com/vmihailenco/msgpack/v5"
)

// Stats count what a partition has read, since its first record. They are part of the state, so that a crash neither loses
// nor doubles a count.
type Stats struct {
	Events     uint64 // that went into panes
	Duplicates uint64 // dropped: the open window had seen the id
	Late       uint64 // of Events: their minute was closed
	Stale      uint64 // dropped: more than a day behind
	Seen       bool   // there was an event, so that First and Last say something
	First      schemas.Minute
	Last       schemas.Minute
}

func (s *Stats) observe(at schemas.Minute) {
	if !s.Seen {
		s.Seen, s.First, s.Last = true, at, at
		return
	}
	s.First, s.Last = min(s.First, at), max(s.Last, at)
}

// Add returns the sum of two partitions' counts.
func (s Stats) Add(t Stats) Stats {
	if t.Seen {
		s.observe(t.First)
		s.observe(t.Last)
	}
	s.Events += t.Events
	s.Duplicates += t.Duplicates
	s.Late += t.Late
	s.Stale += t.Stale
	return s
}

// Stats returns the counts.
func (p *Processor) Stats() Stats { return p.stats }

// headKey is the state key of the settings and the counts; the groups are in pages.
const headKey = "head"

// idsPerEntry bounds the ids in one entry of the state: a group with more has further entries.
const idsPerEntry = 32 << 10

type savedHead struct {
	Settings []schemas.Settings
	Stats    Stats
}

// savedGroup is a group with one of its open minutes, or with a piece of one. A group has as many as it needs, at least
// one, and they can be read in any order.
type savedGroup struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Provider      string
	Account       string
	Region        string
	Lane          int
	Newest, First int32 // minutes; schemas.Minute would be coded as text
	Minute        int32
	IDs           []byte // 8 bytes each, big endian
}

// Snapshot gives out what has changed.
func (p *Processor) Snapshot(changed func(key string, state []byte)) error {
	if !p.counted {
		return p.kept.WriteChanged((*group).compare, (*group).appendEntries, changed)
	}
	head := savedHead{Settings: p.settings.List(), Stats: p.stats}
	b, err := msgpack.Marshal(head)
	if err != nil {
		return err
	}
	changed(headKey, b)

	p.counted = false
	return p.kept.WriteChanged((*group).compare, (*group).appendEntries, changed)
}

func (g *group) compare(o *group) int {
	return cmp.Or(g.account.Compare(o.account), strings.Compare(g.region, o.region))
}

func (g *group) appendEntries(entries [][]byte) ([][]byte, error) {
	newest, first, _ := g.mark.State()
	saved := savedGroup{
		Provider: string(g.account.Provider), Account: g.account.ID, Region: g.region,
		Lane: g.lane, Newest: int32(newest), First: int32(first),
	}
	var failed error
	add := func() {
		b, err := msgpack.Marshal(saved)
		if err != nil {
			failed = err
		}
		entries = append(entries, b)
	}
	if g.open.Len() == 0 {
		add()
	}
	g.open.Minutes(func(at schemas.Minute, ids []window.ID) {
		for piece := range slices.Chunk(ids, idsPerEntry) {
			saved.Minute, saved.IDs = int32(at), appendIDs(saved.IDs[:0], piece)
			add()
		}
	})
	return entries, failed
}

// Restore gives a key back.
func (p *Processor) Restore(key string, state []byte) error {
	if key == headKey {
		var head savedHead
		if err := msgpack.Unmarshal(state, &head); err != nil {
			return fmt.Errorf("state %s: %w", key, err)
		}
		p.stats = head.Stats
		for _, s := range head.Settings {
			p.settings.Set(s)
		}
		return nil
	}
	return p.kept.Read(key, state, func(_ int, entry []byte) error {
		var saved savedGroup
		if err := msgpack.Unmarshal(entry, &saved); err != nil {
			return err
		}
		if len(saved.IDs)%8 != 0 {
			return fmt.Errorf("%d bytes of ids", len(saved.IDs))
		}
		account := schemas.Account{Provider: schemas.Provider(saved.Provider), ID: saved.Account}
		g := p.group(groupKey{account, saved.Region})
		g.lane, g.mark = saved.Lane, eventtime.At(schemas.Minute(saved.Newest), schemas.Minute(saved.First))
		for id := range idsOf(saved.IDs) {
			g.open.Add(schemas.Minute(saved.Minute), id)
		}
		return nil
	})
}

func appendIDs(b []byte, ids []window.ID) []byte {
	for _, id := range ids {
		b = binary.BigEndian.AppendUint64(b, uint64(id))
	}
	return b
}

func idsOf(b []byte) iter.Seq[window.ID] {
	return func(yield func(window.ID) bool) {
		for ; len(b) >= 8; b = b[8:] {
			if !yield(window.ID(binary.BigEndian.Uint64(b))) {
				return
			}
		}
	}
}
