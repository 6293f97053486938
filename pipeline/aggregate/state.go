package aggregate

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/eventtime"
	"github.com/trailvane/trailvane/pipeline/pages"
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
	Stale      uint64 // in no pane: more than a day behind
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

// StateVersion is that of the format of the state. Version 0 had no hours, and is read.
const StateVersion = 1

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

// hourEntry is the first byte of an entry that holds an hour of a group. A savedGroup begins otherwise: with the code of an array.
const hourEntry = 0

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
	for _, h := range g.hours {
		entries = append(entries, g.appendHour([]byte{hourEntry}, h))
	}
	return entries, failed
}

func (g *group) appendHour(b []byte, h *hour) []byte {
	w := pages.Writer{B: b}
	text := func(s string) {
		w.Uint(uint64(len(s)))
		w.B = append(w.B, s...)
	}
	minutes := func(list []schemas.MinuteCount) {
		w.Uint(uint64(len(list)))
		for _, c := range list {
			w.Uint(uint64(c.Minute))
			w.Uint(uint64(c.Count))
		}
	}
	text(string(g.account.Provider))
	text(g.account.ID)
	text(g.region)
	w.Minute(h.at)
	w.Uint(h.events)
	w.Uint(h.late)
	w.Uint(h.stale)
	minutes(h.other)
	for i := range h.series {
		s := &h.series[i]
		text(s.service())
		text(s.event())
		text(s.errorCode())
		w.Flags(s.write)
		minutes(s.minutes)
	}
	return w.B
}

// restoreHour reads what appendHour wrote behind the first byte.
func (p *Processor) restoreHour(entry []byte) error {
	r := pages.Reader{B: entry}
	text := func() string {
		n := r.UpTo(uint64(len(r.B)))
		if r.Bad {
			return ""
		}
		s := string(r.B[:n])
		r.B = r.B[n:]
		return s
	}
	minutes := func() []schemas.MinuteCount {
		n := r.UpTo(uint64(schemas.Hour))
		if n == 0 || r.Bad {
			return nil
		}
		list := make([]schemas.MinuteCount, n)
		for i := range list {
			list[i] = schemas.MinuteCount{Minute: uint8(r.UpTo(uint64(schemas.Hour) - 1)), Count: uint32(r.UpTo(math.MaxUint32))}
		}
		return list
	}
	key := groupKey{schemas.Account{Provider: schemas.Provider(text()), ID: text()}, text()}
	h := &hour{at: r.Minute(), events: r.Uint(), late: r.Uint(), stale: r.Uint(), other: minutes()}
	for len(r.B) > 0 && len(h.series) < maxSeries {
		k := kind{service: text(), name: text(), code: text()}
		r.Flags(&k.write)
		list := minutes()
		if r.Bad || len(k.service)+len(k.name)+len(k.code) > maxText {
			return pages.ErrState
		}
		k.hash = k.sum()
		s := h.find(&k)
		s.minutes = list
		for _, c := range list {
			s.calls += uint64(c.Count)
		}
	}
	if r.Bad || len(r.B) > 0 || h.at != schemas.HourOf(h.at) {
		return pages.ErrState
	}
	g := p.group(key)
	i, there := slices.BinarySearchFunc(g.hours, h.at, func(h *hour, at schemas.Minute) int { return cmp.Compare(h.at, at) })
	if there {
		return pages.ErrState
	}
	g.hours = slices.Insert(g.hours, i, h)
	return nil
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
		if len(entry) > 0 && entry[0] == hourEntry {
			return p.restoreHour(entry[1:])
		}
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
