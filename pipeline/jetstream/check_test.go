package jetstream_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
)

// small is a deployment with one of everything.
func small() jetstream.Topology {
	t := jetstream.DefaultTopology(jetstream.Identity{Lanes: 1, Partitions: 1, Lateness: 15, Learn: 1440, Budget: 1}, "normalizer")
	t.Readers = map[string]schemas.Flow{"normalizer": schemas.RawFlow}
	return t
}

// edit changes a stream as somebody with the server's tools would. What no edit can do is made anew.
func edit(t *testing.T, js natsjs.JetStream, name string, change func(*natsjs.StreamConfig)) {
	t.Helper()
	c := openStream(t, js, name).CachedInfo().Config
	change(&c)
	if _, err := js.UpdateStream(t.Context(), c); err == nil {
		return
	}
	if err := js.DeleteStream(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// Field by field: what is reported, what is adjusted, and what is left alone.
func TestDeployReportsWhatBreaksAPromise(t *testing.T) {
	const queue, state, insights = "EVENTS_0", "KV_STATE_normalizer", "INSIGHTS"
	for _, tc := range []struct {
		stream, field, is, should, do string
		change                        func(*natsjs.StreamConfig)
	}{
		{queue, "subjects", "events.0.*", "events.0.>", "--subjects=events.0.>",
			func(c *natsjs.StreamConfig) { c.Subjects = []string{"events.0.*"} }},
		{queue, "retention", "workqueue", "limits", "delete it and deploy again",
			func(c *natsjs.StreamConfig) { c.Retention = natsjs.WorkQueuePolicy }},
		{queue, "retention", "interest", "limits", "delete it and deploy again",
			func(c *natsjs.StreamConfig) { c.Retention = natsjs.InterestPolicy }},
		{queue, "storage", "memory", "file", "delete it and deploy again",
			func(c *natsjs.StreamConfig) { c.Storage = natsjs.MemoryStorage }},
		{queue, "discard", "DiscardOld", "DiscardNew", "--discard=new",
			func(c *natsjs.StreamConfig) { c.Discard = natsjs.DiscardOld }},
		{queue, "max_age", "1h0m0s", "none", "--max-age=0s", func(c *natsjs.StreamConfig) { c.MaxAge = time.Hour }},
		{queue, "max_msgs", "10", "none", "--max-msgs=-1", func(c *natsjs.StreamConfig) { c.MaxMsgs = 10 }},
		{queue, "max_msgs_per_subject", "3", "none", "--max-msgs-per-subject=-1",
			func(c *natsjs.StreamConfig) { c.MaxMsgsPerSubject = 3 }},
		{queue, "max_msg_size", "1000", "none below 1 MiB", "--max-msg-size=-1",
			func(c *natsjs.StreamConfig) { c.MaxMsgSize = 1000 }},
		{queue, "max_consumers", "2", "none", "delete it and deploy again", func(c *natsjs.StreamConfig) { c.MaxConsumers = 2 }},
		{queue, "no_ack", "true", "false", "--ack", func(c *natsjs.StreamConfig) {
			c.NoAck, c.AllowAtomicPublish, c.AllowBatchPublish = true, false, false
		}},
		{queue, "sealed", "true", "false", "delete it and deploy again", func(c *natsjs.StreamConfig) { c.Sealed = true }},
		{queue, "deny_purge", "true", "false", "delete it and deploy again", func(c *natsjs.StreamConfig) { c.DenyPurge = true }},
		{queue, "sources", "OTHER", "none", "--no-source",
			func(c *natsjs.StreamConfig) { c.Sources = []*natsjs.StreamSource{{Name: "OTHER"}} }},
		{queue, "subject_transform", "events.0.> to events.9.>", "none", "--no-transform", func(c *natsjs.StreamConfig) {
			c.SubjectTransform = &natsjs.SubjectTransformConfig{Source: "events.0.>", Destination: "events.9.>"}
		}},
		{insights, "allow_msg_counter", "true", "false", "delete it and deploy again", func(c *natsjs.StreamConfig) {
			c.AllowMsgCounter = true
		}},
		{queue, "persist_mode", "async", "default", "delete it and deploy again", func(c *natsjs.StreamConfig) {
			c.PersistMode, c.AllowAtomicPublish, c.AllowBatchPublish = natsjs.AsyncPersistMode, false, false
		}},
		{state, "max_msgs_per_subject", "5", "1", "--max-msgs-per-subject=1",
			func(c *natsjs.StreamConfig) { c.MaxMsgsPerSubject = 5 }},
		{state, "max_age", "1h0m0s", "none", "--max-age=0s", func(c *natsjs.StreamConfig) { c.MaxAge = time.Hour }},
		{state, "discard", "DiscardOld", "DiscardNew", "--discard=new",
			func(c *natsjs.StreamConfig) { c.Discard = natsjs.DiscardOld }},
		{state, "discard_new_per_subject", "true", "false", "--no-discard-per-subject",
			func(c *natsjs.StreamConfig) { c.DiscardNewPerSubject = true }},
		{insights, "allow_direct", "true", "false", "--no-allow-direct", func(c *natsjs.StreamConfig) { c.AllowDirect = true }},
		{insights, "discard", "DiscardNew", "DiscardOld", "--discard=old",
			func(c *natsjs.StreamConfig) { c.Discard = natsjs.DiscardNew }},
		{insights, "max_msgs", "7", "none", "--max-msgs=-1", func(c *natsjs.StreamConfig) { c.MaxMsgs = 7 }},
		{"KV_DEPLOYMENT", "max_age", "1h0m0s", "none", "--max-age=0s", func(c *natsjs.StreamConfig) { c.MaxAge = time.Hour }},
	} {
		t.Run(tc.stream+"/"+tc.field+"/"+tc.is, func(t *testing.T) {
			js := startJetStream(t)
			topology := small()
			if err := jetstream.Deploy(t.Context(), js, topology); err != nil {
				t.Fatal(err)
			}
			edit(t, js, tc.stream, tc.change)
			before := openStream(t, js, tc.stream).CachedInfo().Config
			topology.RawBytes = 12 << 20
			err := jetstream.Deploy(t.Context(), js, topology)
			var broken *jetstream.PromiseError
			if !errors.As(err, &broken) || len(broken.Problems) != 1 && tc.field != "sealed" { // which denies purges too
				t.Fatalf("Deploy: %v", err)
			}
			p := broken.Problems[0]
			if p.Stream != tc.stream || p.Field != tc.field || p.Is != tc.is || p.Should != tc.should ||
				!strings.Contains(p.Do, tc.do) || p.Why == "" {
				t.Errorf("got %s", p)
			}
			if diff := cmp.Diff(before, openStream(t, js, tc.stream).CachedInfo().Config); diff != "" {
				t.Errorf("it was changed:\n%s", diff)
			}
			if got := openStream(t, js, "RAW_0").CachedInfo().Config.MaxBytes; got != -1 {
				t.Errorf("something else was changed: RAW_0 is limited to %d", got)
			}
		})
	}
}

func TestDeployReportsAMirror(t *testing.T) {
	js := startJetStream(t)
	if err := jetstream.Deploy(t.Context(), js, small()); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "RAW_0"); err != nil {
		t.Fatal(err)
	}
	c := natsjs.StreamConfig{Name: "RAW_0", Mirror: &natsjs.StreamSource{Name: "EVENTS_0"}}
	if _, err := js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	err := jetstream.Deploy(t.Context(), js, small())
	if err == nil || !strings.Contains(err.Error(), "RAW_0: mirror is EVENTS_0, should be none") {
		t.Errorf("Deploy: %v", err)
	}
}

// All problems of all streams come at once.
func TestDeployListsEveryProblem(t *testing.T) {
	js := startJetStream(t)
	if err := jetstream.Deploy(t.Context(), js, small()); err != nil {
		t.Fatal(err)
	}
	edit(t, js, "RAW_0", func(c *natsjs.StreamConfig) { c.MaxAge, c.MaxMsgs = time.Minute, 5 })
	edit(t, js, "FINDINGS_0", func(c *natsjs.StreamConfig) { c.Discard = natsjs.DiscardOld })
	err := jetstream.Deploy(t.Context(), js, small())
	want := `streams are configured so that promises break; nothing was changed
  RAW_0: max_age is 1m0s, should be none (what was not read yet, or is still needed, goes by age): nats stream edit RAW_0 --max-age=0s
  RAW_0: max_msgs is 5, should be none (only bytes and age are limited): nats stream edit RAW_0 --max-msgs=-1
  FINDINGS_0: discard is DiscardOld, should be DiscardNew (a full queue must refuse new records, not forget old ones): ` +
		`nats stream edit FINDINGS_0 --discard=new`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

// What is ours is adjusted, what is harmless stays.
func TestDeployAdjustsWhatIsItsOwn(t *testing.T) {
	js := startJetStream(t)
	topology := small()
	if err := jetstream.Deploy(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"EVENTS_0", "INSIGHTS", "KV_STATE_normalizer"} {
		edit(t, js, name, func(c *natsjs.StreamConfig) {
			c.Description, c.Compression = "of the security team", natsjs.S2Compression
			c.Metadata = map[string]string{"team": "security"}
			c.AllowAtomicPublish, c.AllowBatchPublish = false, false
			c.Duplicates = time.Minute
			c.MaxBytes = 1 << 20
		})
	}
	edit(t, js, "INSIGHTS", func(c *natsjs.StreamConfig) { c.MaxAge = time.Hour })
	edit(t, js, "KV_STATE_normalizer", func(c *natsjs.StreamConfig) { c.AllowDirect = false })
	topology.EventsBytes, topology.InsightsBytes, topology.StateBytes = 5<<20, 6<<20, 7<<20
	if err := jetstream.Deploy(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	for name, limit := range map[string]int64{"EVENTS_0": 5 << 20, "INSIGHTS": 6 << 20, "KV_STATE_normalizer": 7 << 20} {
		c := openStream(t, js, name).CachedInfo().Config
		if c.Description == "" || c.Compression != natsjs.S2Compression || c.Metadata["team"] != "security" {
			t.Errorf("%s lost what is not ours: %+v", name, c)
		}
		if !c.AllowAtomicPublish || !c.AllowBatchPublish || c.MaxBytes != limit {
			t.Errorf("%s was not adjusted: %+v", name, c)
		}
	}
	if c := openStream(t, js, "INSIGHTS").CachedInfo().Config; c.MaxAge != 93*24*time.Hour {
		t.Errorf("INSIGHTS keeps for %v", c.MaxAge)
	}
	if c := openStream(t, js, "KV_STATE_normalizer").CachedInfo().Config; !c.AllowDirect {
		t.Error("the state cannot be read directly")
	}
}

// A bucket is not limited below what it holds: commits would be refused.
func TestDeployDoesNotLockABucket(t *testing.T) {
	js := startJetStream(t)
	topology := small()
	if err := jetstream.Deploy(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	store, err := jetstream.OpenStore(t.Context(), js, "normalizer")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := store.Load(t.Context(), "0"); err != nil {
		t.Fatal(err)
	}
	if err := store.Commit(t.Context(), "0", schemas.Checkpoint{}, map[string][]byte{"k": make([]byte, 500_000)}); err != nil {
		t.Fatal(err)
	}
	topology.StateBytes = 400_000
	err = jetstream.Deploy(t.Context(), js, topology)
	if err == nil || !strings.Contains(err.Error(), "KV_STATE_normalizer: max_bytes is to become 400000, should be at least 1000") {
		t.Errorf("Deploy: %v", err)
	}
}

func TestDeploySaysThatServersAreMissing(t *testing.T) {
	js := startJetStream(t)
	topology := small()
	if err := jetstream.Deploy(t.Context(), js, topology); err != nil {
		t.Fatal(err)
	}
	topology.Replicas = 3
	err := jetstream.Deploy(t.Context(), js, topology)
	if err == nil || !strings.Contains(err.Error(), "not enough servers for 3 replicas") {
		t.Errorf("Deploy: %v", err)
	}
}

// deployedBefore is a deployment as the first version made it: no readers, fewer streams.
func deployedBefore(t *testing.T, js natsjs.JetStream, id string) {
	t.Helper()
	base := func(name, subject string, discard natsjs.DiscardPolicy) natsjs.StreamConfig {
		return natsjs.StreamConfig{
			Name: name, Subjects: []string{subject}, MaxBytes: -1, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
			MaxConsumers: -1, Storage: natsjs.FileStorage, Replicas: 1, Duplicates: 100 * time.Millisecond, Discard: discard,
			AllowAtomicPublish: true, AllowBatchPublish: true,
		}
	}
	var all []natsjs.StreamConfig
	for _, s := range []string{"raw", "events", "windows", "findings"} {
		all = append(all, base(strings.ToUpper(s)+"_0", s+".0.>", natsjs.DiscardNew))
	}
	for _, s := range []string{"insights", "dead"} {
		c := base(strings.ToUpper(s), s+".>", natsjs.DiscardOld)
		c.MaxAge = 93 * 24 * time.Hour
		all = append(all, c)
	}
	for _, b := range []string{"DEPLOYMENT", "STATE_normalizer"} {
		c := base("KV_"+b, "$KV."+b+".>", natsjs.DiscardNew)
		c.MaxMsgsPerSubject, c.AllowRollup, c.DenyDelete, c.AllowDirect = 1, true, true, true
		all = append(all, c)
	}
	for _, c := range all {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	kv, err := js.KeyValue(t.Context(), "DEPLOYMENT")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Create(t.Context(), "identity", []byte(id)); err != nil {
		t.Fatal(err)
	}
}

func TestDeployUpgradesInPlace(t *testing.T) {
	js := startJetStream(t)
	deployedBefore(t, js, `{"lanes":1,"partitions":1,"lateness":15,"learn":1440,"budget":1}`)
	created := openStream(t, js, "RAW_0").CachedInfo().Created
	if purged, err := jetstream.Trim(t.Context(), js, "RAW_0"); purged != 0 || err != nil {
		t.Errorf("before the upgrade Trim purged %d, %v", purged, err)
	}
	topology := small()
	topology.Stages = append(topology.Stages, "aggregator")
	topology.Readers["aggregator"] = schemas.EventsFlow
	if err := topology.Share(2 << 30); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := jetstream.Deploy(t.Context(), js, topology); err != nil {
			t.Fatal(err)
		}
	}
	if c := openStream(t, js, "DEAD").CachedInfo().Config; c.MaxAge != 30*24*time.Hour || c.MaxBytes != topology.DeadBytes {
		t.Errorf("DEAD: %+v", c)
	}
	if i := openStream(t, js, "RAW_0").CachedInfo(); !i.Created.Equal(created) || i.Config.MaxBytes != topology.RawBytes {
		t.Errorf("RAW_0: %+v", i)
	}
	openStream(t, js, "KV_STATE_aggregator")
	r, err := jetstream.LoadReaders(t.Context(), js)
	want := jetstream.Readers{Trim: true, Stages: map[string]jetstream.Reader{
		"normalizer": {Reads: schemas.RawFlow, Enabled: true}, "aggregator": {Reads: schemas.EventsFlow, Enabled: true},
	}}
	if diff := cmp.Diff(want, r); diff != "" || err != nil {
		t.Errorf("readers: %v\n%s", err, diff)
	}
}

func ExamplePromiseError() {
	err := &jetstream.PromiseError{Problems: []jetstream.Problem{{
		Stream: "RAW_0", Field: "max_age", Is: "1h0m0s", Should: "none",
		Why: "records would go unread", Do: "nats stream edit RAW_0 --max-age=0s",
	}}}
	fmt.Println(err)
	// Output:
	// streams are configured so that promises break; nothing was changed
	//   RAW_0: max_age is 1h0m0s, should be none (records would go unread): nats stream edit RAW_0 --max-age=0s
}
