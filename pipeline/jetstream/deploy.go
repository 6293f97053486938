package jetstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A Topology is what a deployment consists of. Identity is decided once; the rest may be changed by deploying again.
type Topology struct {
	Identity

	Stages   []string // whose state buckets exist, for example "normalizer"
	Replicas int      // of every stream and bucket; 1 if zero
	Memory   bool     // keep everything in memory, for tests

	// Byte limits, each of one stream or bucket; 0 is none. The server reserves them, and a full RAW, EVENTS, WINDOWS or
	// FINDINGS refuses new records, so that the writers wait. Set all or none: a stream without a limit can fill the
	// server, and then commits are refused too. A bucket checks its limit before the old values of a commit go, so that
	// StateBytes must hold the state of all partitions and once more what a commit changes: twice the state is safe.
	RawBytes      int64
	EventsBytes   int64
	WindowsBytes  int64
	FindingsBytes int64
	InsightsBytes int64
	DeadBytes     int64
	StateBytes    int64

	// How long messages are kept; 0 is for ever. Insights and dead letters have a default in [DefaultTopology].
	InsightsAge time.Duration
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

// DefaultTopology returns a topology without byte limits, whose insights and dead letters are kept as long as documented:
// 93 days, because the vendors' queries reach back 90 and the weekend may pass; 30 days for dead letters.
func DefaultTopology(id Identity, stages ...string) Topology {
	const day = 24 * time.Hour
	return Topology{Identity: id, Stages: stages, InsightsAge: 93 * day, DeadAge: 30 * day}
}

// Names of streams and buckets that are not numbered.
const (
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

// Deploy creates what is missing of a deployment and adjusts limits of what is there. It is safe to call at every start,
// from several processes at once. An error that wraps [ErrIdentity] names both values.
func Deploy(ctx context.Context, js jetstream.JetStream, t Topology) error {
	if err := t.check(); err != nil {
		return err
	}
	// The identity first: of two processes that create a deployment, one decides.
	if err := ensureStream(ctx, js, t.bucket(DeploymentBucket, 1<<20)); err != nil {
		return err
	}
	if err := t.claim(ctx, js); err != nil {
		return err
	}
	for _, c := range t.streams() {
		if err := ensureStream(ctx, js, c); err != nil {
			return err
		}
	}
	return nil
}

func (t *Topology) check() error {
	switch {
	case t.Lanes < 1 || t.Lanes > 32:
		return fmt.Errorf("%d lanes: 1 to 32 are possible", t.Lanes)
	case t.Partitions < 1 || t.Partitions > 32:
		return fmt.Errorf("%d partitions: 1 to 32 are possible", t.Partitions)
	}
	return nil
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
	insights := t.base(InsightsStream, "insights.>", t.InsightsBytes)
	insights.MaxAge = t.InsightsAge
	// Full means that the oldest goes: whoever looks wants the newest, and nothing downstream depends on the old ones.
	insights.Discard = jetstream.DiscardOld
	dead := t.base(DeadStream, "dead.>", t.DeadBytes)
	dead.MaxAge = t.DeadAge
	dead.Discard = jetstream.DiscardOld
	members := t.bucket(MembersBucket, 1<<20)
	members.MaxAge = membersAge
	all = append(all, insights, dead, members)
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

// ensureStream creates a stream, or changes the limits of one that is there. What cannot be changed stays an error of the
// server: it names the field.
func ensureStream(ctx context.Context, js jetstream.JetStream, c jetstream.StreamConfig) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	if _, err := js.CreateOrUpdateStream(ctx, c); err != nil {
		return fmt.Errorf("deploy %s: %w", c.Name, err)
	}
	return nil
}
