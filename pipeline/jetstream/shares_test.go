package jetstream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
)

// Rule 8: the shares of everything add up to at most 90 % of the limit.
func TestRule8SharesAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := jetstream.Topology{
			Identity: jetstream.Identity{
				Lanes: rapid.IntRange(1, 32).Draw(t, "lanes"), Partitions: rapid.IntRange(1, 32).Draw(t, "partitions"),
			},
			Stages: make([]string, rapid.IntRange(1, 20).Draw(t, "stages")),
		}
		total := rapid.Int64Range(0, 1<<42).Draw(t, "total")
		if err := c.Share(total); err != nil {
			if total > 10<<30 {
				t.Fatalf("%d are too small: %v", total, err)
			}
			return
		}
		lanes, partitions := int64(c.Lanes), int64(c.Partitions)
		const deployment, members = 1 << 20, 1 << 20
		sum := c.RawBytes*lanes + (c.EventsBytes+c.WindowsBytes+c.FindingsBytes)*partitions +
			c.InsightsBytes + c.MetricsBytes + c.DeadBytes + c.StateBytes*int64(len(c.Stages)) + deployment + members
		if sum > total/10*9 {
			t.Fatalf("%d of %d", sum, total)
		}
		for _, n := range []int64{c.RawBytes, c.EventsBytes, c.WindowsBytes, c.FindingsBytes, c.InsightsBytes, c.MetricsBytes, c.DeadBytes} {
			if n < 4<<20 {
				t.Fatalf("a stream of %d bytes holds no burst", n)
			}
		}
		if c.StateBytes < 16<<20 {
			t.Fatalf("a bucket of %d bytes", c.StateBytes)
		}
	})
}

// The limit that the error names is enough, and nothing was changed.
func TestShareNamesTheSmallestLimit(t *testing.T) {
	c := small()
	err := c.Share(1000)
	if err == nil || c.RawBytes != 0 {
		t.Fatalf("Share: %v", err)
	}
	_, text, _ := strings.Cut(err.Error(), "at least ")
	var mib int64
	if _, err := fmt.Sscanf(text, "%d MiB", &mib); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if err := c.Share((mib + 1) << 20); err != nil {
		t.Error(err)
	}
	if err := c.Share((mib - 1) << 20); err == nil {
		t.Error("less is enough")
	}
}

// What trimming leaves must not fill a stream for ever.
func TestATailThatFillsAStreamIsRefused(t *testing.T) {
	c := small()
	c.KeepTail = 3
	if err := c.Share(2 << 30); err != nil {
		t.Error(err)
	}
	c.KeepTail = 10_000
	if err := c.Share(2 << 30); err == nil || !strings.Contains(err.Error(), "a tail of 10000 messages may fill") {
		t.Errorf("Share: %v", err)
	}
}

// startAccount runs a server whose only account may store so much.
func startAccount(t *testing.T, account, store int64) natsjs.JetStream {
	t.Helper()
	s := jetstreamtest.Start(t, func(o *server.Options) { o.DontListen, o.JetStreamMaxStore = true, store })
	if account > 0 {
		limits := map[string]server.JetStreamAccountLimits{"": {
			MaxMemory: -1, MaxStore: account, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1,
			MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1,
		}}
		if err := s.GlobalAccount().UpdateJetStreamLimits(limits); err != nil {
			t.Fatal(err)
		}
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeConn(nc) })
	js, err := natsjs.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Rule 8: how much is needed and how much is there is said before anything is made.
func TestRule8AnAccountThatIsTooSmall(t *testing.T) {
	js := startAccount(t, 1<<30, 8<<30)
	other := natsjs.StreamConfig{Name: "OTHER", Subjects: []string{"other"}, MaxBytes: 100 << 20, Storage: natsjs.FileStorage}
	if _, err := js.CreateStream(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	c := small()
	if err := c.Share(2 << 30); err != nil {
		t.Fatal(err)
	}
	err := jetstream.Deploy(t.Context(), js, c)
	if err == nil || !strings.Contains(err.Error(), "the account may store 1024 MiB, of which 100 MiB are reserved by others") ||
		!strings.Contains(err.Error(), "and 924 MiB are there") {
		t.Errorf("Deploy: %v", err)
	}
	if _, err := js.Stream(t.Context(), "KV_DEPLOYMENT"); err == nil {
		t.Error("a refused Deploy made a stream")
	}
	if err := c.Share(1 << 30); err != nil {
		t.Fatal(err)
	}
	for range 2 { // its own reservations are not counted twice
		if err := jetstream.Deploy(t.Context(), js, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := jetstream.Deploy(t.Context(), js, small()); err != nil { // without a limit it keeps the one it has
		t.Fatal(err)
	}
	if total, err := jetstream.LoadStorageLimit(t.Context(), js); err != nil || total != 1<<30 {
		t.Errorf("LoadStorageLimit: %d, %v", total, err)
	}
	if got := openStream(t, js, "RAW_0").CachedInfo().Config.MaxBytes; got != c.RawBytes {
		t.Errorf("RAW_0 is limited to %d, want %d", got, c.RawBytes)
	}
}

// A server's own limit is not told to clients; it refuses, and that is explained.
func TestRule8AServerThatIsTooSmall(t *testing.T) {
	js := startAccount(t, 0, 1<<30)
	c := small()
	if err := c.Share(4 << 30); err != nil {
		t.Fatal(err)
	}
	err := jetstream.Deploy(t.Context(), js, c)
	if err == nil || !strings.Contains(err.Error(), "max_file_store") {
		t.Errorf("Deploy: %v", err)
	}
}
