// Package telemetry is what processes tell about themselves: metrics, which /metrics shows to Prometheus and OTLP pushes, and
// traces. It is the only package that knows OpenTelemetry. What is pushed, and where, say the standard OTEL_* variables, which the
// libraries read by themselves; nothing is pushed without them.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Telemetry is that of one process. Shut it down.
type Telemetry struct {
	handler http.Handler
	metrics *sdk.MeterProvider
	commits metric.Float64Histogram
	spans   *sdktrace.TracerProvider // nil if nothing is traced
	tracer  trace.Tracer
}

// An Observe is told what a metric is, with the values of its labels in their order.
type Observe func(metric string, value float64, labels ...string)

// Start begins. It connects to nobody before there is something to push, and a collector that is away is no error.
func Start(ctx context.Context, instance, version string, log *slog.Logger) (*Telemetry, error) {
	complain(log)
	who := resource.NewSchemaless(
		attribute.String("service.name", "trailvane"),
		attribute.String("service.version", version),
		attribute.String("service.instance.id", instance))
	who, err := resource.Merge(who, resource.Environment()) // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go first
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := promexporter.New(promexporter.WithRegisterer(registry), promexporter.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	options := []sdk.Option{sdk.WithResource(who), sdk.WithReader(exporter)}
	if pushed("METRICS", log) {
		push, err := otlpmetricgrpc.New(ctx)
		if err != nil {
			return nil, fmt.Errorf("push metrics by OTLP: %w", err)
		}
		options = append(options, sdk.WithReader(sdk.NewPeriodicReader(push)))
	}
	t := &Telemetry{
		handler: promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}),
		metrics: sdk.NewMeterProvider(options...),
	}
	return t, t.startTraces(ctx, who, log)
}

// pushed reports whether the environment asks for one kind of telemetry to be pushed.
func pushed(kind string, log *slog.Logger) bool {
	exporter := os.Getenv("OTEL_" + kind + "_EXPORTER")
	asked := exporter == "otlp" ||
		exporter == "" && (os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+kind+"_ENDPOINT") != "")
	if !asked || strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	protocol := os.Getenv("OTEL_EXPORTER_OTLP_" + kind + "_PROTOCOL")
	if protocol == "" {
		protocol = os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	if protocol != "" && protocol != "grpc" {
		log.Warn("nothing is pushed: OTLP is spoken by grpc only", "kind", strings.ToLower(kind), "OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
		return false
	}
	return true
}

// complainEvery is how often it is said that telemetry fails.
const complainEvery = time.Minute

// complain logs what goes wrong with telemetry, once in a while. The library has one handler for all.
func complain(log *slog.Logger) {
	var mu sync.Mutex
	var last time.Time
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) >= complainEvery {
			last = time.Now()
			log.Warn("telemetry is incomplete", "error", err)
		}
	}))
}

// Handler serves the metrics to Prometheus.
func (t *Telemetry) Handler() http.Handler { return t.handler }

// Serve makes the metrics: whenever somebody asks, observe is called, by one goroutine at a time, and tells all of them.
// It is called once.
func (t *Telemetry) Serve(observe func(ctx context.Context, o Observe)) error {
	meter := t.metrics.Meter("github.com/trailvane/trailvane")
	all := make(map[string]instrument)
	var instruments []metric.Observable
	for _, m := range Metrics() {
		var made metric.Float64Observable
		var err error
		switch m.Kind {
		case Histogram:
			t.commits, err = meter.Float64Histogram(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Help),
				metric.WithExplicitBucketBoundaries(commitBuckets...))
		case Counter:
			made, err = meter.Float64ObservableCounter(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Help))
		case Gauge:
			made, err = meter.Float64ObservableGauge(m.Name, metric.WithUnit(m.Unit), metric.WithDescription(m.Help))
		}
		if err != nil {
			return err
		}
		if made != nil {
			all[m.Name] = instrument{made, m.Labels}
			instruments = append(instruments, made)
		}
	}
	var mu sync.Mutex // Prometheus and OTLP may ask at the same time
	_, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		mu.Lock()
		defer mu.Unlock()
		observe(ctx, func(name string, value float64, values ...string) {
			i := all[name]
			o.ObserveFloat64(i.Float64Observable, value, metric.WithAttributes(i.attributes(values)...))
		})
		return nil
	}, instruments...)
	return err
}

// An instrument is a metric as the library has it.
type instrument struct {
	metric.Float64Observable
	labels []string
}

func (i instrument) attributes(values []string) []attribute.KeyValue {
	list := make([]attribute.KeyValue, len(i.labels))
	for n, label := range i.labels {
		list[n] = attribute.String(label, values[n])
	}
	return list
}

// Committed notes how long a commit of a stage took.
func (t *Telemetry) Committed(stage string, took time.Duration) {
	if t.commits != nil {
		t.commits.Record(context.Background(), took.Seconds(), metric.WithAttributes(attribute.String("stage", stage)))
	}
}

// flushTime is what a stop has for telemetry that is not pushed yet: with the 2 s of the last commits and the 1 s of the last
// heartbeat far below the ten seconds that a container is given.
const flushTime = 2 * time.Second

// Shutdown pushes what is left, as far as that is possible within two seconds.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
	defer cancel()
	var spans error
	if t.spans != nil {
		spans = t.spans.Shutdown(ctx)
	}
	return errors.Join(spans, t.metrics.Shutdown(ctx))
}
