package field

import (
	"strings"
	"testing"
)

// What is done eight bytes at a time must not depend on where in a word a byte stands, nor on its neighbours: '#' differs
// from a quote by one, and 0x1f from a space.
func TestWordsFindWhatBytesWould(t *testing.T) {
	for _, filler := range []byte{'a', '#', '!', ' ', '~'} {
		for length := range 60 {
			plain := strings.Repeat(string(filler), length)
			if got := nextQuote(plain, 0); got != -1 {
				t.Errorf("a quote at %d of %q", got, plain)
			}
			if got := Clean(plain, 100); got != plain {
				t.Errorf("Clean(%q) is %q", plain, got)
			}
			for at := range length {
				quoted := plain[:at] + `"` + plain[at+1:]
				for from := range at + 1 {
					if got := nextQuote(quoted, from); got != at {
						t.Fatalf("the quote of %q from %d is at %d, got %d", quoted, from, at, got)
					}
				}
				for _, control := range []byte{0, 0x1f, 0x7f, 0x80, 0xff} {
					dirty := plain[:at] + string([]byte{control}) + plain[at+1:]
					if got, want := Clean(dirty, 100), plain[:at]+"\uFFFD"+plain[at+1:]; got != want {
						t.Fatalf("Clean(%q) is %q, want %q", dirty, got, want)
					}
				}
			}
		}
	}
}
