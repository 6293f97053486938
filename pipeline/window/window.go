// Package window holds the open one-minute windows of an account and region, as far as anybody needs to remember them: the
// ids of their events. Providers deliver twice (a fifth of the records of one real log), and an id is remembered only
// while its minute is open, so that the memory is bounded by the lateness and not by the length of the log.
package window

import (
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/trailvane/trailvane/schemas"
)

// An ID is the 64-bit hash by which an event id is remembered. With ten million open ids of one account the chance that two
// different ones are taken for equal is below 1 in 300,000.
type ID uint64

// HashID returns the hash of an event id. It is stable for ever: it is part of saved state.
func HashID(id string) ID { return ID(xxhash.Sum64String(id)) }

// Open is the set of open windows. The zero value has none.
type Open struct {
	minutes []minute // ascending
	spare   []map[ID]struct{}
}

type minute struct {
	at  schemas.Minute
	ids map[ID]struct{}
}

// Add remembers an event of an open minute and reports whether it is new there.
func (o *Open) Add(at schemas.Minute, id ID) bool {
	i, ok := o.find(at)
	if !ok {
		o.minutes = slices.Insert(o.minutes, i, minute{at: at, ids: o.set()})
	}
	ids := o.minutes[i].ids
	before := len(ids)
	ids[id] = struct{}{}
	return len(ids) > before
}

// Close forgets the minutes before the watermark.
func (o *Open) Close(first schemas.Minute) {
	n := 0
	for n < len(o.minutes) && o.minutes[n].at < first {
		// One set is kept to be filled again; more would keep the memory of the busiest hour for ever.
		if ids := o.minutes[n].ids; len(o.spare) == 0 && len(ids) < 4096 {
			clear(ids)
			o.spare = append(o.spare, ids)
		}
		n++
	}
	if n > 0 {
		o.minutes = slices.Delete(o.minutes, 0, n)
	}
}

// Minutes calls f for every open minute that holds events, ascending, with the sorted hashes of their ids. The slice is
// f's only until it returns.
func (o *Open) Minutes(f func(at schemas.Minute, ids []ID)) {
	var ids []ID
	for _, m := range o.minutes {
		ids = ids[:0]
		for id := range m.ids {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		f(m.at, ids)
	}
}

// Windows returns the number of open minutes that hold events.
func (o *Open) Windows() int { return len(o.minutes) }

// Len returns the number of ids remembered.
func (o *Open) Len() int {
	n := 0
	for _, m := range o.minutes {
		n += len(m.ids)
	}
	return n
}

// find looks from the end, because most events are of the newest minutes.
func (o *Open) find(at schemas.Minute) (int, bool) {
	i := len(o.minutes)
	for i > 0 && o.minutes[i-1].at > at {
		i--
	}
	if i > 0 && o.minutes[i-1].at == at {
		return i - 1, true
	}
	return i, false
}

func (o *Open) set() map[ID]struct{} {
	if n := len(o.spare); n > 0 {
		ids := o.spare[n-1]
		o.spare = o.spare[:n-1]
		return ids
	}
	return make(map[ID]struct{})
}
