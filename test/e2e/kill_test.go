package e2e

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/detect/all"
)

// SIGKILL at any moment, twice, each time the same command again: the same insights, byte for byte, as from one run that
// nobody disturbs. Most runs go on from a week that an earlier one has read, so that state comes back and what is planted is
// yet to be found; every fourth begins with nothing. TRAILVANE_KILLS says how many random moments; a hundred take some minutes.
func TestKill(t *testing.T) {
	kills := int(fromEnv(t, "TRAILVANE_KILLS", 8))
	seed := fromEnv(t, "TRAILVANE_SEED", uint64(time.Now().UnixNano()))
	random := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	logs := filepath.Join(dir, "logs")

	begun := time.Now()
	want := analyze(t, "--shape", "native", "--partitions", "2", company).out
	whole := time.Since(begun)
	words := inWords(want)
	if len(words) != len(found(t)) {
		t.Fatalf("undisturbed:\n%s", want)
	}
	for kind := range all.Detectors() {
		for _, state := range []string{"Start", "End"} {
			if !slices.ContainsFunc(words, func(w string) bool {
				return strings.Contains(w, " "+string(kind)+" ") && strings.HasSuffix(w, " "+state)
			}) {
				t.Errorf("no %s %s among what must come out:\n%s", kind, state, want)
			}
		}
	}
	t.Logf("seed %d, an undisturbed run takes %s", seed, whole.Round(time.Millisecond))

	args := func(store, partitions string) []string {
		return []string{"--shape", "native", "--partitions", partitions, "--store", store, logs}
	}
	later := regexp.MustCompile(`[/\\]2026[/\\]03[/\\]1\d[/\\]`) // nothing is planted before
	link(t, logs, func(name string) bool { return !later.MatchString(name) })
	weeks := make(map[string]string)
	for _, partitions := range []string{"2", "1", "7"} {
		weeks[partitions] = filepath.Join(dir, "week"+partitions)
		if got := analyze(t, args(weeks[partitions], partitions)...).out; got != "" {
			t.Fatalf("found in the first week:\n%s", got)
		}
	}
	link(t, logs, later.MatchString)

	rest := whole / 3 // what a run takes that goes on
	killed, ended := 0, 0
	for try := 0; killed < kills && ended < 3*kills; try++ {
		partitions := []string{"2", "1", "7"}[try%3]
		store, takes := filepath.Join(dir, fmt.Sprint(try)), &whole
		if try%4 != 3 {
			takes = &rest
			if err := os.CopyFS(store, os.DirFS(weeks[partitions])); err != nil {
				t.Fatal(err)
			}
		}
		var after [2]time.Duration
		for i := range after {
			after[i] = time.Duration(random.Int64N(int64(*takes)))
			begun := time.Now()
			if !kill(t, after[i], append([]string{"analyze", "--output", "ndjson"}, args(store, partitions)...)) {
				ended++
				*takes = min(*takes, time.Since(begun)) // kill sooner
				break
			}
			killed++
		}
		if got := analyze(t, args(store, partitions)...).out; got != want {
			t.Errorf("try %d, killed after %v with %s partitions:\n got %s\nwant %s", try, after, partitions, got, want)
		}
		os.RemoveAll(store)
	}
	t.Logf("%d runs were killed, %d came to their end before", killed, ended)
	if killed < kills {
		t.Errorf("only %d runs were killed before their end, want %d", killed, kills)
	}
}

func fromEnv(t *testing.T, name string, n uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return n
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s=%s: %v", name, s, err)
	}
	return n
}

// link gives those files of the company a name in another folder too.
func link(t *testing.T, to string, chosen func(name string) bool) {
	t.Helper()
	err := filepath.WalkDir(company, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !chosen(name) {
			return err
		}
		rel, err := filepath.Rel(company, name)
		if err != nil {
			return err
		}
		other := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(other), 0o755); err != nil {
			return err
		}
		return os.Link(name, other)
	})
	if err != nil {
		t.Fatal(err)
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
