package ingest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// parts reads all that a tap makes of an input, and removes what it has read.
func parts(t *testing.T, in io.Reader) (all []string, err error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "stdin")
	p, err := openTap(t.Context(), in, dir)
	if err != nil {
		t.Fatal(err)
	}
	for over := false; !over; {
		if over, err = p.next(t.Context()); err != nil {
			break
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) > 1 {
			t.Fatalf("%d files of one part, %v", len(files), err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, filepath.Base(f)+" "+string(b))
		}
		if err := p.clear(); err != nil {
			t.Fatal(err)
		}
	}
	if left, e := os.ReadDir(dir); e != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, e)
	}
	return all, err
}

func TestTap(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"lines":            {"\n{\"a\":1}\n{\"b\":2}\n", []string{"at-000000000000 \n{\"a\":1}\n{\"b\":2}\n"}},
		"no end of line":   {"{\"a\":1}\n{\"b\":", []string{"at-000000000000 {\"a\":1}\n{\"b\":"}},
		"one document":     {"{\n\"Records\":[]\n}\n", []string{"at-000000000000 {\n\"Records\":[]\n}\n"}},
		"compressed":       {"\x1f\x8b\n\x00\n", []string{"at-000000000000 \x1f\x8b\n\x00\n"}},
		"a line in itself": {"{\"a\":1}", []string{"at-000000000000 {\"a\":1}"}},
		"nothing":          {"", nil},
	} {
		got, err := parts(t, strings.NewReader(c.in))
		if err != nil || strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
}

// What is there is a part when the input is quiet, up to the last whole line; a document waits for its end.
func TestTapCutsWhenTheInputIsQuiet(t *testing.T) {
	for name, c := range map[string]struct{ first, second, want string }{
		"lines":    {"{\"a\":1}\n{\"b\"", ":2}\n", "at-000000000000={\"a\":1}\n at-000000000008={\"b\":2}\n "},
		"document": {"{\n\"a\":[1", "]\n}\n", "at-000000000000={\n\"a\":[1]\n}\n "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				in, other := io.Pipe()
				p, err := openTap(t.Context(), in, dir)
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan error)
				go func() {
					for {
						if over, err := p.next(t.Context()); over || err != nil {
							ended <- err
							return
						}
					}
				}()
				for _, s := range []string{c.first, c.second} {
					if _, err := other.Write([]byte(s)); err != nil {
						t.Fatal(err)
					}
					<-time.After(10 * quietTime) // of the bubble's clock
				}
				other.Close()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
			var got strings.Builder
			files, err := filepath.Glob(filepath.Join(dir, "at-*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString(filepath.Base(f) + "=" + string(b) + " ")
			}
			if got.String() != c.want {
				t.Errorf("got %q, want %q", got.String(), c.want)
			}
		})
	}
}

// Who sends without a pause, or a line that is longer than any record, does not fill the memory.
func TestTapBoundsPartsAndLines(t *testing.T) {
	record := `{"eventName":"RunInstances"}` + "\n"
	got, err := parts(t, strings.NewReader(strings.Repeat(record, maxPart/len(record)+1000)+"{"+strings.Repeat("x", 3*maxLine)+"\n"+record))
	if err != nil || len(got) != 2 {
		t.Fatalf("%d parts, %v, want 2", len(got), err)
	}
	if !strings.HasSuffix(got[1], record) || len(got[0])+len(got[1]) < maxPart+3*maxLine {
		t.Error("something is missing")
	}
}

func TestTapSaysWhatFailed(t *testing.T) {
	broken := errors.New("broken")
	if _, err := parts(t, io.MultiReader(strings.NewReader("some"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("got error %v, want that of the input", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	in, other := io.Pipe()
	defer other.Close()
	p, err := openTap(ctx, in, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := p.next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want that of the context", err)
	}
}
