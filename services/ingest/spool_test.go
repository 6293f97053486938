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
)

func TestSpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	one, err := Spool(t.Context(), strings.NewReader("some records"), dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Spool(t.Context(), strings.NewReader("some records"), dir)
	if err != nil || again != one {
		t.Errorf("the same input is %s, %v, want %s", again, err, one)
	}
	if b, err := os.ReadFile(one); err != nil || string(b) != "some records" {
		t.Errorf("spooled %q, %v", b, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Spool(ctx, strings.NewReader("more"), dir); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

// Nobody writes to the other end of the pipe, and a terminal's user has nothing more to say.
func TestSpoolIsInterruptedWhileItWaits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		in, other := io.Pipe()
		ended := make(chan error)
		go func() {
			_, err := Spool(ctx, in, dir)
			ended <- err
		}()
		if _, err := other.Write([]byte("some rec")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it waits for more
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want that of the context", err)
		}
		other.Close() // so that the read that stayed behind ends
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

func TestSpoolSaysWhatFailed(t *testing.T) {
	broken := errors.New("broken")
	_, err := Spool(t.Context(), io.MultiReader(strings.NewReader("some"), failing{broken}), t.TempDir())
	if !errors.Is(err, broken) {
		t.Errorf("got error %v, want that of the input", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
