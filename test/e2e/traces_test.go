package e2e

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/tidwall/gjson"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// A spanStore receives spans by OTLP.
type spanStore struct {
	collector.UnimplementedTraceServiceServer
	mu  sync.Mutex
	all map[string]*tracepb.Span // by trace and span id
}

// receive runs a spanStore until the test ends, and returns its URL.
func receive(t *testing.T) (*spanStore, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &spanStore{all: make(map[string]*tracepb.Span)}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		served.Wait()
	})
	return s, "http://" + listener.Addr().String()
}

// Export takes spans.
func (s *spanStore) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range r.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				s.all[fmt.Sprintf("%x-%x", span.TraceId, span.SpanId)] = span
			}
		}
	}
	return new(collector.ExportTraceServiceResponse), nil
}

// named returns how many spans have a name.
func (s *spanStore) named(name string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.all {
		if span.Name == name {
			n++
		}
	}
	return n
}

// way returns the names of the spans from the beginning of a trace to the span of a traceparent.
func (s *spanStore) way(traceparent string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for id := traceparent[3 : 3+32+1+16]; ; {
		span := s.all[id]
		if span == nil {
			return append([]string{"missing " + id}, names...)
		}
		names = append([]string{span.Name}, names...)
		if len(span.ParentSpanId) == 0 {
			return names
		}
		id = fmt.Sprintf("%x-%x", span.TraceId, span.ParentSpanId)
	}
}

// A wire notes what is put into the streams of a server, without control records and what they cause, which depend on the clock.
type wire struct {
	mu       sync.Mutex
	bodies   map[string]bool      // subject and body
	insights map[string]*nats.Msg // by subject
	traces   int                  // messages with a trace
}

func listen(t *testing.T, url string) *wire {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	w := &wire{bodies: make(map[string]bool), insights: make(map[string]*nats.Msg)}
	for _, subject := range []string{"raw.*.*", "events.*.*", "windows.*.*.counts", "insights.>"} {
		s, err := nc.Subscribe(subject, w.note)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SetPendingLimits(-1, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wire) note(m *nats.Msg) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if m.Header.Get("traceparent") != "" {
		w.traces++
	}
	if strings.HasPrefix(m.Subject, "insights.") {
		if w.insights[m.Subject] == nil {
			w.insights[m.Subject] = m
		}
		return
	}
	if kind := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]; kind == "tick" || kind == "settings" || kind == "end" {
		return
	}
	w.bodies[m.Subject+" "+string(m.Data)] = true
}

// differs says in what two wires differ.
func (w *wire) differs(from *wire) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	from.mu.Lock()
	defer from.mu.Unlock()
	count := func(w *wire) map[string]int {
		n := make(map[string]int)
		for b := range w.bodies {
			n[b[:strings.IndexByte(b, '.')]]++
		}
		return n
	}
	if len(w.bodies) == 0 || !maps.Equal(w.bodies, from.bodies) {
		return cmp.Diff(count(w), count(from))
	}
	return ""
}

// Every stage is a process; one is killed in the middle. Each insight event has a trace with a span of every stage, connected from
// the chunk that was read; and all bodies are those of a deployment that traces nothing.
func TestTraces(t *testing.T) {
	logs := filepath.Join(t.TempDir(), "logs")
	if r := run(t, nil, "simulate", "--days", "3", logs); r.code != 0 {
		t.Fatal(r.err)
	}
	store, collectorURL := receive(t)
	plain, traced := natsServer(t), natsServer(t)
	silent, spoken := listen(t, plain), listen(t, traced)
	stages := []string{"ingest", "normalizer", "aggregator", "detector", "pairer"}
	flags := func(stage, url string) []string {
		args := []string{stage, "--nats", url}
		if stage == "ingest" || stage == "serve" {
			args = append(args, "--poll", "1s", logs)
		}
		return args
	}
	for _, url := range []string{plain, traced} {
		if r := run(t, nil, "deploy", "--nats", url, "--partitions", "2", "--lanes", "2"); r.code != 0 {
			t.Fatal(r.err)
		}
	}
	services := []*serving{serve(t, flags("serve", plain)...)}

	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collectorURL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	t.Setenv("OTEL_METRICS_EXPORTER", "none")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100") // milliseconds
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100000")
	for _, stage := range stages {
		if stage != "aggregator" {
			services = append(services, serve(t, flags(stage, traced)...))
		}
	}
	// It dies in the middle: what it had not committed is done again.
	victim := start(t, nil, flags("aggregator", traced)...)
	last := ""
	within(t, "the aggregator works", func() bool { return store.named("aggregator apply") > 0 }, &last)
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // killed
	services = append(services, serve(t, flags("aggregator", traced)...))

	within(t, "both have put the same", func() bool {
		last = spoken.differs(silent)
		if last == "" && (len(spoken.events("Start")) == 0 || !slices.Equal(spoken.events("Start"), silent.events("Start"))) {
			last = fmt.Sprintf("Starts: %q and %q", spoken.events("Start"), silent.events("Start"))
		}
		return last == ""
	}, &last)
	for _, s := range services {
		s.stop(t) // and pushes what it has
	}

	if silent.traces > 0 {
		t.Errorf("%d messages have a trace where nothing is traced", silent.traces)
	}
	nc, err := nats.Connect(traced)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "INSIGHTS")
	if err != nil {
		t.Fatal(err)
	}
	for subject, was := range spoken.insights {
		m, err := stream.GetLastMsgForSubject(t.Context(), subject)
		if err != nil {
			t.Fatal(err)
		}
		if m.Header.Get("traceparent") == "" {
			t.Errorf("%s is stored without a trace", subject)
			continue
		}
		if other := silent.insights[subject]; other != nil && string(other.Data) != string(m.Data) || string(was.Data) != string(m.Data) {
			t.Errorf("%s has other bytes when it is traced:\n%s", subject, m.Data)
		}
		kind := gjson.GetBytes(m.Data, "insightDetails.insightType").String()
		want := []string{"ingest apply", "normalizer apply", "aggregator apply", "detector-" + kind + " apply", "pairer apply"}
		if diff := cmp.Diff(want, store.way(m.Header.Get("traceparent"))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", subject, diff)
		}
	}
}

// events returns the subjects of insight events of a state, sorted.
func (w *wire) events(state string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for subject, m := range w.insights {
		if gjson.GetBytes(m.Data, "insightDetails.state").String() == state {
			all = append(all, subject)
		}
	}
	slices.Sort(all)
	return all
}
