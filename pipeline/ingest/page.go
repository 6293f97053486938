package ingest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A plan is stored in a partition of its own, "plan-<lane>", in pages with the keys "page.0", "page.1" and so on. Entries are
// appended to the last page until it is full. The checkpoint holds the number of pages and the sum of their hashes, and, as its
// stream, the plan's id.

const (
	pageEntries = 500
	pageBytes   = 512 << 10 // well below the 1 MiB of a message
	commitPages = 16        // 8 MiB in one atomic batch

	pageVersion = 2 // 1 had no times of modification and no former names
	planVersion = "plan 2"
)

// planVersions are those that can be read.
var planVersions = []string{"plan 1", planVersion}

// pages is what is known of the stored pages.
type pages struct {
	checkpoint schemas.Checkpoint
	last       int    // number of the page that is written to
	entries    int    // in it
	body       []byte // of it
	sum        uint64 // of the hashes of the full pages before it, and of what is forgotten
	hashes     []uint64
	counts     []int // of the entries in the full pages

	forgotten forgotten
	tomb      uint64 // hash of its stored form, 0 if nothing is forgotten
}

// PlanPartition names the partition that keeps the plan of a lane, for those who look at it.
func PlanPartition(lane int) string { return planPartition(lane) }

// LastPages are the keys one of which is the last page of a plan with so many keys; the later one, if it is there.
func LastPages(keys uint64) []string {
	var last []string
	for n := range min(keys, 2) { // one of the keys may be what is forgotten
		last = append(last, pageKey(int(keys-1-n)))
	}
	return last
}

// IsOver reports whether the input of a lane was bounded and all of it has been put: the last page of its plan ends with an end, and
// the lane's position is behind so many places, which is all of them.
func IsOver(page []byte, places, position uint64) (bool, error) {
	entries, err := decodePage(nil, page)
	if err != nil || len(entries) == 0 {
		return false, err
	}
	return entries[len(entries)-1].Control == schemas.EndControl && position>>offsetBits >= places, nil
}

func planPartition(lane int) string { return "plan-" + strconv.Itoa(lane) }

func pageKey(page int) string { return "page." + strconv.Itoa(page) }

func pageHash(page int, body []byte) uint64 { return keyHash(pageKey(page), body) }

// keys returns the number of keys, with so many pages.
func (g *pages) keys(pages int) uint64 {
	if g.tomb != 0 {
		pages++
	}
	return uint64(pages)
}

func keyHash(key string, body []byte) uint64 {
	h := xxhash.New()
	h.WriteString(key)
	h.Write([]byte{0})
	h.Write(body)
	return h.Sum64()
}

// load reads the plan as the last commit left it.
func (p *Plan) load(ctx context.Context, store runner.Store) error {
	cp, state, err := store.Load(ctx, planPartition(p.lane))
	switch {
	case errors.Is(err, schemas.ErrVersion):
		return fmt.Errorf("load the plan: %w: %w", runner.ErrNewer, err)
	case err != nil:
		return fmt.Errorf("load the plan: %w", err)
	}
	if cp.Constants != "" && !slices.Contains(planVersions, cp.Constants) {
		return fmt.Errorf("load the plan: %w: %q", runner.ErrNewer, cp.Constants)
	}
	bodies := make(map[string][]byte, cp.Keys)
	for key, body := range state {
		bodies[key] = append([]byte(nil), body...)
	}
	g := &p.pages
	keys := int(cp.Keys)
	if body, ok := bodies[forgottenKey]; ok {
		if err := g.forgotten.decode(body); err != nil {
			return fmt.Errorf("load the plan: %w: %w", runner.ErrCorrupt, err)
		}
		p.base, p.feeds, g.tomb = g.forgotten.places, true, keyHash(forgottenKey, body)
		keys--
	}
	sum := g.tomb
	for page := range keys {
		body, ok := bodies[pageKey(page)]
		if !ok {
			return fmt.Errorf("load the plan: %w: page %d of %d is missing", runner.ErrCorrupt, page, cp.Keys)
		}
		p.pages.sum = sum
		hash := pageHash(page, body)
		sum += hash
		if page < g.forgotten.pages {
			g.hashes, g.counts = append(g.hashes, hash), append(g.counts, 0)
			continue
		}
		entries, err := decodePage(nil, body)
		if err != nil {
			return fmt.Errorf("load the plan: %w: page %d: %w", runner.ErrCorrupt, page, err)
		}
		for i := range entries {
			if was := entries[i].Was; was < 0 || was > p.Len() {
				return fmt.Errorf("load the plan: %w: page %d: %w", runner.ErrCorrupt, page, errPage)
			}
			p.add(entries[i])
		}
		p.pages.last, p.pages.body, p.pages.entries = page, body, len(entries)
		if page < keys-1 {
			g.hashes, g.counts = append(g.hashes, hash), append(g.counts, len(entries))
		}
	}
	if sum != cp.Sum || uint64(len(bodies)) != cp.Keys {
		return fmt.Errorf("load the plan: %w: %d pages with sum %x, not %d with %x",
			runner.ErrCorrupt, len(bodies), sum, cp.Keys, cp.Sum)
	}
	p.pages.checkpoint, p.id = cp, cp.Stream
	p.stored = len(p.entries)
	return nil
}

// begin gives a plan that was never stored its id, and stores that. Nothing is planned by it.
func (p *Plan) begin(ctx context.Context, store runner.Store, identity func() string) error {
	if p.pages.checkpoint.Epoch > 0 {
		return nil
	}
	p.id = planPartition(p.lane)
	if identity != nil {
		p.id += "." + identity()
	}
	return p.commitPages(ctx, store, nil)
}

// commit stores the entries that are not yet stored.
func (p *Plan) commit(ctx context.Context, store runner.Store) error {
	if p.Len() > maxPlaces {
		return fmt.Errorf("commit the plan: %d objects in one lane, at most %d fit: use more lanes", p.Len(), maxPlaces)
	}
	changed := make(map[string][]byte)
	g := &p.pages
	for p.stored < len(p.entries) {
		entry := p.entries[p.stored].append(nil)
		full := g.entries >= pageEntries || len(g.body)+len(entry) > pageBytes
		if g.entries > 0 && (full || g.body[0] != pageVersion) {
			changed[pageKey(g.last)] = g.body
			hash := pageHash(g.last, g.body)
			g.sum += hash
			g.hashes, g.counts = append(g.hashes, hash), append(g.counts, g.entries)
			g.last, g.entries, g.body = g.last+1, 0, nil
			if len(changed) == commitPages {
				if err := p.commitPages(ctx, store, changed); err != nil {
					return err
				}
				changed = make(map[string][]byte)
			}
		}
		if g.entries == 0 {
			g.body = append(g.body, pageVersion)
		}
		g.body = append(g.body, entry...)
		g.entries++
		p.stored++
	}
	if len(changed) == 0 && (g.entries == 0 || g.checkpoint.Keys == g.keys(g.last+1) &&
		g.checkpoint.Sum == g.sum+pageHash(g.last, g.body)) {
		return nil
	}
	changed[pageKey(g.last)] = g.body
	return p.commitPages(ctx, store, changed)
}

// commitPages stores pages up to the last of them, which is the one that is written to or the one before it.
func (p *Plan) commitPages(ctx context.Context, store runner.Store, changed map[string][]byte) error {
	g := &p.pages
	cp := g.checkpoint
	cp.Stream, cp.Constants, cp.Epoch = p.id, planVersion, cp.Epoch+1
	cp.Keys, cp.Sum = g.keys(g.last), g.sum
	if body, ok := changed[pageKey(g.last)]; ok {
		cp.Keys, cp.Sum = cp.Keys+1, cp.Sum+pageHash(g.last, body)
	}
	cp.Seq = uint64(p.base + p.stored)
	if err := store.Commit(ctx, planPartition(p.lane), cp, changed); err != nil {
		return fmt.Errorf("commit the plan: %w", err)
	}
	g.checkpoint = cp
	return nil
}

// append appends the entry's stored form.
func (e *Entry) append(b []byte) []byte {
	for _, s := range []string{e.Name, e.Tag, e.Account, e.Format, string(e.Skip), e.Problem, string(e.Control), string(e.Body)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for _, n := range []int64{e.Size, e.Time, e.From, e.Modified, int64(e.Was)} {
		b = binary.AppendVarint(b, n)
	}
	return b
}

var errPage = errors.New("malformed page")

// decodePage appends the entries of a page.
func decodePage(entries []Entry, b []byte) ([]Entry, error) {
	if len(b) == 0 || b[0] != 1 && b[0] != pageVersion {
		return entries, fmt.Errorf("%w: version", errPage)
	}
	version := b[0]
	text := string(b[1:]) // all strings of the page alias it
	b = b[1:]
	for len(b) > 0 {
		var e Entry
		var skip, control, body string
		var was int64
		for _, s := range []*string{&e.Name, &e.Tag, &e.Account, &e.Format, &skip, &e.Problem, &control, &body} {
			n, size := binary.Uvarint(b)
			if size <= 0 || n > uint64(len(b)-size) {
				return entries, errPage
			}
			at := len(text) - len(b) + size
			*s = text[at : at+int(n)]
			b = b[size+int(n):]
		}
		e.Skip, e.Control = Reason(skip), schemas.ControlKind(control)
		if body != "" {
			e.Body = []byte(body)
		}
		numbers := []*int64{&e.Size, &e.Time, &e.From, &e.Modified, &was}
		if version == 1 {
			numbers = numbers[:3]
		}
		for _, n := range numbers {
			v, size := binary.Varint(b)
			if size <= 0 {
				return entries, errPage
			}
			*n, b = v, b[size:]
		}
		e.Was = int(was)
		entries = append(entries, e)
	}
	return entries, nil
}
