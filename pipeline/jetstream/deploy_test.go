package jetstream_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

func TestDeployMakesAllStreams(t *testing.T) {
	js := startJetStream(t)
	for range 2 { // and is harmless
		deploy(t, js, func(c *jetstream.Topology) { c.Lanes, c.Partitions = 2, 3 })
	}
	var got []string
	for name := range js.StreamNames(t.Context()).Name() {
		got = append(got, name)
	}
	slices.Sort(got)
	want := "DEAD EVENTS_0 EVENTS_1 EVENTS_2 FINDINGS_0 FINDINGS_1 FINDINGS_2 INSIGHTS KV_DEPLOYMENT KV_MEMBERS KV_PUSHED KV_STATE_normalizer " +
		"METRICS RAW_0 RAW_1 WINDOWS_0 WINDOWS_1 WINDOWS_2"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}
	for _, subject := range []string{
		schemas.RawSubject(1, "cloudtrail"), schemas.EventsSubject(2, "eu-west-1"), schemas.EventsControl(0, schemas.EndControl),
		schemas.WindowsSubject(1, "eu-west-1", "counts"), schemas.WindowsControl(1, schemas.SettingsControl),
		schemas.FindingsSubject(2, "", "ApiCallRateInsight"), schemas.DeadSubject("normalizer"),
		schemas.MetricsSubject("eu-west-1", schemas.Account{Provider: schemas.AWS, ID: "1"}),
		schemas.InsightSubject("eu-west-1", schemas.Account{Provider: schemas.AWS, ID: "1"}, "ApiCallRateInsight", "id"),
	} {
		name, err := schemas.StreamOf(subject)
		if err != nil {
			t.Fatal(err)
		}
		put(t, newSink(t, js), runner.Output{Subject: subject, Body: []byte("x")})
		if m, err := openStream(t, js, name).GetLastMsgForSubject(t.Context(), subject); err != nil || string(m.Data) != "x" {
			t.Errorf("%s is not in %s: %v", subject, name, err)
		}
	}
}

func TestADeploymentKeepsItsNumbers(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	id, err := jetstream.ReadIdentity(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	other := id
	other.Partitions, other.Budget = 7, 2.5
	err = jetstream.Deploy(t.Context(), js, jetstream.DefaultTopology(other, "normalizer"))
	if !errors.Is(err, jetstream.ErrIdentity) ||
		!strings.Contains(err.Error(), "partitions is 2, not 7") || !strings.Contains(err.Error(), "budget is 1, not 2.5") {
		t.Errorf("Deploy with other numbers: %v", err)
	}
	if _, err := js.Stream(t.Context(), "EVENTS_5"); !errors.Is(err, natsjs.ErrStreamNotFound) {
		t.Errorf("a refused Deploy made a stream: %v", err)
	}
	if err := jetstream.Deploy(t.Context(), js, jetstream.DefaultTopology(id, "normalizer")); err != nil {
		t.Errorf("Deploy with the same numbers: %v", err)
	}
}

// Rule 8: queues refuse what does not fit, and every share is the one that was given.
func TestRule8LimitsAreSetAndChanged(t *testing.T) {
	js := startJetStream(t)
	for _, limit := range []int64{1 << 20, 5 << 20} {
		deploy(t, js, func(c *jetstream.Topology) {
			c.RawBytes, c.EventsBytes, c.WindowsBytes, c.FindingsBytes = limit, limit+1, limit+2, limit+3
			c.InsightsBytes, c.DeadBytes, c.StateBytes, c.MetricsBytes = limit+4, limit+5, limit+6, limit+7
		})
		for name, want := range map[string]int64{
			"RAW_0": limit, "EVENTS_1": limit + 1, "WINDOWS_0": limit + 2, "FINDINGS_1": limit + 3,
			"INSIGHTS": limit + 4, "DEAD": limit + 5, "KV_STATE_normalizer": limit + 6, "METRICS": limit + 7,
		} {
			c := openStream(t, js, name).CachedInfo().Config
			if c.MaxBytes != want {
				t.Errorf("%s is limited to %d, want %d", name, c.MaxBytes, want)
			}
			old := name == "INSIGHTS" || name == "DEAD" || name == "METRICS"
			if (c.Discard == natsjs.DiscardOld) != old {
				t.Errorf("%s discards %v", name, c.Discard)
			}
		}
	}
}

// Rule 4: a commit is atomic only as long as the bucket allows it.
func TestRule4ABucketWithoutAtomicBatchesIsRefused(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	// This is what resets the flag without a word.
	if _, err := js.CreateOrUpdateKeyValue(t.Context(), natsjs.KeyValueConfig{Bucket: "STATE_normalizer"}); err != nil {
		t.Fatal(err)
	}
	if _, err := jetstream.OpenStore(t.Context(), js, "normalizer"); err == nil {
		t.Error("OpenStore takes a bucket without atomic batches")
	}
	deploy(t, js)
	if _, err := jetstream.OpenStore(t.Context(), js, "normalizer"); err != nil {
		t.Errorf("after Deploy: %v", err)
	}
	if _, err := jetstream.OpenStore(t.Context(), js, "nobody"); !errors.Is(err, natsjs.ErrStreamNotFound) {
		t.Errorf("a bucket that is not there: %v", err)
	}
}

func TestStateIsReadableByKVTools(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	store, err := jetstream.OpenStore(t.Context(), js, "normalizer")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Load(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	if err := store.Commit(t.Context(), "1", schemas.Checkpoint{Seq: 4}, map[string][]byte{"slice.3": []byte("v")}); err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), jetstream.StateBucket("normalizer"))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := kv.Get(t.Context(), "1.slice.3"); err != nil || string(e.Value()) != "v" {
		t.Errorf("Get: %v, %v", e, err)
	}
	// A key that somebody deleted by hand is not state; the digest tells that it is missing.
	if err := kv.Delete(t.Context(), "1.slice.3"); err != nil {
		t.Fatal(err)
	}
	_, state, err := store.Load(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range state {
		t.Errorf("state has %s = %q", key, value)
	}
}

func TestReadAll(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js)
	read := func(filter func(runner.Record) error) (n uint64, err error) {
		err = jetstream.ReadAll(t.Context(), js, "DEAD", func(r runner.Record) error {
			if n++; r.Seq != n {
				t.Errorf("record %d is the %d.", r.Seq, n)
			}
			return filter(r)
		})
		return n, err
	}
	all := func(runner.Record) error { return nil }
	if n, err := read(all); n != 0 || err != nil {
		t.Errorf("an empty stream: %d, %v", n, err)
	}
	put(t, newSink(t, js), outputs("dead.normalizer", 1, 700)...)
	if n, err := read(all); n != 700 || err != nil {
		t.Errorf("got %d, %v; want 700", n, err)
	}
	enough := errors.New("enough")
	n, err := read(func(r runner.Record) error {
		if r.Seq == 3 {
			return enough
		}
		return nil
	})
	if n != 3 || !errors.Is(err, enough) {
		t.Errorf("stopped: %d, %v", n, err)
	}
	if err := jetstream.ReadAll(t.Context(), js, "NOTHING", all); !errors.Is(err, natsjs.ErrStreamNotFound) {
		t.Errorf("a stream that is not there: %v", err)
	}
}
