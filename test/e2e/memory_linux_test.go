package e2e

import (
	"bufio"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// An array of 200 MB is one document, and is read in bounded memory all the same.
func TestLargeArray(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: reads 200 MB")
	}
	const records, each = 10_000, 20_000
	path := filepath.Join(t.TempDir(), "large.json.gz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	buffered := bufio.NewWriter(f)
	w := gzip.NewWriter(buffered)
	write := func(s string) {
		if _, err := w.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	filler := quoted(strings.Repeat("y", each))
	write(`{"Records":[` + record(0))
	for i := 1; i < records; i++ {
		write("," + record(i, "requestParameters", filler))
	}
	write("]}")
	for _, close := range []func() error{w.Close, buffered.Flush, f.Close} {
		if err := close(); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), program, "analyze", "--output", "ndjson", path)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := line(t, string(out), "events"); !strings.HasPrefix(got, "10,000,") {
		t.Errorf("events: %s, want 10,000", got)
	}
	// It takes about 400 MiB: rounds of chunks in flight, the broker's buffers, and as much again that is not yet collected. A
	// document in memory would cost 200 MB, at least twice.
	const most = 600 << 10 // KiB
	rss := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	t.Logf("%d MiB at most, in %s", rss>>10, c.ProcessState.UserTime()+c.ProcessState.SystemTime())
	if rss > most {
		t.Errorf("it took %d MiB of memory, want %d at most", rss>>10, most>>10)
	}
}
