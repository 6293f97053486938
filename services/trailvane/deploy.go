package main

import (
	"context"
	"fmt"
	"log/slog"

	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/stages"
)

type deployCommand struct {
	service.Connection
	service.Identity
	topologyFlags
	service.Logging
	Config configFile `placeholder:"FILE" help:"${config_help}"`
}

// topologyFlags are what may be changed by deploying again.
type topologyFlags struct {
	Replicas int `placeholder:"N" help:"Servers that keep each stream and bucket, 1, 3 or 5; production has 3, on hosts that do not lose power together (default: as deployed; a new deployment has 1)."`
}

func (t *topologyFlags) check() error {
	switch t.Replicas {
	case 0, 1, 3, 5:
		return nil
	}
	return fmt.Errorf("--replicas=%d: 1, 3 and 5 are possible", t.Replicas)
}

// Help is shown below the flags.
func (deployCommand) Help() string {
	return "Creates the streams and buckets of a deployment, or adjusts those that are there, and ends. It is safe to run at any time, " +
		"also while services work. Services wait until a deployment is there, so they may be started before.\n\n" +
		"Example: trailvane deploy --nats nats://n1:4222,nats://n2:4222,nats://n3:4222 --replicas 3 --partitions 16\n\n" +
		exitCodes
}

func (d *deployCommand) check() error {
	return firstUsage(d.Connection.Check, d.Identity.Check, d.topologyFlags.check)
}

// Run deploys.
func (d *deployCommand) Run(ctx context.Context, c console) error {
	if err := d.check(); err != nil {
		return err
	}
	log := d.Log(c.err)
	t, err := d.run(ctx, log)
	if err != nil {
		return logged(c, log, err)
	}
	_, err = fmt.Fprintf(c.out, "deployed: %d partitions, %d lanes, learning %s, lateness %s, budget %g, replicas %d\n",
		t.Partitions, t.Lanes, minutes(t.Learn), minutes(t.Lateness), t.Budget, t.Replicas)
	return err
}

func (d *deployCommand) run(ctx context.Context, log *slog.Logger) (jetstream.Topology, error) {
	js, err := d.Connect(ctx, "deploy", log)
	if err != nil {
		return jetstream.Topology{}, err
	}
	defer js.Conn().Close()
	return deploy(ctx, js, &d.Identity, &d.topologyFlags, log)
}

// deploy creates or adjusts a deployment, and returns what it is.
func deploy(
	ctx context.Context, js natsjetstream.JetStream, f *service.Identity, flags *topologyFlags, log *slog.Logger,
) (jetstream.Topology, error) {
	replicas := flags.Replicas
	id, err := jetstream.ReadIdentity(ctx, js)
	switch {
	case service.NotDeployed(err):
		id, replicas = f.New(), max(1, replicas)
		log.Info("making a new deployment", "partitions", id.Partitions, "lanes", id.Lanes)
	case err != nil:
		return jetstream.Topology{}, err
	default:
		if err := f.Fits(id); err != nil {
			return jetstream.Topology{}, err
		}
		if replicas == 0 {
			s, err := js.Stream(ctx, "KV_"+jetstream.DeploymentBucket)
			if err != nil {
				return jetstream.Topology{}, fmt.Errorf("look at what is deployed: %w", err)
			}
			replicas = s.CachedInfo().Config.Replicas
		}
	}
	t := jetstream.DefaultTopology(id, stages.Names()...)
	t.Replicas = replicas
	return t, jetstream.Deploy(ctx, js, t)
}
