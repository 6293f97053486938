package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// A healthCommand asks a service of this host how it is, where there is no other program that could, as in a container.
type healthCommand struct {
	Listen  string        `default:"127.0.0.1:8080" env:"TRAILVANE_LISTEN" placeholder:"ADDR" help:"Address that the service was told to --listen on; of one for everybody, such as :8080, the port counts (default: ${default})."`
	Ready   bool          `help:"Ask whether it is ready (it owns its share of the work and has restored it), not only whether it lives."`
	Timeout time.Duration `default:"3s" placeholder:"TIME" help:"Give up after so long (default: ${default})."`
}

// Help is shown below the flags.
func (healthCommand) Help() string {
	return "Examples:\n  trailvane health --listen :8080\n  trailvane health --ready\n\n" +
		"Exit codes: 0 it lives, or is ready; 1 it does not, the last line says why; 2 wrong usage."
}

// maxHealth bounds what is read of an answer, bytes: it is a line.
const maxHealth = 4 << 10

// Run asks.
func (h *healthCommand) Run(ctx context.Context) error {
	host, port, err := net.SplitHostPort(h.Listen)
	if err != nil || port == "" || port == "0" {
		return usagef("--listen=%q is no address with a port, such as 127.0.0.1:8080", h.Listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	path := "/healthz"
	if h.Ready {
		path = "/readyz"
	}
	url := "http://" + net.JoinHostPort(host, port) + path
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usageError{err}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask for its health: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHealth))
	if err != nil {
		return fmt.Errorf("ask for its health: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	return nil
}
