package model

import "testing"

// A reader at three in the morning takes in 43,009 sooner than 43009.
func TestWords(t *testing.T) {
	for want, got := range map[string]string{
		"0.031":                Rough(0.0312),
		"1.9":                  Rough(1.93),
		"999":                  Rough(999.4),
		"43,009":               Rough(43009),
		"4 million":            Rough(4.1e6),
		"more than a trillion": Rough(1e13),
		"1 call":               Plural(1, "call", "calls"),
		"1,234,567 calls":      Plural(1234567, "call", "calls"),
		"one in 9,911 active hours is so unusual": HowRare(9910.97),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
