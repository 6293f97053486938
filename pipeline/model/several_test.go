package model

import (
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

var _ detect.Explainer = (*Several)(nil)

// two are machines that count calls by name, under different keys.
func two() *Several {
	part := func(prefix string) Part {
		c := byName()
		c.AppendKey = func(b []byte, p *schemas.Pane, r *schemas.Row) []byte {
			return append(append(b, prefix...), p.Strings[r.Name]...)
		}
		return Part{Prefix: prefix, Machine: NewMachine(c), Tell: func(f *schemas.Finding) { f.Object = "told by " + prefix }}
	}
	return NewSeveral(part("z."), part("a."))
}

// feed makes a habit and a burst of two names, and calls after every pane.
func feed(s *Several, after func(*schemas.Finding)) {
	for m := day1; m < day1+8*schemas.Day; m += 60 {
		s.Observe(pane(m, "x", "y"), schemas.DefaultSettings(), after)
	}
	for m := day1 + 8*schemas.Day; m < day1+8*schemas.Day+5; m++ {
		p := pane(m, "x", "y")
		p.Rows[0].Count, p.Rows[1].Count = 100, 90
		s.Observe(p, schemas.DefaultSettings(), after)
	}
	s.Observe(pane(day1+9*schemas.Day), schemas.DefaultSettings(), after)
}

// Findings of all machines come in one order, each with the words of its own.
func TestSeveralInOrder(t *testing.T) {
	s := two()
	var starts []string
	feed(s, func(f *schemas.Finding) {
		if f.Object != "told by "+f.Key[:2] {
			t.Errorf("%s is %s", f.Key, f.Object)
		}
		if f.Kind == schemas.OpenFinding {
			starts = append(starts, f.Key)
		}
	})
	if want := []string{"a.x", "a.y", "z.x", "z.y"}; !slices.Equal(starts, want) {
		t.Errorf("Starts of %v, want %v", starts, want)
	}
}

// State keys have the prefix of their machine, and go back to it.
func TestSeveralState(t *testing.T) {
	s := two()
	feed(s, func(*schemas.Finding) {})
	state := make(map[string]string)
	if err := s.Snapshot(func(key string, b []byte) { state[key] = string(b) }); err != nil {
		t.Fatal(err)
	}
	again := two()
	prefixes := make(map[string]int)
	for key, b := range state {
		prefixes[key[:2]]++
		if err := again.Restore(key, []byte(b)); err != nil {
			t.Fatal(err)
		}
	}
	if prefixes["a."] == 0 || prefixes["z."] == 0 || len(prefixes) != 2 {
		t.Errorf("state keys %v", prefixes)
	}
	if err := again.Restore("s001", nil); err == nil {
		t.Error("a key without a prefix is restored")
	}
	if len(again.NearMisses()) != len(s.NearMisses()) {
		t.Error("near misses are lost")
	}
}

// What was nearly told is that of all machines, nearest first; learning is told once.
func TestSeveralExplain(t *testing.T) {
	s := two()
	for m := day1; m < day1+36*60; m += 60 {
		s.Observe(pane(m, "x", "y"), schemas.DefaultSettings(), func(*schemas.Finding) {})
		if m < day1+schemas.Day-60 && len(s.Learning()) != 1 {
			t.Fatalf("%v: learning %v", m, s.Learning())
		}
	}
	p := pane(day1+36*60, "x")
	p.Rows[0].Count = 6
	s.Observe(p, schemas.DefaultSettings(), func(f *schemas.Finding) { t.Errorf("six calls are told: %+v", f) })
	s.Observe(pane(day1+5*schemas.Day), schemas.DefaultSettings(), func(*schemas.Finding) {})
	var of []string
	for _, n := range s.NearMisses() {
		of = append(of, n.Object)
	}
	slices.Sort(of)
	if !strings.Contains(strings.Join(of, " "), "a.x") || !strings.Contains(strings.Join(of, " "), "z.x") {
		t.Errorf("near misses of %v", of)
	}
}
