package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjetstream "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/services/internal/service"
)

// A journal is a log that can be waited for.
type journal struct {
	mu      sync.Mutex
	text    bytes.Buffer
	written chan struct{} // has room for one
}

func newJournal() *journal { return &journal{written: make(chan struct{}, 1)} }

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case j.written <- struct{}{}:
	default:
	}
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) log() *slog.Logger { return (&service.Logging{LogLevel: "debug"}).Log(j) }

// says waits until the log has a text.
func (j *journal) says(t *testing.T, text string) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for !strings.Contains(j.String(), text) {
		select {
		case <-j.written:
		case <-deadline.C:
			t.Fatalf("the log does not say %q:\n%s", text, j)
		}
	}
}

func TestConnectRefused(t *testing.T) {
	guarded := jetstreamtest.Start(t, func(o *server.Options) { o.Username, o.Password = "trailvane", "right" })
	without := jetstreamtest.Start(t, func(o *server.Options) { o.JetStream = false })
	at := func(s *server.Server, user string) string { return "nats://" + user + s.Addr().String() }
	for name, c := range map[string]struct {
		url  string
		want []string
	}{
		"wrong password": {at(guarded, "trailvane:wrong@"), []string{"nats://hidden@127.0.0.1", "Authorization", "--creds"}},
		"no password":    {at(guarded, ""), []string{"Authorization", "--creds"}},
		"no JetStream":   {at(without, ""), []string{"has no JetStream", "switch it on"}},
		"no TLS":         {strings.Replace(at(without, ""), "nats://", "tls://", 1), []string{"secure connection not available", "--tls-ca"}},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJournal()
			js, err := (&service.Credentials{}).Connect(t.Context(), []string{c.url}, "test", j.log())
			if err == nil {
				js.Conn().Close()
				t.Fatal("connected")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nwant %q", err, want)
				}
			}
			if all := err.Error() + j.String(); strings.Contains(all, "wrong@") || strings.Contains(all, "trailvane:") {
				t.Errorf("the password is told: %s", all)
			}
		})
	}
}

// A server of an older version says so in its first line, which is all that is needed of it here.
func TestConnectOldServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	defer served.Wait()
	defer listener.Close()
	served.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() { old(c) })
		}
	})
	_, err = (&service.Credentials{}).Connect(t.Context(), []string{"nats://" + listener.Addr().String()}, "test", newJournal().log())
	if err == nil || !strings.Contains(err.Error(), "is version 2.10.29, and Trailvane needs 2.14 or newer") {
		t.Errorf("got %v", err)
	}
}

// old speaks as much of the protocol as a connection needs.
func old(c net.Conn) {
	defer c.Close()
	fmt.Fprint(c, `INFO {"server_id":"A","version":"2.10.29","proto":1,"headers":true,"max_payload":1048576}`+"\r\n")
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if bytes.Contains(b[:n], []byte("PING")) {
			fmt.Fprint(c, "PONG\r\n")
		}
	}
}

// Who connects before there is a server waits and says so; a connection that is lost comes back.
func TestConnectLater(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a port that nobody else gets meanwhile
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	j := newJournal()
	type connected struct {
		js  natsjetstream.JetStream
		err error
	}
	done := make(chan connected, 1)
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	go func() {
		js, err := (&service.Credentials{}).Connect(t.Context(), []string{url}, "test", j.log())
		done <- connected{js, err}
	}()
	j.says(t, "cannot reach NATS at "+url+", trying again")
	dir := jetstreamtest.Dir(t)
	at := func(o *server.Options) { o.Port, o.StoreDir = port, dir }
	s := jetstreamtest.Start(t, at)
	c := <-done
	if c.err != nil {
		t.Fatal(c.err)
	}
	closed := make(chan struct{})
	c.js.Conn().SetClosedHandler(func(*nats.Conn) { close(closed) })
	defer func() { c.js.Conn().Close(); <-closed }()
	jetstreamtest.Stop(s)
	j.says(t, "the connection to NATS is lost")
	jetstreamtest.Start(t, at)
	j.says(t, "connected to NATS again")
}

func TestConnectEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	j := newJournal()
	done := make(chan error, 1)
	go func() {
		_, err := (&service.Credentials{}).Connect(ctx, []string{"nats://127.0.0.1:1"}, "test", j.log())
		done <- err
	}()
	j.says(t, "trying again")
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A service waits for its deployment, whole, and refuses another one than its flags say.
func TestWaitDeployed(t *testing.T) {
	s := jetstreamtest.Start(t, nil)
	j := newJournal()
	js, err := (&service.Credentials{}).Connect(t.Context(), []string{"nats://" + s.Addr().String()}, "test", j.log())
	if err != nil {
		t.Fatal(err)
	}
	defer js.Conn().Close()
	var flags service.Identity
	want := flags.New()
	done := make(chan error, 1)
	go func() {
		id, err := flags.WaitDeployed(t.Context(), js, []string{"here"}, j.log())
		if err == nil && id != want {
			err = fmt.Errorf("got %+v, want %+v", id, want)
		}
		done <- err
	}()
	j.says(t, "there is none yet")
	deploy := func(stages ...string) {
		t.Helper()
		if err := jetstream.Deploy(t.Context(), js, jetstream.DefaultTopology(want, stages...)); err != nil {
			t.Fatal(err)
		}
	}
	deploy("elsewhere")
	j.says(t, "open bucket STATE_here")
	deploy("elsewhere", "here")
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	learn, lateness := 12*time.Hour, 15*time.Minute
	others := service.Identity{Partitions: 16, Lanes: want.Lanes, Learn: &learn, Lateness: &lateness}
	_, err = others.WaitDeployed(t.Context(), js, []string{"here"}, j.log())
	if !errors.Is(err, jetstream.ErrIdentity) || !strings.Contains(err.Error(), "--partitions=8, not 16; --learn=24h0m0s, not 12h0m0s; leave") {
		t.Errorf("got %v", err)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// A process lives while it starts, is ready when it works, and ends without an error when it is told to.
func TestProcess(t *testing.T) {
	s := jetstreamtest.Start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	j := newJournal()
	p := service.Process{Instance: "me", Listen: "127.0.0.1:0"}
	start := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- p.Run(ctx, j.log(), func(ctx context.Context, log *slog.Logger) (*service.Deployment, []service.Work, error) {
			<-start
			d := &service.Deployment{Instance: p.Name(), Log: log}
			var err error
			if d.JS, err = (&service.Credentials{}).Connect(ctx, []string{"nats://" + s.Addr().String()}, d.Instance, log); err != nil {
				return nil, nil, err
			}
			id := new(service.Identity).New()
			if err := jetstream.Deploy(ctx, d.JS, jetstream.DefaultTopology(id)); err != nil {
				return d, nil, err
			}
			d.Identity = id
			return d, nil, nil
		})
	}()
	j.says(t, `"address":"`)
	_, rest, _ := strings.Cut(j.String(), `"address":"`)
	address, _, _ := strings.Cut(rest, `"`)
	health, ready := "http://"+address+"/healthz", "http://"+address+"/readyz"
	if code, _ := get(t, health); code != http.StatusOK {
		t.Errorf("healthz while it starts: %d", code)
	}
	if code, body := get(t, ready); code != http.StatusServiceUnavailable || body != "starting\n" {
		t.Errorf("readyz while it starts: %d %s", code, body)
	}
	close(start)
	j.says(t, `"msg":"working"`)
	for code, body := get(t, ready); code != http.StatusOK; code, body = get(t, ready) {
		if code != http.StatusServiceUnavailable {
			t.Fatalf("readyz: %d %s", code, body)
		}
	}
	s.Shutdown()
	j.says(t, "is lost")
	if code, body := get(t, ready); code != http.StatusServiceUnavailable || !strings.Contains(body, "the connection to NATS is") {
		t.Errorf("readyz without NATS: %d %s", code, body)
	}
	if code, _ := get(t, health); code != http.StatusOK {
		t.Errorf("healthz without NATS: %d", code)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopped: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// What is logged may come from a log that an attacker wrote: nothing reaches a terminal raw, and nothing is endless.
func TestLogIsSafe(t *testing.T) {
	j := newJournal()
	log := j.log()
	log.Warn("bad \x1b[31m\u009b1m", "name", "\u202eevil", "error", errors.New("two\nlines "+strings.Repeat("x", 1<<20)))
	if s := j.String(); strings.ContainsAny(s, "\x1b\u009b\u202e") || strings.Count(s, "\n") != 1 || len(s) > 10<<10 {
		t.Errorf("logged %d bytes: %.300q", len(s), s)
	}
}

// The name that an instance has by default fits where names are used.
func TestInstanceName(t *testing.T) {
	p := service.Process{}
	p.Instance = p.Name()
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", ".a", "a.", "a..b", "a b", "a*", strings.Repeat("a", 65)} {
		p.Instance = bad
		if err := p.Check(); err == nil && bad != "" {
			t.Errorf("%q is a name", bad)
		}
	}
}
