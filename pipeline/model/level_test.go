package model

import (
	"math"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

// DETECTION 6: what is suspect in every active hour for a day, and steady, is the new level; and nothing else is.
func TestLevelShift(t *testing.T) {
	const hour = schemas.Hour
	every := func(step schemas.Minute, n uint64) func(schemas.Minute) uint64 {
		return func(m schemas.Minute) uint64 {
			if m%step == 0 {
				return n
			}
			return 0
		}
	}
	start := day1 + 14*schemas.Day + 25
	for name, c := range map[string]struct {
		hours schemas.Minute
		calls func(schemas.Minute) uint64
		level float64 // a minute, 0 where it is not taken over
	}{
		"forty times as busy":     {23, every(1, 80), 80},
		"but for less than a day": {22, every(1, 80), 0},
		"a job of every hour":     {24, every(60, 6000), 100},
		"twelve active hours": {23, func(m schemas.Minute) uint64 {
			if m/60%2 == 0 {
				return 400
			}
			return 0
		}, 201},
		"eleven": {23, func(m schemas.Minute) uint64 {
			if m/60%2 == 0 && m/60%24 != 4 {
				return 400
			}
			return 0
		}, 0},
		"still growing": {24, func(m schemas.Minute) uint64 { n := uint64(m - start); return 100 + n*n/10 }, 0},
		"every other hour": {24, func(m schemas.Minute) uint64 {
			if m/60%2 == 0 {
				return 400
			}
			return 2
		}, 0},
		"two bursts a day apart": {30, func(m schemas.Minute) uint64 {
			if m < start+20 || m >= start+schemas.Day+2*hour && m < start+schemas.Day+3*hour {
				return 1000
			}
			return 0
		}, 0},
	} {
		r := newRate(day1)
		drive(&r, day1, start, func(m schemas.Minute) uint64 { return uint64(1 + m%3) })
		before := r.a / r.b
		b, m := r.b, r.m
		end := hourOf(start) + c.hours*hour
		drive(&r, start, end, c.calls)
		r.closeBlock(end)
		got := r.a / r.b
		switch {
		case c.level == 0 && r.b < 0.9*b:
			t.Errorf("%s: the level is %v after %v, weight %v after %v", name, got, before, r.b, b)
		case c.level != 0 && (math.Abs(got/c.level-1) > 0.03 || r.b > 0.6*b || r.b < 0.4*b):
			t.Errorf("%s: the level is %v, want %v; its weight is %v, was %v", name, got, c.level, r.b, b)
		case c.level != 0 && r.m[slow] < 20*m[slow]:
			t.Errorf("%s: the window expects %v calls, before it were %v", name, r.m[slow], m[slow])
		}
	}
}
