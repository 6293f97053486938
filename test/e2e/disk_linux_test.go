package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/tidwall/gjson"

	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
)

// smallDisk returns a folder that is a disk of 1 MB, and what mounts it again, with other flags or another size. It is gone when
// the test ends.
func smallDisk(t *testing.T) (disk string, mount func(flags uintptr, size string) error) {
	t.Helper()
	disk = t.TempDir()
	mount = func(flags uintptr, size string) error {
		return syscall.Mount("tmpfs", disk, "tmpfs", flags, "size="+size)
	}
	if err := mount(0, "1m"); err != nil {
		t.Skip("SKIP: no small disk, which takes the right to mount one:", err)
	}
	t.Cleanup(func() {
		// When it is not used any more: a NATS server of this process leaves a file open that it could not write.
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return disk, mount
}

// A disk that is full ends the run with a reason, wherever it happens, and when there is room the same command goes on.
func TestFullDisk(t *testing.T) {
	want := undisturbed(t)
	disk, mount := smallDisk(t)
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

// Under a service a full disk is the same: it ends with a reason, and when there is room it goes on.
func TestFullDiskUnderServe(t *testing.T) {
	disk, mount := smallDisk(t)
	store, port := filepath.Join(disk, "store"), freePort(t)
	args := []string{"serve", "--store", store, "--port", fmt.Sprint(port), "--partitions", "2", "--poll", "500ms", company}
	for _, size := range []string{"1m", "8m"} {
		if err := mount(syscall.MS_REMOUNT, size); err != nil {
			t.Fatal(err)
		}
		r := start(t, nil, args...).end(t)
		lines := strings.Split(strings.TrimSuffix(r.err, "\n"), "\n")
		last := gjson.Get(lines[len(lines)-1], "error").String()
		if r.code != 1 || !strings.Contains(last, "no space left on device") || !strings.Contains(last, "make room in "+store+", then the same command goes on") {
			t.Errorf("store on %s: exit %d\n%s", size, r.code, r.err)
		}
	}
	if err := mount(syscall.MS_REMOUNT, "1g"); err != nil {
		t.Fatal(err)
	}
	s := serve(t, args...)
	s.ready(t)
	got := published(t, fmt.Sprintf("nats://127.0.0.1:%d", port), starts(t, "3"))
	s.stop(t)
	compareAnalyze(t, got)
}

// Services wait for a server of others whose disk is full, and say so. When there is room and it is started again, they go on.
func TestFullDiskOfTheServer(t *testing.T) {
	disk, mount := smallDisk(t)
	if err := mount(syscall.MS_REMOUNT, "8m"); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	up := func() *server.Server {
		return jetstreamtest.Start(t, func(o *server.Options) { o.Port, o.StoreDir = port, filepath.Join(disk, "store") })
	}
	nats := up()
	down := func() { jetstreamtest.Stop(nats) }
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	log := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	r := prepare(t, "serve", "--nats", url, "--partitions", "2", "--poll", "500ms", company)
	r.Stderr = out
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	said := ""
	within(t, "a service says that it waits", func() bool {
		text, err := os.ReadFile(log)
		said = string(text)
		return err == nil && full(t, disk) && strings.Contains(said, `"level":"WARN"`)
	}, &said)
	down()
	if err := mount(syscall.MS_REMOUNT, "1g"); err != nil {
		t.Fatal(err)
	}
	nats = up()
	got := published(t, url, starts(t, "3"))
	if err := r.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if r := r.end(t); r.code != 0 {
		text, _ := os.ReadFile(log)
		t.Errorf("exit %d\n%s", r.code, text)
	}
	compareAnalyze(t, got)
}

// full reports whether less than one block of a stream fits on a disk.
func full(t *testing.T, disk string) bool {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(disk, &s); err != nil {
		t.Fatal(err)
	}
	return s.Bavail*uint64(s.Bsize) < 64<<10
}
