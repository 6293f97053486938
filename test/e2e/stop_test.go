package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A running is a run of the program that has not ended.
type running struct {
	*exec.Cmd
	out, err bytes.Buffer
	temp     string // its TMPDIR
}

// prepare makes a run with a TMPDIR of its own. It is killed, and the test fails, if it takes longer than anything here may:
// that is how a hang shows.
func prepare(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	r := &running{Cmd: exec.CommandContext(ctx, program, args...), temp: t.TempDir()}
	t.Cleanup(func() {
		cancel()
		_ = r.Wait() // unless it has ended, or has never begun
		if s := r.err.String(); t.Failed() && s != "" {
			t.Logf("%s said last:\n%s", args, s[max(0, len(s)-2000):])
		}
	})
	r.Env = append(os.Environ(), "TMPDIR="+r.temp)
	r.Stdout, r.Stderr = &r.out, &r.err
	return r
}

// start runs the program.
func start(t *testing.T, stdin io.Reader, args ...string) *running {
	t.Helper()
	r := prepare(t, args...)
	r.Stdin = stdin
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// end waits for the end and checks that nothing is left in the temporary folder.
func (r *running) end(t *testing.T) result {
	t.Helper()
	if err := r.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("%v\n%s", err, r.err.String())
	}
	if r.ProcessState.ExitCode() < 0 {
		t.Fatalf("it was ended: %v\n%s", r.ProcessState, r.err.String())
	}
	if left, err := filepath.Glob(filepath.Join(r.temp, "*")); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
	return result{r.out.String(), r.err.String(), r.ProcessState.ExitCode()}
}

// appears waits until a pattern of files matches.
func appears(t *testing.T, pattern string) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if found, err := filepath.Glob(pattern); err != nil {
			t.Fatal(err)
		} else if len(found) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s did not appear", pattern)
		}
	}
}

// streams matches when the streams of a run are there, so that the run has begun.
const streams = "jetstream/$G/streams/WINDOWS_0/msgs/*.blk"

func TestInterrupted(t *testing.T) {
	want := undisturbed(t)
	for name, signal := range map[string]os.Signal{"SIGINT": os.Interrupt, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil, "analyze", "--output", "ndjson", company)
			appears(t, filepath.Join(r.temp, "trailvane-*", streams))
			if err := r.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if got := r.end(t); got.code != 130 || got.out != "" || got.err != "" {
				t.Errorf("without a store: exit %d, want 130\n%s%s", got.code, got.out, got.err)
			}
			store := filepath.Join(t.TempDir(), "store")
			r = start(t, nil, "analyze", "--output", "ndjson", "--store", store, company)
			appears(t, filepath.Join(store, streams))
			if err := r.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if got := r.end(t); got.code != 130 || got.out != "" || !strings.Contains(got.err, "the same command goes on from here") {
				t.Errorf("with a store: exit %d, want 130\n%s%s", got.code, got.out, got.err)
			}
			if got := analyze(t, "--store", store, company).out; got != want {
				t.Errorf("the same command again prints\n%s\nwant\n%s", got, want)
			}
		})
	}
	t.Run("demo", func(t *testing.T) {
		r := start(t, nil, "demo")
		appears(t, filepath.Join(r.temp, "trailvane-*", streams))
		if err := r.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if got := r.end(t); got.code != 130 || got.err != "" {
			t.Errorf("exit %d, want 130\n%s", got.code, got.err)
		}
	})
}

// Nobody writes to standard input, nor ends it. The program waits, and stops when it is told to.
func TestInterruptedWhileItWaitsForInput(t *testing.T) {
	stdin, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r := start(t, stdin, "analyze", "-")
	stdin.Close()
	appears(t, filepath.Join(r.temp, "trailvane-*", "stdin", ".spool-*"))
	if err := r.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := r.end(t); got.code != 130 {
		t.Errorf("exit %d, want 130\n%s", got.code, got.err)
	}
}

// A named pipe is read like standard input, so that the shell's <(…) works.
func TestNamedPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, nil, "analyze", pipe)
	if err := os.WriteFile(pipe, []byte(lines(0, 10)), 0o600); err != nil { // waits for the reader
		t.Fatal(err)
	}
	got := r.end(t)
	if events := line(t, got.err, "events"); got.code != 0 || !strings.HasPrefix(events, "10,") {
		t.Errorf("exit %d, %s events, want 10\n%s", got.code, events, got.err)
	}
	t.Run("without a writer", func(t *testing.T) {
		r := start(t, nil, "analyze", pipe)
		appears(t, filepath.Join(r.temp, "trailvane-*", "stdin", ".spool-*"))
		if err := r.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if got := r.end(t); got.code != 130 {
			t.Errorf("exit %d, want 130\n%s", got.code, got.err)
		}
	})
}

// The reader of the output goes away, as head does. That is no failure to tell anybody, and nothing is left behind.
func TestReaderGoesAway(t *testing.T) {
	for _, arg := range []string{"demo", "--help"} {
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		read.Close()
		r := prepare(t, arg)
		r.Stdout = write
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		write.Close()
		if got := r.end(t); got.code != 141 || got.err != "" {
			t.Errorf("%s: exit %d, want 141 without a word\n%s", arg, got.code, got.err)
		}
	}
}

// Two runs of one store at once: the second one says so, and the first one is not disturbed.
func TestStoreInUse(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	stdin, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	first := start(t, stdin, "analyze", "--store", store, "-")
	stdin.Close()
	appears(t, filepath.Join(store, "stdin", ".spool-*"))
	second := start(t, nil, "analyze", "--store", store, company).end(t)
	if second.code != 1 || !strings.Contains(second.err, store) || !strings.Contains(second.err, "in use") {
		t.Errorf("second: exit %d\n%s", second.code, second.err)
	}
	w := bufio.NewWriter(other)
	if _, err := w.WriteString(lines(0, 10)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Flush(), other.Close()); err != nil {
		t.Fatal(err)
	}
	got := first.end(t)
	if events := line(t, got.err, "events"); got.code != 0 || !strings.HasPrefix(events, "10,") {
		t.Errorf("first: exit %d\n%s", got.code, got.err)
	}
}

// What a store was made with cannot change, and a store among the logs is not read as logs.
func TestStores(t *testing.T) {
	logs := t.TempDir()
	write(t, logs, "a.json", array(0, 10))
	store := filepath.Join(logs, "store")
	for range 2 {
		r := analyze(t, "--partitions", "2", "--store", store, logs)
		if got := line(t, r.err, "events"); !strings.HasPrefix(got, "10,") || strings.Contains(r.err, "skipped") {
			t.Errorf("events: %s, want 10 and nothing skipped\n%s", got, r.err)
		}
	}
	r := run(t, nil, "analyze", "--partitions", "3", "--store", store, logs)
	if r.code != 1 || !strings.Contains(r.err, "partitions is 2, not 3") || !strings.Contains(r.err, store) {
		t.Errorf("other partitions: exit %d\n%s", r.code, r.err)
	}
	file := filepath.Join(logs, "a.json")
	if r := run(t, nil, "analyze", "--store", file, logs); r.code != 1 || !strings.Contains(r.err, file) {
		t.Errorf("a file as the store: exit %d\n%s", r.code, r.err)
	}
	none := filepath.Join(logs, "none")
	for _, args := range [][]string{{"analyze", logs}, {"demo"}} {
		c := exec.CommandContext(t.Context(), program, args...)
		c.Env = append(os.Environ(), "TMPDIR="+none)
		if out, err := c.CombinedOutput(); c.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), none) {
			t.Errorf("%s without a temporary folder: %v\n%s", args[0], err, out)
		}
	}
}
