package model

import (
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// A series is one key of an account and region: its model, what waits for its minutes to close, and its insight.
type series struct {
	key   string
	in    *region
	slice uint16 // of the state

	alive    bool   // the rate is born: a minute has been folded
	told     bool   // the open block has minutes of an insight
	isRollUp bool   // it counts ordinary minutes of others
	family   string // where the machine has families
	rollUp   string // key of the series that counts its ordinary minutes too; empty for none

	rate    rate
	pending []row        // open minutes, ascending
	kinds   *[]minuteSet // the same minutes, of machines that judge breadth
	owner   owner        // of machines whose keys inherit

	day   int32     // of days[0]
	days  [8]uint64 // calls of the open day and the seven before it, from closed minutes
	usual *usual    // of a key with 200 calls

	run     *run     // minutes that stand out, whether or not they become an insight
	open    *insight // at most one
	ordinal uint32   // of its next insight
	lastEnd schemas.Minute

	peak nearMiss // of the open block, while no insight explains it
}

// A run is a stretch of closed minutes in which the key stands out.
type run struct {
	start, last schemas.Minute // its first minute, the last that stood out
	main        sketch         // up to the last abnormal minute
	tail        []row          // after it: normal again, if nothing follows
}

// An insight is open.
type insight struct {
	start, alarm schemas.Minute
	lastHot      schemas.Minute // the last minute that was abnormal by itself
	lastOdd      schemas.Minute // the last that was so by what was known before it, and no less than a third of its mean
	young        bool           // the key was born less than a day before
	confirmed    bool
	before       lookout  // the model as it was when it opened: its minutes are judged on that
	best         evidence // of the most unusual closed minute; before that, of the alarm
	ground                // what else it is compared with
}

// pendingAt returns how many of the first pending rows are of the first minute, and their calls.
func pendingMinute(rows []row) (n int, calls uint64) {
	for n < len(rows) && rows[n].minute == rows[0].minute {
		calls += rows[n].count
		n++
	}
	return n, calls
}

// count adds closed calls to the daily counters.
func (s *series) count(m schemas.Minute, y uint64) {
	s.turn(m.Day())
	s.days[0] += y
}

func (s *series) turn(day int32) {
	k := int64(day) - int64(s.day)
	if k <= 0 {
		return
	}
	n := int(min(k, int64(len(s.days))))
	copy(s.days[n:], s.days[:len(s.days)-n])
	for i := range n {
		s.days[i] = 0
	}
	s.day = day
}

// over reports that the run is over before the minute m: it has been normal for the cooling time, or so long above normal
// without an alarm that its beginning no longer explains one.
func (r *run) over(m schemas.Minute) bool {
	return m-r.last > coolTime || m-r.start >= schemas.Hour
}

// follow keeps the run up to date with a folded minute and its rows.
func (s *series) follow(sc *score, rows []row) {
	m := sc.minute
	if s.open != nil {
		if m < s.open.start {
			return
		}
		if s.run == nil || s.run.start < s.open.start {
			s.run = &run{start: s.open.start, last: m}
		}
		if m >= s.end() {
			s.run.tail = append(s.run.tail, rows...)
			return
		}
	} else {
		if !sc.elevated {
			s.run = nil
			return
		}
		if s.run == nil || s.run.over(m) {
			s.run = &run{start: m}
		}
	}
	s.run.last = m
	s.run.main.add(s.run.tail)
	s.run.tail = s.run.tail[:0]
	s.run.main.add(rows)
}

// end returns the first minute that is no longer abnormal, as far as is known.
func (s *series) end() schemas.Minute { return max(s.open.alarm, s.open.lastHot) + 1 }

// collect returns what happened in [start, end): closed minutes from the run, open ones from pending.
func (s *series) collect(n *names, start, end schemas.Minute) sketch {
	var c sketch
	if s.run != nil && s.run.start == start {
		c = s.run.main.clone()
	}
	var rows []row
	for _, r := range s.pending {
		if m := schemas.Minute(r.minute); m >= start && m < end {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, n.compare)
	c.add(rows)
	return c
}
