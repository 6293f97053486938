package model

import (
	"fmt"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

// rolled counts by name, and once more all names but those that begin with "other".
func rolled() Config {
	c := byName()
	c.RollUp = func(key string) string {
		if key[0] == 'o' || key == "all" {
			return ""
		}
		return "all"
	}
	return c
}

// closedCalls returns the calls of a series in closed minutes.
func closedCalls(m *Machine, key string) (n uint64) {
	s := m.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}].regions["r"].series[key]
	if s == nil {
		return 0
	}
	for _, d := range s.days {
		n += d
	}
	return n
}

// A roll-up leaves out the busiest key of a minute, and what is beyond three calls of another; keys without roll-up do not count.
func TestRollUpCounts(t *testing.T) {
	for _, c := range []struct {
		name   string
		counts map[string]uint32
		want   uint64
	}{
		{"one key", map[string]uint32{"a": 50}, 0},
		{"two keys", map[string]uint32{"a": 50, "b": 2}, 2},
		{"three keys, as busy", map[string]uint32{"a": 2, "b": 2, "c": 2}, 4},
		{"batches", map[string]uint32{"a": 50, "b": 40, "c": 30}, 6},
		{"others", map[string]uint32{"a": 1, "other": 1}, 0},
	} {
		m := NewMachine(rolled())
		p := pane(day1, sortedKeys(c.counts)...)
		for i := range p.Rows {
			p.Rows[i].Count = c.counts[p.Strings[p.Rows[i].Name]]
		}
		observe(m, p)
		if got := closedCalls(m, "all"); got != 0 {
			t.Errorf("%s: %d calls of an open minute", c.name, got)
		}
		observe(m, pane(day1+60))
		if got := closedCalls(m, "all"); got != c.want {
			t.Errorf("%s: %d calls, want %d", c.name, got, c.want)
		}
	}
}

// A key that is suspect gives nothing until it has cooled, whether or not there is an insight: nobody has learned here.
func TestRollUpLeavesSuspectKeysOut(t *testing.T) {
	m := NewMachine(rolled())
	minute := func(at schemas.Minute, a, b uint32) {
		p := pane(at, "a", "b")
		p.Rows[0].Count, p.Rows[1].Count = a, b
		s := schemas.DefaultSettings()
		s.Learn = 100 * schemas.Day
		m.Observe(p, s, func(*schemas.Finding) { t.Error("a finding in the learning time") })
	}
	at := day1
	for range 300 {
		minute(at, 1, 2)
		at += 30
	}
	before := closedCalls(m, "all")
	for range 5 {
		minute(at, 400, 500)
		at++
	}
	minute(at+60, 1, 2) // which has cooled
	minute(at+200, 1, 2)
	minute(at+300, 1, 2)
	if got := closedCalls(m, "all") - before; got > 4 {
		t.Errorf("%d calls of suspect minutes are rolled up", got)
	}
}

// Roll-ups are bounded with the keys of the account, and come back with the state.
func TestRollUpState(t *testing.T) {
	c := rolled()
	c.MaxKeys = 2
	for i, want := range []bool{false, true} {
		c.MaxKeys += i
		m := NewMachine(c)
		observe(m, pane(day1, "a", "b"))
		observe(m, pane(day1+60))
		again := NewMachine(c)
		for key, b := range snapshot(t, m) {
			if err := again.Restore(key, b); err != nil {
				t.Fatal(err)
			}
		}
		s := again.accounts[schemas.Account{Provider: schemas.AWS, ID: "1"}].regions["r"].series["all"]
		if got := s != nil && s.isRollUp; got != want {
			t.Errorf("room for %d keys: roll-up %v, want %v", c.MaxKeys, got, want)
		}
		if fmt.Sprint(snapshot(t, again)) != fmt.Sprint(map[string][]byte{}) {
			t.Error("a restored machine has changed")
		}
	}
}
