package runner

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Config describes one partition of a stage.
type Config struct {
	Stage     string // "normalizer"; the first part of the producer's name
	Partition string // "3"
	Instance  string // who we are; unique among all live instances
	Constants string // version of the constants that decide outputs, kept in the checkpoint
	Version   uint32 // of the format of the state that the processor writes
	Oldest    uint32 // version of the oldest format that it reads as well

	// Anew says that a state which was made with other constants, or is in a format that is too old, is of no use: the
	// processor begins with an empty one where the old one ended, in a new generation. Otherwise the state goes on with the
	// constants of this program, and a format that is too old is an error.
	Anew bool

	Source Source
	Sink   Sink
	Store  Store

	// Owned reports whether an instance lives, so that a partition that another one still owns is not taken from it: then the
	// first load ends with [ErrConflict], and nothing is committed. If nil, nobody else lives. A wrong answer costs a moved
	// partition, never a wrong result. It is called from the goroutine of Run.
	Owned func(owner string) bool

	// New makes an empty processor. Generation is the input sequence at which its state began empty.
	New func(generation uint64) Processor

	// Accept, if not nil, reports whether a record may be from the producer that it names. One that may not is passed over before it
	// is looked at: neither applied, nor a sign of what that producer has sent. It depends on the record only.
	Accept func(r *Record) bool

	CommitEvery time.Duration    // 5 s if zero; sooner once, so that partitions take turns
	CommitBytes int              // of input, 16 MiB if zero
	Now         func() time.Time // the commit clock, time.Now if nil; nothing but the moment of a commit depends on it
	Log         *slog.Logger     // slog.Default() if nil
	Stats       *Stats           // counted into if not nil

	// Observe, if not nil, is given the processor after each snapshot, from the goroutine of Run and before it goes on, so that
	// what the processor has counted can be shown to others. What it returns is called from another goroutine as soon as that
	// snapshot is committed, with the time that took, and never if it is not. Observe must not keep the processor.
	Observe func(p Processor) (committed func(took time.Duration))

	// Trace, if not nil, is told of each record that is about to be applied, repeats left out, and returns the trace context of
	// its outputs, and what is called with their number when the record has been applied, or nil. Without Trace outputs have the
	// trace context of their record. Nothing but a header depends on it.
	Trace func(r *Record) (traceparent string, end func(outputs int, err error))
}

// Stats is what an observer may read at any time while [Run] works.
// Shared by several partitions, Position and Committed are of the one that wrote last.
type Stats struct {
	Position   atomic.Uint64 // last record whose outputs are stored
	Committed  atomic.Uint64 // last record that a commit covers; the input's Last less this is the lag
	Records    atomic.Uint64 // applied, including those that are applied again after a load
	Repeats    atomic.Uint64 // dropped because their producer had sent them before
	Refused    atomic.Uint64 // passed over, see Config.Accept
	Bytes      atomic.Uint64 // of input
	Outputs    atomic.Uint64 // stored
	Retries    atomic.Uint64 // reads and puts that had to be tried again
	Loads      atomic.Uint64 // of the state: one at the start, one more after every commit that failed
	Commits    atomic.Uint64 // that succeeded, claims included
	Epoch      atomic.Uint64 // of the last claim that is known to have succeeded, 0 before the first one
	CommitTime atomic.Int64  // of all of them, nanoseconds
	Keys       atomic.Uint64 // of the state, as of the last commit
	StateBytes atomic.Uint64 // of their values
}

// Bounds of what one commit and one message can hold.
const (
	// MaxDirty is the number of changed keys at which a commit is due, and at which reading waits while another one is in
	// flight. It leaves room below MaxChanged for what a single record changes.
	MaxDirty = 500

	// MaxChanged bounds the changed keys of one commit: an atomic batch holds 1000 messages, one of them the checkpoint.
	MaxChanged = 999

	// MaxBody bounds an output's body and the value of a state key: a message of 1 MiB counts its subject and headers,
	// for which 16 KiB are plenty.
	MaxBody = 1<<20 - 16<<10

	// MaxKey bounds a state key: an account and a little more, and as a subject, escaped, far below the broker's 4 KiB.
	MaxKey = 256
)

const (
	defaultCommitEvery = 5 * time.Second // what a restart has to repeat, at most; every commit costs an atomic batch
	defaultCommitBytes = 16 << 20        // half a second of the fastest replay, so that catching up does not repeat minutes
	stopGrace          = 2 * time.Second // all that a planned stop has for its last commits; the next owner waits for us

	// putGrace is what a put that is under way at a planned stop still has, so that the next owner need not put the same again.
	// One that waits for room would not end in any time.
	putGrace = 500 * time.Millisecond

	// maxPut bounds the outputs that are held in memory before they are put.
	maxPut = 8 << 20
)

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Stage == "" || c.Partition == "" || c.Instance == "":
		return c, errors.New("runner needs a stage, a partition and an instance")
	case c.Source == nil || c.Sink == nil || c.Store == nil || c.New == nil:
		return c, errors.New("runner needs a source, a sink, a store and a processor")
	}
	if c.CommitEvery == 0 {
		c.CommitEvery = defaultCommitEvery
	}
	if c.CommitBytes == 0 {
		c.CommitBytes = defaultCommitBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.Log = c.Log.With("stage", c.Stage, "partition", c.Partition)
	if c.Stats == nil {
		c.Stats = new(Stats)
	}
	return c, nil
}

// Producer returns the name under which a partition of a stage numbers its outputs. Numbers are places in the input, so that
// another stream is another producer; and so is a state that began empty, which is the generation.
func Producer(stage, partition, stream string, generation uint64) string {
	return fmt.Sprintf("%s.%s.g%d.%08x", stage, partition, generation, uint32(xxhash.Sum64String(stream)))
}

// By returns a Config.Accept for records that a stage has put: whoever else writes to its stream, by hand or by mistake, is not heard.
func By(stage string) func(r *Record) bool {
	return func(r *Record) bool {
		of, ok := strings.CutPrefix(r.Producer, stage)
		return ok && strings.HasPrefix(of, ".")
	}
}
