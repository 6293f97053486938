package send

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trailvane/trailvane/schemas"
)

// A request is sent again, the same under the same key, until it is answered for good.
func TestSend(t *testing.T) {
	var times atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != "records" || r.Header.Get("Idempotency-Key") != "key" || r.Header.Get("Authorization") != "Bearer secret" ||
			r.URL.String() != "/v1/events/auto?source=one" {
			t.Errorf("%s with %v: %s", r.URL, r.Header, body)
		}
		switch times.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusTooManyRequests)
			io.WriteString(w, `{"error":{"code":"full","message":"raw input is full"}}`)
		case 3:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			w.WriteHeader(http.StatusAccepted)
			io.WriteString(w, `{"accepted":3,"refused":1,"repeated":true}`)
		}
	}))
	defer s.Close()
	var told []string
	c := &Client{URL: s.URL + "/", Token: "secret", Waiting: func(err error, _ time.Duration) { told = append(told, err.Error()) }}
	got, err := c.Send(t.Context(), "one", "key", []byte("records"))
	if want := (Stored{Accepted: 3, Refused: 1, Repeated: true}); err != nil || got != want || times.Load() != 4 {
		t.Errorf("%+v, %v, after %d requests", got, err, times.Load())
	}
	// After the broken connection the standard library may have sent it again by itself, because it has a key.
	if len(told) < 2 || !strings.Contains(told[0], "not that of Trailvane") || !strings.HasPrefix(told[1], "raw input is full") {
		t.Errorf("told: %q", told)
	}
}

func TestRefused(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"error":{"code":"no_token","message":"a token"}}`)
	}))
	defer s.Close()
	_, err := (&Client{URL: s.URL}).Send(t.Context(), "one", "key", nil)
	var r *RefusalError
	if !errors.As(err, &r) || r.Status != 401 || r.Code != "no_token" {
		t.Errorf("%v", err)
	}
}

// A certificate that is not trusted is not waited for, and one that is, is fine.
func TestUntrusted(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "{}")
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	if _, err := (&Client{URL: s.URL}).Send(t.Context(), "one", "key", nil); err == nil || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("%v", err)
	}
	if _, err := (&Client{URL: s.URL, HTTP: *s.Client()}).Send(t.Context(), "one", "key", nil); err != nil {
		t.Error(err)
	}
}

func TestTick(t *testing.T) {
	var asked []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"accounts":2}`)
	}))
	defer s.Close()
	err := (&Client{URL: s.URL}).Tick(t.Context(), "one", schemas.Account{Provider: schemas.AWS, ID: "1"}, schemas.Account{Provider: schemas.Alibaba, ID: "2"})
	if want := []string{"/v1/tick?account=aws%3A1&account=alibaba%3A2&source=one"}; err != nil || !slices.Equal(asked, want) {
		t.Errorf("%v, %q", err, asked)
	}
}

// Nobody waits for a service that is not there longer than the context.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := (&Client{URL: "http://127.0.0.1:1"}).Send(ctx, "one", "key", nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestCheckURL(t *testing.T) {
	for s, ok := range map[string]bool{
		"http://127.0.0.1:8081": true, "https://logs.example/": true, "127.0.0.1:8081": false, "ftp://a": false, "http://": false,
		"http://a/v1/events": false, "http://a?b=c": false, "": false,
	} {
		if err := CheckURL(s); (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
}
