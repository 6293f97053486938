package model

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/schemas"
)

// hours feeds a pulse with calls(h) in hour h of so many days, and closes all of them.
func hours(p *pulse, from, to schemas.Minute, calls func(day, hour int) uint64) {
	for h := from; h < to; h += schemas.Hour {
		if n := calls(int((h-day1)/schemas.Day), int(h/60%24)); n > 0 {
			p.add(h+17, n)
		}
	}
	p.advance(to)
}

// DETECTION 2.4: an hour without events where twenty were expected is an outage; nothing else is.
func TestOutage(t *testing.T) {
	const d, h = schemas.Day, schemas.Hour
	busy := func(int, int) uint64 { return 40 }
	except := func(calls uint64, from, to int) func(day, hour int) uint64 { // hours from day1
		return func(day, hour int) uint64 {
			if at := day*24 + hour; at >= from && at < to {
				return 0
			}
			return calls
		}
	}
	for name, c := range map[string]struct {
		days  schemas.Minute
		calls func(day, hour int) uint64
		want  []span
	}{
		"always alive":         {20, busy, nil},
		"three hours":          {20, except(40, 300, 303), []span{{day1 + 300*h, day1 + 303*h}}},
		"not before a week":    {9, except(40, 24*5, 24*5+9), nil},
		"but after it":         {9, except(40, 24*7, 24*7+9), []span{{day1 + 7*d, day1 + 7*d + 9*h}}},
		"nineteen an hour":     {20, except(19, 300, 303), nil},
		"twenty-seven an hour": {40, except(27, 700, 703), []span{{day1 + 700*h, day1 + 703*h}}},
		"an office": {60, func(day, hour int) uint64 {
			if day%7 < 5 && hour >= 8 && hour < 18 {
				return 500
			}
			return 0
		}, nil},
		"a week that begins on a Wednesday": {60, func(day, hour int) uint64 {
			if day = (day + 2) % 7; day < 5 {
				return 500
			}
			return 0
		}, nil},
		"a weekly job of a million calls": {60, func(day, hour int) uint64 {
			if hour == 2 && day%7 == 6 {
				return 1e6
			}
			return 0
		}, nil},
		"a nightly job that was left out": {60, func(day, hour int) uint64 {
			if hour == 2 && day != 40 {
				return 500
			}
			return 0
		}, []span{{day1 + 40*d + 2*h, day1 + 40*d + 3*h}}},
		"quiet nights are part of it": {40, func(day, hour int) uint64 {
			if day == 30 || day == 31 {
				return 0
			}
			return uint64(5 + 95*min(hour/8, 1))
		}, []span{{day1 + 30*d + 8*h, day1 + 32*d}}},
		"the new normal after days": {60, except(40, 24*30, 24*60), []span{{day1 + 30*d, day1 + 35*d}}},
		"later in an old account":   {230, except(40, 24*200, 24*230), []span{{day1 + 200*d, day1 + 211*d}}},
	} {
		var p, steps pulse
		hours(&p, day1, day1+c.days*d, c.calls)
		if diff := cmp.Diff(c.want, p.outages, cmp.AllowUnexported(span{})); diff != "" {
			t.Errorf("%s: outages (-want +got):\n%s", name, diff)
		}
		for at := day1; at < day1+c.days*d; at += 5 * h {
			hours(&steps, at, min(at+5*h, day1+c.days*d), c.calls)
		}
		if diff := cmp.Diff(p, steps, cmp.AllowUnexported(pulse{}, alive{}, hourCount{}, span{})); diff != "" {
			t.Errorf("%s: it matters how many hours are closed at once (-all +five):\n%s", name, diff)
		}
	}
}

// What is remembered is bounded, and so is the work after a silence of any length.
func TestOutagesAreBounded(t *testing.T) {
	var p pulse
	hours(&p, day1, day1+100*schemas.Day, func(day, hour int) uint64 {
		if day > 10 && hour == 5 {
			return 0
		}
		return 40
	})
	for range 4 {
		hours(&p, p.hour, p.hour+20*schemas.Day, func(int, int) uint64 { return 40 })
		for range 15 {
			hours(&p, p.hour, p.hour+schemas.Hour, func(int, int) uint64 { return 0 })
			hours(&p, p.hour, p.hour+5*schemas.Hour, func(int, int) uint64 { return 40 })
		}
	}
	if len(p.outages) != 32 || p.outages[31].to != p.hour-5*schemas.Hour {
		t.Errorf("%d outages, the last %v at %d; want the latest 32", len(p.outages), p.outages[len(p.outages)-1], p.hour)
	}

	before := p.slots
	end := p.active + 60*schemas.Day + schemas.Hour
	p.advance(end - schemas.Hour)
	almost := p.slots
	p.advance(end) // all that is ever learned of a silence
	learned := p.slots
	if learned == almost || almost == before {
		t.Fatal("nothing is learned of a silence")
	}
	p.advance(end + 90000*schemas.Day)
	if p.slots != learned || p.hour != end+90000*schemas.Day {
		t.Errorf("a longer silence teaches more: %v", p.slots[0])
	}
	p.add(p.hour+3*schemas.Hour, 5)
	p.advance(p.hour + 10*schemas.Hour)
	if p.slots == learned || len(p.open) != 0 {
		t.Error("what comes after it teaches nothing")
	}
}

// DETECTION 2.4 and 10.5, law 1: the closed form of a gap with outages is the minute loop in which their minutes are no
// exposure.
func TestOutageIsNoExposure(t *testing.T) {
	for _, seasoned := range []bool{false, true} {
		for gap := schemas.Minute(1); gap <= longestExact; gap = gap*5/4 + 1 {
			r := newRate(day1)
			drive(&r, day1, day1+3*schemas.Day+123, busy)
			if !seasoned {
				r.season = nil
			}
			first := hourOf(r.last) + schemas.Hour
			outages := []span{{day1, day1 + schemas.Hour}, {first, first + schemas.Hour}, {first + 180, first + 1500}, {first + 9000, first + 9060}}
			closed, loop := r.flow, r.flow
			var season, grown season
			if seasoned {
				season, grown = *r.season, *r.season
				closed.idle(r.last+1+gap, &season, outages, true)
			} else {
				closed.idle(r.last+1+gap, nil, outages, false)
			}

			var lambda, s float64
			last := schemas.Minute(0) // hour in which exposure grew
			for m := r.last + 1; m < r.last+1+gap; m++ {
				out := false
				for _, o := range outages {
					out = out || m >= o.from && m < o.to
				}
				if m == r.last+1 || m%60 == 0 {
					if seasoned && !out && m%60 == 0 {
						grown.enter(slotOf(m))
					}
					s = 1
					if seasoned {
						s = grown.factor(slotOf(m))
					}
					lambda = loop.a / loop.b
				}
				exposure := s
				if out {
					exposure = 0
				} else if seasoned {
					grown.add(slotOf(m), 0, lambda)
					last = m
				}
				for w := range windows {
					loop.s[w] *= math.Exp(-1 / tau[w])
					loop.m[w] = loop.m[w]*math.Exp(-1/tau[w]) + lambda*s
				}
				loop.a *= math.Exp2(-1. / halfLife)
				loop.b = loop.b*math.Exp2(-1./halfLife) + exposure
			}
			loop.last = closed.last
			name := fmt.Sprintf("gap %d, season %v", gap, seasoned)
			near32(t, name, closed, loop)
			for k := range season.b {
				if seasoned && last > 0 && math.Abs(float64(season.b[k]-grown.b[k])) > 1e-4*float64(grown.b[k]) {
					t.Errorf("%s: exposure of slot %d is %v, want %v", name, k, season.b[k], grown.b[k])
				}
			}
		}
	}
}

// near32 is near where a season, kept in 32 bits, was summed up in other steps.
func near32(t *testing.T, name string, got, want flow) {
	t.Helper()
	if math.Abs(got.b/want.b-1) > 1e-5 || math.Abs(got.m[slow]-want.m[slow]) > 1e-5*want.m[slow]+1e-300 {
		t.Errorf("%s: got %+v, want %+v", name, got, want)
	}
	got.b, want.b, got.m, want.m = 0, 0, [windows]float64{}, [windows]float64{}
	near(t, name, got, want)
}

// A region of many reads, in which one key is called a hundred times an hour, is silent for five hours and for three days. The
// key's level stays, however many minutes a pane closes, and wherever the state was restored.
func TestOutageFreezesItsKeys(t *testing.T) {
	expected := func(batch schemas.Minute, restoring bool) (float64, map[string][]byte) {
		m := NewMachine(byName())
		c := byName()
		c.Counts = func(r *schemas.Row) bool { return r.Write }
		m.config.Counts = c.Counts
		state := make(map[string][]byte)
		var p *schemas.Pane
		for minute := day1; minute < day1+30*schemas.Day; minute++ {
			day := (minute - day1) / schemas.Day
			if p == nil {
				p = pane(minute)
			}
			if out := day == 15 && minute/60%24 < 5 || day >= 20 && day < 23; !out {
				p.Strings = []string{"", "read", "call"}
				p.Rows = append(p.Rows, schemas.Row{Minute: minute, Name: 1, Count: 1})
				if minute%3 == 0 {
					p.Rows = append(p.Rows, schemas.Row{Minute: minute, Name: 2, Count: 5, Write: true})
				}
			}
			if minute%batch == batch-1 {
				p.Watermark = minute + 1
				m.Observe(p, schemas.DefaultSettings(), func(f *schemas.Finding) { t.Errorf("found %+v", f) })
				p = nil
				if restoring && minute%700 == batch-1 {
					for k, b := range snapshot(t, m) {
						state[k] = b
					}
					m = restore(t, state)
					m.config.Counts = c.Counts
				}
			}
		}
		for k, b := range snapshot(t, m) {
			state[k] = b
		}
		in := m.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}].regions["r"]
		if len(in.pulse.outages) != 2 {
			t.Errorf("outages %v", in.pulse.outages)
		}
		s := in.series["call"]
		return s.rate.a / s.rate.b * s.rate.season.factor(3), state
	}
	want, state := expected(1, false)
	if want < 1.64 || want > 1.68 {
		t.Errorf("the level is %v, want 5/3", want)
	}
	for _, batch := range []schemas.Minute{5, 60} {
		_, got := expected(batch, batch == 5)
		for k := range state {
			if k[0] == 's' && string(got[k]) != string(state[k]) {
				t.Errorf("panes of %d minutes: state %s differs", batch, k)
			}
		}
	}
}
