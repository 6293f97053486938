package jetstream

import (
	"context"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// How a storage limit is shared, in percent of it: 90 in all, because a full server refuses commits too, and what it needs
// beside the messages (indexes, staged batches) is not counted.
//
// RAW is what an outage fills, since back-pressure runs upstream: a day of a busy company. What is between the later stages is
// read within seconds; each of its streams needs room for a burst only. State is held twice at times, see StateBytes.
const (
	shareRaw      = 20 // over all lanes
	shareEvents   = 10 // over all partitions
	shareWindows  = 10 // over all partitions
	shareFindings = 3  // over all partitions
	shareInsights = 6
	shareMetrics  = 8
	shareDead     = 2
	shareState    = 30 // over the buckets of all stages
	sharePush     = 1  // some hundred thousand keys of an hour
)

const (
	// deploymentBytes holds a few values of a kilobyte; like the heartbeats, far below the percent that is left.
	deploymentBytes = 1 << 20

	// minStream holds a few of the largest messages, which have 1 MiB.
	minStream = 4 << 20

	// minPush holds some thousand keys.
	minPush = 1 << 20

	// minState holds the largest value of every key of a small state, twice.
	minState = 16 << 20
)

// Share derives the limit of every stream and bucket from one for the whole deployment, bytes on each server that holds
// a replica of everything. They add up to at most 90 % of it.
func (t *Topology) Share(total int64) error {
	if err := t.check(); err != nil {
		return err
	}
	least := int64(0)
	part := func(percent int64, among int, smallest int64) int64 {
		if among == 0 {
			return 0
		}
		least = max(least, smallest*int64(among)*100/percent+1)
		return total / 100 * percent / int64(among)
	}
	s := *t
	s.RawBytes = part(shareRaw, t.Lanes, minStream)
	s.EventsBytes = part(shareEvents, t.Partitions, minStream)
	s.WindowsBytes = part(shareWindows, t.Partitions, minStream)
	s.FindingsBytes = part(shareFindings, t.Partitions, minStream)
	s.InsightsBytes = part(shareInsights, 1, minStream)
	s.MetricsBytes = part(shareMetrics, 1, minStream)
	s.DeadBytes = part(shareDead, 1, minStream)
	s.StateBytes = part(shareState, len(t.Stages), minState)
	s.PushBytes = part(sharePush, 1, minPush)
	if total < least+100 { // of rounding
		return fmt.Errorf("a storage limit of %s is too small: %d lanes, %d partitions and %d stages need at least %s",
			size(total), t.Lanes, t.Partitions, len(t.Stages), size(least+100))
	}
	if err := s.checkTail(); err != nil {
		return err
	}
	s.StorageLimit = total
	*t = s
	return nil
}

const storageKey = "storage"

// LoadStorageLimit returns what the deployment was last shared from, bytes; 0 if it never was. Whoever deploys without naming
// another one shares it again: a new version may have streams more.
func LoadStorageLimit(ctx context.Context, js jetstream.JetStream) (int64, error) {
	value, revision, err := lastValue(ctx, js, DeploymentBucket, storageKey)
	if err == nil && revision > 0 {
		var total int64
		if total, err = strconv.ParseInt(string(value), 10, 64); err == nil {
			return total, nil
		}
	}
	if err != nil {
		return 0, fmt.Errorf("read the storage limit of the deployment: %w", err)
	}
	return 0, nil
}

// keepStorageLimit stores it.
func (t *Topology) keepStorageLimit(ctx context.Context, js jetstream.JetStream) error {
	if t.StorageLimit == 0 {
		return nil
	}
	kv, err := js.KeyValue(ctx, DeploymentBucket)
	if err != nil {
		return fmt.Errorf("open %s: %w", DeploymentBucket, err)
	}
	if _, err := kv.PutString(ctx, storageKey, strconv.FormatInt(t.StorageLimit, 10)); err != nil {
		return fmt.Errorf("store the storage limit of the deployment: %w", err)
	}
	return nil
}

// checkTail makes sure that what trimming leaves cannot fill a stream: nobody would ever make room in it.
func (t *Topology) checkTail() error {
	for _, limit := range []int64{t.RawBytes, t.EventsBytes, t.WindowsBytes, t.FindingsBytes} {
		if most := uint64(limit) >> 21; limit > 0 && t.KeepTail > most { // half of it, in messages of 1 MiB
			return fmt.Errorf("a tail of %d messages may fill a stream of %s: at most %d can be kept", t.KeepTail, size(limit), most)
		}
	}
	return nil
}

// checkRoom compares what streams reserve with what the account may, before anything is created. What the server itself has
// is known only to its administrators: it refuses, see explain.
func checkRoom(
	ctx context.Context, js jetstream.JetStream, wanted []jetstream.StreamConfig, found []*jetstream.StreamInfo,
) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	account, err := js.AccountInfo(ctx)
	if err != nil {
		return fmt.Errorf("look at the limits of the account: %w", err)
	}
	limits, reserved, tiered := account.Limits, account.ReservedStore, false
	if tier, ok := account.Tiers["R"+strconv.Itoa(wanted[0].Replicas)]; ok {
		limits, reserved, tiered = tier.Limits, tier.ReservedStore, true
	}
	copies := func(c *jetstream.StreamConfig) int64 {
		if tiered { // the tier's limit counts one
			return 1
		}
		return int64(max(1, c.Replicas))
	}
	need, others := int64(0), int64(reserved)
	for i := range wanted {
		w := &wanted[i]
		if w.Storage != jetstream.FileStorage {
			continue
		}
		switch {
		case w.MaxBytes <= 0 && limits.MaxBytesRequired:
			return fmt.Errorf("deploy %s: the account demands a limit for every stream: deploy with a storage limit", w.Name)
		case w.MaxBytes > 0 && limits.StoreMaxStreamBytes > 0 && w.MaxBytes > limits.StoreMaxStreamBytes:
			return fmt.Errorf("deploy %s: it needs %s, and the account allows %s for one stream: "+
				"raise that, or deploy with a lower storage limit", w.Name, size(w.MaxBytes), size(limits.StoreMaxStreamBytes))
		}
		becomes := *w
		if f := found[i]; f != nil {
			others -= max(0, f.Config.MaxBytes) * copies(&f.Config)
			becomes = adjust(f.Config, w)
		}
		need += max(0, becomes.MaxBytes) * copies(&becomes)
	}
	if there := limits.MaxStore - max(0, others); limits.MaxStore > 0 && need > there {
		return fmt.Errorf("the streams need %s, and %s are there: the account may store %s, of which %s are reserved by others; "+
			"raise its limit, or deploy with a lower storage limit",
			size(need), size(max(0, there)), size(limits.MaxStore), size(max(0, others)))
	}
	return nil
}

// size writes bytes for people, exactly enough to compare.
func size(n int64) string {
	if n < 10<<20 {
		return strconv.FormatInt(n, 10) + " bytes"
	}
	return strconv.FormatInt(n>>20, 10) + " MiB"
}
