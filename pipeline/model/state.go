package model

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/schemas"
)

// State is kept in slices: a fixed number of values, each with the series, or the accounts, whose hash falls into it. A
// commit takes at most 500 changed keys, which 448 + 32 never exceed while every slice is one value. A value is at most
// maxValueBytes; a slice that is larger goes on in further values ("s017-1"). At 350 bytes a series that happens beyond
// 600,000 series in one partition. Of a thousand series two or three share a slice, so little is written that has not changed.
const (
	seriesSlices  = 448
	accountSlices = 32
	maxValueBytes = 480 << 10 // a message of ours is at most 512 KiB

	stateVersion = 4
)

// stateSlices knows which slice holds what, and which have changed.
type stateSlices struct {
	series   []slice[*series]
	accounts []slice[*account]
}

// newStateSlices returns the slices of one of so many machines that share a commit.
func newStateSlices(machines int) *stateSlices {
	return &stateSlices{
		make([]slice[*series], max(seriesSlices/machines, 1)), make([]slice[*account], max(accountSlices/machines, 1)),
	}
}

type slice[T any] struct {
	of    []T
	dirty bool
	parts int      // values that hold something, as of the last snapshot
	got   [][]byte // values given back so far, until all have come
}

func (x *stateSlices) add(s *series) {
	s.slice = uint16(sliceHash(s.in.account.id, s.in.name, s.key) % uint64(len(x.series)))
	sl := &x.series[s.slice]
	sl.of, sl.dirty = append(sl.of, s), true
}

func (x *stateSlices) remove(s *series) {
	sl := &x.series[s.slice]
	i := slices.Index(sl.of, s)
	last := len(sl.of) - 1
	sl.of[i], sl.of[last] = sl.of[last], nil
	sl.of, sl.dirty = sl.of[:last], true
}

func (x *stateSlices) touch(s *series) { x.series[s.slice].dirty = true }

func (x *stateSlices) addAccount(a *account) {
	a.slice = uint16(sliceHash(a.id, "", "") % uint64(len(x.accounts)))
	sl := &x.accounts[a.slice]
	sl.of = append(sl.of, a)
}

// sliceHash is FNV-1a with a final mix, fixed for ever: it places state.
func sliceHash(id schemas.Account, region, key string) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range [...]string{string(id.Provider), id.ID, region, key} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211 // ends a string
	}
	return h ^ h>>32
}

// Snapshot calls changed for every state key that has changed since the last call; the state is the caller's. The bytes are
// a function of what was observed, not of when snapshots or restores happened.
func (m *Machine) Snapshot(changed func(key string, state []byte)) error {
	w := writer{id: make(map[string]int)}
	for i := range m.slices.series {
		sl := &m.slices.series[i]
		if !sl.dirty {
			continue
		}
		slices.SortFunc(sl.of, (*series).compare)
		w.reset()
		w.Uint(uint64(len(sl.of)))
		var account schemas.Account
		region := ""
		for _, s := range sl.of {
			w.Flags(s.in.account.id == account, s.in.name == region)
			if s.in.account.id != account {
				account = s.in.account.id
				w.string(string(account.Provider))
				w.string(account.ID)
			}
			if s.in.name != region {
				region = s.in.name
				w.string(region)
			}
			s.append(&w)
		}
		sl.put("s", i, w.message(stateVersion), changed)
	}
	for i := range m.slices.accounts {
		sl := &m.slices.accounts[i]
		if !sl.dirty {
			continue
		}
		slices.SortFunc(sl.of, func(a, b *account) int { return a.id.Compare(b.id) })
		w.reset()
		w.Uint(uint64(len(sl.of)))
		for _, a := range sl.of {
			a.append(&w)
		}
		sl.put("a", i, w.message(stateVersion), changed)
	}
	return nil
}

// put cuts a slice into values. Each begins with its place and their number; values that are no longer needed say zero.
func (sl *slice[T]) put(kind string, i int, b []byte, changed func(string, []byte)) {
	n := max((len(b)+maxValueBytes-1)/maxValueBytes, 1)
	for k := range max(n, sl.parts) {
		if k >= n {
			changed(sliceKey(kind, i, k), []byte{0})
			continue
		}
		part := b[k*maxValueBytes : min((k+1)*maxValueBytes, len(b))]
		v := binary.AppendUvarint(make([]byte, 0, len(part)+4), uint64(n))
		changed(sliceKey(kind, i, k), append(v, part...))
	}
	sl.parts, sl.dirty = n, false
}

func sliceKey(kind string, i, part int) string {
	key := fmt.Sprintf("%s%03d", kind, i)
	if part > 0 {
		key += "-" + strconv.Itoa(part)
	}
	return key
}

// parseKey reads what sliceKey made.
func (x *stateSlices) parseKey(key string) (kind byte, i, part int, ok bool) {
	if len(key) < 4 {
		return 0, 0, 0, false
	}
	number, rest, more := strings.Cut(key[1:], "-")
	i, err := strconv.Atoi(number)
	if err == nil && more {
		part, err = strconv.Atoi(rest)
	}
	ok = err == nil && i >= 0 && (key[0] == 's' && i < len(x.series) || key[0] == 'a' && i < len(x.accounts)) &&
		part >= 0 && part < 1<<12 && sliceKey(key[:1], i, part) == key
	return key[0], i, part, ok
}

// Restore gives a key back, into a machine that has observed nothing. It does not keep state. An error means that the state
// is corrupt or was written by a newer program; the machine is of no use then.
func (m *Machine) Restore(key string, state []byte) error {
	kind, i, part, ok := m.slices.parseKey(key)
	if !ok {
		return fmt.Errorf("state key %q: %w", key, pages.ErrState)
	}
	var err error
	if kind == 's' {
		err = m.slices.series[i].take(part, state, m.restoreSeries)
	} else {
		err = m.slices.accounts[i].take(part, state, m.restoreAccounts)
	}
	if err != nil {
		return fmt.Errorf("state key %q: %w", key, err)
	}
	return nil
}

// take gathers the values of a slice, and decodes it when all are there.
func (sl *slice[T]) take(part int, state []byte, decode func([]byte) error) error {
	n, size := binary.Uvarint(state)
	switch {
	case size <= 0 || n > 1<<12:
		return pages.ErrState
	case n == 0: // a value that is no longer needed
		return nil
	case part >= int(n) || sl.got != nil && len(sl.got) != int(n):
		return pages.ErrState
	}
	if sl.got == nil {
		sl.got = make([][]byte, n)
	}
	if sl.got[part] != nil {
		return pages.ErrState
	}
	sl.got[part] = slices.Clone(state[size:])
	var all []byte
	for _, b := range sl.got {
		if b == nil {
			return nil
		}
		all = append(all, b...)
	}
	sl.got, sl.parts = nil, int(n)
	err := decode(all)
	sl.dirty = false
	return err
}

func (m *Machine) restoreSeries(b []byte) error {
	var r reader
	if err := r.open(b, stateVersion); err != nil {
		return err
	}
	var id schemas.Account
	var region string
	for range r.length(8) {
		var sameAccount, sameRegion bool
		r.Flags(&sameAccount, &sameRegion)
		if !sameAccount {
			id.Provider = schemas.Provider(r.string())
			id.ID = r.string()
		}
		if !sameRegion {
			region = r.string()
		}
		key := r.string()
		if r.Bad {
			return pages.ErrState
		}
		in := m.account(id).region(region)
		if in.series[key] != nil {
			return pages.ErrState
		}
		s := m.series(in, key)
		s.read(&r)
		if r.Bad || !m.config.fits(s) {
			return pages.ErrState
		}
	}
	return r.close()
}

func (m *Machine) restoreAccounts(b []byte) error {
	var r reader
	if err := r.open(b, stateVersion); err != nil {
		return err
	}
	for range r.length(8) {
		id := schemas.Account{Provider: schemas.Provider(r.string()), ID: r.string()}
		if r.Bad {
			return pages.ErrState
		}
		m.account(id).read(&r)
	}
	return r.close()
}

// compare orders series as their slices do.
func (s *series) compare(o *series) int {
	return cmp.Or(s.in.account.id.Compare(o.in.account.id), strings.Compare(s.in.name, o.in.name), strings.Compare(s.key, o.key))
}
