package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/services/internal/service"
)

// A patience is how long a command that does something and ends waits for servers. A service waits for ever.
type patience struct {
	Timeout time.Duration `default:"30s" placeholder:"TIME" help:"Give up when the servers have not answered for so long (default: ${default})."`
}

func (p *patience) check() error {
	if p.Timeout <= 0 {
		return fmt.Errorf("--timeout=%s: a time above 0 is possible", p.Timeout)
	}
	return nil
}

// connect connects, for no longer than the timeout.
func (p *patience) connect(
	ctx context.Context, who *service.Credentials, urls []string, name string, log *slog.Logger,
) (natsjetstream.JetStream, error) {
	bounded, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	js, err := who.Connect(bounded, urls, name, log)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("NATS at %s did not answer within %s; is it running, and is --nats right?",
			service.WithoutSecrets(urls), p.Timeout)
	}
	return js, err
}
