package analyze

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	ingestservice "github.com/trailvane/trailvane/services/ingest"
	"github.com/trailvane/trailvane/services/internal/broker"
)

// A store of a later version is not touched, and the error says what it is.
func TestAStoreOfAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	logs, store := filepath.Join(dir, "notes.txt"), filepath.Join(dir, "store")
	if err := os.WriteFile(logs, []byte("no log"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Paths: []string{logs}, Store: store, Partitions: 1, Settings: schemas.DefaultSettings(), Log: slog.New(slog.DiscardHandler),
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}

	other := o
	other.Settings.Learn *= 2
	const made = "was made with --learn=24h --lateness=15m --budget=1 --partitions=1"
	if _, err := Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), made) {
		t.Errorf("got error %v, want %q", err, made)
	}

	// On a host with another number of cores it is the same store.
	unsaid := o
	unsaid.Partitions = 0
	if _, err := Run(t.Context(), unsaid); err != nil {
		t.Errorf("a store with one partition, on a host with %d cores: %v", runtime.GOMAXPROCS(0), err)
	}

	b, err := broker.Start(t.Context(), broker.Config{Dir: store})
	if err != nil {
		t.Fatal(err)
	}
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	state, err := jetstream.OpenStore(t.Context(), js, ingestservice.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	const plan = "plan-0"
	cp, _, err := state.Load(t.Context(), plan)
	if err != nil || cp.Constants == "" {
		t.Fatalf("checkpoint %+v, %v", cp, err)
	}
	cp.Constants, cp.Epoch = "of tomorrow", cp.Epoch+1
	if err := state.Commit(t.Context(), plan, cp, nil); err != nil {
		t.Fatal(err)
	}
	js.Conn().Close()
	b.Shutdown()

	_, err = Run(t.Context(), o)
	if !errors.Is(err, runner.ErrNewer) || !strings.Contains(err.Error(), store) ||
		!strings.Contains(err.Error(), "of tomorrow") {
		t.Errorf("got error %v, want ErrNewer, the store and its version", err)
	}
}

// A store of services with several lanes is one that no flag of analyze opens.
func TestAStoreOfServices(t *testing.T) {
	store := t.TempDir()
	b, err := broker.Start(t.Context(), broker.Config{Dir: store, MaxStore: maxStore})
	if err != nil {
		t.Fatal(err)
	}
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	id := jetstream.Identity{Lanes: 2, Partitions: 1, Lateness: 15, Learn: 24 * 60, Budget: 1}
	if err := jetstream.Deploy(t.Context(), js, jetstream.DefaultTopology(id)); err != nil {
		t.Fatal(err)
	}
	js.Conn().Close()
	b.Shutdown()

	_, err = Run(t.Context(), Options{
		Paths: []string{store}, Store: store, Settings: schemas.DefaultSettings(), Log: slog.New(slog.DiscardHandler),
	})
	if err == nil || !strings.Contains(err.Error(), "--lanes=2") || !strings.Contains(err.Error(), "trailvane serve") {
		t.Errorf("got error %v, want the lanes of the store, and who opens it", err)
	}
}
