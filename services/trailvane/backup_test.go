package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/services/internal/broker"
	"github.com/trailvane/trailvane/services/internal/stages"
)

// mustRun runs a command line that has to succeed, and returns what it printed.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errOut := commandLine(t, args...)
	if code != exitOK {
		t.Fatalf("trailvane %s: exit %d\n%s", strings.Join(args, " "), code, errOut)
	}
	return out
}

// trimStore purges what all readers of a store have had, as services do beside their work, and returns how many records went.
func trimStore(t *testing.T, dir string) (purged uint64) {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{Dir: dir, MaxStore: maxStore})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown()
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	defer js.Conn().Close()
	id, err := jetstream.ReadIdentity(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	topology := jetstream.DefaultTopology(id, stages.Names()...)
	topology.Readers = stages.Reads()
	if err := jetstream.Deploy(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	places, err := jetstream.PlacesOf(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		n, err := jetstream.Trim(t.Context(), js, p.Stream)
		if err != nil {
			t.Fatal(err)
		}
		purged += n
	}
	return purged
}

// A deployment with data is stopped, trimmed, saved, lost and restored. It goes on with the logs that came since, and finds
// byte for byte what it would have found without all that.
func TestBackupIsAsIfNothingHadHappened(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	mustRun(t, "simulate", "--days", "4", in("logs"))
	// The last day comes later.
	later := make(map[string]string)
	days, err := filepath.Glob(in("logs/*/*/*/*/*/*/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(in("logs/*/*/*/*/*/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range append(days, more...) {
		if s, err := os.Stat(day); err == nil && s.IsDir() && strings.HasSuffix(day, "2026/03/05") {
			later[day] = filepath.Join(dir, "later", strings.ReplaceAll(strings.TrimPrefix(day, dir), "/", "_"))
		}
	}
	if len(later) != 6 {
		t.Fatalf("%d folders of the last day, want one for each region: %v", len(later), later)
	}
	if err := os.Mkdir(in("later"), 0o700); err != nil {
		t.Fatal(err)
	}
	move := func(back bool) {
		for from, to := range later {
			if back {
				from, to = to, from
			}
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
	}
	analyze := func(store string) string {
		return mustRun(t, "analyze", "--partitions", "2", "-o", "ndjson", "--store", in(store), in("logs"))
	}
	move(false)
	want := func() string {
		defer move(false)
		first := analyze("plain")
		move(true)
		all := analyze("plain")
		if first == "" || len(all) <= len(first) {
			t.Fatalf("%d bytes of insights first, then %d", len(first), len(all))
		}
		return all
	}()

	analyze("store")
	if trimStore(t, in("store")) == 0 {
		t.Error("nothing was trimmed")
	}
	out := mustRun(t, "backup", "--store", in("store"), in("backup"))
	if !strings.HasPrefix(out, "saved ") {
		t.Errorf("backup: %s", out)
	}
	if err := os.RemoveAll(in("store")); err != nil {
		t.Fatal(err)
	}
	mustRun(t, "restore", "--store", in("store"), in("backup"))
	move(true)
	if got := analyze("store"); got != want {
		t.Errorf("after the restore the insights are others:\n%s\nwant\n%s", got, want)
	}
	if code, _, errOut := commandLine(t, "restore", "--store", in("store"), in("backup")); code != exitFailed ||
		!strings.Contains(errOut, "restoring overwrites nothing") {
		t.Errorf("restore over a deployment: exit %d, %s", code, errOut)
	}
	if code, _, errOut := commandLine(t, "backup", "--store", in("nowhere"), in("backup2")); code != exitFailed ||
		!strings.Contains(errOut, "no store to save") {
		t.Errorf("backup of nothing: exit %d, %s", code, errOut)
	}
}
