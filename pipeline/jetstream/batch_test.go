package jetstream

import (
	"errors"
	"regexp"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/schemas"
)

// A batch counts as stored only as far as a final answer without any error before it says so.
func TestAnswersOfTheServerToABatchOfThree(t *testing.T) {
	const (
		flow    = `{"type":"ack","seq":0,"msgs":500}`
		gap     = `{"type":"gap","last_seq":2,"seq":3}`
		full    = `{"type":"err","seq":3,"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`
		refused = `{"stream":"S","seq":0,"error":{"code":400,"err_code":10054,"description":"message size exceeds"}}`
		all     = `{"stream":"S","seq":9,"batch":"7","count":3}`
		two     = `{"stream":"S","seq":8,"batch":"7","count":2}`
		none    = `{"stream":"S","seq":8,"batch":"7","count":0}`
	)
	tests := []struct {
		name    string
		answers []string
		stored  int
		done    bool
		full    bool // the error is one that waits
		ok      bool
	}{
		{"complete", []string{flow, all}, 3, true, false, true},
		{"still open", []string{flow}, 0, false, false, true},
		{"full at the third", []string{flow, full, two}, 2, true, true, false},
		{"a gap", []string{flow, gap, two}, 2, true, false, false},
		{"short without a word", []string{flow, two}, 2, true, false, false},
		{"nothing", []string{flow, none}, 0, true, false, false},
		{"refused at once", []string{refused}, 0, true, false, false},
		{"an error, and yet complete", []string{flow, full, all}, 0, true, true, false},
		{"another batch", []string{`{"stream":"S","seq":9,"batch":"8","count":3}`}, 0, true, false, false},
		{"more than were sent", []string{`{"stream":"S","seq":9,"batch":"7","count":4}`}, 0, true, false, false},
		{"no count", []string{`{"stream":"S","seq":9}`}, 0, true, false, false},
		{"not JSON", []string{`+OK`}, 0, true, false, false},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			b := &batch{outputs: []int{0, 1, 2}, id: "7", sent: 3}
			for _, a := range c.answers {
				b.answer(&nats.Msg{Data: []byte(a)})
			}
			if b.stored != c.stored || b.done != c.done || (b.err == nil) != c.ok || isFull(b.err) != c.full {
				t.Errorf("stored %d, done %v, error %v", b.stored, b.done, b.err)
			}
		})
	}
}

func TestTheLongestPrefixOfInterleavedBatches(t *testing.T) {
	a := &batch{outputs: []int{0, 2, 5, 6}}
	b := &batch{outputs: []int{1, 3, 4, 7}}
	for _, c := range []struct{ a, b, want int }{
		{0, 0, 0}, {4, 0, 1}, {0, 4, 0}, {1, 1, 2}, {2, 4, 5}, {4, 3, 7}, {4, 4, 8},
	} {
		a.stored, b.stored = c.a, c.b
		if got := prefix([]*batch{a, b}, 8); got != c.want {
			t.Errorf("with %d and %d stored: prefix %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestNumberHeader(t *testing.T) {
	for _, producer := range []string{"normalizer.3.g0", "a name with spaces", "ü", "1 2.3"} {
		n := schemas.Number{Seq: 1<<64 - 1, Index: 1<<32 - 1}
		if p, got := parseNumber(formatNumber(producer, n)); p != producer || got != n {
			t.Errorf("%q: got %q, %v", producer, p, got)
		}
	}
	for _, bad := range []string{"", "x", " 1.2", "x 1", "x 1.", "x .1", "x 1.4294967296", "x -1.0", "x 1.2.3"} {
		if p, n := parseNumber(bad); p != "" || n != (schemas.Number{}) {
			t.Errorf("%q: got %q, %v", bad, p, n)
		}
	}
}

func FuzzParseNumber(f *testing.F) {
	f.Add("normalizer.3.g0 12.3")
	f.Fuzz(func(t *testing.T, header string) {
		p, n := parseNumber(header)
		if p == "" {
			return
		}
		if q, m := parseNumber(formatNumber(p, n)); p != q || n != m {
			t.Errorf("%q: %q %v, then %q %v", header, p, n, q, m)
		}
	})
}

func TestEscape(t *testing.T) {
	for key, want := range map[string]string{
		"a": "a", "slice.17": "slice.17", "A-Z_0/z.b": "A-Z_0/z.b", "checkpoint": "checkpoint",
		"": "=", "=": "=3D", ".": "=2E", ".a": "=2Ea", "a.": "a=2E", "a..b": "a.=2Eb", "aws:1/eu *>": "aws=3A1/eu=20=2A=3E",
		"ü": "=C3=BC", "a=3Db": "a=3D3Db",
	} {
		if got := escape(key); got != want {
			t.Errorf("%q: %q, want %q", key, got, want)
		}
	}
	for _, bad := range []string{"=3", "a=", "=3d", "=ZZ"} {
		if key, err := unescape(bad); err == nil {
			t.Errorf("%q: %q, want an error", bad, key)
		}
	}
}

// Keys come from account numbers, regions and names: from logs.
func FuzzEscape(f *testing.F) {
	for _, key := range []string{"", "a.b", "..", "=", "aws:1", "\xff\r\n", "*.>"} {
		f.Add(key)
	}
	bucketKey := regexp.MustCompile(`^[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*$`)
	f.Fuzz(func(t *testing.T, key string) {
		name := escape(key)
		if !bucketKey.MatchString(name) {
			t.Errorf("%q becomes %q, which a bucket does not take", key, name)
		}
		if back, err := unescape(name); back != key || err != nil {
			t.Errorf("%q becomes %q, which becomes %q, %v", key, name, back, err)
		}
	})
}

func TestOnlyAFullStreamIsWaitedFor(t *testing.T) {
	for _, c := range []struct {
		code jetstream.ErrorCode
		text string
		want bool
	}{
		{codeStoreFailed, "maximum bytes exceeded", true},
		{codeStoreFailed, "maximum messages exceeded", true},
		{codeStoreFailed, "message size exceeds maximum", false},
		{codeInsufficientResources, "insufficient resources", true},
		{codeStorageResources, "insufficient storage resources available", true},
		{10054, "message size exceeds maximum allowed", false},
		{codeWrongLastSequence, "wrong last sequence: 7", false},
	} {
		if got := isFull(&jetstream.APIError{ErrorCode: c.code, Description: c.text}); got != c.want {
			t.Errorf("%d %s: %v, want %v", c.code, c.text, got, c.want)
		}
	}
	if isFull(errors.New("x")) || isFull(nil) {
		t.Error("an error that is not the server's is waited for")
	}
}
