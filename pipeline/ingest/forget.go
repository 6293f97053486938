package ingest

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// A plan that is followed for months forgets what is old, page by page from the front: pages that lie before the committed
// position, and whose objects are all older than forgetAfter. A forgotten page is stored empty, and one key says what all of
// them held: how many places, and the newest time of each folder. Objects whose names tell a time, as the vendors' do, are
// then not taken for new if they are not newer than what is forgotten of their folder. Others get a new entry before
// theirs is forgotten, as long as they are there, and so do settings.

const (
	// forgetAfter is how old objects are, seconds before the newest, when they are forgotten: providers deliver within
	// hours, and after outages of theirs within days.
	forgetAfter = 14 * 24 * 60 * 60

	// forgetPages bounds the pages that are forgotten in one commit.
	forgetPages = 500

	forgottenKey     = "forgotten"
	forgottenVersion = 1
)

// forgotten is what is kept of the pages that are forgotten.
type forgotten struct {
	pages, places int
	folders       map[uint64]int64 // newest time, by the hash of the folder
}

func (f *forgotten) append(b []byte) []byte {
	b = append(b, forgottenVersion)
	b = binary.AppendUvarint(b, uint64(f.pages))
	b = binary.AppendUvarint(b, uint64(f.places))
	for _, folder := range slices.Sorted(maps.Keys(f.folders)) {
		b = binary.LittleEndian.AppendUint64(b, folder)
		b = binary.AppendVarint(b, f.folders[folder])
	}
	return b
}

func (f *forgotten) decode(b []byte) error {
	wrong := fmt.Errorf("%w: what is forgotten", errPage)
	if len(b) == 0 || b[0] != forgottenVersion {
		return wrong
	}
	b = b[1:]
	for _, n := range []*int{&f.pages, &f.places} {
		v, size := binary.Uvarint(b)
		if size <= 0 || v > maxPlaces {
			return wrong
		}
		*n, b = int(v), b[size:]
	}
	f.folders = make(map[uint64]int64)
	for len(b) > 0 {
		if len(b) < 9 {
			return wrong
		}
		folder := binary.LittleEndian.Uint64(b)
		v, size := binary.Varint(b[8:])
		if size <= 0 {
			return wrong
		}
		f.folders[folder], b = v, b[8+size:]
	}
	return nil
}

// tells reports whether the name of an object says when it was delivered. It is never written to afterwards.
func (l *Location) tells() bool { return l.Format != "" && l.Time != 0 }

// tooOld reports whether an object is not in the plan and no newer than what is forgotten of its folder.
func (p *Plan) tooOld(name string, at Location) bool {
	newest, ok := p.pages.forgotten.folders[xxhash.Sum64String(at.Folder)]
	if !ok || !at.tells() || at.Time > newest {
		return false
	}
	_, known := p.index[name]
	return !known
}

// forgettable returns how many more pages can be forgotten, of those up to a place.
func (p *Plan) forgettable(place int, now int64) int {
	g := &p.pages
	old := min(p.newest, now) - forgetAfter
	pages, at := 0, p.base
	for _, n := range g.counts[g.forgotten.pages:] {
		if at+n > place || pages == forgetPages {
			break
		}
		if slices.ContainsFunc(p.entries[at-p.base:at-p.base+n], func(e Entry) bool {
			return e.Control == "" && e.Time != unknownTime && e.Time > old
		}) {
			break
		}
		pages, at = pages+1, at+n
	}
	return pages
}

// keepers returns the places in the first pages whose objects would be taken for new if they were forgotten.
func (p *Plan) keepers(pages int) []int {
	var places []int
	for place := p.base + 1; place <= p.after(pages); place++ {
		e := p.at(place)
		at := Locate(e.Name)
		if e.Control == "" && p.index[e.Name].last == place && !at.tells() {
			places = append(places, place)
		}
	}
	return places
}

// after returns the last place of the first pages that are not forgotten.
func (p *Plan) after(pages int) int {
	g := &p.pages
	place := p.base
	for _, n := range g.counts[g.forgotten.pages : g.forgotten.pages+pages] {
		place += n
	}
	return place
}

// forget forgets the first pages. Everything is committed. After an error the plan has to be loaded.
func (p *Plan) forget(ctx context.Context, store runner.Store, pages int) error {
	g := &p.pages
	base := p.after(pages)
	f := forgotten{g.forgotten.pages + pages, base, maps.Clone(g.forgotten.folders)}
	if f.folders == nil {
		f.folders = make(map[uint64]int64)
	}
	for place := p.base + 1; place <= base; place++ {
		e := p.at(place)
		at := Locate(e.Name)
		if e.Control != "" || !at.tells() {
			continue
		}
		folder := xxhash.Sum64String(at.Folder)
		f.folders[folder] = max(f.folders[folder], at.Time)
	}
	body := f.append(nil)
	if len(body) > runner.MaxBody {
		return nil // 60,000 folders in one lane: what is known of them is kept
	}
	changed := map[string][]byte{forgottenKey: body}
	for page := g.forgotten.pages; page < f.pages; page++ {
		empty := []byte{pageVersion}
		changed[pageKey(page)] = empty
		hash := pageHash(page, empty)
		g.sum += hash - g.hashes[page]
		g.hashes[page], g.counts[page] = hash, 0
	}
	tomb := keyHash(forgottenKey, body)
	g.sum += tomb - g.tomb
	g.tomb, g.forgotten = tomb, f
	changed[pageKey(g.last)] = g.body
	if err := p.commitPages(ctx, store, changed); err != nil {
		return err
	}
	p.drop(base)
	return nil
}

// drop lets go of what is forgotten.
func (p *Plan) drop(base int) {
	rest := slices.Clone(p.entries[base-p.base:])
	p.stored -= base - p.base
	p.base, p.entries = base, rest
	maps.DeleteFunc(p.index, func(_ string, k known) bool { return k.last <= base })
	gone := func(place int) bool { return place <= base }
	for _, places := range []map[string][]int{p.moves, p.folders} {
		for name, all := range places {
			if all = slices.DeleteFunc(all, gone); len(all) == 0 {
				delete(places, name)
			} else {
				places[name] = all
			}
		}
	}
	for i := range p.pages.counts[:p.pages.forgotten.pages] {
		p.pages.counts[i] = 0
	}
}
