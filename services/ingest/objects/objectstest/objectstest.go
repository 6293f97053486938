// Package objectstest is an object store for tests: an S3 server in memory, whose answers can be delayed and refused.
package objectstest

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// A Server is an object store.
type Server struct {
	URL string

	// Latency is before each answer.
	Latency time.Duration

	// Lists and Reads count the requests.
	Lists, Reads atomic.Int64

	t       testing.TB
	backend *s3mem.Backend

	mu   sync.Mutex
	hook func(w http.ResponseWriter, r *http.Request) (answered bool)
}

// New returns a server with some buckets, and sets credentials in the environment that it takes.
func New(t testing.TB, buckets ...string) *Server {
	t.Helper()
	s := &Server{t: t, backend: s3mem.New()}
	for _, b := range buckets {
		if err := s.backend.CreateBucket(b); err != nil {
			t.Fatal(err)
		}
	}
	store := gofakes3.New(s.backend, gofakes3.WithoutVersioning()).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(store, w, r) }))
	t.Cleanup(server.Close)
	s.URL = server.URL
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "", "AWS_REGION": "us-east-1",
		"ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "secret", "ALIBABA_CLOUD_SECURITY_TOKEN": "",
	} {
		t.Setenv(name, value)
	}
	return s
}

// Hook lets a function answer requests, or leave them to the store. It may be nil.
func (s *Server) Hook(f func(w http.ResponseWriter, r *http.Request) (answered bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = f
}

func (s *Server) serve(store http.Handler, w http.ResponseWriter, r *http.Request) {
	list := r.URL.Query().Get("list-type") == "2"
	switch {
	case list:
		s.Lists.Add(1)
	case r.Method == http.MethodGet:
		s.Reads.Add(1)
	}
	if s.Latency > 0 {
		t := time.NewTimer(s.Latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
			return
		}
	}
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook != nil && hook(w, r) {
		return
	}
	if q := r.URL.Query(); list && q.Get("start-after") != "" && q.Get("continuation-token") == "" {
		// The store does not know start-after, but its tokens are the name before.
		q.Set("continuation-token", base64.URLEncoding.EncodeToString([]byte(q.Get("start-after"))))
		q.Del("start-after")
		r.URL.RawQuery = q.Encode()
	}
	store.ServeHTTP(w, r)
}

// Refuse answers with an error of the protocol.
func Refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>`+code+`</Code><Message>`+code+` it is</Message></Error>`)
}

// Put stores an object.
func (s *Server) Put(bucket, key, body string) {
	s.t.Helper()
	// The store takes the time from here, as if a client had sent it.
	meta := map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}
	if _, err := s.backend.PutObject(bucket, key, meta, strings.NewReader(body), int64(len(body)), nil); err != nil {
		s.t.Fatal(err)
	}
}

// Delete removes an object.
func (s *Server) Delete(bucket, key string) {
	s.t.Helper()
	if _, err := s.backend.DeleteObject(bucket, key); err != nil {
		s.t.Fatal(err)
	}
}
