package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/service"
)

type tailCommand struct {
	service.Connection
	Since age `placeholder:"TIME" help:"Begin with what was published since this time, or for so long: 2026-03-01, 90m, 7d (default: with the last ten)."`
	showFlags
	Config configFile `placeholder:"FILE" help:"${config_help}"`
}

// Help is shown below the flags.
func (tailCommand) Help() string {
	return "Shows insight events as they are published, a Start and an End each, until it is interrupted. While the servers are away, or there is no " +
		"deployment yet, it says so on standard error, waits, and goes on where it was. Severity and incident are told as far as they are known " +
		"when an event comes; an insight that is severe enough at its Start is shown to its End.\n\n" +
		"Examples:\n  trailvane tail --nats nats://n1:4222\n  trailvane tail --since 1h --min-severity high --output explain\n" +
		"  trailvane tail --type ip,ak --output ndjson --shape native | jq .insightDetails.trailvane.why.text\n\n" +
		"Exit codes: 130 interrupted; 141 nobody reads the output any more; 1 failed, the last line says why; 2 wrong usage, configuration file or environment."
}

func (t *tailCommand) check() error {
	if _, _, err := t.filter(); err != nil {
		return err
	}
	return firstUsage(t.Connection.Check)
}

// Run shows insights.
func (t *tailCommand) Run(ctx context.Context, c console) error {
	if err := t.check(); err != nil {
		return err
	}
	show, least, err := t.filter()
	if err != nil {
		return err
	}
	log := slog.New(&teller{out: c.err})
	js, err := t.Connect(ctx, "tail", log)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	w := &tailing{js: js, log: log, feed: newFeed(show, least), show: t.printer(c.out)}
	if t.Since.IsZero() {
		w.keep = lastShown
	}
	return w.run(ctx, t.Since.Time)
}

// printer returns what prints an event.
func (t *tailCommand) printer(out io.Writer) func(*schemas.Insight) error {
	_, terminal := present.Terminal(out)
	_, plain := os.LookupEnv("NO_COLOR") // a convention of many programs
	table := present.Feed{Colours: terminal && !plain && os.Getenv("TERM") != "dumb"}
	return func(i *schemas.Insight) error {
		width, terminal := present.Terminal(out) // it may have changed
		one := []schemas.Insight{*i}
		var err error
		switch {
		case t.ndjson(out):
			err = t.lines(out, one)
		case t.Output == "explain":
			if !terminal {
				width = taleWidth
			}
			_, err = io.WriteString(out, explain(one, min(width, taleWidth))+"\n")
		default:
			_, err = io.WriteString(out, table.Row(i, width))
		}
		if err != nil {
			return fmt.Errorf("print the insights: %w", err)
		}
		return nil
	}
}

const (
	// lastShown is how many events are shown of those that were before, if no time is named.
	lastShown = 10
	// lastRead is how many events are read to find them: those of others may be between them.
	lastRead = 1000
	// viewMemory is what views of an event may depend on: an insight lasts a day, and those of an incident are an hour apart.
	viewMemory = 25 * time.Hour
	// mostRead bounds what is read before the first event that is shown for sure: a day of 100,000 accounts, some 100 MB.
	mostRead = 20_000
	// tailPause is between two attempts to read.
	tailPause = 500 * time.Millisecond
)

// tailing is INSIGHTS being read.
type tailing struct {
	js   natsjetstream.JetStream
	log  *slog.Logger
	feed *feed
	show func(*schemas.Insight) error
	keep int // events before from that are shown, the last ones

	id   string            // of the stream
	at   uint64            // the record that was read last
	from uint64            // the first record that is shown
	last []schemas.Insight // those that are kept
}

// run reads for ever.
func (t *tailing) run(ctx context.Context, since time.Time) error {
	for {
		err := t.begin(ctx, since)
		if err == nil {
			break
		}
		if err := t.failed(ctx, err); err != nil {
			return err
		}
	}
	t.log.Info("reading the insights") // if something was wrong before
	for over := false; !over; {        // what there is
		err := t.follow(ctx, func(take func(runner.Record) error) error {
			err := jetstream.ReadFrom(ctx, t.js, jetstream.InsightsStream, "", t.at, take)
			over = err == nil
			return err
		})
		if err != nil {
			return err
		}
	}
	for i := range t.last {
		if err := t.show(&t.last[i]); err != nil {
			return err
		}
	}
	t.from, t.last = t.at+1, nil
	source := jetstream.NewSource(t.js, jetstream.InsightsStream, jetstream.SourceConfig{})
	defer func() { source.Close() }()
	for { // what comes
		err := t.follow(ctx, func(take func(runner.Record) error) error {
			err := source.Follow(ctx, t.at, take)
			if errors.Is(err, runner.ErrGap) {
				source.Close()
				source = jetstream.NewSource(t.js, jetstream.InsightsStream, jetstream.SourceConfig{})
				return t.other(ctx)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
}

// begin finds out where to begin.
func (t *tailing) begin(ctx context.Context, since time.Time) error {
	source := jetstream.NewSource(t.js, jetstream.InsightsStream, jetstream.SourceConfig{})
	defer source.Close()
	info, err := source.Info(ctx)
	if err != nil {
		return err
	}
	t.id, t.from = info.ID, info.Last+1
	last := info.Last
	if since.IsZero() {
		since = time.Now()
		last -= min(last, lastRead)
	} else if last, err = jetstream.Before(ctx, t.js, jetstream.InsightsStream, since); err == nil {
		t.from = last + 1
	}
	if err != nil {
		return err
	}
	before, err := jetstream.Before(ctx, t.js, jetstream.InsightsStream, since.Add(-viewMemory))
	if err != nil {
		return err
	}
	t.at = max(min(before, last), t.from-min(t.from, mostRead+1), info.First-1)
	return nil
}

// follow lets read read. It returns an error that ends all, and nil if there may be more to read.
func (t *tailing) follow(ctx context.Context, read func(take func(runner.Record) error) error) error {
	var end error
	err := read(func(r runner.Record) error {
		end = t.take(r)
		return end
	})
	if end != nil || err == nil {
		return end
	}
	return t.failed(ctx, err)
}

// take shows a record, or keeps it, or neither.
func (t *tailing) take(r runner.Record) error {
	if next := max(t.at+1, t.from); r.Seq > next {
		t.log.Warn(fmt.Sprintf("insight events %d to %d are not shown: INSIGHTS has dropped them before they could be read", next, r.Seq-1))
	}
	t.at = r.Seq
	var i schemas.Insight
	if err := i.Decode(r.Body); err != nil {
		t.log.Warn(fmt.Sprintf("insight event %d is not shown, it cannot be read", r.Seq), "error", err)
		return nil
	}
	switch shown := t.feed.next(&i); {
	case !shown:
	case r.Seq >= t.from:
		return t.show(&i)
	case t.keep > 0:
		if len(t.last) == t.keep {
			t.last = append(t.last[:0], t.last[1:]...)
		}
		t.last = append(t.last, i)
	}
	return nil
}

// other goes on where the stream is not the one that was read, or has lost its end.
func (t *tailing) other(ctx context.Context) error {
	source := jetstream.NewSource(t.js, jetstream.InsightsStream, jetstream.SourceConfig{})
	defer source.Close()
	info, err := source.Info(ctx)
	switch {
	case err != nil:
		return err
	case info.ID != t.id:
		t.log.Warn("INSIGHTS was made anew; what it holds follows")
		t.id, t.at = info.ID, info.First-1
	case info.Last < t.at:
		t.log.Warn(fmt.Sprintf("INSIGHTS ends at event %d, and %d was read already, as after a restoration; what comes follows", info.Last, t.at))
		t.at = info.Last
	}
	t.from = t.at + 1
	return nil
}

// failed waits a little before the next attempt. It says why, unless the connection has.
func (t *tailing) failed(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, natsjetstream.ErrStreamNotFound):
		t.log.Warn("there is no deployment yet, waiting for one ('trailvane deploy' or 'trailvane serve' makes it)")
	case t.js.Conn().IsConnected():
		t.log.Warn("cannot read the insights, trying again", "error", err)
	}
	select {
	case <-time.After(tailPause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A teller is a log for people who wait: it tells what is wrong once, and then that all is well again.
type teller struct {
	out io.Writer

	mu   sync.Mutex
	told map[string]bool // since all was well
}

// Enabled reports whether it is something to tell.
func (t *teller) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle tells.
func (t *teller) Handle(_ context.Context, r slog.Record) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := r.Message
	switch well := r.Level < slog.LevelWarn; {
	case well && len(t.told) == 0, t.told[r.Message]:
		return nil
	case well:
		t.told = nil
	default:
		if t.told == nil {
			t.told = make(map[string]bool)
		}
		t.told[r.Message] = true
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "error" {
				text += ": " + a.Value.String()
			}
			return true
		})
	}
	_, err := fmt.Fprintf(t.out, "trailvane: %s\n", present.Safe(text, maxError))
	return err
}

// WithAttrs and WithGroup change nothing: people are told what happened, not where in the program.
func (t *teller) WithAttrs([]slog.Attr) slog.Handler { return t }

// WithGroup is as WithAttrs.
func (t *teller) WithGroup(string) slog.Handler { return t }
