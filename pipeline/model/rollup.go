package model

import (
	"cmp"
	"slices"
	"strings"
)

// A roll-up is a series that counts, once more and together, the calls of keys none of which stands out: forty kinds of
// deletion, two calls each, are nothing to forty keys and a lot to one that has them all. It is fed by the fold, when a minute
// of a key is closed and judged, so it speaks of closed minutes only. One burst must not be told twice, so it leaves out
//
//   - minutes of a key that is hot: it has had a suspect minute, perhaps this one, and has not cooled. That is asked of closed
//     minutes, never of insights;
//   - the busiest key of each minute. When a key has learned a new level, all its calls are ordinary from then on: to the roll-up
//     they would come out of nowhere;
//   - more than shareCalls of a key in a minute. Two batches that happen to meet are none of its business.
//
// A roll-up is tested like a key and shares the account's budget with the keys: one line for all that is tested. It borrows from
// the account's pools, but teaches them nothing, so that keys do not depend on it.

// shareCalls is what nobody cares about, as in the log-ratio. Of twenty simulated accounts whose calls are all destructive four
// had a false insight of the roll-up without this bound, none with it.
const shareCalls = small

// A share is what a key gives to its roll-up in the minute that is being folded.
type share struct {
	of       *series
	calls    uint64
	from, to int // of the rows
}

// offerRollUp notes an ordinary minute of a series that has a roll-up.
func (t *task) offerRollUp(s *series, calls uint64, rows []row) {
	if s.rollUp == "" || s.rate.hot {
		return
	}
	from := len(t.sharedRows)
	t.sharedRows = append(t.sharedRows, rows...)
	t.shares = append(t.shares, share{of: s, calls: calls, from: from, to: len(t.sharedRows)})
}

// foldRollUps folds the minute that the keys have been folded for. Nothing waits in a roll-up between two panes.
func (t *task) foldRollUps() {
	slices.SortFunc(t.shares, func(x, y share) int {
		return cmp.Or(strings.Compare(x.of.rollUp, y.of.rollUp), cmp.Compare(y.calls, x.calls), strings.Compare(x.of.key, y.of.key))
	})
	for i := 0; i < len(t.shares); {
		end := i + 1
		for end < len(t.shares) && t.shares[end].of.rollUp == t.shares[i].of.rollUp {
			end++
		}
		t.foldRollUp(t.shares[i:end])
		i = end
	}
	t.shares, t.sharedRows = t.shares[:0], t.sharedRows[:0]
}

// foldRollUp folds the shares of one roll-up, the largest first. A minute of one key has no calls, and is a minute all the same:
// that nothing else was deleted is what the roll-up learns in most accounts.
func (t *task) foldRollUp(shares []share) {
	up := t.rollUpOf(shares[0].of)
	if up == nil {
		return
	}
	up.pending = append(up.pending, row{minute: t.sharedRows[shares[0].from].minute, of: nobody})
	for _, sh := range shares[1:] {
		left := uint64(shareCalls)
		for _, r := range t.sharedRows[sh.from:sh.to] {
			if r.count = min(r.count, left); r.count == 0 {
				break
			}
			left -= r.count
			up.pending = t.account.names.addRow(up.pending, r)
		}
	}
	t.bear(up)
	t.foldMinute(up)
}

// rollUpOf returns the roll-up of a series; nil where the account has no room for it.
func (t *task) rollUpOf(s *series) *series {
	up := t.region.series[s.rollUp]
	if up == nil && t.account.keys < t.config.MaxKeys {
		up = t.series(t.region, s.rollUp)
		up.isRollUp = true
	}
	return up
}
