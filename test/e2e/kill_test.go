package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// SIGKILL at any moment, then the same command again: the same insights, byte for byte. TRAILVANE_KILLS says at how many
// random moments; a hundred take some minutes.
func TestKill(t *testing.T) {
	kills := 6
	if s := os.Getenv("TRAILVANE_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatalf("TRAILVANE_KILLS=%s: %v", s, err)
		}
	}
	dir := t.TempDir()
	args := func(i int, partitions string) []string {
		return []string{
			"--shape", "native", "--partitions", partitions, "--store", filepath.Join(dir, fmt.Sprint(i)), company,
		}
	}
	begun := time.Now()
	want := analyze(t, args(-1, "2")...).out
	whole := time.Since(begun)
	if len(inWords(want)) != len(found(t)) {
		t.Fatalf("undisturbed:\n%s", want)
	}

	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("TRAILVANE_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("TRAILVANE_SEED=%s: %v", s, err)
		}
	}
	t.Logf("seed %d, an undisturbed run takes %s", seed, whole.Round(time.Millisecond))
	random := rand.New(rand.NewPCG(seed, 1))
	killed, tries := 0, 0
	for ; killed < kills && tries < 4*kills; tries++ {
		partitions := []string{"2", "1", "7"}[tries%3]
		after := time.Duration(random.Int64N(int64(whole)))
		begun := time.Now()
		if kill(t, after, append([]string{"analyze", "--output", "ndjson"}, args(tries, partitions)...)) {
			killed++
		} else {
			whole = min(whole, time.Since(begun)) // it came to its end: kill sooner
		}
		if got := analyze(t, args(tries, partitions)...).out; got != want {
			t.Errorf("killed after %s with %s partitions:\n got %s\nwant %s", after, partitions, got, want)
		}
		os.RemoveAll(filepath.Join(dir, fmt.Sprint(tries)))
	}
	t.Logf("%d runs were killed, %d came to their end before", killed, tries-killed)
	if killed < kills {
		t.Errorf("only %d of %d runs were killed before their end", killed, tries)
	}
}

// kill starts the program and kills it after a while; it reports whether the program was still running.
func kill(t *testing.T, after time.Duration, args []string) bool {
	t.Helper()
	c := exec.Command(program, args...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
	err := c.Wait()
	timer.Stop()
	return err != nil
}
