package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	pipelineingest "github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/aggregator"
	"github.com/trailvane/trailvane/services/detector"
	"github.com/trailvane/trailvane/services/ingest"
	"github.com/trailvane/trailvane/services/internal/mmdb"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/stages"
	"github.com/trailvane/trailvane/services/normalizer"
	"github.com/trailvane/trailvane/services/pairer"
)

// exitCodes ends the help of a command that works until it is stopped, or deploys.
const exitCodes = "Exit codes: 0 done, or stopped by SIGTERM or SIGINT after what was done has been committed; 1 failed, the last line says " +
	"why; 2 wrong usage, configuration file or environment. A second signal ends the process at once, which loses nothing either."

// A stageFlags is what all commands that run a stage share.
type stageFlags struct {
	service.Connection
	service.Process
	service.Identity
	Config configFile `placeholder:"FILE" help:"${config_help}"`
}

func (f *stageFlags) check() error {
	return firstUsage(f.Connection.Check, f.Process.Check, f.Identity.Check)
}

// firstUsage returns the first error, as one of usage.
func firstUsage(checks ...func() error) error {
	for _, check := range checks {
		if err := check(); err != nil {
			return usageError{err}
		}
	}
	return nil
}

// run runs stages until the context ends.
func (f *stageFlags) run(ctx context.Context, c console, names []string, works func(d *service.Deployment) []service.Work) error {
	return f.start(ctx, c, names, func(_ context.Context, d *service.Deployment) ([]service.Work, error) { return works(d), nil })
}

// start is run for a stage that may fail to begin.
func (f *stageFlags) start(
	ctx context.Context, c console, names []string, works func(context.Context, *service.Deployment) ([]service.Work, error),
) error {
	log := f.Log(c.err)
	version, _ := buildVersion()
	f.Process.Version = version
	return logged(c, log, f.Process.Run(ctx, log, func(ctx context.Context, log *slog.Logger) (*service.Deployment, []service.Work, error) {
		d := &service.Deployment{Instance: f.Name(), Version: version, Log: log}
		var err error
		if d.JS, err = f.Connect(ctx, d.Instance, log); err != nil {
			return nil, nil, err
		}
		if d.Identity, err = f.WaitDeployed(ctx, d.JS, names, log); err != nil {
			return d, nil, err
		}
		all, err := works(ctx, d)
		return d, all, err
	}))
}

// inputFlags are how logs are followed.
type inputFlags struct {
	objectFlags
	Poll   time.Duration `placeholder:"TIME" help:"Look for new files and lines so often, 100ms to 1h (default: 5s, 1m if object stores are among the paths)."`
	Format string        `default:"auto" enum:"auto,${formats}" help:"Format of the logs: ${enum}."`
}

func (f *inputFlags) check(paths []string) error {
	if f.Poll != 0 && (f.Poll < 100*time.Millisecond || f.Poll > time.Hour) {
		return fmt.Errorf("--poll=%s: 100ms to 1h are possible", f.Poll)
	}
	if slices.Contains(paths, "-") {
		return errors.New("standard input cannot be read again after a restart, so it cannot be followed; write it to a file, or see 'trailvane analyze'")
	}
	return ingest.CheckPlaces(f.config(), paths...)
}

// work returns the stage that follows paths; what is in dir are no logs.
func (f *inputFlags) work(d *service.Deployment, paths []string, dir string) service.Work {
	c := ingest.Config{Paths: paths, Objects: f.config(), Dir: dir, Poll: f.Poll}
	if f.Format != "auto" {
		c.Format = f.Format
	}
	return ingest.Work(d, c)
}

// httpFlags are how events are taken by HTTP.
type httpFlags struct {
	HTTP          string `name:"http" placeholder:"ADDR" help:"Take events by HTTP at this address, as 127.0.0.1:8081 or :8081 for everybody: POST /v1/events/{format}; docs/http.md explains it. Without --http-token-file only an address of this host is possible (default: nowhere)."`
	HTTPTokenFile string `name:"http-token-file" type:"existingfile" placeholder:"FILE" help:"Bearer tokens that clients of --http must have one of: one a line, each alone or behind the name of the source that sends it. It is read at the start."`
	HTTPCert      string `name:"http-cert" type:"existingfile" placeholder:"FILE" help:"Certificate (PEM) with which --http speaks TLS; with --http-key. Both files are read again when they change."`
	HTTPKey       string `name:"http-key" type:"existingfile" placeholder:"FILE" help:"Key (PEM) of --http-cert."`
	HTTPMaxBody   size   `name:"http-max-body" default:"16MB" placeholder:"SIZE" help:"Largest request body of --http, uncompressed, up to 64MB (default: ${default})."`
}

// config returns what the flags say; ok is false if nothing is taken.
func (f *httpFlags) config() (c ingest.HTTPConfig, ok bool, err error) {
	if f.HTTP == "" {
		if cmp.Or(f.HTTPTokenFile, f.HTTPCert, f.HTTPKey) != "" {
			return c, false, errors.New("--http-token-file, --http-cert and --http-key are of no use without --http")
		}
		return c, false, nil
	}
	if (f.HTTPCert == "") != (f.HTTPKey == "") {
		return c, false, errors.New("--http-cert and --http-key: one needs the other")
	}
	if f.HTTPCert != "" {
		if _, err := tls.LoadX509KeyPair(f.HTTPCert, f.HTTPKey); err != nil {
			return c, false, fmt.Errorf("--http-cert, --http-key: %w", err)
		}
		c.Cert, c.Key = f.HTTPCert, f.HTTPKey
	}
	c.Address = f.HTTP
	address, err := net.ResolveTCPAddr("tcp", f.HTTP)
	if err != nil {
		return c, false, fmt.Errorf("--http=%q is no address such as 127.0.0.1:8081: %w", f.HTTP, err)
	}
	switch {
	case f.HTTPTokenFile != "":
		if c.Tokens, err = ingest.ReadTokens(f.HTTPTokenFile); err != nil {
			return c, false, fmt.Errorf("--http-token-file: %w", err)
		}
	case !address.IP.IsLoopback():
		return c, false, fmt.Errorf("--http=%s: everybody could send events; name --http-token-file, or an address of this host such as 127.0.0.1:8081", f.HTTP)
	}
	if c.MaxBody = int64(f.HTTPMaxBody); c.MaxBody < 1 || c.MaxBody > pipelineingest.MaxBody {
		return c, false, fmt.Errorf("--http-max-body=%s: 1 byte to 64MB are possible", f.HTTPMaxBody)
	}
	return c, true, nil
}

func (f *httpFlags) check() error {
	_, _, err := f.config()
	return err
}

// listen gives a deployment the server of the flags, if they want one.
func (f *httpFlags) listen(ctx context.Context, d *service.Deployment) error {
	c, ok, err := f.config()
	if err != nil || !ok {
		return err
	}
	h, err := ingest.ListenHTTP(ctx, d, c)
	if err == nil {
		d.Server = h
	}
	return err
}

type ingestCommand struct {
	Paths []string `arg:"" optional:"" name:"path" help:"Files, folders, glob patterns in quotes, or s3://BUCKET/KEY and oss://BUCKET/KEY of folders in object stores. What is there is read, and then what comes: new files, and lines that are appended. All instances are given the same paths and see the same files; each reads the lanes that it owns."`
	stageFlags
	inputFlags
	httpFlags
}

// Help is shown below the flags.
func (ingestCommand) Help() string {
	return "Reads audit logs, in the order of their time, and goes on with what is new. Instances share the lanes of the deployment, over which " +
		"the folders of accounts are spread. With --http, events are taken from whoever sends them, too; every instance takes those of all lanes.\n\n" +
		"Examples:\n  trailvane ingest --nats nats://n1:4222 --listen :8080 /mnt/audit-logs\n" +
		"  trailvane ingest --nats nats://n1:4222 s3://my-trail-bucket/AWSLogs\n" +
		"  trailvane ingest --nats nats://n1:4222 --http :8081 --http-token-file tokens\n\n" +
		"Credentials and region of object stores come from where their vendors' tools find them; docs/formats.md tells more.\n\n" + exitCodes
}

func (i *ingestCommand) check() error {
	if err := i.stageFlags.check(); err != nil {
		return err
	}
	return firstUsage(func() error { return i.inputFlags.check(i.Paths) }, i.httpFlags.check, func() error {
		if len(i.Paths) == 0 && i.HTTP == "" {
			return errors.New("name paths to follow, or --http, or both")
		}
		return nil
	})
}

// Run runs the stage.
func (i *ingestCommand) Run(ctx context.Context, c console) error {
	if err := i.check(); err != nil {
		return err
	}
	return i.start(ctx, c, []string{ingest.Bucket}, func(ctx context.Context, d *service.Deployment) ([]service.Work, error) {
		var works []service.Work
		if len(i.Paths) > 0 {
			works = append(works, i.work(d, i.Paths, ""))
		}
		return works, i.listen(ctx, d)
	})
}

// sensitiveFlags are how a normalizer judges events.
type sensitiveFlags struct {
	Catalogue string   `type:"existingfile" placeholder:"FILE" help:"Change which operations count as sensitive; docs/catalogue.md explains the file. All instances have the same."`
	MMDB      []string `name:"mmdb" type:"existingfile" placeholder:"FILE" help:"Databases in the MaxMind DB format that know network (ASN) and country of addresses. All instances have the same."`
}

// work returns the normalizer, made as the flags say.
func (f *sensitiveFlags) work() (func(d *service.Deployment) service.Work, error) {
	catalogue, err := readCatalogue(f.Catalogue)
	if err != nil {
		return nil, err
	}
	var resolver normalize.Resolver
	if len(f.MMDB) > 0 {
		if resolver, err = mmdb.Open(f.MMDB...); err != nil {
			return nil, usagef("--mmdb: %w", err)
		}
	}
	return func(d *service.Deployment) service.Work { return normalizer.Work(d, catalogue, resolver) }, nil
}

type normalizerCommand struct {
	stageFlags
	sensitiveFlags
}

// Help is shown below the flags.
func (normalizerCommand) Help() string {
	return "Decodes raw records, and sends management events on. Instances share the lanes of the deployment.\n\n" +
		"Example: trailvane normalizer --nats nats://n1:4222 --listen :8080 --mmdb GeoLite2-ASN.mmdb,GeoLite2-Country.mmdb\n\n" + exitCodes
}

func (n *normalizerCommand) check() error {
	if err := n.stageFlags.check(); err != nil {
		return err
	}
	_, err := n.work()
	return err
}

// Run runs the stage.
func (n *normalizerCommand) Run(ctx context.Context, c console) error {
	if err := n.stageFlags.check(); err != nil {
		return err
	}
	work, err := n.work()
	if err != nil {
		return err
	}
	return n.run(ctx, c, []string{normalizer.Bucket}, func(d *service.Deployment) []service.Work { return []service.Work{work(d)} })
}

type aggregatorCommand struct{ stageFlags }

// Help is shown below the flags.
func (aggregatorCommand) Help() string {
	return "Drops repeated events and counts the others by minute. Instances share the partitions of the deployment.\n\n" +
		"Example: trailvane aggregator --nats nats://n1:4222 --listen :8080\n\n" + exitCodes
}

// Run runs the stage.
func (a *aggregatorCommand) Run(ctx context.Context, c console) error {
	if err := a.check(); err != nil {
		return err
	}
	return a.run(ctx, c, []string{aggregator.Bucket}, func(d *service.Deployment) []service.Work {
		return []service.Work{aggregator.Work(d)}
	})
}

type detectorCommand struct {
	stageFlags
	Type []string `placeholder:"TYPE" help:"Run the detectors of these insight types, as ip,ak (default: of all)."`
}

// Help is shown below the flags.
func (detectorCommand) Help() string {
	return "Judges the counted minutes, one stage for each insight type. Instances with the same type share its partitions; types can be " +
		"spread over instances as you like, as long as each type runs somewhere.\n\n" +
		"Example: trailvane detector --nats nats://n1:4222 --listen :8080 --type ip,ak\n\n" + exitCodes
}

func (d *detectorCommand) types() ([]schemas.InsightType, error) {
	if len(d.Type) == 0 {
		return stages.Types(), nil
	}
	return insightTypes("--type", d.Type)
}

func (d *detectorCommand) check() error {
	if err := d.stageFlags.check(); err != nil {
		return err
	}
	_, err := d.types()
	return err
}

// Run runs the stages of the types.
func (d *detectorCommand) Run(ctx context.Context, c console) error {
	if err := d.check(); err != nil {
		return err
	}
	types, err := d.types()
	if err != nil {
		return err
	}
	var names []string
	for _, t := range types {
		names = append(names, detector.Bucket(t))
	}
	return d.run(ctx, c, names, func(dep *service.Deployment) []service.Work { return detector.Works(dep, types...) })
}

type pairerCommand struct{ stageFlags }

// Help is shown below the flags.
func (pairerCommand) Help() string {
	return "Turns findings into insight events, and publishes them. Instances share the partitions of the deployment.\n\n" +
		"Example: trailvane pairer --nats nats://n1:4222 --listen :8080\n\n" + exitCodes
}

// Run runs the stage.
func (p *pairerCommand) Run(ctx context.Context, c console) error {
	if err := p.check(); err != nil {
		return err
	}
	return p.run(ctx, c, []string{pairer.Bucket}, func(d *service.Deployment) []service.Work { return []service.Work{pairer.Work(d)} })
}

// minutes writes minutes as a flag has them.
func minutes(n int) string {
	if n%60 == 0 && n > 0 {
		return fmt.Sprintf("%dh", n/60)
	}
	return (time.Duration(n) * time.Minute).String()
}
