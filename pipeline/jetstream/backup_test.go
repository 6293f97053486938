package jetstream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// dump is everything that a deployment holds and what a record is when it is read, by stream.
func dump(t *testing.T, js natsjs.JetStream) map[string][]runner.Record {
	t.Helper()
	all := make(map[string][]runner.Record)
	for _, name := range []string{"RAW_0", "WINDOWS_0", "INSIGHTS"} {
		err := jetstream.ReadAll(t.Context(), js, name, func(r runner.Record) error {
			all[name] = append(all[name], r)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// saved is a deployment whose reader "a" stands at 40 of 50 records of WINDOWS_0, the first 40 of which are gone.
func saved(t *testing.T) *trimmed {
	t.Helper()
	r := deployReaders(t, 50, nil, "a")
	sink := newSink(t, r.js)
	put(t, sink, outputs("raw.0.tick", 1, 700)...)
	put(t, sink, runner.Output{Subject: "insights.r.1.T.1", Body: []byte("one"), Once: true})
	if _, _, err := r.stores["a"].Load(t.Context(), "0"); err != nil {
		t.Fatal(err)
	}
	r.mustCommit(t, 40, "a")
	r.wantTrim(t, 41)
	return r
}

// A deployment that is restored on another server is the same to whoever reads it, and its readers go on.
func TestBackupAndRestore(t *testing.T) {
	r := saved(t)
	dir := filepath.Join(t.TempDir(), "backup")
	made, err := jetstream.Backup(t.Context(), r.js, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := dump(t, r.js)

	js := startJetStream(t)
	restored, err := jetstream.Restore(t.Context(), js, dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	compact := func(text json.RawMessage) string {
		var b bytes.Buffer
		if err := json.Compact(&b, text); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if diff := cmp.Diff(made, restored, cmp.Transformer("compact", compact)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, dump(t, js)); diff != "" {
		t.Errorf("it is not what was saved, stored times included:\n%s", diff)
	}
	store, err := jetstream.OpenStore(t.Context(), js, "a")
	if err != nil {
		t.Fatal(err)
	}
	source := newSource(t, js, "WINDOWS_0")
	info, err := source.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := store.Load(t.Context(), "0")
	if err != nil || c.Seq != 40 || c.Stream != info.ID {
		t.Errorf("checkpoint %+v, %v, of stream %+v", c, err, info)
	}
	if got, err := source.Read(t.Context(), c.Seq); err != nil || got[0].Seq != 41 {
		t.Errorf("it goes on with %d records, %v", len(got), err)
	}
	topology := small()
	topology.Stages, topology.Readers = []string{"a"}, map[string]schemas.Flow{"a": schemas.WindowsFlow}
	if err := jetstream.Deploy(t.Context(), js, topology); err != nil {
		t.Errorf("Deploy: %v", err)
	}
	put(t, newSink(t, js), outputs("windows.0.r.counts", 51, 1)...)
	if last := openStream(t, js, "WINDOWS_0").CachedInfo().State.LastSeq; last != 51 {
		t.Errorf("the next record is the %d.", last)
	}
}

// Whoever has left is no one to wait for, and what age takes away between a backup and its restoration does not harm it.
func TestBackupAfterLeaving(t *testing.T) {
	r := saved(t)
	keep := func(age time.Duration) {
		t.Helper()
		config := openStream(t, r.js, "KV_MEMBERS").CachedInfo().Config
		config.MaxAge = age
		if _, err := r.js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	backup := func() (dir string) {
		t.Helper()
		heart, err := jetstream.NewHeart(t.Context(), r.js, jetstream.Member{ID: "somebody"})
		if err == nil {
			err = heart.Join(t.Context(), nil)
		}
		if err == nil {
			err = heart.Leave(t.Context())
		}
		dir = filepath.Join(t.TempDir(), "backup")
		if err == nil {
			_, err = jetstream.Backup(t.Context(), r.js, dir)
		}
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	marks := func() uint64 { return openStream(t, r.js, "KV_MEMBERS").CachedInfo().State.Msgs }

	keep(time.Hour) // however slow this machine is, the mark is there
	if backup(); marks() != 1 {
		t.Errorf("%d messages in MEMBERS, want the mark of one that has left", marks())
	}
	keep(2 * time.Second)
	dir := backup()
	for marks() > 0 { // until it is too old on the other server, too
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := jetstream.Restore(t.Context(), startJetStream(t), dir, 0); err != nil {
		t.Errorf("Restore: %v", err)
	}
}

func TestBackupNeedsQuiet(t *testing.T) {
	t.Run("somebody writes", func(t *testing.T) {
		r := saved(t)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		begun := make(chan struct{})
		go func() {
			defer close(done)
			for seq := uint64(41); ctx.Err() == nil; seq++ {
				_ = r.commit(ctx, seq, "a")
				if seq == 41 {
					close(begun)
				}
			}
		}()
		<-begun
		dir := filepath.Join(t.TempDir(), "backup")
		_, err := jetstream.Backup(t.Context(), r.js, dir)
		stop()
		<-done
		if !errors.Is(err, jetstream.ErrBackup) || !strings.Contains(err.Error(), "KV_STATE_a changed meanwhile") {
			t.Errorf("Backup: %v", err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something is left: %v", err)
		}
	})
	t.Run("somebody is alive", func(t *testing.T) {
		r := saved(t)
		heart, err := jetstream.NewHeart(t.Context(), r.js, jetstream.Member{ID: "somebody"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var beating sync.WaitGroup
		defer beating.Wait()
		defer stop()
		if err := heart.Join(ctx, nil); err != nil {
			t.Fatal(err)
		}
		beating.Go(func() {
			for beat := time.NewTicker(time.Second); ; {
				select {
				case <-ctx.Done():
					return
				case <-beat.C:
					_ = heart.Beat(ctx, nil)
				}
			}
		})
		_, err = jetstream.Backup(t.Context(), r.js, filepath.Join(t.TempDir(), "backup"))
		if !errors.Is(err, jetstream.ErrBackup) || !strings.Contains(err.Error(), "somebody are alive") {
			t.Errorf("Backup: %v", err)
		}
	})
	t.Run("there is none", func(t *testing.T) {
		_, err := jetstream.Backup(t.Context(), startJetStream(t), filepath.Join(t.TempDir(), "backup"))
		if !errors.Is(err, jetstream.ErrBackup) || !strings.Contains(err.Error(), "no deployment here") {
			t.Errorf("Backup: %v", err)
		}
	})
}

func TestRestoreRefuses(t *testing.T) {
	r := saved(t)
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := jetstream.Backup(t.Context(), r.js, dir); err != nil {
		t.Fatal(err)
	}
	refused := func(says string) {
		t.Helper()
		_, err := jetstream.Restore(t.Context(), r.js, dir, 0)
		if !errors.Is(err, jetstream.ErrBackup) || !strings.Contains(err.Error(), says) {
			t.Errorf("Restore: %v, want %q", err, says)
		}
	}
	refused("restoring overwrites nothing, and DEAD, EVENTS_0")
	if _, err := jetstream.Backup(t.Context(), r.js, dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("Backup to the same folder: %v", err)
	}
	file := filepath.Join(dir, "RAW_0.snapshot")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte(nil), whole...)
	damaged[len(damaged)/2] ^= 1
	for _, broken := range [][]byte{damaged, whole[:len(whole)-1]} {
		if err := os.WriteFile(file, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		refused("RAW_0.snapshot is damaged")
	}
	manifest := filepath.Join(dir, "backup.json")
	for text, says := range map[string]string{
		`{"version":2}`: "has version 2, this program reads 1",
		`{"version":1,"streams":[{"name":"../../etc/passwd"}]}`: "no stream of ours",
		`{`: "unexpected end",
	} {
		if err := os.WriteFile(manifest, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(says)
	}
	if err := os.Remove(manifest); err != nil { // as after a kill in the middle
		t.Fatal(err)
	}
	refused("no complete backup")
}

func TestRestoreWithReplicasThatAreNotThere(t *testing.T) {
	r := saved(t)
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := jetstream.Backup(t.Context(), r.js, dir); err != nil {
		t.Fatal(err)
	}
	js := startJetStream(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := jetstream.Restore(ctx, js, dir, 3)
	if !errors.Is(err, jetstream.ErrBackup) || !strings.Contains(err.Error(), "replicas > 1 not supported") {
		t.Errorf("Restore: %v", err)
	}
}
