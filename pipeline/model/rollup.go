package model

// A roll-up is a series that counts, once more and together, the calls of keys none of which stands out: forty kinds of
// deletion, one call each, are nothing to forty keys and a lot to one that has them all. It is fed by the fold, when a minute
// of a key is closed and judged, and only with minutes that are ordinary for the key, so that one burst is not told twice.
// That is asked of the closed minute alone, never of insights. So a roll-up speaks of closed minutes only.
//
// A roll-up is tested like a key and shares the account's budget with the keys: one line for all that is tested. It borrows from
// the account's pools, but teaches them nothing, so that keys do not depend on it.

// ordinary reports that the minute just folded belongs into a roll-up: it is not beyond what one active hour in twenty reaches, and
// the key has cooled since the last suspect one. The line is as near as that because the first minute of a burst on a new
// key is not suspect yet, and would be enough for the roll-up.
func (s *series) ordinary(sc *score) bool { return sc.rarest >= lnOrdinary && !s.rate.hot }

var lnOrdinary = Ln(0.05)

// rollUp gives the rows of a folded minute to the roll-up of the series, if it has one.
func (t *task) rollUp(s *series, sc *score, rows []row) {
	if s.rollUp == "" || !s.ordinary(sc) {
		return
	}
	up := t.region.series[s.rollUp]
	if up == nil {
		if t.account.keys >= t.config.MaxKeys {
			return
		}
		up = t.series(t.region, s.rollUp)
		up.isRollUp = true
	}
	if len(up.pending) == 0 {
		t.rollUps = append(t.rollUps, up)
	}
	for _, r := range rows {
		up.pending = t.account.names.addRow(up.pending, r)
	}
}

// foldRollUps folds the minute that the keys have been folded for. Nothing waits in a roll-up between two panes.
func (t *task) foldRollUps() {
	for _, up := range t.rollUps {
		t.foldMinute(up)
	}
	t.rollUps = t.rollUps[:0]
}
