package jetstream_test

import (
	"testing"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
)

func TestCheckpoints(t *testing.T) {
	js := startJetStream(t)
	deploy(t, js, func(c *jetstream.Topology) { c.Stages = []string{"one"} })
	look := func() map[string]jetstream.Saved {
		t.Helper()
		all, err := jetstream.Checkpoints(t.Context(), js, "one")
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := look(); len(all) != 0 {
		t.Fatalf("nobody has claimed anything: %+v", all)
	}
	store, err := jetstream.OpenStore(t.Context(), js, "one")
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range []string{"0", "1", "0"} {
		if _, _, err := store.Load(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		c := schemas.Checkpoint{Stream: "s", Owner: "a", Epoch: uint64(i + 1)}
		if err := store.Commit(t.Context(), p, c, map[string][]byte{"k": nil}); err != nil {
			t.Fatal(err)
		}
	}
	all := look()
	if len(all) != 2 || all["0"].Epoch != 3 || all["1"].Epoch != 2 || all["1"].Owner != "a" || all["0"].At.IsZero() {
		t.Errorf("%+v", all)
	}
}
