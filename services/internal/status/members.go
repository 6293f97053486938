package status

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
)

// membersBucket holds one heartbeat of each live instance.
const membersBucket = "MEMBERS"

// A member is the heartbeat of an instance.
type member struct {
	ID      string            `json:"id"`
	Host    string            `json:"host"`
	Version string            `json:"version"`
	Started time.Time         `json:"started"`
	Stages  map[string]duties `json:"stages"`
}

// duties are what an instance does for a stage.
type duties struct {
	Owned  []int          `json:"owned"`
	Halted map[int]string `json:"halted"` // partition → reason
}

// members are the live instances by id; nil if instances of the deployment do not tell that they live.
type members map[string]member

func readMembers(ctx context.Context, js natsjs.JetStream, contents map[string]jetstream.Content) (members, error) {
	stream := jetstream.BucketStream(membersBucket)
	if _, ok := contents[stream]; !ok {
		return nil, nil
	}
	all := members{}
	err := jetstream.ReadLast(ctx, js, stream, "$KV."+membersBucket+".>", func(subject string, value []byte) error {
		if len(value) == 0 { // it has left
			return nil
		}
		var m member
		if err := json.Unmarshal(value, &m); err != nil {
			return fmt.Errorf("heartbeat %s: %w", subject, err)
		}
		all[m.ID] = m
		return nil
	})
	return all, err
}

func (m members) instances() []Instance {
	all := []Instance{}
	for _, id := range slices.Sorted(maps.Keys(m)) {
		all = append(all, Instance{ID: id, Host: m[id].Host, Version: m[id].Version, Started: m[id].Started})
	}
	return all
}

// state says whether a partition is worked on, by its owner in the checkpoint, and why it has halted if it has.
func (m members) state(stage string, partition int, owner string) (State, string) {
	if m == nil && owner != "" {
		return Unknown, ""
	}
	if who, alive := m[owner]; alive && owner != "" {
		if why := who.Stages[stage].Halted[partition]; why != "" {
			return HaltedNow, why
		}
		return Running, ""
	}
	// Whoever gave it up knows why.
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if why := m[id].Stages[stage].Halted[partition]; why != "" {
			return HaltedNow, why
		}
	}
	return Unowned, ""
}
