// Package status looks at a deployment and says how it is: who works on what, how far everything has come, what has gone silent,
// what waits for a person.
//
// Looking changes nothing: it claims no partition and leaves no consumer behind. What it costs is bounded by the number of streams
// and by the accounts and regions there are, never by what they have recorded; of state it reads only the small part that holds
// event times and ages, a value at a time. [Read] returns a [Status], whose JSON form is for programs: fields are only added.
package status

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
)

// A Status is how a deployment is.
type Status struct {
	At       time.Time `json:"at"`
	Healthy  bool      `json:"healthy"`
	Headline string    `json:"headline"` // one sentence
	Problems []Problem `json:"problems"` // what a person should look at, the worst first

	Deployment *Deployment `json:"deployment"` // null: there is none
	Instances  []Instance  `json:"instances"`  // by id
	Stages     []Stage     `json:"stages"`     // in the order of the flow
	Lanes      []Lane      `json:"lanes"`      // by number
	Accounts   Accounts    `json:"accounts"`
	Watermarks Watermarks  `json:"watermarks"`
	Dead       Dead        `json:"dead"`
	Streams    []Stream    `json:"streams"` // by name; buckets are streams whose names begin with KV_
}

// A Problem is something that needs a person.
type Problem struct {
	Kind   Kind   `json:"kind"`
	Text   string `json:"text"`
	Advice string `json:"advice"`
}

// Kind is what a problem is about.
type Kind string

// The kinds of problems, the worst first.
const (
	NoDeployment Kind = "no_deployment" // there is nothing to look at
	Halted       Kind = "halted"        // a partition stopped at something that a person must decide
	Stopped      Kind = "stopped"       // nobody works on a partition
	Full         Kind = "full"          // a stream or bucket is nearly full, and then writers wait
	Stalled      Kind = "stalled"       // a partition has records to read and commits nothing
	SilentLane   Kind = "silent_lane"   // the connector of a lane puts nothing, not even ticks
	DeadLetters  Kind = "dead_letters"  // records were refused within a day
)

// Deployment is what a deployment was created with.
type Deployment struct {
	Lanes      int     `json:"lanes"`
	Partitions int     `json:"partitions"`
	Lateness   int     `json:"latenessMinutes"`
	Learn      int     `json:"learnMinutes"`
	Budget     float64 `json:"budget"`
}

// An Instance is a process that is alive.
type Instance struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

// A Stage is one stage of the pipeline.
type Stage struct {
	Name       string      `json:"name"`
	Reader     bool        `json:"reader"`     // registered: its input is kept until it has read it; true for ingest
	Partitions []Partition `json:"partitions"` // by number; those of ingest and normalizer are lanes
}

// A Partition is one partition of a stage.
type Partition struct {
	Partition int       `json:"partition"`
	State     State     `json:"state"`
	Owner     string    `json:"owner"` // instance; empty if it was released or never claimed
	Epoch     uint64    `json:"epoch"` // how often it was claimed
	Position  uint64    `json:"position"`
	Last      uint64    `json:"last"` // record of its input; 0 for ingest, whose input is outside
	Lag       uint64    `json:"lag"`  // records that it has not committed; always 0 for ingest
	Committed time.Time `json:"committed,omitzero"`
	Reason    string    `json:"reason,omitempty"` // why it has halted
}

// State says whether a partition is worked on.
type State string

// The states of a partition.
const (
	Running   State = "running"   // its owner is alive
	HaltedNow State = "halted"    // its owner is alive and has stopped working on it
	Unowned   State = "unowned"   // released, or its owner is silent
	Never     State = "never_run" // nobody has ever claimed it
	Unknown   State = "unknown"   // it has an owner, and instances of this deployment do not tell whether they live
)

// A Lane is what a lane's stream tells of its connector. Times are those at which the broker stored records.
type Lane struct {
	Lane       int       `json:"lane"`
	State      LaneState `json:"state"`
	LastRecord time.Time `json:"lastRecord,omitzero"` // of any kind, also if it is no longer there
	LastChunk  time.Time `json:"lastChunk,omitzero"`  // of those that are there
	LastTick   time.Time `json:"lastTick,omitzero"`   // of those that are there
}

// LaneState says whether a connector feeds a lane.
type LaneState string

// The states of a lane.
const (
	Fed    LaneState = "fed"
	Silent LaneState = "silent" // it has fed accounts, and for [quietLane] there was no record of any kind
	Ended  LaneState = "ended"  // its input was bounded, and is over
	Unused LaneState = "unused" // it feeds no account
)

// Accounts are all accounts that were seen.
type Accounts struct {
	Total    int             `json:"total"`
	Learning int             `json:"learning"` // of Total
	Silent   int             `json:"silent"`   // of Total: no event for a day, while others of their lane had some
	Least    []Learning      `json:"least"`    // those that have learned least, first; bounded unless all were asked for
	Quiet    []SilentAccount `json:"quiet"`    // those that are silent, the longest first; bounded in the same way
}

// Learning is how far an account has learned.
type Learning struct {
	Provider schemas.Provider `json:"provider"`
	Account  string           `json:"account"`
	Seen     int              `json:"seenMinutes"` // of event time
	Needed   int              `json:"neededMinutes"`
}

// A SilentAccount has had no event for a day of its lane's event time.
type SilentAccount struct {
	Provider schemas.Provider `json:"provider"`
	Account  string           `json:"account"`
	Lane     int              `json:"lane"`
	Newest   schemas.Minute   `json:"newest"` // minute of its last event
}

// Watermarks are the event times of all accounts and regions.
type Watermarks struct {
	Total   int         `json:"total"`
	Idle    int         `json:"idle"`              // of Total: no event for a day, so that ticks leave them where they are
	Partial bool        `json:"partial,omitempty"` // there are more than are looked at
	Behind  []Watermark `json:"behind"`            // the furthest behind first; bounded and without idle ones unless all were asked for
}

// A Watermark is the event time of an account in a region.
type Watermark struct {
	Provider  schemas.Provider `json:"provider"`
	Account   string           `json:"account"`
	Region    string           `json:"region"`
	Lane      int              `json:"lane"`
	Newest    schemas.Minute   `json:"newest"`    // minute of its last event
	Watermark schemas.Minute   `json:"watermark"` // first minute that is not final
	Idle      bool             `json:"idle,omitempty"`
}

// Dead are the dead letters.
type Dead struct {
	Total    uint64            `json:"total"`
	ByStage  map[string]uint64 `json:"byStage"`
	Scanned  int               `json:"scanned"`  // the newest ones, which the rest is about
	ByReason map[string]uint64 `json:"byReason"` // of Scanned
	LastDay  int               `json:"lastDay"`  // of Scanned
	Newest   time.Time         `json:"newest,omitzero"`
}

// A Stream is how full a stream is.
type Stream struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    int64  `json:"bytes"`
	Limit    int64  `json:"limit"` // bytes; 0 is none
	Waits    bool   `json:"waits"` // full means that writers wait; otherwise the oldest go
}

// Used returns which part of its limit a stream takes, 0 if it has none.
func (s Stream) Used() float64 {
	if s.Limit <= 0 {
		return 0
	}
	return float64(s.Bytes) / float64(s.Limit)
}

// Bounds and limits of what is looked at and judged.
const (
	// quietLane: a connector ticks once a minute behind a poll that found nothing new, so that ten are missing.
	quietLane = 10 * time.Minute
	// stallAfter: a partition commits every 5 s while it reads, so that twelve commits are missing.
	stallAfter = time.Minute
	// nearlyFull leaves some time to act.
	nearlyFull = 0.9
	// idleAfter is when ticks leave a region where it is.
	idleAfter = schemas.Day

	// shown bounds lists that would be as long as there are accounts.
	shown = 20
	// maxMarks bounds the accounts and regions that are looked at, and so the memory, to about 200 MB.
	maxMarks = 1 << 20
	// maxDead bounds the dead letters that are read: 64 MiB at most.
	maxDead = 1000
)

// Options say what to look at. The zero value is good.
type Options struct {
	All bool // every watermark and account, also where lists are bounded otherwise
}

// Read looks at a deployment. Now is the time by which silence is judged. That there is no deployment is a problem and no error.
func Read(ctx context.Context, js natsjs.JetStream, now time.Time, o Options) (*Status, error) {
	s := &Status{
		At: now.UTC(), Problems: []Problem{}, Instances: []Instance{}, Stages: []Stage{}, Lanes: []Lane{}, Streams: []Stream{},
		Accounts:   Accounts{Least: []Learning{}, Quiet: []SilentAccount{}},
		Watermarks: Watermarks{Behind: []Watermark{}},
		Dead:       Dead{ByStage: map[string]uint64{}, ByReason: map[string]uint64{}},
	}
	id, err := jetstream.ReadIdentity(ctx, js)
	switch {
	case errors.Is(err, natsjs.ErrBucketNotFound), errors.Is(err, natsjs.ErrKeyNotFound):
		s.judge()
		return s, nil
	case err != nil:
		return nil, err
	}
	s.Deployment = &Deployment{id.Lanes, id.Partitions, id.Lateness, id.Learn, id.Budget}
	l := look{Status: s, js: js, options: o, generation: make(map[place]uint64)}
	for _, part := range []func(context.Context) error{l.stages, l.marks, l.lanes, l.learning, l.dead} {
		if err := part(ctx); err != nil {
			return nil, fmt.Errorf("look at the deployment: %w", err)
		}
	}
	s.judge()
	return s, nil
}

// A look is one Read.
type look struct {
	*Status
	js      natsjs.JetStream
	options Options

	contents   map[string]jetstream.Content
	ingest     map[string]jetstream.Saved // checkpoints of lanes and of their plans
	generation map[place]uint64           // of each partition that may have state
	members    members
	newest     map[int]schemas.Minute // of each lane that has fed accounts: minute of its last event
}

// A place is a partition of a stage.
type place struct {
	stage     string
	partition int
}

// stages looks at positions, owners and streams. Checkpoints come before streams, so that a lag is never negative.
func (l *look) stages(ctx context.Context) error {
	before, err := jetstream.Contents(ctx, l.js)
	if err != nil {
		return err
	}
	saved := make(map[string]map[string]jetstream.Saved)
	for _, k := range kinds() {
		if _, deployed := before[jetstream.BucketStream(jetstream.StateBucket(k.name))]; !deployed {
			continue
		}
		if saved[k.name], err = jetstream.Checkpoints(ctx, l.js, k.name); err != nil {
			return err
		}
	}
	if _, told := before[jetstream.BucketStream(jetstream.MembersBucket)]; told {
		if l.members, err = jetstream.Members(ctx, l.js); err != nil {
			return err
		}
		if l.members == nil {
			l.members = members{}
		}
	}
	l.ingest = saved[ingestStage]
	l.Instances = l.members.instances()
	if l.contents, err = jetstream.Contents(ctx, l.js); err != nil {
		return err
	}
	readers, err := jetstream.LoadReaders(ctx, l.js)
	if err != nil {
		return err
	}
	for _, k := range kinds() {
		if checkpoints, deployed := saved[k.name]; deployed {
			st := l.stage(k, checkpoints)
			// Nobody is registered in a deployment of an earlier version.
			st.Reader = k.input == nil || len(readers.Stages) == 0 || readers.Stages[k.name].Enabled
			l.Stages = append(l.Stages, st)
		}
	}
	l.streams()
	return nil
}

func (l *look) stage(k kind, checkpoints map[string]jetstream.Saved) Stage {
	s := Stage{Name: k.name}
	for i := range k.partitions(l.Deployment) {
		cp, claimed := checkpoints[strconv.Itoa(i)]
		p := Partition{
			Partition: i, Owner: cp.Owner, Epoch: cp.Epoch, Position: cp.Seq, Committed: cp.At,
		}
		p.State, p.Reason = l.members.state(k.name, i, cp.Owner)
		if !claimed && p.State == Unowned {
			p.State = Never
		}
		if claimed {
			l.generation[place{k.name, i}] = cp.Generation
		}
		if k.input != nil {
			in := l.contents[k.input(i)]
			p.Last = in.Last
			p.Lag = in.Last - min(in.Last, cp.Seq)
			if !claimed {
				p.Lag = in.Messages // it begins with the first one there is
			}
		}
		s.Partitions = append(s.Partitions, p)
	}
	return s
}
