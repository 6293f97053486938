package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A disk that is full ends the run with a reason, wherever it happens, and when there is room the same command goes on.
func TestFullDisk(t *testing.T) {
	want := undisturbed(t)
	disk := t.TempDir()
	mount := func(flags uintptr, size string) error {
		return syscall.Mount("tmpfs", disk, "tmpfs", flags, "size="+size)
	}
	if err := mount(0, "1m"); err != nil {
		t.Skip("SKIP: no small disk, which takes the right to mount one:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	store := filepath.Join(disk, "store")
	for _, size := range []string{"1m", "3m", "8m", "16m"} {
		if err := mount(syscall.MS_REMOUNT, size); err != nil {
			t.Fatal(err)
		}
		r := start(t, nil, "analyze", "--output", "ndjson", "--store", store, company).end(t)
		if r.code != 1 || !strings.Contains(r.err, "no space left on device") {
			t.Errorf("store on %s: exit %d\n%s", size, r.code, r.err)
		}
		if size == "16m" && (strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, "the same command goes on")) {
			t.Errorf("store on %s: want one line that says what to do, got\n%s", size, r.err)
		}
	}
	if err := mount(syscall.MS_REMOUNT, "1g"); err != nil {
		t.Fatal(err)
	}
	if got := analyze(t, "--store", store, company).out; got != want {
		t.Errorf("with room, the same command prints\n%s\nwant\n%s", got, want)
	}
	if err := mount(syscall.MS_REMOUNT|syscall.MS_RDONLY, "1g"); err != nil {
		t.Fatal(err)
	}
	if r := run(t, nil, "analyze", "--store", store, company); r.code != 1 || !strings.Contains(r.err, "read-only file system") {
		t.Errorf("a store that is read-only: exit %d\n%s", r.code, r.err)
	}
	if err := mount(syscall.MS_REMOUNT, "1g"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(store); err != nil {
		t.Fatal(err)
	}
	if err := mount(syscall.MS_REMOUNT, "8m"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", disk)
	if r := run(t, nil, "analyze", company); r.code != 1 || !strings.Contains(r.err, "no space left on device; set TMPDIR or --store") {
		t.Errorf("a small TMPDIR: exit %d\n%s", r.code, r.err)
	}
	if left, err := os.ReadDir(disk); err != nil || len(left) > 0 {
		t.Errorf("left in TMPDIR: %v, %v", left, err)
	}
}
