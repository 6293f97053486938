package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// traced returns a telemetry that keeps its spans.
func traced(t *testing.T, s sdk.Sampler) (*Telemetry, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	p := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans), sdk.WithIDGenerator(ids{}), sdk.WithSampler(s))
	t.Cleanup(func() { _ = p.Shutdown(context.Background()) })
	return &Telemetry{spans: p, tracer: p.Tracer("test")}, spans
}

const sampled, unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

func TestTrace(t *testing.T) {
	for name, c := range map[string]struct {
		sampler sdk.Sampler
		root    string
		trace   string
		want    string // what the trace context of the outputs begins with
		span    bool
	}{
		"a stage goes on":                     {sdk.AlwaysSample(), "", sampled, sampled[:36], true},
		"a stage begins none":                 {sdk.AlwaysSample(), "", "", "", false},
		"ingest begins one":                   {sdk.AlwaysSample(), "d", "", "00-", true},
		"ingest goes on with one of a client": {sdk.AlwaysSample(), "d", sampled, sampled[:36], true},
		"ingest was told not to":              {sdk.NeverSample(), "d", "", "", false},
		"not sampled by who began it":         {sdk.AlwaysSample(), "", unsampled, unsampled, false},
		"a stage that samples none":           {sdk.NeverSample(), "", sampled, sampled, false},
		"nonsense":                            {sdk.AlwaysSample(), "", "00-xyz", "", false},
		"a header of many bytes":              {sdk.AlwaysSample(), "", strings.Repeat("0", 1<<16), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			tele, spans := traced(t, c.sampler)
			got, end := tele.Trace("normalizer", "1", c.root)(&runner.Record{Seq: 7, Trace: c.trace})
			if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" || c.span && got == c.trace {
				t.Errorf("%q, want %q…", got, c.want)
			}
			if (end != nil) != c.span {
				t.Fatalf("a span: %v, want %v", end != nil, c.span)
			}
			if !c.span {
				return
			}
			end(3, nil)
			if s := spans.Ended(); len(s) != 1 || s[0].Name() != "normalizer apply" || s[0].SpanContext().SpanID().String() != got[36:52] {
				t.Errorf("%v", s)
			}
		})
	}
}

// What is done again after a crash, by whomever, is the same span; what is done elsewhere is another.
func TestIDsAreOfThePlace(t *testing.T) {
	of := func(root, stage, partition string, seq uint64, trace string) string {
		tele, _ := traced(t, sdk.AlwaysSample())
		got, _ := tele.Trace(stage, partition, root)(&runner.Record{Seq: seq, Trace: trace})
		return got
	}
	seen := make(map[string]string)
	for name, make := range map[string]func() string{
		"ingest":                 func() string { return of("d", "ingest", "0", 1, "") },
		"another record":         func() string { return of("d", "ingest", "0", 2, "") },
		"another lane":           func() string { return of("d", "ingest", "1", 1, "") },
		"another deployment":     func() string { return of("e", "ingest", "0", 1, "") },
		"a stage":                func() string { return of("", "aggregator", "0", 1, sampled) },
		"another stage":          func() string { return of("", "pairer", "0", 1, sampled) },
		"another record of that": func() string { return of("", "pairer", "0", 2, sampled) },
	} {
		got := make()
		if again := make(); again != got {
			t.Errorf("%s is %s and %s", name, got, again)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%s is %s: %s", name, other, got)
		}
		seen[got] = name
	}
}

// The default sampler takes its argument from the environment, also where no sampler is named.
func TestRatio(t *testing.T) {
	for arg, want := range map[string]struct {
		ratio float64
		warns bool
	}{
		"": {defaultRatio, false}, "1": {1, false}, "0": {0, false}, "0.25": {0.25, false},
		"2": {defaultRatio, true}, "-1": {defaultRatio, true}, "NaN": {defaultRatio, true}, "often": {defaultRatio, true},
	} {
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", arg)
		var log bytes.Buffer
		if got := ratio(slog.New(slog.NewTextHandler(&log, nil))); got != want.ratio || (log.Len() > 0) != want.warns {
			t.Errorf("%q: %v, want %v; log %q", arg, got, want.ratio, &log)
		}
	}
}

// Nothing is pushed unless the environment says where to.
func TestPushed(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want bool
	}{
		"nothing said":     {nil, false},
		"endpoint":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4317"}, true},
		"endpoint of it":   {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:4317"}, true},
		"endpoint of them": {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://x:4317"}, false},
		"exporter":         {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		"no exporter":      {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4317", "OTEL_TRACES_EXPORTER": "none"}, false},
		"disabled":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4317", "OTEL_SDK_DISABLED": "true"}, false},
		"http":             {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			if got := pushed("TRACES", slog.New(slog.DiscardHandler)); got != c.want {
				t.Errorf("pushed is %v", got)
			}
		})
	}
}

// What tracing costs a record: nothing is said, not chosen, chosen.
func BenchmarkTrace(b *testing.B) {
	for name, c := range map[string]struct{ root, trace string }{"none": {"", ""}, "unsampled": {"", unsampled}, "sampled": {"", sampled}} {
		b.Run(name, func(b *testing.B) {
			p := sdk.NewTracerProvider(sdk.WithIDGenerator(ids{}), sdk.WithSampler(sdk.AlwaysSample()))
			defer p.Shutdown(b.Context())
			trace := (&Telemetry{spans: p, tracer: p.Tracer("test")}).Trace("normalizer", "1", c.root)
			r := &runner.Record{Trace: c.trace, Subject: "raw.0.cloudtrail"}
			b.ReportAllocs()
			for b.Loop() {
				r.Seq++
				if _, end := trace(r); end != nil {
					end(1, nil)
				}
			}
		})
	}
}
