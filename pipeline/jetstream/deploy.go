package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/schemas"
)

// A Topology is what a deployment consists of. Identity is decided once; the rest may be changed by deploying again.
type Topology struct {
	Identity

	Stages   []string // whose state buckets exist, for example "normalizer"
	Replicas int      // of every stream and bucket, at least; 1 if zero
	Memory   bool     // keep everything in memory, for tests

	// Readers says which streams a stage reads. All are registered when they are deployed first, see [Readers].
	Readers map[string]schemas.Flow

	// Trim lets readers purge what all registered readers of a stream have had, but for the last KeepTail messages.
	Trim     bool
	KeepTail uint64

	// StorageLimit is what [Topology.Share] has shared, bytes; 0 if it has not. It is stored with the deployment.
	StorageLimit int64

	// Byte limits, each of one stream or bucket; 0 leaves one that is there as it is, and a new one without. The server reserves
	// them, and a full RAW, EVENTS, WINDOWS or FINDINGS refuses new records, so that the writers wait. Set all or none, best by
	// [Topology.Share]: a stream without a limit can fill the server, and then commits are refused too. A bucket checks its
	// limit before the old values of a commit go, so that StateBytes must hold the state of all partitions and once more what
	// a commit changes; a commit can change everything, so twice the state is safe.
	RawBytes      int64
	EventsBytes   int64
	WindowsBytes  int64
	FindingsBytes int64
	MetricsBytes  int64
	InsightsBytes int64
	DeadBytes     int64
	StateBytes    int64
	PushBytes     int64

	// How long messages are kept; 0 is for ever. They have defaults in [DefaultTopology].
	InsightsAge time.Duration
	MetricsAge  time.Duration
	DeadAge     time.Duration
}

// Identity is what the outputs of a deployment depend on, beside its input. It is stored when the deployment is created and
// cannot change afterwards: another number of partitions would send accounts to other states.
type Identity struct {
	Lanes      int     `json:"lanes"`
	Partitions int     `json:"partitions"`
	Lateness   int     `json:"lateness"` // minutes
	Learn      int     `json:"learn"`    // minutes of event time
	Budget     float64 `json:"budget"`
}

// DefaultTopology returns a topology without byte limits that trims, and keeps as long as documented: insights 93 days, because
// the vendors' queries reach back 90 and the weekend may pass; metrics 90 days; dead letters 30 days.
func DefaultTopology(id Identity, stages ...string) Topology {
	const day = 24 * time.Hour
	return Topology{
		Identity: id, Stages: stages, Trim: true, InsightsAge: 93 * day, MetricsAge: 90 * day, DeadAge: 30 * day,
	}
}

// Names of streams and buckets that are not numbered.
const (
	MetricsStream    = "METRICS"
	InsightsStream   = "INSIGHTS"
	DeadStream       = "DEAD"
	DeploymentBucket = "DEPLOYMENT"
	identityKey      = "identity"
)

// RawStream is the name of a lane's raw stream.
func RawStream(lane int) string { return "RAW_" + strconv.Itoa(lane) }

// EventsStream is the name of a partition's events stream.
func EventsStream(partition int) string { return "EVENTS_" + strconv.Itoa(partition) }

// WindowsStream is the name of a partition's windows stream.
func WindowsStream(partition int) string { return "WINDOWS_" + strconv.Itoa(partition) }

// FindingsStream is the name of a partition's findings stream.
func FindingsStream(partition int) string { return "FINDINGS_" + strconv.Itoa(partition) }

// ErrIdentity: the deployment was created with another [Identity].
var ErrIdentity = errors.New("the deployment was created otherwise")

// minDuplicates is the shortest duplicate window that a server takes. Trailvane never sends message ids.
const minDuplicates = 100 * time.Millisecond

// Deploy creates what is missing of a deployment and adjusts what is there: limits in bytes, ages of what is kept, more
// replicas, and abilities that a stream lacks. It is safe to call at every start, from several processes at once, and brings
// a deployment of an earlier version up to date. What somebody has configured so that a promise breaks is reported by a
// [PromiseError] and left as it is; then nothing is changed. An error that wraps [ErrIdentity] names both values.
func Deploy(ctx context.Context, js jetstream.JetStream, t Topology) error {
	if err := t.check(); err != nil {
		return err
	}
	switch id, err := ReadIdentity(ctx, js); {
	case errors.Is(err, jetstream.ErrBucketNotFound), errors.Is(err, jetstream.ErrKeyNotFound):
	case err != nil:
		return err
	default:
		if err := id.compare(t.Identity); err != nil {
			return err
		}
	}
	wanted := append([]jetstream.StreamConfig{t.bucket(DeploymentBucket, deploymentBytes)}, t.streams()...)
	found, err := inspect(ctx, js, wanted)
	if err != nil {
		return err
	}
	// The identity comes first: of two processes that create a deployment, one decides.
	if err := ensureStream(ctx, js, found[0], wanted[0]); err != nil {
		return err
	}
	if err := t.claim(ctx, js); err != nil {
		return err
	}
	for i := 1; i < len(wanted); i++ {
		if err := ensureStream(ctx, js, found[i], wanted[i]); err != nil {
			return err
		}
	}
	if err := t.keepStorageLimit(ctx, js); err != nil {
		return err
	}
	return t.register(ctx, js)
}

// inspect looks up streams, nil if there is none, and returns an error if they cannot become what is wanted.
func inspect(ctx context.Context, js jetstream.JetStream, wanted []jetstream.StreamConfig) ([]*jetstream.StreamInfo, error) {
	found := make([]*jetstream.StreamInfo, len(wanted))
	var problems []Problem
	for i := range wanted {
		var err error
		if found[i], err = lookUp(ctx, js, wanted[i].Name); err != nil {
			return nil, err
		}
		if found[i] != nil {
			problems = append(problems, compare(found[i], &wanted[i])...)
		}
	}
	if len(problems) > 0 {
		return nil, &PromiseError{problems}
	}
	return found, checkRoom(ctx, js, wanted, found)
}

func (t *Topology) check() error {
	switch {
	case t.Lanes < 1 || t.Lanes > 32:
		return fmt.Errorf("%d lanes: 1 to 32 are possible", t.Lanes)
	case t.Partitions < 1 || t.Partitions > 32:
		return fmt.Errorf("%d partitions: 1 to 32 are possible", t.Partitions)
	}
	return t.checkTail()
}

// ReadIdentity returns what a deployment was created with; jetstream.ErrKeyNotFound or ErrBucketNotFound if it was not.
func ReadIdentity(ctx context.Context, js jetstream.JetStream) (Identity, error) {
	var id Identity
	kv, err := js.KeyValue(ctx, DeploymentBucket)
	if err != nil {
		return id, fmt.Errorf("open %s: %w", DeploymentBucket, err)
	}
	e, err := kv.Get(ctx, identityKey)
	if err != nil {
		return id, fmt.Errorf("read %s: %w", DeploymentBucket, err)
	}
	if err := json.Unmarshal(e.Value(), &id); err != nil {
		return id, fmt.Errorf("read %s: %w", DeploymentBucket, err)
	}
	return id, nil
}

// claim stores the identity if there is none, or compares.
func (t *Topology) claim(ctx context.Context, js jetstream.JetStream) error {
	kv, err := js.KeyValue(ctx, DeploymentBucket)
	if err != nil {
		return fmt.Errorf("open %s: %w", DeploymentBucket, err)
	}
	ours, err := json.Marshal(t.Identity)
	if err != nil {
		return err
	}
	_, err = kv.Create(ctx, identityKey, ours)
	if err == nil || !errors.Is(err, jetstream.ErrKeyExists) {
		return err
	}
	theirs, err := ReadIdentity(ctx, js)
	if err != nil {
		return err
	}
	return theirs.compare(t.Identity)
}

// compare returns an error that names every difference.
func (id Identity) compare(want Identity) error {
	var b bytes.Buffer
	differ := func(name string, is, wanted any) {
		if is != wanted {
			fmt.Fprintf(&b, "; %s is %v, not %v", name, is, wanted)
		}
	}
	differ("lanes", id.Lanes, want.Lanes)
	differ("partitions", id.Partitions, want.Partitions)
	differ("lateness", id.Lateness, want.Lateness)
	differ("learn", id.Learn, want.Learn)
	differ("budget", id.Budget, want.Budget)
	if b.Len() == 0 {
		return nil
	}
	return fmt.Errorf("%w%s", ErrIdentity, b.String())
}

// streams returns everything but the deployment's own bucket.
func (t *Topology) streams() []jetstream.StreamConfig {
	var all []jetstream.StreamConfig
	for lane := range t.Lanes {
		all = append(all, t.queue(RawStream(lane), "raw."+strconv.Itoa(lane)+".>", t.RawBytes))
	}
	for p := range t.Partitions {
		n := strconv.Itoa(p)
		all = append(all,
			t.queue(EventsStream(p), "events."+n+".>", t.EventsBytes),
			t.queue(WindowsStream(p), "windows."+n+".>", t.WindowsBytes),
			t.queue(FindingsStream(p), "findings."+n+".>", t.FindingsBytes))
	}
	// Full means that the oldest goes: whoever looks wants the newest, and nothing downstream depends on the old ones.
	members := t.bucket(MembersBucket, 1<<20)
	members.MaxAge = membersAge
	pushed := t.bucket(PushBucket, t.PushBytes)
	pushed.MaxAge = PushAge
	all = append(all,
		t.kept(MetricsStream, "metrics.>", t.MetricsBytes, t.MetricsAge),
		t.kept(InsightsStream, "insights.>", t.InsightsBytes, t.InsightsAge),
		t.kept(DeadStream, "dead.>", t.DeadBytes, t.DeadAge),
		members, pushed)
	for _, stage := range t.Stages {
		all = append(all, t.bucket(StateBucket(stage), t.StateBytes))
	}
	return all
}

// base is what all streams have in common.
func (t *Topology) base(name, subject string, limit int64) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:               name,
		Subjects:           []string{subject},
		Retention:          jetstream.LimitsPolicy,
		MaxBytes:           -1,
		MaxMsgs:            -1,
		MaxMsgsPerSubject:  -1,
		MaxMsgSize:         -1,
		MaxConsumers:       -1,
		Storage:            jetstream.FileStorage,
		Replicas:           max(1, t.Replicas),
		Duplicates:         minDuplicates,
		AllowAtomicPublish: true,
		AllowBatchPublish:  true,
	}
	if limit > 0 {
		c.MaxBytes = limit
	}
	if t.Memory {
		c.Storage = jetstream.MemoryStorage
	}
	return c
}

// queue is a stream between two stages: it refuses what does not fit, and only a reader trims it.
func (t *Topology) queue(name, subject string, limit int64) jetstream.StreamConfig {
	c := t.base(name, subject, limit)
	c.Discard = jetstream.DiscardNew
	return c
}

// kept is a stream that people read: the oldest goes by age, or when it is full.
func (t *Topology) kept(name, subject string, limit int64, age time.Duration) jetstream.StreamConfig {
	c := t.base(name, subject, limit)
	c.Discard = jetstream.DiscardOld
	c.MaxAge = age
	return c
}

// bucket is a KV bucket as the client library would make it, but with atomic batches from the start.
func (t *Topology) bucket(name string, limit int64) jetstream.StreamConfig {
	c := t.base(bucketStream(name), "$KV."+name+".>", limit)
	c.MaxMsgsPerSubject = 1
	c.Discard = jetstream.DiscardNew
	c.AllowRollup = true
	c.DenyDelete = true
	c.AllowDirect = true
	return c
}

// lookUp returns what the server says about a stream, or nil if there is none.
func lookUp(ctx context.Context, js jetstream.JetStream, name string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := js.Stream(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look up %s: %w", name, err)
	}
	return stream.CachedInfo(), nil
}

// ensureStream creates a stream, or adjusts the one that was found.
func ensureStream(
	ctx context.Context, js jetstream.JetStream, found *jetstream.StreamInfo, want jetstream.StreamConfig,
) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if found == nil {
		_, err := js.CreateStream(ctx, want) // of two processes that create the same one, both succeed
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return explain(err, &want)
		}
		// Somebody has just made another one.
		if found, err = lookUp(ctx, js, want.Name); err != nil {
			return err
		}
		if found == nil {
			return fmt.Errorf("deploy %s: somebody creates and deletes it", want.Name)
		}
		if problems := compare(found, &want); len(problems) > 0 {
			return &PromiseError{problems}
		}
	}
	adjusted := adjust(found.Config, &want)
	if reflect.DeepEqual(adjusted, found.Config) {
		return nil
	}
	_, err := js.UpdateStream(ctx, adjusted)
	return explain(err, &want)
}
