package jetstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MembersBucket holds the last heartbeat of each live instance. Whoever is silent for the bucket's maximum age is no longer in it.
const MembersBucket = "MEMBERS"

// membersAge is how long an instance may be silent before its partitions are taken over. Three heartbeats: two may be lost, and
// work goes on within five seconds of a crash.
const membersAge = 3 * time.Second

// ErrName: another live instance has the same name. Instances need names of their own, or they would fence each other off for ever.
var ErrName = errors.New("another live instance has this name")

// A Member is what an instance says of itself with every heartbeat.
type Member struct {
	ID      string             `json:"id"` // the instance's name, the owner in checkpoints
	Host    string             `json:"host"`
	Version string             `json:"version"`
	Started time.Time          `json:"started"` // by the clock of its host
	Stages  map[string]Holding `json:"stages"`  // that it takes part in, by name; one that is leaving takes part in none
}

// A Holding is an instance's part of a stage.
type Holding struct {
	Owned  []int          `json:"owned"`            // partitions that it works on, ascending
	Halted map[int]string `json:"halted,omitempty"` // partitions that are its but that a person must look at, and why
}

// Members lists the live instances by name, by one request. Any replica may answer, so it may be a little old.
func Members(ctx context.Context, js jetstream.JetStream) ([]Member, error) {
	var all []Member
	err := lastOf(ctx, js, MembersBucket, memberSubject("")+">", func(m *jetstream.RawStreamMsg) error {
		if m.Header.Get("KV-Operation") != "" { // it has left
			return nil
		}
		var member Member
		if err := json.Unmarshal(m.Data, &member); err != nil {
			return fmt.Errorf("heartbeat %s: %w", m.Subject, err)
		}
		all = append(all, member)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at the members: %w", err)
	}
	slices.SortFunc(all, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// memberSubject is the subject of an instance's heartbeat; of none, what all begin with.
func memberSubject(escaped string) string { return "$KV." + MembersBucket + "." + escaped }

// A Heart keeps one instance among the members. It is used from one goroutine at a time.
type Heart struct {
	js       jetstream.JetStream
	subject  string
	self     Member // for its name, host and start
	revision uint64 // of our last heartbeat, 0 before the first one
	ttl      time.Duration
}

// NewHeart prepares the heartbeats of an instance. Call [Heart.Join] next.
func NewHeart(ctx context.Context, js jetstream.JetStream, self Member) (*Heart, error) {
	stream, err := js.Stream(ctx, bucketStream(MembersBucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("open bucket %s: %w: deploy again", MembersBucket, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", MembersBucket, err)
	}
	ttl := stream.CachedInfo().Config.MaxAge
	if ttl <= 0 {
		return nil, fmt.Errorf("bucket %s keeps heartbeats for ever, so nobody would ever be missed: deploy again", MembersBucket)
	}
	return &Heart{js: js, subject: memberSubject(escape(self.ID)), self: self, ttl: ttl}, nil
}

// TTL is how long an instance may be silent before it counts as gone. Heartbeats should be three times as frequent.
func (h *Heart) TTL() time.Duration { return h.ttl }

// Join sends the first heartbeat. An earlier instance of the same name that was killed is still among the members for up to
// the TTL, and that is waited for; one that goes on beating is an [ErrName].
func (h *Heart) Join(ctx context.Context, stages map[string]Holding) error {
	var seen uint64
	for {
		theirs, revision, err := h.last(ctx)
		switch {
		case err != nil:
			return err
		case theirs == nil || h.own(theirs):
			h.revision = revision
			return h.Beat(ctx, stages)
		case seen != 0 && seen != revision:
			return h.nameTaken(theirs)
		}
		seen = revision
		select {
		case <-time.After(h.ttl / 10):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Beat says that the instance lives. It replaces nothing but its own last heartbeat: one of another instance there is an
// [ErrName]. Any other error is passing.
func (h *Heart) Beat(ctx context.Context, stages map[string]Holding) error {
	self := h.self
	self.Stages = stages
	body, err := json.Marshal(self)
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	err = h.put(ctx, nats.Header{}, body)
	if !wrongLast(err) {
		return err
	}
	// We were silent for too long, the server has forgotten, an answer went astray, or there is another one.
	theirs, revision, err := h.last(ctx)
	if err != nil {
		return err
	}
	if theirs != nil && !h.own(theirs) {
		return h.nameTaken(theirs)
	}
	h.revision = revision
	return h.put(ctx, nats.Header{}, body)
}

// Leave takes the instance out of the members.
func (h *Heart) Leave(ctx context.Context) error {
	if h.revision == 0 {
		return nil
	}
	return h.put(ctx, nats.Header{"KV-Operation": {"DEL"}}, nil)
}

// put stores a heartbeat if ours is the last one.
func (h *Heart) put(ctx context.Context, header nats.Header, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, h.ttl/3) // then the next one is due
	defer cancel()
	header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(h.revision, 10))
	m := &nats.Msg{Subject: h.subject, Header: header, Data: body}
	ack, err := h.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	if err != nil {
		return fmt.Errorf("heartbeat of %s: %w", h.self.ID, err)
	}
	h.revision = ack.Sequence
	return nil
}

// last returns the last heartbeat under our name, nil if it is gone, and the revision that the next one replaces. It asks the
// leader: a replica that is behind may show an earlier process of this name, which would be taken for one that lives.
func (h *Heart) last(ctx context.Context) (*Member, uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, h.ttl)
	defer cancel()
	value, revision, err := lastValue(ctx, h.js, MembersBucket, escape(h.self.ID))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("look for %s among the members: %w", h.self.ID, err)
	case len(value) == 0: // none, or it has left
		return nil, revision, nil
	}
	theirs := new(Member)
	if err := json.Unmarshal(value, theirs); err != nil {
		return nil, 0, fmt.Errorf("heartbeat of %s: %w", h.self.ID, err)
	}
	return theirs, revision, nil
}

// own reports whether a heartbeat under our name is ours.
func (h *Heart) own(m *Member) bool { return m.Host == h.self.Host && m.Started.Equal(h.self.Started) }

func (h *Heart) nameTaken(m *Member) error {
	return fmt.Errorf("%w: %s runs on %s since %s; give each instance a name of its own (--instance)",
		ErrName, m.ID, m.Host, m.Started.Format(time.RFC3339))
}

// wrongLast reports whether the server refused a message because its expected last sequence is another.
func wrongLast(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeWrongLastSequence || api.ErrorCode == codeWrongLastConstant)
}
