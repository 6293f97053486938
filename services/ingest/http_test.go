package ingest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/ingest"
	"github.com/trailvane/trailvane/services/internal/broker"
	"github.com/trailvane/trailvane/services/internal/credentials"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/normalizer"
)

// A place is a deployment without services.
type place struct {
	t  testing.TB
	d  *service.Deployment
	js natsjs.JetStream
}

func newPlace(t testing.TB, lanes int) *place {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{Dir: jetstreamtest.Dir(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	id := jetstream.Identity{Lanes: lanes, Partitions: 1, Lateness: 15, Learn: 24 * 60, Budget: 1}
	if err := jetstream.Deploy(t.Context(), js, jetstream.DefaultTopology(id, ingest.Bucket, normalizer.Bucket)); err != nil {
		t.Fatal(err)
	}
	return &place{t, &service.Deployment{JS: js, Identity: id, Instance: "test", Log: slog.New(slog.DiscardHandler)}, js}
}

// serve takes requests until stop.
func (p *place) serve(c ingest.HTTPConfig, takeover time.Duration, step func(string) error) (h *ingest.HTTP, stop func()) {
	p.t.Helper()
	return p.serveAs(c, func(h *ingest.HTTP) {
		if step != nil {
			h.SetSteps(takeover, step)
		}
	})
}

// serveAs is serve, with a change before the first request.
func (p *place) serveAs(c ingest.HTTPConfig, change func(*ingest.HTTP)) (h *ingest.HTTP, stop func()) {
	p.t.Helper()
	if c.Address == "" {
		c.Address = "127.0.0.1:0"
	}
	h, err := ingest.ListenHTTP(p.t.Context(), p.d, c)
	if err != nil {
		p.t.Fatal(err)
	}
	change(h)
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("serve: %v", err)
		}
	})
	p.t.Cleanup(stop)
	return h, stop
}

// records returns what readers of a lane have: without the repeats.
func (p *place) records(lane int) []runner.Record {
	p.t.Helper()
	var all []runner.Record
	seen := make(map[string]schemas.Number)
	err := jetstream.ReadFrom(p.t.Context(), p.js, jetstream.RawStream(lane), "", 0, func(r runner.Record) error {
		if last, ok := seen[r.Producer]; r.Producer != "" && ok && !last.Less(r.Number) {
			return nil
		}
		seen[r.Producer] = r.Number
		all = append(all, r)
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// events counts the event ids that readers of all lanes have.
func (p *place) events() map[string]int {
	p.t.Helper()
	ids := make(map[string]int)
	for lane := range p.d.Identity.Lanes {
		for _, r := range p.records(lane) {
			if schemas.LastToken(r.Subject) != "cloudtrail" {
				continue
			}
			var c schemas.Chunk
			if err := c.Decode(r.Body); err != nil {
				p.t.Fatal(err)
			}
			for _, raw := range c.Records {
				var e struct{ EventID string }
				if err := json.Unmarshal(raw.Body, &e); err != nil {
					p.t.Fatal(err)
				}
				ids[e.EventID]++
			}
		}
	}
	return ids
}

func event(id string) string {
	return fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser"},"eventTime":"2026-03-01T00:00:00Z",`+
		`"eventSource":"ec2.amazonaws.com","eventName":"RunInstances","awsRegion":"eu-west-1","eventID":%q,"recipientAccountId":"123456789012"}`, id)
}

// A reply is what a client gets.
type reply struct {
	Status   int `json:"-"`
	Header   http.Header
	Accepted int
	Refused  int
	Format   string
	Repeated bool
	Accounts int
	Error    struct{ Code, Message string }
}

func post(ctx context.Context, h *ingest.HTTP, path string, body io.Reader, header ...string) (r reply, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.Address()+path, body)
	if err != nil {
		return r, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, err
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&r); err != nil {
		return r, fmt.Errorf("status %d: %w", res.StatusCode, err)
	}
	r.Status, r.Header = res.StatusCode, res.Header
	return r, nil
}

func TestHTTP(t *testing.T) {
	p := newPlace(t, 2)
	h, _ := p.serve(ingest.HTTPConfig{MaxBody: 1 << 20}, 0, nil)
	ctx := t.Context()
	send := func(path, body string, header ...string) reply {
		t.Helper()
		r, err := post(ctx, h, path, strings.NewReader(body), header...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	gz := func(s string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		fmt.Fprint(w, s)
		w.Close()
		return b.String()
	}
	zst := func(s string) string {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(w.EncodeAll([]byte(s), nil))
	}
	huge := strings.Repeat(" ", 30<<20)
	for name, c := range map[string]struct {
		path, body string
		header     []string
		status     int
		code       string
		accepted   int
		refused    int
	}{
		"one":           {"/v1/events/cloudtrail", event("one"), nil, 202, "", 1, 0},
		"auto":          {"/v1/events/auto", `{"Records":[` + event("a1") + "," + event("a2") + `]}`, nil, 202, "", 2, 0},
		"gzip":          {"/v1/events/auto", gz(event("g1") + "\n" + event("g2")), []string{"Content-Encoding", "gzip"}, 202, "", 2, 0},
		"zstd":          {"/v1/events/auto", zst(event("z1")), []string{"Content-Encoding", "zstd"}, 202, "", 1, 0},
		"part":          {"/v1/events/auto", event("p1") + "\nno json\n" + event("p2"), nil, 202, "", 2, 1},
		"no record":     {"/v1/events/auto", "<html>", nil, 400, "no_record", 0, 0},
		"empty":         {"/v1/events/auto", "", nil, 400, "no_record", 0, 0},
		"strange":       {"/v1/events/auto", `{"a":1}`, nil, 400, "format_not_found", 0, 0},
		"format":        {"/v1/events/tick", event("x"), nil, 404, "unknown_format", 0, 0},
		"too large":     {"/v1/events/auto", huge[:2<<20], nil, 413, "too_large", 0, 0},
		"gzip bomb":     {"/v1/events/auto", gz(huge), []string{"Content-Encoding", "gzip"}, 413, "too_large", 0, 0},
		"zstd bomb":     {"/v1/events/auto", zst(huge), []string{"Content-Encoding", "zstd"}, 413, "too_large", 0, 0},
		"bomb behind":   {"/v1/events/auto", gz(event("x") + huge), []string{"Content-Encoding", "gzip"}, 413, "too_large", 0, 0},
		"cut gzip":      {"/v1/events/auto", gz(event("x"))[:60], []string{"Content-Encoding", "gzip"}, 400, "corrupt", 0, 0},
		"other coding":  {"/v1/events/auto", event("x"), []string{"Content-Encoding", "br"}, 415, "unknown_encoding", 0, 0},
		"bad key":       {"/v1/events/auto", event("x"), []string{"Idempotency-Key", "a b"}, 400, "bad_key", 0, 0},
		"bad source":    {"/v1/events/auto?source=a/b", event("x"), nil, 400, "bad_source", 0, 0},
		"from a page":   {"/v1/events/auto", event("x"), []string{"Origin", "http://example.org"}, 403, "browser", 0, 0},
		"source":        {"/v1/events/auto?source=a", event("s1"), nil, 202, "", 1, 0},
		"other source":  {"/v1/events/auto?source=b", event("s2"), nil, 202, "", 1, 0},
		"fourth source": {"/v1/events/auto?source=d", event("s3"), nil, 202, "", 1, 0},
	} {
		r := send(c.path, c.body, c.header...)
		if r.Status != c.status || r.Error.Code != c.code || r.Accepted != c.accepted || r.Refused != c.refused || r.Repeated {
			t.Errorf("%s: %+v; want status %d, code %q, %d accepted, %d refused", name, r, c.status, c.code, c.accepted, c.refused)
		}
	}
	if r := send("/v1/events/auto", event("p1")+"\nno json\n"+event("p2")); r.Status != 202 || !r.Repeated || r.Accepted != 2 || r.Refused != 1 {
		t.Errorf("the same body again: %+v", r)
	}
	for i, want := range []int{202, 202, 422} {
		r := send("/v1/events/auto", event(fmt.Sprint("k", i/2)), "Idempotency-Key", "key")
		if r.Status != want || r.Repeated != (i == 1) {
			t.Errorf("a key, time %d: %+v", i, r)
		}
	}
	events := p.events()
	for id, n := range events {
		if n != 1 || id == "x" {
			t.Errorf("event %s is stored %d times", id, n)
		}
	}
	if len(events) != 12 {
		t.Errorf("%d events are stored: %v", len(events), events)
	}
	for lane := range p.d.Identity.Lanes {
		if all := p.records(lane); len(all) == 0 || schemas.LastToken(all[0].Subject) != string(schemas.SettingsControl) {
			t.Errorf("lane %d does not begin with settings: %d records", lane, len(all))
		}
	}
	letters := 0
	err := jetstream.ReadFrom(ctx, p.js, jetstream.DeadStream, "", 0, func(runner.Record) error { letters++; return nil })
	if letters != 1 || err != nil {
		t.Errorf("%d dead letters, %v", letters, err)
	}
}

func TestHTTPTick(t *testing.T) {
	p := newPlace(t, 1)
	h, _ := p.serve(ingest.HTTPConfig{}, 0, nil)
	send := func(path string) reply {
		t.Helper()
		r, err := post(t.Context(), h, path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r, err := post(t.Context(), h, "/v1/events/auto", strings.NewReader(event("one"))); err != nil || r.Status != 202 {
		t.Fatal(r, err)
	}
	for path, code := range map[string]string{
		"/v1/tick": "bad_account", "/v1/tick?account=123456789012": "bad_account", "/v1/tick?account=gcp:1": "bad_account",
		"/v1/tick?account=aws:a.b": "bad_account", "/v1/tick?account=aws:": "bad_account",
		"/v1/tick?source=a/b&account=aws:1":                              "bad_source",
		"/v1/tick?account=aws:1" + strings.Repeat("&account=aws:2", 100): "bad_account",
	} {
		if r := send(path); r.Status != 400 || r.Error.Code != code {
			t.Errorf("%s: %+v, want %s", path, r, code)
		}
	}
	if r := send("/v1/tick?account=aws:123456789012&account=alibaba:77&account=alibaba:77"); r.Status != 202 || r.Accounts != 2 {
		t.Errorf("a tick: %+v", r)
	}
	var got []string
	for _, r := range p.records(0) {
		if schemas.LastToken(r.Subject) != string(schemas.TickControl) {
			got = append(got, schemas.LastToken(r.Subject))
			continue
		}
		var tick schemas.Tick
		if err := tick.Decode(r.Body); err != nil || tick.Time != 0 {
			t.Errorf("tick %+v, %v; the broker tells its time", tick, err)
		}
		got = append(got, "tick of "+tick.Account.String())
	}
	want := []string{"settings", "cloudtrail", "tick of alibaba:77", "tick of aws:123456789012"}
	if !slices.Equal(got, want) {
		t.Errorf("the lane holds %v, want %v", got, want)
	}
}

func TestHTTPLargeBody(t *testing.T) {
	p := newPlace(t, 1)
	h, _ := p.serve(ingest.HTTPConfig{MaxBody: 16e6}, 0, nil)
	var b strings.Builder
	n := 0
	for ; b.Len() < 15<<20; n++ {
		b.WriteString(event(fmt.Sprintf("%d-%s", n, strings.Repeat("x", n%5000))))
	}
	r, err := post(t.Context(), h, "/v1/events/auto", strings.NewReader(b.String()))
	if err != nil || r.Status != 202 || r.Accepted != n {
		t.Fatalf("%d records: %+v, %v", n, r, err)
	}
	if events := p.events(); len(events) != n {
		t.Errorf("%d of %d events are stored", len(events), n)
	}
}

func TestHTTPTokens(t *testing.T) {
	p := newPlace(t, 1)
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("# who may\nalice alice-secret-0123456789\n\nanybody-secret-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := ingest.ReadTokens(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ingest.ListenHTTP(t.Context(), p.d, ingest.HTTPConfig{Address: "0.0.0.0:0"}); err == nil {
		t.Error("it listens for everybody without a token")
	}
	h, _ := p.serve(ingest.HTTPConfig{Tokens: tokens}, 0, nil)
	for header, want := range map[string]int{
		"": 401, "Bearer": 401, "Bearer alice": 401, "Bearer alice-secret-012345678": 401, "Basic alice-secret-0123456789": 401,
		"Bearer alice-secret-0123456789": 202, "bearer anybody-secret-0123456789": 202,
	} {
		r, err := post(t.Context(), h, "/v1/events/auto", strings.NewReader(event(header)), "Authorization", header)
		if err != nil || r.Status != want {
			t.Errorf("%q: %+v, %v; want %d", header, r, err, want)
		}
		if (r.Header.Get("WWW-Authenticate") != "") != (want == 401) {
			t.Errorf("%q: header %v", header, r.Header)
		}
	}
	for _, bad := range []string{"", "# none", "short", "a b alice-secret-0123456789", "a/b alice-secret-0123456789"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ingest.ReadTokens(file); err == nil {
			t.Errorf("a file with %q is taken", bad)
		}
	}
}

// TLS is spoken with a certificate that may be replaced; one that does not fit its key is not taken.
func TestHTTPSpeaksTLS(t *testing.T) {
	p := newPlace(t, 1)
	dirs := []string{t.TempDir(), t.TempDir()}
	for _, dir := range dirs {
		if _, err := credentials.MakeTLS(dir, []string{"127.0.0.1"}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	used := t.TempDir()
	cert, key := filepath.Join(used, "cert.pem"), filepath.Join(used, "key.pem")
	changed := time.Now().Add(-time.Hour)
	replace := func(from, to string) {
		t.Helper()
		content, err := os.ReadFile(from)
		if err == nil {
			changed = changed.Add(time.Second) // whatever the file system's clock shows
			err = errors.Join(os.WriteFile(to, content, 0o600), os.Chtimes(to, changed, changed))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replace(filepath.Join(dirs[0], credentials.CertFile), cert)
	c := ingest.HTTPConfig{Address: "127.0.0.1:0", Cert: cert, Key: key}
	if _, err := ingest.ListenHTTP(t.Context(), p.d, c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its key: %v", err)
	}
	replace(filepath.Join(dirs[1], credentials.CertKeyFile), key)
	if _, err := ingest.ListenHTTP(t.Context(), p.d, c); err == nil || !strings.Contains(err.Error(), "does not match") {
		t.Errorf("with another key: %v", err)
	}
	replace(filepath.Join(dirs[0], credentials.CertKeyFile), key)
	h, _ := p.serve(c, 0, nil)

	// trusts reports whether a client of an authority can send.
	trusts := func(dir string) bool {
		t.Helper()
		pem, err := os.ReadFile(filepath.Join(dir, credentials.CAFile))
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
		defer client.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+h.Address()+"/v1/events/auto", strings.NewReader(event(dir)))
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusAccepted
	}
	want := func(when string, first, second bool) {
		t.Helper()
		if a, b := trusts(dirs[0]), trusts(dirs[1]); a != first || b != second {
			t.Errorf("%s: clients of the authorities can send: %t, %t, want %t, %t", when, a, b, first, second)
		}
	}
	want("at first", true, false)
	if r, err := post(t.Context(), h, "/v1/events/auto", strings.NewReader(event("plain"))); err == nil && r.Status == http.StatusAccepted {
		t.Errorf("what is sent without TLS is taken: %+v", r)
	}
	replace(filepath.Join(dirs[1], credentials.CertFile), cert)
	want("with half of the new one", true, false)
	replace(filepath.Join(dirs[1], credentials.CertKeyFile), key)
	want("with the new one", false, true)
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	want("while it is away", false, true)
}

// Full raw input is answered with 429, nothing of it is stored, and it goes on when there is room.
func TestHTTPFull(t *testing.T) {
	p := newPlace(t, 1)
	h, _ := p.serve(ingest.HTTPConfig{}, 0, nil)
	ctx := t.Context()
	raw, err := p.js.Stream(ctx, jetstream.RawStream(0))
	if err != nil {
		t.Fatal(err)
	}
	config := raw.CachedInfo().Config
	config.MaxBytes = 2_000_000
	if _, err := p.js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{})
	body := func(i int) string { // of several chunks that do not shrink
		var b strings.Builder
		noise := make([]byte, 20_000)
		for n := range 10 {
			_, _ = random.Read(noise)
			b.WriteString(event(fmt.Sprintf("%d-%d-%x", i, n, noise)))
		}
		return b.String()
	}
	var refused string
	stored := 0
	for i := 0; refused == ""; i++ {
		sent := body(i)
		r, err := post(ctx, h, "/v1/events/auto", strings.NewReader(sent))
		switch {
		case err == nil && r.Status == 202:
			stored++
		case err == nil && r.Status == 429 && r.Error.Code == "full" && r.Header.Get("Retry-After") != "":
			refused = sent
		default:
			t.Fatalf("request %d: %+v, %v", i, r, err)
		}
	}
	if n := len(p.events()); n != 10*stored || stored == 0 {
		t.Fatalf("%d events of %d requests are stored", n, stored)
	}
	if err := raw.Purge(ctx); err != nil {
		t.Fatal(err)
	}
	if r, err := post(ctx, h, "/v1/events/auto", strings.NewReader(refused)); err != nil || r.Status != 202 || r.Repeated {
		t.Errorf("with room: %+v, %v", r, err)
	}
	if n := len(p.events()); n != 10 {
		t.Errorf("%d events are stored", n)
	}
}

// 50 clients send to two servers at once, cut the connection at random after they have sent, try again, and the servers are stopped
// and started meanwhile and fail at random steps. Each request is stored exactly once.
func TestHTTPClients(t *testing.T) {
	const clients, each = 50, 8
	p := newPlace(t, 3)
	var calm atomic.Bool
	step := func(string) error {
		if !calm.Load() && rand.IntN(25) == 0 {
			return errors.New("made up")
		}
		return nil
	}
	var servers [2]atomic.Pointer[ingest.HTTP]
	ending, end := context.WithCancel(t.Context())
	defer end()
	var running sync.WaitGroup
	for i := range servers {
		h, stop := p.serve(ingest.HTTPConfig{}, 100*time.Millisecond, step)
		servers[i].Store(h)
		running.Go(func() {
			for {
				select {
				case <-time.After(time.Duration(50+rand.IntN(500)) * time.Millisecond):
				case <-ending.Done():
					return
				}
				stop()
				h, stop = p.serve(ingest.HTTPConfig{}, 100*time.Millisecond, step)
				servers[i].Store(h)
			}
		})
	}
	var answered, cut, repeated atomic.Int64
	var sending sync.WaitGroup
	for c := range clients {
		sending.Go(func() {
			for n := range each {
				id := fmt.Sprintf("%d.%d", c, n)
				for done := false; !done && t.Context().Err() == nil; {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					if rand.IntN(3) == 0 {
						ctx, cancel = context.WithTimeout(t.Context(), time.Duration(rand.IntN(30))*time.Millisecond)
					}
					path := fmt.Sprintf("/v1/events/cloudtrail?source=%d", c%7)
					r, err := post(ctx, servers[rand.IntN(2)].Load(), path, strings.NewReader(event(id)), "Idempotency-Key", id)
					cancel()
					switch {
					case err != nil:
						cut.Add(1)
						<-time.After(5 * time.Millisecond) // a client's pause, while the server may be away
					case r.Status == 202:
						done = true
						if r.Accepted != 1 {
							t.Errorf("%s: %+v", id, r)
						}
						if r.Repeated {
							repeated.Add(1)
						}
						answered.Add(1)
					case r.Status != 503 && r.Status != 429:
						t.Errorf("%s: %+v", id, r)
						return
					}
				}
			}
		})
	}
	sending.Wait()
	end()
	running.Wait()
	t.Logf("%d answered, %d cut or refused, %d of the answers repeated", answered.Load(), cut.Load(), repeated.Load())
	events := p.events()
	for c := range clients {
		for n := range each {
			if id := fmt.Sprintf("%d.%d", c, n); events[id] != 1 {
				t.Errorf("event %s is stored %d times", id, events[id])
			}
		}
	}
	if len(events) != clients*each {
		t.Errorf("%d events are stored, want %d", len(events), clients*each)
	}
	if cut.Load() == 0 || repeated.Load() == 0 {
		t.Error("no connection was cut, or nothing repeated: nothing is tested")
	}
}

// An owner that sleeps between writing down and storing wakes up when somebody else has settled its group: what it stores counts
// no more, and it answers only with what is stored by then.
func TestHTTPZombie(t *testing.T) {
	for _, asleep := range []string{"begin done", "put", "put done", "end"} {
		t.Run(asleep, func(t *testing.T) {
			p := newPlace(t, 1)
			reached, wake := make(chan struct{}), make(chan struct{})
			var once sync.Once
			a, _ := p.serve(ingest.HTTPConfig{}, time.Millisecond, func(step string) error {
				if step == asleep {
					once.Do(func() { close(reached); <-wake })
				}
				return nil
			})
			b, _ := p.serve(ingest.HTTPConfig{}, time.Millisecond, func(string) error { return nil })
			var first reply
			var failed error
			var sending sync.WaitGroup
			sending.Go(func() {
				first, failed = post(t.Context(), a, "/v1/events/auto", strings.NewReader(event("one")), "Idempotency-Key", "one")
			})
			<-reached
			for _, id := range []string{"one", "two"} {
				if r, err := post(t.Context(), b, "/v1/events/auto", strings.NewReader(event(id)), "Idempotency-Key", id); err != nil || r.Status != 202 {
					t.Errorf("%s: %+v, %v", id, r, err)
				}
			}
			close(wake)
			sending.Wait()
			if failed != nil || first.Status != 202 {
				t.Errorf("the one that slept: %+v, %v", first, failed)
			}
			if e := p.events(); len(e) != 2 || e["one"] != 1 || e["two"] != 1 {
				t.Errorf("stored: %v", e)
			}
		})
	}
}

// What was stored, read and trimmed before anybody settled it is known by what its reader has committed.
func TestHTTPTrimmed(t *testing.T) {
	for name, late := range map[string]bool{"put": false, "put done": false, "put, which comes late": true} {
		t.Run(name, func(t *testing.T) {
			at := strings.TrimSuffix(name, ", which comes late")
			p := newPlace(t, 1)
			ctx := t.Context()
			var dead atomic.Bool
			reached := make(chan struct{})
			a, stop := p.serve(ingest.HTTPConfig{}, time.Millisecond, func(step string) error {
				if step == at && !dead.Swap(true) {
					close(reached)
				}
				if dead.Load() {
					return errors.New("dead")
				}
				return nil
			})
			sending, give := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = post(sending, a, "/v1/events/auto", strings.NewReader(event("one")), "Idempotency-Key", "one")
			}()
			<-reached
			give()
			<-done
			stop()

			if late { // whoever has settled it put a fence, and was stopped behind that
				head, _, err := jetstream.OpenPushed(p.js).Head(ctx, 0)
				if err != nil || len(head.Keys) == 0 {
					t.Fatalf("nothing is under way: %v", err)
				}
				fence := schemas.Number{Seq: head.Number, Index: math.MaxUint32}
				if err := jetstream.PutAtomic(ctx, p.js, runner.Output{Subject: "raw.0.tick", Body: (&schemas.Tick{}).Append(nil), Producer: "http", Number: fence}); err != nil {
					t.Fatal(err)
				}
			}
			// Another producer's record, so that there is something to trim in either case.
			if err := jetstream.PutAtomic(ctx, p.js, runner.Output{Subject: "raw.0.tick", Body: (&schemas.Tick{}).Append(nil)}); err != nil {
				t.Fatal(err)
			}
			all := p.records(0)
			last := all[len(all)-1].Seq
			var c schemas.Checkpoint
			c.Seq = last
			for _, r := range all {
				if r.Producer != "" {
					c.Seen = []schemas.Seen{{Producer: r.Producer, Number: r.Number}}
				}
			}
			store, err := jetstream.OpenStore(ctx, p.js, normalizer.Bucket)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := store.Load(ctx, "0"); err != nil {
				t.Fatal(err)
			}
			if err := store.Commit(ctx, "0", c, nil); err != nil {
				t.Fatal(err)
			}
			raw, err := p.js.Stream(ctx, jetstream.RawStream(0))
			if err != nil {
				t.Fatal(err)
			}
			if err := raw.Purge(ctx); err != nil {
				t.Fatal(err)
			}
			if late { // its record, which the reader drops
				tick := runner.Output{Subject: "raw.0.tick", Body: (&schemas.Tick{}).Append(nil), Producer: "http", Number: c.Seen[0].Number}
				tick.Number.Index = 0
				if err := jetstream.PutAtomic(ctx, p.js, tick); err != nil {
					t.Fatal(err)
				}
			}

			b, _ := p.serve(ingest.HTTPConfig{}, time.Millisecond, func(string) error { return nil })
			r, err := post(ctx, b, "/v1/events/auto", strings.NewReader(event("one")), "Idempotency-Key", "one")
			if stored := at == "put done"; err != nil || r.Status != 202 || r.Repeated != stored || p.events()["one"] != map[bool]int{false: 1}[stored] {
				t.Errorf("again: %+v, %v; stored %v", r, err, p.events())
			}
		})
	}
}

// A client that sends slowly or nothing does not hold up others, and one that goes away in the middle stores nothing.
func TestHTTPHalfARequest(t *testing.T) {
	p := newPlace(t, 1)
	h, _ := p.serve(ingest.HTTPConfig{}, 0, nil)
	conn, err := net.Dial("tcp", h.Address())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/events/auto HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n%s\n", event("half"))
	if r, err := post(t.Context(), h, "/v1/events/auto", strings.NewReader(event("whole"))); err != nil || r.Status != 202 {
		t.Errorf("beside a slow client: %+v, %v", r, err)
	}
	conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	conn.Close()
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) {
		t.Errorf("half a request is answered with %.100q", answer)
	}
	if e := p.events(); len(e) != 1 || e["whole"] != 1 {
		t.Errorf("stored: %v", e)
	}
}

// Who sends too slowly is told so, and to come again, not that the body was wrong.
func TestHTTPSlow(t *testing.T) {
	p := newPlace(t, 1)
	h, _ := p.serveAs(ingest.HTTPConfig{}, func(h *ingest.HTTP) { h.SetTimes(time.Minute, 100*time.Millisecond) })
	conn, err := net.Dial("tcp", h.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/events/auto HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n%s\n", event("half"))
	answer, _ := io.ReadAll(conn)
	if !bytes.HasPrefix(answer, []byte("HTTP/1.1 408")) || !bytes.Contains(answer, []byte("Retry-After")) {
		t.Errorf("a slow request is answered with %.300q", answer)
	}
	if h.Kept() != 0 || len(p.events()) != 0 {
		t.Errorf("%d bytes are kept, stored: %v", h.Kept(), p.events())
	}
}

// A request that was given up keeps its memory as long as it is there, is not stored any more, and then holds up nobody.
func TestHTTPGivenUp(t *testing.T) {
	p := newPlace(t, 1)
	reached, wake := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h, _ := p.serveAs(ingest.HTTPConfig{}, func(h *ingest.HTTP) {
		h.SetTimes(100*time.Millisecond, time.Minute)
		h.SetSteps(time.Millisecond, func(step string) error {
			if step == "begin" {
				once.Do(func() { close(reached); <-wake })
			}
			return nil
		})
	})
	var sending sync.WaitGroup
	send := func(id string) {
		sending.Go(func() {
			if r, err := post(t.Context(), h, "/v1/events/auto", strings.NewReader(event(id))); err != nil || r.Status != 503 {
				t.Errorf("%s: %+v, %v", id, r, err)
			}
		})
	}
	send("first")
	<-reached
	one := h.Kept()
	for i := range 5 {
		send(strconv.Itoa(i))
	}
	sending.Wait()
	if h.Kept() <= 5*one || one == 0 {
		t.Errorf("%d bytes are kept for six requests that wait, %d for one", h.Kept(), one)
	}
	close(wake)
	for h.Kept() != 0 { // until the test's time is up
		<-time.After(time.Millisecond)
	}
	if e := p.events(); len(e) != 1 || e["first"] != 1 {
		t.Errorf("stored: %v", e)
	}
}

// The same, while the one that settles sleeps in its turn: behind its fence, or when it has taken the keys back.
func TestHTTPTwoZombies(t *testing.T) {
	for _, asleep := range []string{"end", "begin"} {
		t.Run(asleep, func(t *testing.T) {
			p := newPlace(t, 1)
			hold := func(at string) (step func(string) error, reached, wake chan struct{}) {
				reached, wake = make(chan struct{}), make(chan struct{})
				var once sync.Once
				return func(step string) error {
					if step == at {
						once.Do(func() { close(reached); <-wake })
					}
					return nil
				}, reached, wake
			}
			stepA, reachedA, wakeA := hold("put")
			stepB, reachedB, wakeB := hold(asleep)
			a, _ := p.serve(ingest.HTTPConfig{}, time.Millisecond, stepA)
			b, _ := p.serve(ingest.HTTPConfig{}, time.Millisecond, stepB)
			var sending sync.WaitGroup
			send := func(h *ingest.HTTP, id string, done chan struct{}) {
				sending.Go(func() {
					defer close(done)
					if r, err := post(t.Context(), h, "/v1/events/auto", strings.NewReader(event(id)), "Idempotency-Key", id); err != nil || r.Status != 202 {
						t.Errorf("%s: %+v, %v", id, r, err)
					}
				})
			}
			first, second := make(chan struct{}), make(chan struct{})
			send(a, "one", first)
			<-reachedA
			send(b, "two", second)
			<-reachedB
			close(wakeA)
			<-first
			if e := p.events(); len(e) != 1 || e["one"] != 1 {
				t.Errorf("stored when the first is answered: %v", e)
			}
			close(wakeB)
			<-second
			if e := p.events(); len(e) != 2 || e["one"] != 1 || e["two"] != 1 {
				t.Errorf("stored: %v", e)
			}
		})
	}
}
