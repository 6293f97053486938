package pages_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/pages"
	"pgregory.net/rapid"
)

func Example() {
	table := pages.New("accounts", 4)
	entries := slices.Values([][]byte{[]byte("a"), []byte("b")})
	table.Write(2, entries, func(key string, state []byte) {
		_ = table.Read(key, state, func(slice int, e []byte) error {
			fmt.Println(key, slice, string(e))
			return nil
		})
	})
	// Output:
	// accounts.2.0 2 a
	// accounts.2.0 2 b
}

// What was written last is what is read, however often a slice grew and shrank, and in whatever order pages are read.
func TestReadsWhatWasWrittenLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := pages.New("t", 2)
		kept := map[string][]byte{}
		var want [][]byte
		for range rapid.IntRange(1, 5).Draw(t, "writes") {
			want = nil
			for i := range rapid.IntRange(0, 12).Draw(t, "entries") {
				size := rapid.SampledFrom([]int{0, 1, 1000, pages.Size / 3, pages.Size - 1}).Draw(t, "size")
				want = append(want, bytes.Repeat([]byte{byte(i)}, size))
			}
			table.Write(1, slices.Values(want), func(key string, state []byte) { kept[key] = state })
			if rapid.Bool().Draw(t, "restart") {
				table = pages.New("t", 2)
				for key, state := range kept {
					if err := table.Read(key, state, func(int, []byte) error { return nil }); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		var got [][]byte
		keys := make([]string, 0, len(kept))
		for key := range kept {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			if len(kept[key]) > 2*pages.Size {
				t.Fatalf("page %s has %d bytes", key, len(kept[key]))
			}
			if err := table.Read(key, kept[key], func(_ int, e []byte) error { got = append(got, e); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		sortBytes(got)
		sortBytes(want)
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("read %d entries, wrote %d", len(got), len(want))
		}
	})
}

func sortBytes(b [][]byte) { slices.SortFunc(b, bytes.Compare) }

func TestReadRefusesWhatIsNotItsOwn(t *testing.T) {
	table := pages.New("t", 2)
	got := map[string]bool{}
	for key, state := range map[string][]byte{
		"u.0.0": nil, "t.2.0": nil, "t.-1.0": nil, "t.0": nil, "t.0.0.0": nil, "t.00.0": nil, "t.0.0": {5, 1},
	} {
		got[key] = table.Read(key, state, func(int, []byte) error { return nil }) != nil
	}
	want := map[string]bool{
		"u.0.0": true, "t.2.0": true, "t.-1.0": true, "t.0": true, "t.0.0.0": true, "t.00.0": true, "t.0.0": true,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("refused (-want +got):\n%s", d)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("t.0.0", []byte{1, 65, 0})
	f.Fuzz(func(t *testing.T, key string, state []byte) {
		read := 0
		_ = pages.New("t", 2).Read(key, state, func(_ int, e []byte) error { read += len(e); return nil })
		if read > len(state) {
			t.Errorf("read %d bytes of %d", read, len(state))
		}
	})
}
