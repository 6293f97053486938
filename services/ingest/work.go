package ingest

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strconv"
	"time"

	natsjetstream "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/ingest/objects"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/telemetry"
)

const (
	// DefaultPoll is how often what is followed is listed. Providers deliver every five minutes, so most of a delay is theirs.
	DefaultPoll = 5 * time.Second

	// DefaultObjectsPoll is how often it is with object stores among it, where every list costs money.
	DefaultObjectsPoll = time.Minute

	// complainEvery is how often it is said that polls fail.
	complainEvery = time.Minute
)

// Work is the stage that follows c.Paths, for an instance. Its partitions are lanes; the folders of accounts are spread over
// them. Of the configuration, Paths, Objects, Dir, Format and Poll count: the settings are those of the deployment, there is no end, and
// everything is remembered.
func Work(d *service.Deployment, c Config) service.Work {
	return service.Work{
		Stage: Bucket, Partitions: d.Identity.Lanes,
		Open: func(ctx context.Context, lane int) (service.Part, error) { return OpenFollowed(ctx, d, c, lane) },
	}
}

// OpenFollowed prepares a lane that is followed. It plans nothing before it runs and has claimed the lane.
func OpenFollowed(
	ctx context.Context, d *service.Deployment, c Config, lane int,
) (_ service.Part, err error) {
	places, err := FollowPlaces(ctx, c.Objects, c.Paths...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			places.Close()
		}
	}()
	places.Except = c.Dir
	store, err := jetstream.OpenStore(ctx, d.JS, Bucket)
	if err != nil {
		return nil, err
	}
	log := cmp.Or(d.Log, slog.Default()).With("stage", Bucket, "partition", lane)
	now, failed := c.now, c.failed
	if now == nil {
		now = func(ctx context.Context) (time.Time, error) { return brokerTime(ctx, d.JS, jetstream.RawStream(lane)) }
	}
	if failed == nil {
		failed = complain(log, slices.Clone(c.Paths))
	}
	pace := pacer{every: cmp.Or(c.Poll, DefaultPoll)}
	if c.Poll == 0 && slices.ContainsFunc(c.Paths, objects.Is) {
		pace.every = DefaultObjectsPoll
	}
	source := ingest.Follow(ingest.FollowConfig{
		Plan: ingest.PlanConfig{
			Connector: places, Store: store, Lane: lane, Lanes: d.Identity.Lanes,
			Settings: &schemas.Settings{
				Lateness: schemas.Minute(d.Identity.Lateness), Learn: schemas.Minute(d.Identity.Learn), Budget: d.Identity.Budget,
			},
			EventTime: formats.EventTime, Identity: rand.Text,
		},
		Format: c.Format, Detect: formats.Detect,
		Now:  now,
		Wait: pace.wait,
		Committed: func(ctx context.Context) (uint64, error) {
			all, err := jetstream.Checkpoints(ctx, d.JS, Bucket)
			return all[strconv.Itoa(lane)].Seq, err
		},
		Found: func(objects int) { log.Info("found what is new, reading it", "objects", objects) },
		TooOld: func(objects int) {
			log.Warn("left out new objects that are two weeks older than the newest of their folder",
				"paths", c.Paths, "objects", objects)
		},
		Failed: failed,
	})
	partition, err := service.Open(ctx, d, service.Stage[*ingest.Processor]{
		Name: Bucket, Partition: lane, Source: source, Constants: ingest.Constants,
		New:   func(uint64) *ingest.Processor { return ingest.NewProcessor() },
		Tally: tally,
	})
	if err != nil {
		return nil, err
	}
	return &followedLane{partition, places}, nil
}

// A followedLane is a lane whose connector ends with it.
type followedLane struct {
	*service.Partition[*ingest.Processor]
	places *Places
}

// Close gives back what OpenFollowed took.
func (l *followedLane) Close() {
	l.places.Close()
	l.Partition.Close()
}

func tally(p *ingest.Processor) service.Tally {
	s := p.Stats()
	t := service.Tally{Counts: []service.Count{
		{Metric: telemetry.Objects, N: float64(s.Objects)},
		{Metric: telemetry.RawRecords, N: float64(s.Records)},
	}}
	for reason, n := range s.Skipped {
		t.Counts = append(t.Counts, service.Count{Metric: telemetry.SkippedObjects, Labels: [2]string{string(reason)}, N: float64(n)})
	}
	for reason, n := range s.Dead {
		t.Counts = append(t.Counts, service.Count{
			Metric: telemetry.DeadLetters, Labels: [2]string{Bucket, string(reason)}, N: float64(n),
		})
	}
	return t
}

// brokerTime is the time by the clock of the server that stores a stream.
func brokerTime(ctx context.Context, js natsjetstream.JetStream, stream string) (time.Time, error) {
	s, err := js.Stream(ctx, stream) // asks for its state
	if err != nil {
		return time.Time{}, err
	}
	return s.CachedInfo().TimeStamp, nil
}

// complain says that polls fail, once in a while.
func complain(log *slog.Logger, paths []string) func(error) {
	var last time.Time
	failed := 0
	return func(err error) {
		failed++
		if time.Since(last) < complainEvery {
			return
		}
		log.Warn("cannot look for new logs; it is tried again, and time stands still meanwhile",
			"paths", paths, "failed", failed, "err", err)
		last, failed = time.Now(), 0
	}
}

// A pacer spaces polls.
type pacer struct {
	every time.Duration
	next  time.Time
}

// wait returns when the next poll is due. Interrupted, it is due at the same time.
func (p *pacer) wait(ctx context.Context) error {
	if p.next.IsZero() {
		p.next = time.Now().Add(p.every)
	}
	t := time.NewTimer(time.Until(p.next))
	defer t.Stop()
	select {
	case <-t.C:
		p.next = time.Now().Add(p.every)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
