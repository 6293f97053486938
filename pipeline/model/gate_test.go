package model

import "testing"

// Section 3.7: an alarm needs five calls more than expected, and three times the expected. With c = 3 the second implies the
// first, except where the fast window passes by the minute's own rate.
func TestGates(t *testing.T) {
	for _, c := range []struct {
		name       string
		window     int
		s, m, call float64
		want       bool
	}{
		{"three times", slow, 9, 1, 0, true},
		{"nearly three times", slow, 8.999, 1, 0, false},
		{"three times, many", slow, 306, 100, 0, true},
		{"nearly three times, many", slow, 305.9, 100, 0, false},
		{"five more, by the minute's own rate", fast, 55, 50, 1000, true},
		{"nearly five more, by the minute's own rate", fast, 54.999, 50, 1000, false},
		{"the slow window does not look at the minute", slow, 55, 50, 1000, false},
	} {
		y := yardstick{extra: [windows]float64{1, 1}, pi: 1}
		var f flow
		f.s[c.window], f.m[c.window] = c.s, c.m
		if sc := y.judge(&f, c.call, windows, [windows]float64{}); sc.elevated != c.want {
			t.Errorf("%s: %v calls where %v are expected: elevated %v, want %v", c.name, c.s, c.m, sc.elevated, c.want)
		}
	}
}
