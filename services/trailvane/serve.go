package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/services/aggregator"
	"github.com/trailvane/trailvane/services/detector"
	"github.com/trailvane/trailvane/services/internal/broker"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/stages"
	"github.com/trailvane/trailvane/services/pairer"
)

type serveCommand struct {
	Paths []string `arg:"" optional:"" name:"path" help:"Files, folders, glob patterns in quotes, or s3://BUCKET/KEY and oss://BUCKET/KEY of folders in object stores, to follow: what is there is read, and then what comes. Without any, events come by --http, or another process reads."`

	Store string `type:"path" default:"trailvane-data" placeholder:"FOLDER" help:"Folder of the embedded NATS server: streams and state. It is made if it is missing, and used by one process at a time (default: ${default})."`
	Sync  string `default:"2m" placeholder:"TIME" help:"How often the embedded server writes through to the disk, at most 1h: what came since is lost when the power fails, not when the process does. 'always' loses nothing that was acknowledged, and is slower (default: ${default})."`
	Port  int    `default:"0" placeholder:"PORT" help:"Let other clients on this host, such as 'trailvane status', connect to the embedded server: at this port of 127.0.0.1, without a password, so that every user of the host can read and write all of it; 0 is nowhere (default: ${default})."`

	NATS []string `name:"nats" sep:"," placeholder:"URL" help:"Use these NATS servers of one cluster, by commas, and no embedded one."`
	service.Credentials
	service.Process
	service.Identity
	topologyFlags
	inputFlags
	httpFlags
	sensitiveFlags
	Config configFile `placeholder:"FILE" help:"${config_help}"`
}

// Help is shown below the flags.
func (serveCommand) Help() string {
	return "Deploys, and runs all stages in this process: on an embedded NATS server that keeps everything in --store, or on servers of yours " +
		"(--nats), where other instances of serve or of single stages share the work.\n\n" +
		"Example: trailvane serve --store /var/lib/trailvane --listen 127.0.0.1:8080 /mnt/audit-logs\n\n" + exitCodes
}

// maxSync bounds --sync: a longer time protects from nothing.
const maxSync = time.Hour

func (s *serveCommand) sync() (time.Duration, error) {
	if s.Sync == "always" {
		return broker.SyncAlways, nil
	}
	d, err := time.ParseDuration(s.Sync)
	if err != nil || d <= 0 || d > maxSync {
		return 0, fmt.Errorf("--sync=%s: 'always', or a time above 0 and up to 1h, as 2m or 10s", s.Sync)
	}
	return d, nil
}

func (s *serveCommand) check() error {
	err := firstUsage(
		func() error {
			if len(s.NATS) > 0 {
				return service.CheckURLs(s.NATS)
			}
			if s.Port < 0 || s.Port > 65535 {
				return fmt.Errorf("--port=%d: 0 to 65535 are possible", s.Port)
			}
			_, err := s.sync()
			return err
		},
		func() error {
			if len(s.NATS) == 0 && s.Replicas > 1 {
				return errors.New("--replicas: the embedded server is one; several are reached by --nats")
			}
			return nil
		},
		s.Credentials.Check, s.Process.Check, s.Identity.Check, s.topologyFlags.check,
		func() error { return s.inputFlags.check(s.Paths) }, s.httpFlags.check)
	if err != nil {
		return err
	}
	_, err = s.sensitiveFlags.work()
	return err
}

// Run serves.
func (s *serveCommand) Run(ctx context.Context, c console) error {
	if err := s.check(); err != nil {
		return err
	}
	log := s.Log(c.err)
	return logged(c, log, s.run(ctx, log))
}

func (s *serveCommand) run(ctx context.Context, log *slog.Logger) error {
	normalizer, err := s.sensitiveFlags.work()
	if err != nil {
		return err
	}
	name := s.Name()
	version, _ := buildVersion()
	s.Process.Version = version
	connect := func(ctx context.Context) (natsjetstream.JetStream, error) {
		return s.Credentials.Connect(ctx, s.NATS, name, log)
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if len(s.NATS) == 0 {
		b, err := s.embedded(ctx, log, stop)
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil // stopped before it had begun
		}
		if err != nil {
			return err
		}
		defer b.Shutdown()
		connect = func(context.Context) (natsjetstream.JetStream, error) {
			return b.JetStream(nats.Name("trailvane " + name))
		}
	}
	err = s.Process.Run(running, log, func(ctx context.Context, log *slog.Logger) (*service.Deployment, []service.Work, error) {
		d := &service.Deployment{Instance: name, Version: version, Log: log}
		var err error
		if d.JS, err = connect(ctx); err != nil {
			return nil, nil, err
		}
		t, err := deploy(ctx, d.JS, &s.Identity, &s.topologyFlags, log)
		if err != nil {
			return d, nil, err
		}
		d.Identity = t.Identity
		var works []service.Work
		if len(s.Paths) > 0 {
			works = append(works, s.inputFlags.work(d, s.Paths, s.Store))
		}
		works = append(works, normalizer(d), aggregator.Work(d))
		works = append(works, detector.Works(d, stages.Types()...)...)
		return d, append(works, pairer.Work(d)), s.listen(ctx, d)
	})
	if failure := context.Cause(running); errors.Is(failure, broker.ErrWrite) {
		return fmt.Errorf("%w; make room in %s, then the same command goes on", failure, s.Store)
	}
	return err
}

// maxStore leaves it to the disk, and to the limits of the streams, how much they take.
const maxStore = 1 << 60

// embedded starts the server.
func (s *serveCommand) embedded(ctx context.Context, log *slog.Logger, failed func(error)) (*broker.Broker, error) {
	sync, err := s.sync()
	if err != nil {
		return nil, usageError{err}
	}
	if err := broker.MayBeStore(s.Store); err != nil {
		return nil, err
	}
	b, err := broker.Start(ctx, broker.Config{
		Dir: s.Store, MaxStore: maxStore, Sync: sync, Host: "127.0.0.1", Port: s.Port, Log: log, OnFailure: failed,
	})
	if err != nil {
		return nil, err
	}
	if s.Port != 0 {
		log.Info("clients may connect", "nats", b.ClientURL())
	}
	return b, nil
}
