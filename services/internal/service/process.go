package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/telemetry"
)

// A Process is what all service processes share, as flags.
type Process struct {
	Instance string `placeholder:"NAME" help:"Name of this instance, unique among all that run: letters, digits, dots, _ and -, at most 64 (default: the host's name and the process id)."`
	Listen   string `placeholder:"ADDR" help:"Serve /healthz (the process lives) and /readyz (it owns its share of the work and has restored it; 503 and the reason otherwise) and /metrics (for Prometheus) by HTTP at this address, as 127.0.0.1:8080 or :8080 for everybody; port 0 is a free one, which the log tells (default: nowhere)."`
	Logging

	Version string `kong:"-"` // of the program, for telemetry; may be empty
}

// Logging is what a process says about itself, as flags.
type Logging struct {
	LogLevel string `default:"info" enum:"debug,info,warn,error" help:"Log this and worse: ${enum}. Logs go to standard error, as text on a terminal and as JSON, one object a line, otherwise."`
}

// instanceName is what may be part of a key.
var instanceName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

// Check returns an error if a flag makes no sense.
func (p *Process) Check() error {
	if p.Instance != "" && (!instanceName.MatchString(p.Instance) || strings.Contains(p.Instance+".", "..")) {
		return fmt.Errorf("--instance=%q: letters, digits, _, - and single dots within are possible, at most 64", p.Instance)
	}
	if p.Listen != "" {
		if _, err := net.ResolveTCPAddr("tcp", p.Listen); err != nil {
			return fmt.Errorf("--listen=%q is no address such as 127.0.0.1:8080: %w", p.Listen, err)
		}
	}
	return nil
}

// Name returns the name of the instance.
func (p *Process) Name() string {
	if p.Instance != "" {
		return p.Instance
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "host"
	}
	host = strings.Trim(regexp.MustCompile(`[^A-Za-z0-9_-]+`).ReplaceAllString(host, "-"), "-")
	return fmt.Sprintf("%.48s-%d", host, os.Getpid())
}

// maxLogged bounds one value in a log, columns: errors tell names and values that come from logs.
const maxLogged = 2000

// Log returns the logger of a process. Whatever it is told is escaped, so that nothing from outside is obeyed by a terminal.
func (l *Logging) Log(w io.Writer) *slog.Logger {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(l.LogLevel)) // kong has checked it
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch v := a.Value.Resolve(); v.Kind() {
		case slog.KindString:
			a.Value = slog.StringValue(present.Safe(v.String(), maxLogged))
		case slog.KindAny:
			if err, ok := v.Any().(error); ok {
				a.Value = slog.StringValue(present.Safe(err.Error(), maxLogged))
			}
		default: // numbers and times
		}
		return a
	}}
	if _, terminal := present.Terminal(w); terminal {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// A Start makes the work of a process: it connects, finds the deployment, and says what to run.
type Start func(ctx context.Context, log *slog.Logger) (*Deployment, []Work, error)

// A Server takes requests beside the work of a process.
type Server interface {
	// Serve works until the context ends, which is no error.
	Serve(ctx context.Context) error
	// Ready returns nil while requests are taken. It may be called at any time.
	Ready() error
}

// Run serves health and metrics, starts, and works until the context ends, which is no error: then it commits, gives up what it owns,
// closes the connection of the deployment, pushes what telemetry is left, and returns. Any error is for a person.
func (p *Process) Run(ctx context.Context, log *slog.Logger, start Start) error {
	t, err := telemetry.Start(ctx, p.Name(), p.Version, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := t.Shutdown(ctx); err != nil {
			log.Warn("stopped with telemetry that was not pushed", "error", err)
		}
	}()
	h := &health{ready: func() error { return errors.New("starting") }, metrics: t.Handler()}
	if p.Listen != "" {
		stop, err := h.serve(ctx, p.Listen, log)
		if err != nil {
			return err
		}
		defer stop()
	}
	d, works, err := start(ctx, log)
	if d != nil {
		defer d.JS.Conn().Close()
	}
	if err != nil {
		return unlessEnded(ctx, err)
	}
	i := NewInstance(d, works...)
	d.observer = newObserver(t, d)
	if err := t.Serve(func(ctx context.Context, tell telemetry.Observe) { d.observer.observe(ctx, i, tell) }); err != nil {
		return err
	}
	h.set(func() error { return readiness(d, i) })
	log.Info("working", "instance", d.Instance, "stages", stages(works),
		"partitions", d.Identity.Partitions, "lanes", d.Identity.Lanes)
	err = d.serve(ctx, i.Run)
	h.set(func() error { return errors.New("stopping") })
	if err = unlessEnded(ctx, err); err == nil {
		log.Info("stopped")
	}
	return err
}

// unlessEnded returns an error that is not merely that the context has ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

func stages(works []Work) string {
	names := make([]string, len(works))
	for i, w := range works {
		names[i] = w.Stage
	}
	return strings.Join(names, ",")
}

func readiness(d *Deployment, i *Instance) error {
	if s := d.JS.Conn().Status(); s != nats.CONNECTED {
		return fmt.Errorf("the connection to NATS is %s", strings.ToLower(s.String()))
	}
	if d.Server != nil {
		if err := d.Server.Ready(); err != nil {
			return err
		}
	}
	return i.Ready()
}

// serve runs work, and the server of the deployment beside it, until the context ends or one of them fails.
func (d *Deployment) serve(ctx context.Context, work func(context.Context) error) error {
	if d.Server == nil {
		return work(ctx)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		defer stop()
		served <- d.Server.Serve(ctx)
	}()
	err := work(ctx)
	stop()
	return errors.Join(err, <-served)
}

// health answers those who watch over the process.
type health struct {
	metrics http.Handler

	mu    sync.Mutex
	ready func() error
}

func (h *health) set(ready func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready = ready
}

func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		h.mu.Lock()
		ready := h.ready
		h.mu.Unlock()
		if err := ready(); err != nil {
			http.Error(w, present.Safe(err.Error(), maxLogged), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", h.metrics)
	return mux
}

// Bounds of health requests, which are a line without a body.
const (
	healthPatience = 5 * time.Second
	maxHeader      = 16 << 10
)

// serve answers at an address until stop is called.
func (h *health) serve(ctx context.Context, address string, log *slog.Logger) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen=%s: %w", address, err)
	}
	log.Info("listening", "address", listener.Addr().String())
	s := &http.Server{
		Handler: h.handler(), MaxHeaderBytes: maxHeader,
		ReadTimeout: healthPatience, WriteTimeout: healthPatience, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong is their business
	}
	var served sync.WaitGroup
	served.Go(func() {
		if err := s.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("health is not served any more", "error", err)
		}
	})
	return func() {
		_ = s.Close() // nobody's answer is worth waiting for
		served.Wait()
	}, nil
}
