package telemetry

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// defaultRatio is the share of chunks that are traced if the environment says nothing: a chunk has a dozen spans, and a
// catching up ingest makes hundreds of chunks a second.
const defaultRatio = 0.01

// ratio is the share of chunks that are traced if OTEL_TRACES_SAMPLER names no sampler. As for those that it names, an argument
// that is none is warned of and ignored.
func ratio(log *slog.Logger) float64 {
	arg := os.Getenv("OTEL_TRACES_SAMPLER_ARG")
	if arg == "" {
		return defaultRatio
	}
	r, err := strconv.ParseFloat(arg, 64)
	if err != nil || !(r >= 0 && r <= 1) {
		log.Warn("OTEL_TRACES_SAMPLER_ARG is no share between 0 and 1, and is ignored", "value", arg, "instead", defaultRatio)
		return defaultRatio
	}
	return r
}

// startTraces begins to trace if the environment asks for it.
func (t *Telemetry) startTraces(ctx context.Context, who *resource.Resource, log *slog.Logger) error {
	if !pushed("TRACES", log) {
		return nil
	}
	push, err := otlptracegrpc.New(ctx)
	if err != nil {
		return fmt.Errorf("push traces by OTLP: %w", err)
	}
	options := []sdk.TracerProviderOption{sdk.WithResource(who), sdk.WithBatcher(push), sdk.WithIDGenerator(ids{})}
	if os.Getenv("OTEL_TRACES_SAMPLER") == "" {
		options = append(options, sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(ratio(log)))))
	}
	t.spans = sdk.NewTracerProvider(options...)
	t.tracer = t.spans.Tracer("github.com/trailvane/trailvane")
	return nil
}

// Tracing reports whether there are traces.
func (t *Telemetry) Tracing() bool { return t.spans != nil }

// Trace returns what [runner.Config.Trace] asks for: a span for each record that a partition of a stage applies, if the
// record's trace is sampled. A stage with a root that is not empty begins the traces of records that have none; a root is unique
// among all deployments that share a collector. No other stage begins one: what was not chosen at the beginning is never traced.
//
// Ids are functions of root, stage, partition and sequence. So what is done again after a crash is the same span again, and
// those behind it belong to it whichever of the two was pushed.
func (t *Telemetry) Trace(stage, partition, root string) func(*runner.Record) (string, func(outputs int, err error)) {
	name := stage + " apply"
	same := []attribute.KeyValue{attribute.String("trailvane.stage", stage), attribute.String("trailvane.partition", partition)}
	return func(r *runner.Record) (string, func(int, error)) {
		ctx := context.Background()
		if r.Trace != "" {
			ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": r.Trace})
		}
		parent := trace.SpanContextFromContext(ctx)
		if root == "" && !parent.IsValid() {
			return "", nil
		}
		if parent.IsValid() && !parent.IsSampled() {
			return r.Trace, nil
		}
		ctx = context.WithValue(ctx, place{}, place{root, stage, partition, r.Seq})
		_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(same...))
		if !span.IsRecording() {
			return r.Trace, nil // later stages may have another sampler
		}
		span.SetAttributes(attribute.Int64("trailvane.input.seq", int64(r.Seq)), attribute.String("trailvane.subject", r.Subject))
		s := span.SpanContext()
		return fmt.Sprintf("00-%s-%s-%s", s.TraceID(), s.SpanID(), s.TraceFlags()), func(outputs int, err error) {
			span.SetAttributes(attribute.Int("trailvane.outputs", outputs))
			if err != nil {
				span.SetStatus(codes.Error, err.Error())
			}
			span.End()
		}
	}
}

// Request begins the span of a request that brings records: the beginning of their trace, unless the client has one, whose
// traceparent is given. It returns the traceparent of what the request brings, empty if nothing is traced, and what ends the span.
func (t *Telemetry) Request(name, traceparent string) (string, func(records int, err error)) {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer))
	s := span.SpanContext()
	if !span.IsRecording() {
		if !trace.SpanContextFromContext(ctx).IsValid() {
			return "", func(int, error) {}
		}
		return fmt.Sprintf("00-%s-%s-%s", s.TraceID(), s.SpanID(), s.TraceFlags()), func(int, error) {}
	}
	return fmt.Sprintf("00-%s-%s-%s", s.TraceID(), s.SpanID(), s.TraceFlags()), func(records int, err error) {
		span.SetAttributes(attribute.Int("trailvane.records", records))
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}

// A place is where a span comes from, which makes its ids.
type place struct {
	root, stage, partition string
	seq                    uint64
}

// hash hashes a place; salt and trace tell different ids of it apart.
func (p place) hash(salt byte, of trace.TraceID) uint64 {
	var d xxhash.Digest
	d.Reset()
	for _, s := range []string{p.root, p.stage, p.partition} {
		_, _ = d.WriteString(s)
		_, _ = d.Write([]byte{0})
	}
	_, _ = d.Write(of[:])
	_, _ = d.Write(binary.BigEndian.AppendUint64([]byte{salt}, p.seq))
	return max(d.Sum64(), 1) // zero is no id
}

// ids makes ids from places, and at random for spans that come from none.
type ids struct{}

// NewIDs returns the ids of the first span of a trace.
func (i ids) NewIDs(ctx context.Context) (id trace.TraceID, span trace.SpanID) {
	p, ok := ctx.Value(place{}).(place)
	if !ok {
		p = place{seq: rand.Uint64(), root: fmt.Sprint(rand.Uint64())}
	}
	binary.BigEndian.PutUint64(id[:8], p.hash(1, trace.TraceID{}))
	binary.BigEndian.PutUint64(id[8:], p.hash(2, trace.TraceID{}))
	return id, i.NewSpanID(ctx, id)
}

// NewSpanID returns the id of a further span of a trace.
func (ids) NewSpanID(ctx context.Context, id trace.TraceID) (span trace.SpanID) {
	p, ok := ctx.Value(place{}).(place)
	if !ok {
		p = place{seq: rand.Uint64()}
	}
	binary.BigEndian.PutUint64(span[:], p.hash(3, id))
	return span
}
