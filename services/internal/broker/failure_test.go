//go:build linux

package broker_test

import (
	"bytes"
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/services/internal/broker"
)

// The server answers nothing when its disk is full, so whoever waits for an answer must hear of it otherwise.
func TestAFullDiskIsAFailure(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Skip("SKIP: no small disk, which takes the right to mount one:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	failed := make(chan error, 2)
	var log bytes.Buffer
	b := start(t, broker.Config{
		Dir: dir, OnFailure: func(err error) { failed <- err }, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ONE", "TWO"} {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}})
		if err != nil {
			t.Fatal(err)
		}
	}
	message := make([]byte, 512<<10)
	for range 4 {
		for _, name := range []string{"ONE", "TWO"} {
			if err := js.Conn().PublishMsg(&nats.Msg{Subject: name, Data: message}); err != nil {
				t.Fatal(err)
			}
		}
	}
	select {
	case err = <-failed:
	case <-time.After(10 * time.Second):
		t.Fatal("the disk is full, and nobody said so")
	}
	if !errors.Is(err, broker.ErrWrite) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the failure is %v, want ErrWrite and ENOSPC", err)
	}
	js.Conn().Close()
	b.Shutdown()
	if len(failed) > 0 {
		t.Errorf("told twice: %v", <-failed)
	}
	if log.Len() > 0 {
		t.Errorf("what is told is not logged, too:\n%s", &log)
	}
}
