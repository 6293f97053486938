package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/services/internal/broker"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
		return
	}
	jetstreamtest.VerifyNoLeaks(m)
}

func start(tb testing.TB, c broker.Config) *broker.Broker {
	tb.Helper()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	b, err := broker.Start(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func Example() {
	dir, err := os.MkdirTemp("", "broker")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	b, err := broker.Start(ctx, broker.Config{Dir: dir})
	if err != nil {
		panic(err)
	}
	defer b.Shutdown()
	js, err := b.JetStream()
	if err != nil {
		panic(err)
	}
	defer js.Conn().Close()
	info, err := js.AccountInfo(ctx)
	fmt.Println(info.Streams, err)
	// Output: 0 <nil>
}

func TestADirectoryHasOneBroker(t *testing.T) {
	dir := t.TempDir()
	b := start(t, broker.Config{Dir: dir})
	if _, err := broker.Start(t.Context(), broker.Config{Dir: dir}); !errors.Is(err, broker.ErrInUse) ||
		!strings.Contains(err.Error(), dir) {
		t.Errorf("second start: %v, want ErrInUse and the directory's name", err)
	}
	b.Shutdown()
	start(t, broker.Config{Dir: dir}).Shutdown()
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	if _, err := broker.Start(t.Context(), broker.Config{}); err == nil {
		t.Error("without a directory: no error")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Start(t.Context(), broker.Config{Dir: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("with a file for a directory: %v, want its name", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := broker.Start(t.Context(), broker.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("with a file where the store should be: %v, want the server's reason", err)
	}
}

func TestStartIsFastAndQuiet(t *testing.T) {
	var log bytes.Buffer
	begin := time.Now()
	b := start(t, broker.Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	took := time.Since(begin)
	b.Shutdown()
	// 30 ms on two busy cores; the bound is there for a server that waits for something.
	if took > 5*time.Second {
		t.Errorf("the start took %v", took)
	}
	if log.Len() > 0 {
		t.Errorf("an ordinary start says:\n%s", &log)
	}
}

func TestLimitsAreTheServersOwn(t *testing.T) {
	b := start(t, broker.Config{Dir: t.TempDir(), MaxStore: 123 << 20, MaxMemory: 7 << 20, Sync: broker.SyncAlways})
	defer b.Shutdown()
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	defer js.Conn().Close()
	if got := js.Conn().MaxPayload(); got != 1<<20 {
		t.Errorf("largest message is %d, want 1 MiB", got)
	}
	_, err = js.CreateStream(t.Context(), streamOf(200<<20))
	if err == nil {
		t.Error("a stream larger than the store was created")
	}
	if _, err := js.CreateStream(t.Context(), streamOf(100<<20)); err != nil {
		t.Errorf("a stream smaller than the store: %v", err)
	}
}

func TestOtherClientsReachItOnlyWithAPort(t *testing.T) {
	b := start(t, broker.Config{Dir: t.TempDir(), Host: "127.0.0.1", Port: -1})
	defer b.Shutdown()
	nc, err := connect(b.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}
