package model

import (
	"slices"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

// family counts rows by access key; keys of one principal inherit.
func family() Config {
	return Config{
		Counts:    func(*schemas.Row) bool { return true },
		ID:        func(r *schemas.Row) uint64 { return uint64(r.AccessKey) },
		AppendKey: func(b []byte, p *schemas.Pane, r *schemas.Row) []byte { return append(b, p.Strings[r.AccessKey]...) },
		Budget:    1, Breadth: RateAndBreadth, Inherit: true,
	}
}

func restoreAs(t testing.TB, c Config, state map[string][]byte) *Machine {
	t.Helper()
	m := NewMachine(c)
	for key, b := range state {
		if err := m.Restore(key, b); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
	}
	return m
}

// keyed is a pane of calls with a key of a principal each.
func keyed(m schemas.Minute, pairs ...[2]string) *schemas.Pane {
	p := pane(m)
	for _, k := range pairs {
		p.Strings = append(p.Strings, k[0], k[1])
		n := uint32(len(p.Strings))
		p.Rows = append(p.Rows, schemas.Row{Minute: m, AccessKey: n - 2, Principal: n - 1, PrincipalType: schemas.UserPrincipal, Count: 1})
	}
	return p
}

func seriesOf(m *Machine, key string) *series {
	return m.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}].regions["r"].series[key]
}

// A new key begins with half of the past of the key that was used last, or first by name; whatever the order of rows, whatever
// else is new, and after a restart.
func TestHeirs(t *testing.T) {
	for _, c := range []struct {
		name string
		last []([2]string) // calls of the last minute before
		want string
	}{
		{"the last one", [][2]string{{"b", "alice"}}, "b"},
		{"the first by name", [][2]string{{"b", "alice"}, {"a", "alice"}}, "a"},
		{"its own principal's", [][2]string{{"x", "bob"}}, "a"},
	} {
		for _, turn := range []bool{false, true} {
			m := NewMachine(family())
			for i := range schemas.Minute(48) {
				observe(m, keyed(day1+i*60, [2]string{"a", "alice"}))
				observe(m, keyed(day1+i*60+1, [2]string{"b", "alice"}, [2]string{"x", "bob"}))
			}
			observe(m, keyed(day1+48*60, [2]string{"a", "alice"}))
			observe(m, keyed(day1+48*60+10, c.last...))
			m = restoreAs(t, family(), snapshot(t, m))
			observe(m, keyed(day1+48*60+60)) // closes it
			parent := seriesOf(m, c.want).rate
			want := parent.heir(day1 + 48*60 + 61)
			now := [][2]string{{"new", "alice"}, {"newer", "alice"}, {"a", "alice"}, {"b", "alice"}, {"x", "bob"}}
			if turn {
				slices.Reverse(now)
			}
			observe(m, keyed(day1+48*60+61, now...))
			observe(m, keyed(day1+48*60+100))
			for _, key := range []string{"new", "newer"} {
				got := seriesOf(m, key).rate
				if got.hist != want.hist || got.born != parent.born || got.breadth.hist != want.breadth.hist || !got.settled {
					t.Errorf("%s, %s: no heir of %s", c.name, key, c.want)
				}
				if got.breadth == parent.breadth || got.season != nil && got.season == parent.season {
					t.Errorf("%s: parts are shared", c.name)
				}
			}
		}
	}
}

// Owners keep their heirs when the account's strings are weeded, and when keys are evicted.
func TestHeirsAreIndexedAgain(t *testing.T) {
	m := NewMachine(family())
	observe(m, keyed(day1, [2]string{"old", "alice"}, [2]string{"only", "carol"}))
	observe(m, keyed(day1+1, [2]string{"young", "alice"}))
	for d := schemas.Minute(1); d < 103; d++ {
		observe(m, keyed(day1+d*schemas.Day, [2]string{"young", "alice"}))
	}
	a := m.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}]
	for range 2 {
		for i := range uint32(5000) {
			a.names.intern(string(rune('a'+i%26)) + string(rune(i)))
		}
		a.weed()
	}
	r := a.regions["r"]
	if len(r.heirs) != 1 || r.heirs[seriesOf(m, "young").owner] != seriesOf(m, "young") || seriesOf(m, "only") != nil {
		t.Errorf("%d heirs of %v", len(r.heirs), sortedKeys(r.series))
	}
	if id := seriesOf(m, "young").owner.id; a.names.of[id] != "alice" {
		t.Errorf("the owner is %q", a.names.of[id])
	}
}

// Days without logs are no sleep.
func TestSleepIsNotAnOutage(t *testing.T) {
	m := NewMachine(Config{Dormant: 32 * schemas.Day})
	a := m.account(schemas.Account{ID: "1"})
	task := task{Machine: m, account: a, region: a.region("r")}
	r := newRate(day1)
	at := day1 + 40*schemas.Day
	if n := task.sleeps(&r, at); n != 40 {
		t.Errorf("slept for %d days, want 40", n)
	}
	task.region.pulse.outages = []span{{day1 + 5*schemas.Day, day1 + 12*schemas.Day}}
	if n := task.sleeps(&r, at); n != 33 {
		t.Errorf("slept for %d days, want 33", n)
	}
	task.region.pulse.outages[0].to = day1 + 16*schemas.Day
	if n := task.sleeps(&r, at); n != 0 {
		t.Errorf("slept for %d days, want 0", n)
	}
}
