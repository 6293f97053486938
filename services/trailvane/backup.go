package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/services/internal/broker"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/service"
)

// defaultNATS is where the servers are if nothing is said.
const defaultNATS = "nats://127.0.0.1:4222"

// restingFlags say where a deployment is that rests: on servers, or in the folder of an embedded one that does not run.
type restingFlags struct {
	NATS  []string `name:"nats" sep:"," placeholder:"URL" help:"NATS servers of one cluster, by commas (default: nats://127.0.0.1:4222)."`
	Store string   `type:"path" placeholder:"FOLDER" help:"Instead of servers, the folder of an embedded one, as of 'trailvane serve --store', which must not run meanwhile."`
	service.Credentials
	patience
	service.Logging
	Config configFile `placeholder:"FILE" help:"${config_help}"`
}

func (f *restingFlags) check() error {
	return firstUsage(func() error {
		if len(f.NATS) == 0 {
			return nil
		}
		return service.CheckURLs(f.NATS)
	}, f.Credentials.Check, f.patience.check)
}

// with connects, calls do, and gives back what it took.
func (f *restingFlags) with(ctx context.Context, log *slog.Logger, do func(natsjetstream.JetStream) error) error {
	if f.Store == "" || len(f.NATS) > 0 {
		urls := f.NATS
		if len(urls) == 0 {
			urls = []string{defaultNATS}
		}
		js, err := f.connect(ctx, &f.Credentials, urls, "backup", log)
		if err != nil {
			return err
		}
		defer js.Conn().Close()
		return do(js)
	}
	b, err := broker.Start(ctx, broker.Config{Dir: f.Store, MaxStore: maxStore, Log: log})
	if err != nil {
		return err
	}
	defer b.Shutdown()
	js, err := b.JetStream(nats.Name("trailvane backup"))
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	return do(js)
}

type backupCommand struct {
	Folder string `arg:"" type:"path" help:"Folder to save to. It must not be there yet."`
	restingFlags
}

// Help is shown below the flags.
func (backupCommand) Help() string {
	return "Saves all streams and buckets of a deployment: records, state, positions, insights. Stop all services first: what is written " +
		"meanwhile makes the copy useless, which the command notices and says. NATS itself runs on.\n\n" +
		"Example: trailvane backup --nats nats://n1:4222 /backup/2026-11-26\n\n" + adminCodes
}

// Run saves.
func (b *backupCommand) Run(ctx context.Context, c console) error {
	if err := b.check(); err != nil {
		return err
	}
	log := b.Log(c.err)
	if b.Store != "" && len(b.NATS) == 0 {
		if _, err := os.Stat(filepath.Join(b.Store, "jetstream")); err != nil {
			return fmt.Errorf("there is no store to save: %w", err)
		}
	}
	return logged(c, log, b.with(ctx, log, func(js natsjetstream.JetStream) error {
		m, err := jetstream.Backup(ctx, js, b.Folder)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "saved %s to %s\n", contents(m), b.Folder)
		return err
	}))
}

type restoreCommand struct {
	Folder   string `arg:"" type:"path" help:"Folder that 'trailvane backup' made."`
	Replicas int    `placeholder:"N" help:"Servers that keep each stream and bucket, 1, 3 or 5 (default: as saved)."`
	restingFlags
}

// Help is shown below the flags.
func (restoreCommand) Help() string {
	return "Makes a deployment from a backup, where there is none. Services that are started afterwards go on where those stopped that " +
		"were running before the backup.\n\n" +
		"Example: trailvane restore --nats nats://n1:4222 /backup/2026-11-26\n\n" + adminCodes
}

func (r *restoreCommand) check() error {
	return firstUsage(r.restingFlags.check, (&topologyFlags{Replicas: r.Replicas}).check)
}

// Run restores.
func (r *restoreCommand) Run(ctx context.Context, c console) error {
	if err := r.check(); err != nil {
		return err
	}
	log := r.Log(c.err)
	return logged(c, log, r.with(ctx, log, func(js natsjetstream.JetStream) error {
		m, err := jetstream.Restore(ctx, js, r.Folder, r.Replicas)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "restored %s of %s\n", contents(m), m.Made.Format("2006-01-02 15:04:05 UTC"))
		return err
	}))
}

// contents tells shortly what a backup holds.
func contents(m *jetstream.Manifest) string {
	var records uint64
	var size int64
	for i := range m.Streams {
		records += m.Streams[i].Records
		size += m.Streams[i].Size
	}
	return fmt.Sprintf("%d streams and buckets with %d records, %s packed", len(m.Streams), records, present.Bytes(size))
}
