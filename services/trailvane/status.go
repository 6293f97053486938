package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/status"
)

// lookFlags are what commands share that look at a deployment or tidy it up, and end.
type lookFlags struct {
	service.Connection
	patience
	Config configFile `placeholder:"FILE" help:"${config_help}"`
}

func (f *lookFlags) check() error { return firstUsage(f.Connection.Check, f.patience.check) }

// connect connects, for no longer than the timeout.
func (f *lookFlags) connect(ctx context.Context, c console, name string) (natsjetstream.JetStream, error) {
	return f.patience.connect(ctx, &f.Credentials, f.NATS, name, c.log())
}

type statusCommand struct {
	lookFlags
	JSON  bool `name:"json" help:"Print one JSON object; docs/operations.md names its fields."`
	Watch bool `short:"w" help:"Look again every two seconds, until interrupted."`
	All   bool `help:"Show every watermark and account, not only the furthest behind."`
}

// Help is shown below the flags.
func (statusCommand) Help() string {
	return "Says in a sentence whether all is well, or what is wrong and what to do; then who works on what, how far it has come, which " +
		"connectors and accounts have gone silent, how many records were refused, how full streams are. Looking changes nothing.\n\n" +
		"Examples:\n  trailvane status --nats nats://n1:4222\n  trailvane status --json | jq .headline\n\n" +
		"Exit codes: 0 healthy; 11 something needs attention, also if there is no deployment; 1 cannot look; 2 wrong usage."
}

// watchEvery is how often --watch looks: state is committed every 5 s, instances tell every second that they live.
const watchEvery = 2 * time.Second

// Run looks.
func (s *statusCommand) Run(ctx context.Context, c console) error {
	if err := s.check(); err != nil {
		return err
	}
	js, err := s.connect(ctx, c, "status")
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	for {
		seen, err := s.look(ctx, js)
		switch {
		case err == nil:
			if err := s.show(c.out, seen); err != nil {
				return err
			}
		case !s.Watch || ctx.Err() != nil:
			return err
		default:
			fmt.Fprintf(c.err, "trailvane: %s\n", present.Safe(err.Error(), maxError))
		}
		switch {
		case !s.Watch && seen.Healthy:
			return nil
		case !s.Watch:
			return exitError(exitAttention)
		}
		select {
		case <-time.After(watchEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *statusCommand) look(ctx context.Context, js natsjetstream.JetStream) (*status.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return status.Read(ctx, js, time.Now(), status.Options{All: s.All})
}

// clearScreen goes to the upper left corner and clears the terminal.
const clearScreen = "\x1b[H\x1b[2J"

func (s *statusCommand) show(out io.Writer, seen *status.Status) error {
	if s.JSON {
		return json.NewEncoder(out).Encode(seen)
	}
	text := present.Status(seen)
	if _, terminal := present.Terminal(out); s.Watch && terminal {
		text = clearScreen + present.Fit(out, text)
	}
	_, err := io.WriteString(out, text)
	return err
}
