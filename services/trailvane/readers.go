package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"

	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/service"
)

type readersCommand struct {
	List    readersListCommand    `cmd:"" help:"Show who reads which stream, and how far."`
	Enable  readersEnableCommand  `cmd:"" help:"Register a stage: its input waits for it."`
	Disable readersDisableCommand `cmd:"" help:"Take a stage out: its input does not wait for it any more."`
}

// Help is shown below the flags.
func (readersCommand) Help() string {
	return "A stream keeps what a registered reader has not had, so a stage that is stopped loses nothing, and its input fills. Whoever " +
		"does not want an insight type at all takes its detector out of the set, and registers it again when he does."
}

// adminFlags are what commands share that look at a deployment or change it, and end.
type adminFlags struct {
	service.Connection
	patience
	service.Logging
	Config configFile `placeholder:"FILE" help:"${config_help}"`
}

func (f *adminFlags) check() error { return firstUsage(f.Connection.Check, f.patience.check) }

// with connects and calls do.
func (f *adminFlags) with(ctx context.Context, c console, do func(natsjetstream.JetStream) error) error {
	if err := f.check(); err != nil {
		return err
	}
	log := f.Log(c.err)
	return logged(c, log, f.connected(ctx, log, do))
}

func (f *adminFlags) connected(ctx context.Context, log *slog.Logger, do func(natsjetstream.JetStream) error) error {
	js, err := f.connect(ctx, &f.Credentials, f.NATS, "command", log)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	if err := do(js); err != nil {
		if service.NotDeployed(err) {
			return fmt.Errorf("there is no deployment yet; 'trailvane deploy' makes one: %w", err)
		}
		return err
	}
	return nil
}

// adminCodes ends the help of a command that changes or shows something, and ends.
const adminCodes = "Exit codes: 0 done; 1 failed or refused, the last line says why; 2 wrong usage, configuration file or environment."

type readersListCommand struct{ adminFlags }

// Help is shown below the flags.
func (readersListCommand) Help() string {
	return "Example: trailvane readers list --nats nats://n1:4222\n\n" + adminCodes
}

// Run lists.
func (r *readersListCommand) Run(ctx context.Context, c console) error {
	return r.with(ctx, c, func(js natsjetstream.JetStream) error {
		readers, err := jetstream.LoadReaders(ctx, js)
		if err != nil {
			return err
		}
		places, err := jetstream.PlacesOf(ctx, js)
		if err != nil {
			return err
		}
		return listReaders(c.out, readers, places)
	})
}

func listReaders(w io.Writer, readers jetstream.Readers, places []jetstream.Place) error {
	how := "off"
	if readers.Trim {
		how = fmt.Sprintf("on, the last %d messages stay", readers.KeepTail)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "STAGE\tREGISTERED\tREADS\tPOSITION\tLAG\t\n")
	for _, p := range places {
		registered, position := "no", "-"
		if p.Enabled {
			registered = "yes"
		}
		if p.Started {
			position = fmt.Sprint(p.Position)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\n", present.Safe(p.Stage, 60), registered, p.Stream, position, p.Lag(), remark(p))
	}
	return errors.Join(t.Flush(), func() error { _, err := fmt.Fprintf(w, "trimming: %s\n", how); return err }())
}

// remark tells what is special about a reader.
func remark(p jetstream.Place) string {
	missed := ""
	if n := p.Missed(); n > 0 {
		missed = fmt.Sprintf("has missed %d records and cannot go on", n)
	}
	foreign, waiting := "", ""
	switch {
	case p.Started && !p.Same:
		foreign = "has read another stream of this name"
	case !p.Started && p.Enabled:
		waiting = "has not begun; everything is kept for it"
	}
	return cmp.Or(foreign, missed, waiting)
}

type readersEnableCommand struct {
	Stage  string `arg:"" help:"Stage, as 'trailvane readers list' names it."`
	Afresh bool   `env:"-" help:"If records are gone that it has not read: forget its state and begin at the first record there is, instead of refusing."`
	adminFlags
}

// Help is shown below the flags.
func (readersEnableCommand) Help() string {
	return "If records are gone that the stage has not read, it cannot go on where it was, and the command refuses and says how many. With " +
		"--afresh the stage forgets what it has learned in the partitions where that is so, and learns again from the first record there " +
		"is; insights that it had open there are ended.\n\nExample: trailvane readers enable detector-IpInsight\n\n" + adminCodes
}

// Run enables.
func (r *readersEnableCommand) Run(ctx context.Context, c console) error {
	return r.with(ctx, c, func(js natsjetstream.JetStream) error {
		if err := jetstream.EnableReader(ctx, js, r.Stage, r.Afresh); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.out, "%s is registered; its input waits for it\n", present.Safe(r.Stage, 60))
		return err
	})
}

type readersDisableCommand struct {
	Stage string `arg:"" help:"Stage, as 'trailvane readers list' names it."`
	adminFlags
}

// Help is shown below the flags.
func (readersDisableCommand) Help() string {
	return "Stop the stage first: its input may be purged from now on. A stage that alone reads a stream stays registered.\n\n" +
		"Example: trailvane readers disable detector-IpInsight\n\n" + adminCodes
}

// Run disables.
func (r *readersDisableCommand) Run(ctx context.Context, c console) error {
	return r.with(ctx, c, func(js natsjetstream.JetStream) error {
		if err := jetstream.DisableReader(ctx, js, r.Stage); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.out, "%s is not registered any more; its input does not wait for it\n", present.Safe(r.Stage, 60))
		return err
	})
}
