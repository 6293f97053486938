package ingest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/service"
)

const (
	// maxRequests bounds the requests that are worked on at once, and with them connections that wait and buffers of 1 MiB.
	maxRequests = 128

	// keptBytes bounds the bodies that are held in memory at once; one of the greatest size always fits.
	keptBytes = 256 << 20

	// storeTime is how long a group of requests is tried to be stored. answerTime is longer: then it is known.
	storeTime  = 15 * time.Second
	answerTime = 2*storeTime + 5*time.Second // the group before may take as long

	// Bounds of slow clients: who sends 16 MiB in two minutes has 1 Mbit/s.
	headerTime = 10 * time.Second
	bodyTime   = 2 * time.Minute
	idleTime   = 2 * time.Minute

	// maxHeaderBytes bounds the header of a request: a token and some words.
	maxHeaderBytes = 16 << 10

	// retryAfter tells when to come again, seconds: a full stream is trimmed every five, and a broker comes back within as long.
	retryAfter = "5"
)

// DefaultMaxBody is the largest body, uncompressed, unless it is said otherwise.
const DefaultMaxBody = 16 << 20

// connectorName decides the lanes of sources, so it stays the same for ever.
const connectorName = "http"

// HTTPConfig says how events are taken by HTTP.
type HTTPConfig struct {
	Address string
	Tokens  []Token // none: only requests from this host are taken, and Address must be a loopback one
	MaxBody int64   // bytes, uncompressed, up to [ingest.MaxBody]; DefaultMaxBody if zero

	// Cert and Key are files of a certificate (PEM) and its key, with which TLS is spoken; both or neither. They are read again when they
	// change.
	Cert, Key string
}

// HTTP is the connector into which others push. Everything that it answers with 202 is stored.
type HTTP struct {
	config   HTTPConfig
	lanes    int
	listener net.Listener
	nc       *nats.Conn
	trace    func(name, traceparent string) (string, func(records int, err error))
	log      *slog.Logger
	pushers  []*pusher
	slots    chan struct{}
	kept     atomic.Int64 // bytes of bodies in memory
	readers  sync.Pool    // of *ingest.BodyReader
	serving  atomic.Bool

	answerTime, bodyTime time.Duration // the constants, and less in tests
}

// ListenHTTP begins to listen. Serve it.
func ListenHTTP(ctx context.Context, d *service.Deployment, c HTTPConfig) (*HTTP, error) {
	c.MaxBody = cmp.Or(c.MaxBody, DefaultMaxBody)
	if c.MaxBody < 1 || c.MaxBody > ingest.MaxBody {
		return nil, fmt.Errorf("a body of %d bytes: up to %d are possible", c.MaxBody, ingest.MaxBody)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Address)
	if err != nil {
		return nil, fmt.Errorf("listen for events at %s: %w", c.Address, err)
	}
	if a, ok := listener.Addr().(*net.TCPAddr); len(c.Tokens) == 0 && (!ok || !a.IP.IsLoopback()) {
		listener.Close()
		return nil, fmt.Errorf("listen for events at %s: without a token only an address of this host, such as 127.0.0.1:8081, is "+
			"possible; name a file of tokens", c.Address)
	}
	if c.Cert != "" {
		certificate, err := newCertificate(c.Cert, c.Key, cmp.Or(d.Log, slog.Default()))
		if err != nil {
			listener.Close()
			return nil, fmt.Errorf("listen for events at %s: %w", c.Address, err)
		}
		listener = tls.NewListener(listener, certificate.config())
	}
	h := &HTTP{
		config: c, lanes: d.Identity.Lanes, listener: listener, nc: d.JS.Conn(), trace: d.TraceRequest, log: cmp.Or(d.Log, slog.Default()).With("stage", Bucket),
		slots:   make(chan struct{}, maxRequests),
		readers: sync.Pool{New: func() any { return new(ingest.BodyReader) }},

		answerTime: answerTime, bodyTime: bodyTime,
	}
	owner := d.Instance + "-" + strconv.FormatUint(rand.Uint64(), 36) // another one after a restart
	for lane := range h.lanes {
		p, err := newPusher(d, lane, owner, &h.kept, h.log)
		if err != nil {
			listener.Close()
			return nil, err
		}
		h.pushers = append(h.pushers, p)
	}
	return h, nil
}

// Address returns where it listens.
func (h *HTTP) Address() string { return h.listener.Addr().String() }

// Ready returns nil while requests are taken.
func (h *HTTP) Ready() error {
	if !h.serving.Load() {
		return errors.New("events are not taken by HTTP yet")
	}
	return nil
}

// Serve takes requests until the context ends. Those that are being worked on then have a few seconds to be answered.
func (h *HTTP) Serve(ctx context.Context) error {
	pushing, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	for _, p := range h.pushers {
		running.Go(func() { p.run(pushing) })
	}
	s := &http.Server{
		Handler: h.handler(), MaxHeaderBytes: maxHeaderBytes,
		ReadHeaderTimeout: headerTime, ReadTimeout: h.bodyTime, WriteTimeout: h.bodyTime + h.answerTime, IdleTimeout: idleTime,
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug), // what clients do wrong is their business
	}
	ended := make(chan error, 1)
	running.Go(func() { ended <- s.Serve(h.listener) })
	h.log.Info("events are taken by HTTP", "address", h.Address(), "tokens", len(h.config.Tokens), "tls", h.config.Cert != "")
	h.serving.Store(true)
	defer h.serving.Store(false)
	select {
	case err := <-ended:
		return fmt.Errorf("take events by HTTP: %w", err)
	case <-ctx.Done():
	}
	h.serving.Store(false)
	const stopTime = 3 * time.Second // as long as other stages take to commit; who is cut off comes again with the same key
	last, cancel := context.WithTimeout(pushing, stopTime)
	defer cancel()
	if s.Shutdown(last) != nil {
		_ = s.Close()
	}
	return nil
}

func (h *HTTP) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/events/{format}", func(w http.ResponseWriter, r *http.Request) { answerTo(w, r, h.take) })
	mux.HandleFunc("POST /v1/tick", func(w http.ResponseWriter, r *http.Request) { answerTo(w, r, h.tick) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// A refusal is an answer that is no success.
type refusal struct {
	status int
	code   string // one of a closed list, for programs
	text   string // for people
	again  bool   // the same request may succeed later
}

func (e *refusal) Error() string { return e.text }

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, text: fmt.Sprintf(format, args...)}
}

func later(status int, code, format string, args ...any) *refusal {
	e := refuse(status, code, format, args...)
	e.again = true
	return e
}

// errCrowded ends the reading of a body for which there is no memory now.
var errCrowded = later(http.StatusTooManyRequests, "busy", "too much is being sent at once; come again")

// answerTo answers a request that take has taken.
func answerTo(w http.ResponseWriter, r *http.Request, take func(http.ResponseWriter, *http.Request) (map[string]any, error)) {
	answer, err := take(w, r)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		var e *refusal
		switch {
		case errors.As(err, &e):
		case errors.Is(err, os.ErrDeadlineExceeded):
			e = later(http.StatusRequestTimeout, "slow", "the body did not come in time; send it again, in smaller parts")
		default:
			e = refuse(http.StatusBadRequest, "unreadable", "the body could not be read: %v", err)
		}
		if e.again {
			w.Header().Set("Retry-After", retryAfter)
		}
		if e.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="trailvane"`)
		}
		w.WriteHeader(e.status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": e.code, "message": e.text}})
		return
	}
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(answer)
}

// sourceName is what may name a source.
var sourceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// keyText is what may be in an idempotency key: printable ASCII, as a UUID or a quoted string.
var keyText = regexp.MustCompile(`^[!-~]{1,255}$`)

// enter lets a request in, with the lane of its source, until leave is called.
func (h *HTTP) enter(r *http.Request) (source string, p *pusher, leave func(), err error) {
	token, err := h.authorize(r)
	if err != nil {
		return "", nil, nil, err
	}
	source = cmp.Or(r.URL.Query().Get("source"), token.Name, "default")
	if !sourceName.MatchString(source) {
		return "", nil, nil, refuse(http.StatusBadRequest, "bad_source", "source: letters, digits, dots, _ and - are possible, at most 64")
	}
	if !h.nc.IsConnected() {
		return "", nil, nil, later(http.StatusServiceUnavailable, "away", "the broker cannot be reached; come again")
	}
	select {
	case h.slots <- struct{}{}:
		return source, h.pushers[ingest.Lane(connectorName, source, h.lanes)], func() { <-h.slots }, nil
	default:
		return "", nil, nil, errCrowded
	}
}

// take reads events, and stores them.
func (h *HTTP) take(w http.ResponseWriter, r *http.Request) (map[string]any, error) {
	source, p, leave, err := h.enter(r)
	if err != nil {
		return nil, err
	}
	defer leave()
	format := r.PathValue("format")
	if format == "auto" {
		format = ""
	} else if _, ok := formats.ByName(format); !ok {
		return nil, refuse(http.StatusNotFound, "unknown_format", "no format is called %q; 'auto' finds it out", clip(format))
	}
	key, given := "", r.Header.Values("Idempotency-Key")
	if len(given) > 0 {
		if key = given[0]; len(given) > 1 || !keyText.MatchString(key) {
			return nil, refuse(http.StatusBadRequest, "bad_key", "Idempotency-Key: one, of 1 to 255 printable ASCII characters without spaces")
		}
	}
	g := &push{done: make(chan result, 1)}
	traceparent, traced := h.trace("ingest request", r.Header.Get("traceparent"))
	g.trace = traceparent
	err = h.read(w, r, g, source, format, key)
	var res result
	if err != nil {
		h.kept.Add(-int64(g.size))
	} else {
		g.subject = schemas.RawSubject(p.lane, g.body.Format)
		res, err = h.push(p, g)
	}
	traced(res.answer.Accepted, err)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"accepted": res.answer.Accepted, "refused": res.answer.Refused, "format": res.answer.Format, "repeated": res.repeated,
	}, nil
}

// maxTickAccounts bounds the accounts that one request can tick, and so its records.
const maxTickAccounts = 100

// tick takes a client's word that everything has been sent that happened in some accounts until now. It says so behind all that
// was answered before, in the lane of the source. Others who feed the lane have no part in it, since a tick names its account.
func (h *HTTP) tick(_ http.ResponseWriter, r *http.Request) (map[string]any, error) {
	source, p, leave, err := h.enter(r)
	if err != nil {
		return nil, err
	}
	defer leave()
	names := r.URL.Query()["account"]
	if len(names) == 0 || len(names) > maxTickAccounts {
		return nil, refuse(http.StatusBadRequest, "bad_account", "account: 1 to %d are possible, each as aws:123456789012", maxTickAccounts)
	}
	accounts := make([]schemas.Account, len(names))
	for i, name := range names {
		var ok bool
		if accounts[i], ok = accountOf(name); !ok {
			return nil, refuse(http.StatusBadRequest, "bad_account",
				"account: a provider (%s, %s) and an id, as aws:123456789012", schemas.AWS, schemas.Alibaba)
		}
	}
	slices.SortFunc(accounts, schemas.Account.Compare)
	accounts = slices.Compact(accounts)
	g := &push{done: make(chan result, 1), subject: schemas.RawSubject(p.lane, string(schemas.TickControl))}
	// One in a minute says it all: event time has no parts of minutes. A name of its own keeps the answer of the next minute apart.
	k := sha256.New()
	fmt.Fprintf(k, "tick %s %d %q", source, time.Now().Unix()/60, accounts)
	g.key = hex.EncodeToString(k.Sum(nil)[:16])
	for _, a := range accounts {
		g.body.Chunks = append(g.body.Chunks, (&schemas.Tick{Account: a}).Append(nil))
	}
	if _, err := h.push(p, g); err != nil {
		return nil, err
	}
	return map[string]any{"accounts": len(accounts)}, nil
}

// accountID is what may be an account's id.
var accountID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// accountOf reads an account as [schemas.Account.String] writes it.
func accountOf(name string) (schemas.Account, bool) {
	provider, id, _ := strings.Cut(name, ":")
	a := schemas.Account{Provider: schemas.Provider(provider), ID: id}
	return a, (a.Provider == schemas.AWS || a.Provider == schemas.Alibaba) && accountID.MatchString(id)
}

// push has a request stored, and waits for it.
func (h *HTTP) push(p *pusher, g *push) (result, error) {
	select {
	case p.waiting <- g: // it has room for all that are worked on
	default:
		h.kept.Add(-int64(g.size))
		return result{}, errCrowded
	}
	patience := time.NewTimer(h.answerTime)
	defer patience.Stop()
	select {
	case res := <-g.done:
		return res, h.failure(res.err)
	case <-patience.C:
	}
	g.gone.Store(true)
	return result{}, h.failure(errAway)
}

// failure says what an error means to the client.
func (h *HTTP) failure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errFull):
		return later(http.StatusTooManyRequests, "full", "raw input is full, because what follows is slower; nothing was stored, come again")
	case errors.Is(err, errOtherKey):
		return refuse(http.StatusUnprocessableEntity, "key_reused", "this Idempotency-Key came with another body before")
	}
	return later(http.StatusServiceUnavailable, "away",
		"the broker did not say in time that it has stored the request; come again with the same key, or the same body without one")
}

// encodings are the content encodings. What the body is shows in its first bytes anyway; the list is for who sends another one.
var encodings = []string{"", "identity", "gzip", "x-gzip", "zstd"}

// read reads the body.
func (h *HTTP) read(w http.ResponseWriter, r *http.Request, g *push, source, format, key string) error {
	if coding := strings.ToLower(strings.Join(r.Header.Values("Content-Encoding"), ",")); !slices.Contains(encodings, coding) {
		w.Header().Set("Accept-Encoding", "gzip, zstd, identity")
		return refuse(http.StatusUnsupportedMediaType, "unknown_encoding", "Content-Encoding: gzip, zstd and identity are possible")
	}
	tooLarge := refuse(http.StatusRequestEntityTooLarge, "too_large", "the body is larger than %d bytes, uncompressed", h.config.MaxBody)
	if r.ContentLength > h.config.MaxBody {
		return tooLarge
	}
	reader := h.readers.Get().(*ingest.BodyReader)
	defer h.readers.Put(reader)
	hash := sha256.New()
	in := io.TeeReader(http.MaxBytesReader(w, r.Body, h.config.MaxBody), hash)
	// Chunks name what they came in. The name must not depend on the body, which is not known yet.
	object := connectorName + "/" + source
	if key != "" {
		object += "/" + key
	}
	var err error
	g.body, err = reader.Read(in, ingest.BodyConfig{
		Object: object, Format: format, Max: h.config.MaxBody, Detect: formats.Detect,
		Grow: func(n int) error {
			g.size += n
			if h.kept.Add(int64(n)) > max(keptBytes, 2*h.config.MaxBody) {
				return errCrowded
			}
			return nil
		},
	})
	if err == nil {
		_, err = io.Copy(io.Discard, in) // behind the compressed data, if anything
	}
	var large *http.MaxBytesError
	switch {
	case err == nil:
	case errors.Is(err, ingest.ErrBodyTooLarge), errors.As(err, &large):
		return tooLarge
	case errors.Is(err, ingest.ErrBodyCorrupt):
		return refuse(http.StatusBadRequest, "corrupt", "%v", err)
	case errors.Is(err, ingest.ErrNoRecord):
		return refuse(http.StatusBadRequest, "no_record", "no record, that is no JSON object, is in the body")
	case errors.Is(err, ingest.ErrUnknownFormat):
		return refuse(http.StatusBadRequest, "format_not_found", "no format knows the first records; name it in the path")
	default:
		return err
	}
	sum := hash.Sum(nil)
	g.sum = hex.EncodeToString(sum[:8])
	// Without a key the body is one: it is the same request if it is the same body.
	k := sha256.New()
	for _, part := range []string{source, r.PathValue("format"), key, cmp.Or(key, string(sum))} {
		fmt.Fprintf(k, "%d:%s", len(part), part)
	}
	g.key = hex.EncodeToString(k.Sum(nil)[:16])
	return nil
}

// authorize returns the token of a request.
func (h *HTTP) authorize(r *http.Request) (Token, error) {
	if len(h.config.Tokens) == 0 {
		if r.Header.Get("Origin") != "" { // a page in somebody's browser, which can reach this host's own addresses, too
			return Token{}, refuse(http.StatusForbidden, "browser", "requests from web pages are not taken without a token")
		}
		return Token{}, nil
	}
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if t, ok := match(h.config.Tokens, strings.TrimSpace(secret)); ok && strings.EqualFold(scheme, "Bearer") {
		return t, nil
	}
	return Token{}, refuse(http.StatusUnauthorized, "no_token", "Authorization: Bearer and a token that is known")
}

// clip bounds what a client sees of what it has sent.
func clip(s string) string { return s[:min(len(s), 64)] }
