package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/stages"
)

type deployCommand struct {
	service.Connection
	patience
	service.Identity
	topologyFlags
	service.Logging
	Config configFile `placeholder:"FILE" help:"${config_help}"`
}

// topologyFlags are what may be changed by deploying again.
type topologyFlags struct {
	Replicas     int     `placeholder:"N" help:"Servers that keep each stream and bucket, 1, 3 or 5; production has 3, on hosts that do not lose power together (default: as deployed; a new deployment has 1). More than that are left as they are."`
	StorageLimit size    `placeholder:"SIZE" help:"What all streams and buckets together may take on each server that holds a replica of everything, as 10GB or 500MiB (default: as deployed; a new deployment has 10GB). It is reserved; ingest waits when its share is full, and of insights, metrics and dead letters the oldest go."`
	KeepTail     *uint64 `placeholder:"N" help:"Messages of each queue that are kept although all readers have had them (default: as deployed; a new deployment keeps none)."`
	Trim         *bool   `negatable:"" help:"Purge what all readers have had (default: as deployed; a new deployment does). Without it the queues fill, and ingest stops; it is for tests."`
}

// defaultStorage is what a new deployment may take: a small company's for months, and no surprise on anybody's disk.
const defaultStorage = 10e9

func (t *topologyFlags) check() error {
	switch t.Replicas {
	case 0, 1, 3, 5:
		return nil
	}
	return fmt.Errorf("--replicas=%d: 1, 3 and 5 are possible", t.Replicas)
}

// A size is a number of bytes on the command line.
type size int64

// units by what is behind the number, longest first.
var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// UnmarshalText parses a flag.
func (s *size) UnmarshalText(text []byte) error {
	for _, u := range units {
		number, ok := strings.CutSuffix(strings.ToUpper(string(text)), strings.ToUpper(u.name))
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if bytes := n * u.bytes; err == nil && bytes >= 1 && bytes <= 1<<60 {
			*s = size(bytes)
			return nil
		}
		break
	}
	return fmt.Errorf("%q is no size such as 10GB or 500MiB", text)
}

// String writes it as a flag has it.
func (s size) String() string {
	for _, u := range []int{7, 6, 5} { // TB, GB, MB
		if of := size(units[u].bytes); s >= of && s%(of/10) == 0 {
			return strconv.FormatFloat(float64(s)/float64(of), 'f', -1, 64) + units[u].name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Help is shown below the flags.
func (deployCommand) Help() string {
	return "Creates the streams and buckets of a deployment, or adjusts those that are there, and ends. It is safe to run at any time, " +
		"also while services work. Services wait until a deployment is there, so they may be started before.\n\n" +
		"Example: trailvane deploy --nats nats://n1:4222,nats://n2:4222,nats://n3:4222 --replicas 3 --partitions 16 --storage-limit 100GB\n\n" +
		exitCodes
}

func (d *deployCommand) check() error {
	return firstUsage(d.Connection.Check, d.patience.check, d.Identity.Check, d.topologyFlags.check)
}

// Run deploys.
func (d *deployCommand) Run(ctx context.Context, c console) error {
	if err := d.check(); err != nil {
		return err
	}
	log := d.Log(c.err)
	what, err := d.run(ctx, log)
	if err != nil {
		return logged(c, log, err)
	}
	_, err = fmt.Fprintf(c.out, "deployed: %s\n", what)
	return err
}

func (d *deployCommand) run(ctx context.Context, log *slog.Logger) (deployed, error) {
	js, err := d.connect(ctx, &d.Credentials, d.NATS, "deploy", log)
	if err != nil {
		return deployed{}, err
	}
	defer js.Conn().Close()
	return deploy(ctx, js, &d.Identity, &d.topologyFlags, log)
}

// deployed is what a deployment is.
type deployed struct {
	jetstream.Topology
	storage size
}

// String tells it shortly.
func (d deployed) String() string {
	return fmt.Sprintf("%d partitions, %d lanes, learning %s, lateness %s, budget %g, replicas %d, storage at most %s",
		d.Partitions, d.Lanes, minutes(d.Learn), minutes(d.Lateness), d.Budget, d.Replicas, d.storage)
}

// deploy creates or adjusts a deployment, and returns what it is. What the flags leave open stays as it is.
func deploy(
	ctx context.Context, js natsjetstream.JetStream, f *service.Identity, flags *topologyFlags, log *slog.Logger,
) (deployed, error) {
	d, err := whatIs(ctx, js)
	switch {
	case service.NotDeployed(err):
		d = deployed{Topology: jetstream.DefaultTopology(f.New()), storage: defaultStorage}
		d.Replicas = 1
		log.Info("making a new deployment", "partitions", d.Partitions, "lanes", d.Lanes)
	case err != nil:
		return d, err
	default:
		if err := f.Fits(d.Identity); err != nil {
			return d, err
		}
	}
	d.Stages, d.Readers = stages.Names(), stages.Reads()
	d.Replicas = max(d.Replicas, flags.Replicas)
	if flags.StorageLimit > 0 {
		d.storage = flags.StorageLimit
	}
	if flags.KeepTail != nil {
		d.KeepTail = *flags.KeepTail
	}
	if flags.Trim != nil {
		d.Trim = *flags.Trim
	}
	if err := d.Share(int64(d.storage)); err != nil {
		return d, fmt.Errorf("--storage-limit: %w", err)
	}
	return d, jetstream.Deploy(ctx, js, d.Topology)
}

// whatIs returns what is deployed, without its stages and shares.
func whatIs(ctx context.Context, js natsjetstream.JetStream) (d deployed, err error) {
	id, err := jetstream.ReadIdentity(ctx, js)
	if err != nil {
		return d, err
	}
	d.Topology = jetstream.DefaultTopology(id)
	bucket, err := js.Stream(ctx, "KV_"+jetstream.DeploymentBucket)
	if err != nil {
		return d, fmt.Errorf("look at what is deployed: %w", err)
	}
	d.Replicas = bucket.CachedInfo().Config.Replicas
	limit, err := jetstream.LoadStorageLimit(ctx, js)
	if err != nil {
		return d, err
	}
	if d.storage = size(limit); limit == 0 { // whoever began to deploy came no further
		d.storage = defaultStorage
	}
	readers, err := jetstream.LoadReaders(ctx, js)
	if err != nil {
		return d, err
	}
	if readers.Stages != nil { // of a deployment that knows trimming
		d.Trim, d.KeepTail = readers.Trim, readers.KeepTail
	}
	return d, nil
}
