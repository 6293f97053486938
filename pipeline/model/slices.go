package model

import (
	"github.com/trailvane/trailvane/schemas"
)

// State is kept in slices: a fixed number of values, each with the series, or the accounts, whose hash falls into it. A
// commit takes at most 500 changed keys, which 448 + 32 never exceed while every slice is one value. A value is at most
// maxSlice bytes; a slice that is larger goes on in further values. At 300 bytes a series that happens beyond 700,000
// series in one partition; a thousand series are two or three in each slice, so little is written that has not changed.
const (
	seriesSlices  = 448
	accountSlices = 32
	maxSlice      = 480 << 10 // below the 512 KiB of a message of ours
)

type stateSlices struct {
	series   [seriesSlices]seriesSet
	accounts [accountSlices]accountSet
}

type seriesSet struct {
	dirty bool
	parts int // values that hold something
	of    []*series
}

type accountSet struct {
	of    []*account
	parts int
}

func (x *stateSlices) add(s *series) {
	s.slice = uint16(sliceHash(s.in.account.id, s.in.name, s.key) % seriesSlices)
	sl := &x.series[s.slice]
	sl.of = append(sl.of, s)
	sl.dirty = true
}

func (x *stateSlices) remove(s *series) {
	sl := &x.series[s.slice]
	for i := range sl.of {
		if sl.of[i] == s {
			last := len(sl.of) - 1
			sl.of[i] = sl.of[last]
			sl.of[last] = nil
			sl.of = sl.of[:last]
			break
		}
	}
	sl.dirty = true
}

func (x *stateSlices) touch(s *series) { x.series[s.slice].dirty = true }

func (x *stateSlices) addAccount(a *account) {
	sl := &x.accounts[a.slice]
	sl.of = append(sl.of, a)
}

func accountSlice(id schemas.Account) uint16 {
	return uint16(sliceHash(id, "", "") % accountSlices)
}

// sliceHash is FNV-1a, fixed for ever: it places state.
func sliceHash(id schemas.Account, region, key string) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range [...]string{string(id.Provider), id.ID, region, key} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
		h = (h ^ 0) * 1099511628211 // ends a string
	}
	return h ^ h>>32
}
