package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/test/live"
)

// demo --to sends history and then what is live to a service, which finds in it what analyze finds in the same logs.
func TestDemoTo(t *testing.T) {
	dir := t.TempDir()
	tokens, kept := filepath.Join(dir, "tokens"), filepath.Join(dir, "kept")
	write(t, dir, "tokens", "# of the demo\ndemo 0123456789abcdef\n")
	store, collectorURL := receive(t)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collectorURL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100") // milliseconds
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "200000")
	port, http := freePort(t), fmt.Sprintf("127.0.0.1:%d", freePort(t))
	s := serve(t, "serve", "--store", filepath.Join(dir, "store"), "--port", fmt.Sprint(port), "--partitions", "4", "--lanes", "2",
		"--http", http, "--http-token-file", tokens)
	s.ready(t)

	if r := run(t, nil, "demo", "--to", "http://"+http); r.code != 1 || !strings.Contains(r.err, "401 no_token") {
		t.Errorf("without a token: exit %d\n%s", r.code, r.err)
	}
	if r := run(t, nil, "demo", "--to", "ftp://"+http); r.code != 2 {
		t.Errorf("with another protocol: exit %d\n%s", r.code, r.err)
	}
	r := run(t, nil, "demo", "--to", "http://"+http, "--token-file", tokens, "--speed", "5000", "--keep", kept)
	if r.code != 0 || !strings.Contains(r.out, "were sent") {
		t.Fatalf("exit %d\n%s%s", r.code, r.out, r.err)
	}
	analyzed, err := live.Parse(live.Lines([]byte(analyze(t, "--output", "ndjson", "--shape", "native", kept).out))...)
	if err != nil {
		t.Fatal(err)
	}
	types := make(map[string]bool)
	for _, i := range analyzed {
		types[i.Type] = true
	}
	if len(analyzed) < 20 || len(types) != 7 {
		t.Errorf("%d insight events of %d types are in the logs; all seven should be", len(analyzed), len(types))
	}
	nc, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", port), nats.Timeout(time.Minute)) // seven detectors are at work
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	var traces []string // of insight events
	within(t, "what analyze finds is published", func() bool {
		var events [][]byte
		traces = nil
		err := tvjetstream.ReadAll(t.Context(), js, tvjetstream.InsightsStream, func(r runner.Record) error {
			events, traces = append(events, r.Body), append(traces, r.Trace)
			return nil
		})
		published, err2 := live.Parse(events...)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		last = strings.Join(live.Compare(published, analyzed), "\n")
		return last == ""
	}, &last)
	s.stop(t) // and pushes what it has

	// The way of each insight begins with the request that brought the last straw, unless that was a tick.
	requests := 0
	for _, trace := range traces {
		if trace == "" {
			continue
		}
		way := store.way(trace)
		if len(way) != 5 || way[0] != "ingest request" || way[1] != "normalizer apply" || way[2] != "aggregator apply" ||
			!strings.HasPrefix(way[3], "detector-") || way[4] != "pairer apply" {
			t.Errorf("the trace of an insight is %q", way)
		}
		requests++
	}
	if requests < 14 {
		t.Errorf("%d of %d insight events have a trace", requests, len(traces))
	}
}
