package schemas

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"
)

// fuzz holds a message to its promises on any bytes: Decode never panics and fails only with its two errors,
// and what it accepts has one form, which comes back byte for byte.
func fuzz(f *testing.F, name string, m message) {
	for _, kind := range []string{"valid", "invalid"} {
		f.Add(readWire(f, filepath.Join("testdata", "wire", name+"."+kind+".golden")))
	}
	used := fresh(m) // into memory that is used again
	f.Fuzz(func(t *testing.T, body []byte) {
		first := fresh(m)
		err := first.Decode(bytes.Clone(body))
		if again := used.Decode(bytes.Clone(body)); (again == nil) != (err == nil) {
			t.Fatalf("Decode: %v, into used memory: %v", err, again)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) {
				t.Fatalf("Decode: %v", err)
			}
			return
		}
		form := first.Append(nil)
		if got := used.Append(nil); !bytes.Equal(got, form) {
			t.Fatalf("used memory changes the message:\n%x\n%x", got, form)
		}
		second := fresh(m)
		if err := second.Decode(form); err != nil {
			t.Fatalf("Decode(Append()): %v\n%x", err, form)
		}
		if got := second.Append(nil); !bytes.Equal(got, form) {
			t.Fatalf("round trip:\n%x\n%x", got, form)
		}
	})
}

func FuzzChunk(f *testing.F)      { fuzz(f, "chunk", new(Chunk)) }
func FuzzEventBatch(f *testing.F) { fuzz(f, "event_batch", new(EventBatch)) }
func FuzzPaneBatch(f *testing.F)  { fuzz(f, "pane_batch", new(PaneBatch)) }
func FuzzMetrics(f *testing.F)    { fuzz(f, "metrics", new(Metrics)) }
func FuzzFinding(f *testing.F)    { fuzz(f, "finding", new(Finding)) }
func FuzzTick(f *testing.F)       { fuzz(f, "tick", new(Tick)) }
func FuzzEnd(f *testing.F)        { fuzz(f, "end", new(End)) }
func FuzzSettings(f *testing.F)   { fuzz(f, "settings", new(Settings)) }
func FuzzDeadLetter(f *testing.F) { fuzz(f, "dead_letter", new(DeadLetter)) }
func FuzzCheckpoint(f *testing.F) { fuzz(f, "checkpoint", new(Checkpoint)) }
