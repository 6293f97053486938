package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/broker"
)

// A host is a server that goes away and comes back, at one port and with what it had. Others can change it while nobody can reach it.
type host struct {
	t    *testing.T
	dir  string
	port int
	b    *broker.Broker
	put  int // insight events that were stored
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), port: -1}
	h.up()
	u, err := url.Parse(h.b.ClientURL())
	if err == nil {
		h.port, err = strconv.Atoi(u.Port())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.down)
	return h
}

func (h *host) url() string { return "nats://127.0.0.1:" + strconv.Itoa(h.port) }

func (h *host) up() { h.start(h.port) }

func (h *host) start(port int) {
	h.t.Helper()
	var err error
	h.b, err = broker.Start(context.Background(), broker.Config{
		Dir: h.dir, Host: "127.0.0.1", Port: port, MaxStore: 1 << 40, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) down() {
	if h.b != nil {
		h.b.Shutdown()
		h.b = nil
	}
}

// hidden changes what the server has while it is down for all others.
func (h *host) hidden(change func()) {
	h.t.Helper()
	h.start(0)
	defer h.down()
	change()
}

func (h *host) js() natsjetstream.JetStream {
	h.t.Helper()
	js, err := h.b.JetStream()
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(js.Conn().Close)
	return js
}

func (h *host) deploy() {
	h.t.Helper()
	topology := jetstream.DefaultTopology(jetstream.Identity{Lanes: 1, Partitions: 1, Lateness: 15, Learn: 1440, Budget: 1})
	if err := jetstream.Deploy(h.t.Context(), h.js(), topology); err != nil {
		h.t.Fatal(err)
	}
}

// publish stores n insight events of an account, each with the next number as its id.
func (h *host) publish(account string, n int) {
	h.t.Helper()
	sink, err := jetstream.NewSink(h.js())
	if err != nil {
		h.t.Fatal(err)
	}
	defer sink.Close()
	for range n {
		h.put++
		i := schemas.Insight{
			EventVersion: schemas.InsightVersion, EventCategory: schemas.InsightEventCategory, Provider: schemas.AWS, AccountID: account,
			EventID: strconv.Itoa(h.put), SharedEventID: fmt.Sprint("shared", h.put), Region: "eu-west-1", EventTime: schemas.Minute(29_000_000 + h.put),
		}
		i.Details = schemas.InsightDetails{State: schemas.StartState, Type: schemas.APICallRate, Object: "RunInstances"}
		if account == "evil" {
			i.Details.Type, i.Details.Object = schemas.TrailConcealment, "\x1b[2J"
		}
		o := runner.Output{Subject: schemas.InsightSubject(i.Region, i.Account(), i.Details.Type, i.EventID), Body: i.Append(nil), Once: true}
		if _, err := sink.Put(h.t.Context(), o); err != nil {
			h.t.Fatal(err)
		}
	}
}

// A tailed is a 'trailvane tail' that runs.
type tailed struct {
	t     *testing.T
	lines chan string
	stop  context.CancelFunc
	code  chan int

	mu    sync.Mutex
	said  strings.Builder
	spoke chan struct{}
}

// Write takes what it says on standard error.
func (r *tailed) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.spoke <- struct{}{}:
	default: // nobody has looked since
	}
	return r.said.Write(p)
}

func (r *tailed) errors() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.said.String()
}

func startTail(t *testing.T, args ...string) *tailed {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &tailed{t: t, lines: make(chan string, 1000), stop: stop, code: make(chan int, 1), spoke: make(chan struct{}, 1)}
	in, out := io.Pipe()
	go func() {
		r.code <- Run(ctx, append([]string{"tail"}, args...), strings.NewReader(""), out, r)
		out.Close()
	}()
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		stop()
		for range r.lines {
		}
	})
	return r
}

const patient = 30 * time.Second

// next waits for a line.
func (r *tailed) next() string {
	r.t.Helper()
	select {
	case line, ok := <-r.lines:
		if !ok {
			r.t.Fatalf("tail has ended: %s", r.errors())
		}
		return line
	case <-time.After(patient):
		r.t.Fatalf("no line within %s; standard error: %s", patient, r.errors())
	}
	return ""
}

// want waits for the events with ids from first to last, as native ndjson.
func (r *tailed) want(first, last int) {
	r.t.Helper()
	for id := first; id <= last; id++ {
		var got struct{ EventID string }
		if err := json.Unmarshal([]byte(r.next()), &got); err != nil || got.EventID != strconv.Itoa(id) {
			r.t.Fatalf("got event %q, %v, want %d", got.EventID, err, id)
		}
	}
}

// says waits until standard error has a text.
func (r *tailed) says(text string) {
	r.t.Helper()
	for deadline := time.After(patient); !strings.Contains(r.errors(), text); {
		select {
		case <-r.spoke:
		case <-deadline:
			r.t.Fatalf("standard error does not say %q: %s", text, r.errors())
		}
	}
}

// interrupt ends it, and wants nothing more to be said or shown.
func (r *tailed) interrupt() {
	r.t.Helper()
	before := r.errors()
	r.stop()
	if code := <-r.code; code != exitStopped {
		r.t.Errorf("exit %d, want %d", code, exitStopped)
	}
	if line, ok := <-r.lines; ok {
		r.t.Errorf("a line too many: %s", line)
	}
	if after := r.errors(); after != before {
		r.t.Errorf("interrupted, it says %q", after[len(before):])
	}
}

// Lines are neither lost nor doubled, whenever the server goes away.
func TestTail(t *testing.T) {
	h := newHost(t)
	h.deploy()
	h.publish("1", 12)
	r := startTail(t, "--nats", h.url(), "--shape", "native")
	r.want(3, 12)
	h.publish("1", 2)
	r.want(13, 14)
	if said := r.errors(); said != "" {
		t.Errorf("nothing is wrong, and it says %q", said)
	}
	for range 2 {
		h.down()
		r.says("trailvane: the connection to NATS is lost, connecting again")
		next := h.put + 1
		h.hidden(func() { h.publish("1", 2) })
		h.up()
		h.publish("1", 1)
		r.want(next, next+2)
	}
	r.says("connected to NATS again")
	r.interrupt()
}

func TestTailTellsWhatIsGone(t *testing.T) {
	h := newHost(t)
	h.deploy()
	h.publish("1", 1)
	r := startTail(t, "--nats", h.url(), "--shape", "native")
	r.want(1, 1)
	h.down()
	h.hidden(func() {
		h.publish("1", 4)
		s, err := h.js().Stream(t.Context(), jetstream.InsightsStream)
		if err == nil {
			err = s.Purge(t.Context(), natsjetstream.WithPurgeSequence(4)) // as age would
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	h.up()
	r.want(4, 5)
	r.says("insight events 2 to 3 are not shown: INSIGHTS has dropped them before they could be read")
	h.down()
	h.hidden(func() {
		if err := h.js().DeleteStream(t.Context(), jetstream.InsightsStream); err != nil {
			t.Fatal(err)
		}
		h.deploy()
		h.publish("1", 2)
	})
	h.up()
	r.want(6, 7)
	r.says("INSIGHTS was made anew; what it holds follows")
	r.interrupt()
}

// It may be started before anything else is.
func TestTailWaits(t *testing.T) {
	h := newHost(t)
	h.down()
	r := startTail(t, "--nats", h.url(), "--shape", "native")
	r.says("cannot reach NATS at " + h.url() + ", trying again: ")
	h.up()
	r.says("there is no deployment yet, waiting for one")
	h.deploy()
	r.says("reading the insights")
	h.publish("1", 1)
	r.want(1, 1)
	if said := r.errors(); strings.Count(said, "\n") != strings.Count(said, "trailvane: ") || strings.Count(said, "cannot reach") != 1 {
		t.Errorf("it says\n%s", said)
	}
	r.interrupt()
}

func TestTailChooses(t *testing.T) {
	h := newHost(t)
	h.deploy()
	h.publish("1", 3)
	h.publish("evil", 1)
	h.publish("2", 30)
	h.publish("1", 1)
	for name, c := range map[string]struct {
		args []string
		want [][2]int
	}{
		"account":  {[]string{"--account", "1"}, [][2]int{{1, 3}, {35, 35}}},
		"type":     {[]string{"--type", "trailconcealment"}, [][2]int{{4, 4}}},
		"severity": {[]string{"--min-severity", "high"}, [][2]int{{4, 4}}},
		"region":   {[]string{"--region", "eu-west-1"}, [][2]int{{26, 35}}},
		"since":    {[]string{"--since", "1h"}, [][2]int{{1, 35}}},
		"nothing":  {[]string{"--since", "0s"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := startTail(t, append(c.args, "--nats", h.url(), "--shape", "native")...)
			for _, w := range c.want {
				r.want(w[0], w[1])
			}
			r.interrupt()
		})
	}
	for args, want := range map[string]string{
		"--output table":   `SEVERITY  WHEN (UTC)        FOR    ACCOUNT           REGION           WHAT`,
		"--output explain": "2025-02-19 21:24  TrailConcealment in account evil, eu-west-1",
	} {
		r := startTail(t, append(strings.Fields(args), "--nats", h.url(), "--account", "evil")...)
		if line := r.next(); !strings.HasPrefix(line, want) {
			t.Errorf("%s: got %q, want %q", args, line, want)
		}
		if line := r.next(); strings.Contains(line, "\x1b") {
			t.Errorf("%s: got %q", args, line)
		}
		r.stop()
	}
}

// gone is a reader of the output that has gone away.
type gone struct{}

func (gone) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}
}

func TestTailOfNobody(t *testing.T) {
	h := newHost(t)
	h.deploy()
	h.publish("1", 1)
	var errOut strings.Builder
	if code := Run(t.Context(), []string{"tail", "--nats", h.url()}, nil, gone{}, &errOut); code != exitPipe || errOut.Len() > 0 {
		t.Errorf("exit %d, %q", code, errOut.String())
	}
}
