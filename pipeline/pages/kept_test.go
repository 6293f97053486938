package pages_test

import (
	"cmp"
	"fmt"
	"testing"

	"github.com/trailvane/trailvane/pipeline/pages"
)

// What has changed is written in order, once; what is removed is gone, and leaves its page empty.
func TestKept(t *testing.T) {
	kept := pages.Keep[string]("t", 4)
	write := func() (got []string) {
		code := func(v string, entries [][]byte) ([][]byte, error) { return append(entries, []byte(v)), nil }
		if err := kept.WriteChanged(cmp.Compare[string], code, func(key string, state []byte) {
			got = append(got, fmt.Sprintf("%s %q", key, state))
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	kept.Add(1, "b")
	kept.Add(1, "a")
	kept.Add(3, "c")
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"what was not touched", func() {}, "[]"},
		{"a slice", func() { kept.Touch(1) }, `[t.1.0 "\x01a\x01b"]`},
		{"nothing new", func() {}, "[]"},
		{"one is removed", func() { kept.Remove(1, "a") }, `[t.1.0 "\x01b"]`},
		{"the last one is removed", func() { kept.Remove(1, "b"); kept.Touch(3) }, `[t.1.0 "" t.3.0 "\x01c"]`},
	} {
		step.do()
		if got := fmt.Sprint(write()); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

func TestKeptErrors(t *testing.T) {
	kept := pages.Keep[int]("t", 1)
	kept.Add(0, 7)
	kept.Touch(0)
	broken := fmt.Errorf("broken")
	code := func(int, [][]byte) ([][]byte, error) { return nil, broken }
	if err := kept.WriteChanged(cmp.Compare[int], code, nil); err != broken {
		t.Errorf("got %v", err)
	}
}
