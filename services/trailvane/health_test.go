package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthCommand(t *testing.T) {
	ready := false
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/healthz", r.URL.Path == "/readyz" && ready:
			w.Write([]byte("ok\n"))
		default:
			http.Error(w, "owns 3 of 4 partitions of aggregator", http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	address := s.Listener.Addr().String()
	_, port, _ := strings.Cut(address, ":")
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"lives", []string{"--listen", address}, exitOK, ""},
		{"on every address", []string{"--listen", ":" + port}, exitOK, ""},
		{"on every address of IPv4", []string{"--listen", "0.0.0.0:" + port}, exitOK, ""},
		{"is not ready", []string{"--ready", "--listen", address}, exitFailed, "owns 3 of 4 partitions of aggregator"},
		{"nobody is there", []string{"--listen", "127.0.0.1:1"}, exitFailed, "connection refused"},
		{"no address", []string{"--listen", "here"}, exitUsage, "no address with a port"},
	} {
		code, out, errOut := commandLine(t, append([]string{"health"}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(errOut, c.says) || c.says == "" && errOut != "" {
			t.Errorf("%s: exit %d\n%s%s", c.name, code, out, errOut)
		}
	}
	ready = true
	t.Setenv("TRAILVANE_LISTEN", address)
	if code, _, errOut := commandLine(t, "health", "--ready"); code != exitOK {
		t.Errorf("ready, by the environment: exit %d\n%s", code, errOut)
	}
}
