package runner_test

import (
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
)

// counter counts records by body and puts out every count.
type counter struct{ n byte }

func (c *counter) Apply(r runner.Record, emit func(runner.Output)) error {
	c.n++
	emit(runner.Output{Subject: "events.0.x", Body: append([]byte{'0' + c.n, ' '}, r.Body...)})
	return nil
}

func (c *counter) Snapshot(changed func(string, []byte)) error {
	changed("n", []byte{c.n})
	return nil
}

func (c *counter) Restore(_ string, state []byte) error {
	c.n = state[0]
	return nil
}

func TestRunTwice(t *testing.T) {
	b := memory.NewBroker(time.Now)
	for _, body := range []string{"a", "b"} {
		if err := b.Publish("raw.0.x", []byte(body), ""); err != nil {
			t.Fatal(err)
		}
		s := b.Source("RAW_0")
		s.Drain()
		err := runner.Run(t.Context(), runner.Config{
			Stage: "counter", Partition: "0", Instance: "i" + body, Source: s, Sink: b.Sink(), Store: b.Store("counter"),
			New: func(uint64) runner.Processor { return new(counter) },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got := b.Records("EVENTS_0")
	if len(got) != 2 || string(got[0].Body) != "1 a" || string(got[1].Body) != "2 b" {
		t.Fatalf("got %v", got)
	}
}
