package ingest_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log"
	"strings"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A shelf is a connector of what it holds.
type shelf map[string]string

func (shelf) Name() string { return "shelf" }

func (s shelf) List(context.Context) iter.Seq2[ingest.Object, error] {
	return func(yield func(ingest.Object, error) bool) {
		for name, content := range s {
			if !yield(ingest.Object{Name: name, Size: int64(len(content))}, nil) {
				return
			}
		}
	}
}

func (s shelf) Open(_ context.Context, o ingest.Object) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(s[o.Name])), nil
}

// The stage in whole: settle the order, then let the runner read.
func Example() {
	ctx := context.Background()
	logs := shelf{
		"tuesday.json": `{"Records":[{"eventVersion":"1.08","eventTime":"2024-05-07T10:00:00Z","eventSource":"iam.amazonaws.com",` +
			`"eventName":"CreateUser","awsRegion":"us-east-1"}]}`,
		"monday.json": `{"Records":[{"eventVersion":"1.08","eventTime":"2024-05-06T10:00:00Z","eventSource":"iam.amazonaws.com",` +
			`"eventName":"DeleteUser","awsRegion":"us-east-1"}, oops]}`,
		"notes.txt": "Nothing of interest.",
	}
	broker := memory.NewBroker(nil)
	settings := schemas.DefaultSettings()
	plan, err := ingest.MakePlan(ctx, ingest.PlanConfig{
		Connector: logs, Store: broker.Store("ingest"), Settings: &settings, End: &schemas.End{Close: true},
		EventTime: formats.EventTime,
	})
	if err != nil {
		log.Fatal(err)
	}

	source := ingest.NewSource(ingest.SourceConfig{Plan: plan, Connector: logs, Detect: formats.Detect})
	processor := ingest.NewProcessor()
	err = drain(ctx, source, processor, func(o runner.Output) { // in production, runner.Run with a sink
		fmt.Println(o.Subject)
	})
	if err != nil {
		log.Fatal(err)
	}
	stats := processor.Stats()
	fmt.Println(stats.Objects, "objects,", stats.Records, "records, dead", stats.Dead, "skipped", stats.Skipped, stats.NotLogs)
	// Output:
	// raw.0.settings
	// raw.0.cloudtrail
	// dead.ingest
	// raw.0.cloudtrail
	// raw.0.end
	// 2 objects, 2 records, dead map[malformed:1] skipped map[not_a_log:1] [notes.txt]
}

func drain(ctx context.Context, s runner.Source, p runner.Processor, emit func(runner.Output)) error {
	for after := uint64(0); ; {
		records, err := s.Read(ctx, after)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := p.Apply(r, emit); err != nil {
				return err
			}
			after = r.Seq
		}
	}
}
