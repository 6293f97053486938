package runner_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
)

// A lineCounter numbers the lines it reads. This is a whole stage.
type lineCounter struct{ lines uint64 }

func (c *lineCounter) Apply(r runner.Record, emit func(runner.Output)) error {
	c.lines++
	emit(runner.Output{Subject: "events.0.lines", Body: fmt.Appendf(nil, "%d: %s", c.lines, r.Body)})
	return nil
}

func (c *lineCounter) Snapshot(changed func(key string, state []byte)) error {
	changed("lines", binary.BigEndian.AppendUint64(nil, c.lines))
	return nil
}

func (c *lineCounter) Restore(_ string, state []byte) error {
	c.lines = binary.BigEndian.Uint64(state)
	return nil
}

// A stage runs until its input ends, and goes on where it was when it runs again.
func ExampleRun() {
	broker := memory.NewBroker(time.Now)
	run := func() error {
		input := broker.Source("RAW_0")
		input.Drain() // what is there now is all
		return runner.Run(context.Background(), runner.Config{
			Stage: "linecounter", Partition: "0", Instance: "example", Constants: "v1",
			Source: input, Sink: broker.Sink(), Store: broker.Store("linecounter"),
			New: func(uint64) runner.Processor { return new(lineCounter) },
		})
	}
	for _, line := range []string{"the wind", "changes"} {
		if err := broker.Publish("raw.0.text", []byte(line), ""); err != nil {
			fmt.Println(err)
		}
		if err := run(); err != nil {
			fmt.Println(err)
		}
	}
	for _, r := range broker.Records("EVENTS_0") {
		fmt.Printf("%s, number %d of %s\n", r.Body, r.Number.Seq, r.Producer)
	}
	// Output:
	// 1: the wind, number 1 of linecounter.0.g0.d7863b0d
	// 2: changes, number 2 of linecounter.0.g0.d7863b0d
}
