package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/aggregate"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
)

// Identity is what a deployment is created with and keeps for ever, as flags. What is not given is as deployed.
type Identity struct {
	Partitions int            `placeholder:"N" help:"Partitions, 1 to 32: as many instances of a stage can share its work (default: as deployed; a new deployment has 8). It can never be changed."`
	Lanes      int            `placeholder:"N" help:"Lanes of raw input, 1 to 32: as many instances of ingest and normalizer can share theirs (default: as deployed; a new deployment has 2). It can never be changed."`
	Learn      *time.Duration `placeholder:"TIME" help:"Learn so long, in event time, before the first insight of an account, whole minutes up to 2160h (default: as deployed; a new deployment has 24h)."`
	Lateness   *time.Duration `placeholder:"TIME" help:"How late events may be delivered and still count in their minute, whole minutes up to 1h (default: as deployed; a new deployment has 15m)."`
	Budget     float64        `placeholder:"X" help:"Multiplies the false insights that are tolerated, up to 1000: 0.3 is quieter, 3 sees more (default: as deployed; a new deployment has 1)."`
}

// Bounds of an identity.
const (
	MaxPartitions = 32
	MaxLearn      = 90 * 24 * time.Hour // as long as insights are kept
	MaxBudget     = 1000                // beyond that every active hour would be an insight
)

const (
	defaultPartitions = 8
	defaultLanes      = 2
)

// Check returns an error if a flag is out of its bounds.
func (f *Identity) Check() error {
	whole := func(d *time.Duration, most time.Duration) bool {
		return d == nil || *d >= 0 && *d <= most && *d%time.Minute == 0
	}
	switch {
	case f.Partitions < 0 || f.Partitions > MaxPartitions:
		return fmt.Errorf("--partitions=%d: 1 to %d are possible", f.Partitions, MaxPartitions)
	case f.Lanes < 0 || f.Lanes > MaxPartitions:
		return fmt.Errorf("--lanes=%d: 1 to %d are possible", f.Lanes, MaxPartitions)
	case !whole(f.Learn, MaxLearn):
		return fmt.Errorf("--learn=%s: whole minutes from 0 to %s are possible", f.Learn, MaxLearn)
	case !whole(f.Lateness, time.Duration(aggregate.MaxLateness)*time.Minute):
		return fmt.Errorf("--lateness=%s: whole minutes from 0 to 1h are possible", f.Lateness)
	case !(f.Budget >= 0 && f.Budget <= MaxBudget):
		return fmt.Errorf("--budget=%g: more than 0 and at most %d is possible", f.Budget, MaxBudget)
	}
	return nil
}

// over returns an identity with what the flags say.
func (f *Identity) over(id tvjetstream.Identity) tvjetstream.Identity {
	if f.Partitions > 0 {
		id.Partitions = f.Partitions
	}
	if f.Lanes > 0 {
		id.Lanes = f.Lanes
	}
	if f.Learn != nil {
		id.Learn = int(*f.Learn / time.Minute)
	}
	if f.Lateness != nil {
		id.Lateness = int(*f.Lateness / time.Minute)
	}
	if f.Budget > 0 {
		id.Budget = f.Budget
	}
	return id
}

// New returns the identity of a new deployment.
func (f *Identity) New() tvjetstream.Identity {
	s := schemas.DefaultSettings()
	return f.over(tvjetstream.Identity{
		Partitions: defaultPartitions, Lanes: defaultLanes, Learn: int(s.Learn), Lateness: int(s.Lateness), Budget: s.Budget,
	})
}

// Fits returns an error that names both values of every flag by which a deployment differs.
func (f *Identity) Fits(id tvjetstream.Identity) error {
	want := f.over(id)
	var differ []string
	compare := func(flag string, is, wanted any) {
		if is != wanted {
			differ = append(differ, fmt.Sprintf("--%s=%v, not %v", flag, is, wanted))
		}
	}
	minutes := func(n int) time.Duration { return time.Duration(n) * time.Minute }
	compare("partitions", id.Partitions, want.Partitions)
	compare("lanes", id.Lanes, want.Lanes)
	compare("learn", minutes(id.Learn), minutes(want.Learn))
	compare("lateness", minutes(id.Lateness), minutes(want.Lateness))
	compare("budget", id.Budget, want.Budget)
	if len(differ) == 0 {
		return nil
	}
	return fmt.Errorf("%w: it has %s; leave the flag out to use what is deployed", tvjetstream.ErrIdentity, strings.Join(differ, "; "))
}

// Settings returns what the records of a lane are read with.
func Settings(id tvjetstream.Identity) schemas.Settings {
	return schemas.Settings{Learn: schemas.Minute(id.Learn), Lateness: schemas.Minute(id.Lateness), Budget: id.Budget}
}

// deployPoll is how often a service looks whether it is deployed: an API call, while somebody is about to type a command.
const deployPoll = time.Second

// WaitDeployed waits until a deployment is there with the state buckets of some stages, and says so. It returns an error
// only if the deployment differs from the flags, or the context ends.
func (f *Identity) WaitDeployed(
	ctx context.Context, js jetstream.JetStream, stages []string, log *slog.Logger,
) (tvjetstream.Identity, error) {
	for said := ""; ; {
		id, err := deployed(ctx, js, stages)
		if err == nil {
			return id, f.Fits(id)
		}
		if ctx.Err() != nil {
			return id, ctx.Err()
		}
		if err.Error() != said { // once for each reason
			said = err.Error()
			log.Warn("waiting for the deployment; 'trailvane deploy' makes it", "error", err)
		}
		if err := wait(ctx, deployPoll); err != nil {
			return id, err
		}
	}
}

// deployed returns the identity of a deployment that is complete for some stages. Their buckets are made behind all streams.
func deployed(ctx context.Context, js jetstream.JetStream, stages []string) (tvjetstream.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, apiPatience)
	defer cancel()
	id, err := tvjetstream.ReadIdentity(ctx, js)
	switch {
	case NotDeployed(err):
		return id, errors.New("there is none yet")
	case err != nil:
		return id, err
	}
	for _, stage := range stages {
		if _, err := tvjetstream.OpenStore(ctx, js, stage); err != nil {
			return id, err
		}
	}
	return id, nil
}

// NotDeployed reports whether an error of ReadIdentity means that there is no deployment.
func NotDeployed(err error) bool {
	return errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrKeyNotFound)
}
