// Package runner drives every stage of the pipeline: it loads a partition's state, reads records in order, lets the
// processor work, stores what it puts out, and commits state and position together.
//
// The processor is pure: what it emits is a function of its state and the record. Everything that touches the world is
// behind three ports, [Source], [Sink] and [Store], of which package jetstream is the real and package memory the small
// implementation. The loop and its promises are law; docs/decisions holds the reasons.
package runner

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/trailvane/trailvane/schemas"
)

// A Record is one message of a stream, of any kind.
type Record struct {
	Seq      uint64         // place in the stream, from 1
	Prev     uint64         // the place before it; a reader whose position is another has a gap before it
	Subject  string         // says what the body is
	Producer string         // who put it, empty for one that numbers nothing
	Number   schemas.Number // its place among all that the producer put
	Time     time.Time      // when the broker stored it
	Trace    string         // traceparent, empty if none
	Body     []byte         // valid until the next Read
}

// An Output is what a processor emits. The processor sets Subject, Body and Once; the runner the rest.
type Output struct {
	Subject  string
	Body     []byte // owned by the runner once it is emitted
	Once     bool   // insert only if the subject is empty; if it is taken, the first one stays
	Producer string
	Number   schemas.Number
	Trace    string
}

// Info identifies an input and says what it holds.
type Info struct {
	ID    string // creation time of the stream; another id is another stream
	First uint64 // first sequence that is still there; Last+1 if there is none
	Last  uint64 // last sequence ever stored
}

// A Source reads one input in order. There is no acknowledgement: the checkpoint's Seq is the only record of progress.
type Source interface {
	// Info says what the input holds now. Errors are passing, except ErrNewer and ErrCorrupt.
	Info(ctx context.Context) (Info, error)

	// Read returns the records after a sequence, at least one, and blocks until there is one or ctx ends. Calls with
	// consecutive positions are cheap, also after one whose ctx has ended: the runner interrupts a read when a commit needs
	// its attention. A jump opens a new consumer. io.EOF ends a bounded input; ErrGap says that the position's records are
	// gone. Any other error is passing: the runner reads again from its position.
	Read(ctx context.Context, after uint64) ([]Record, error)
}

// A Sink stores outputs.
type Sink interface {
	// Put stores outputs, per stream in order and without gaps, and waits while a stream is full. It returns how many of
	// the first ones are known to be stored, all of them if there is no error; after an error the rest is put again. Each
	// carries its producer and number, by which the reader drops repeats. Bodies are the sink's from then on, the slice is not.
	Put(ctx context.Context, outputs ...Output) (stored int, err error)
}

// A Store keeps the state of one stage's partitions.
type Store interface {
	// Load returns the last committed checkpoint, the zero one if there is none, and the state of the partition, each key
	// once, in any order, of the checkpoint's generation only; a value is valid until the next one. Later commits from this Store are fenced by the checkpoint
	// that was loaded. State that is newer or older than the checkpoint is allowed: its digest tells, and Load is called again.
	Load(ctx context.Context, partition string) (schemas.Checkpoint, iter.Seq2[string, []byte], error)

	// Commit stores the changed keys and the checkpoint together, or nothing, if nobody has committed since this Store
	// loaded or committed. A checkpoint of another generation begins with no keys but the changed ones. ErrConflict: somebody has. After any error the outcome is unknown: load again. It may run
	// beside reads and puts, but never beside another call for the same partition.
	Commit(ctx context.Context, partition string, c schemas.Checkpoint, changed map[string][]byte) error
}

// A Processor is the pure part of a stage. It is used from one goroutine.
type Processor interface {
	// Apply works on one record. What it emits, and its new state, are a function of its state and the record only; it
	// emits nothing at any other time, and in a fixed order. An error means that the record cannot be understood by this
	// program at all (a newer schema version): the stage stops and changes nothing.
	Apply(r Record, emit func(Output)) error

	// Snapshot calls changed once for every state key that has changed since the last call. The state is the caller's.
	// All of them go into one atomic batch, which is never split: a processor whose state can have more than [MaxDirty] keys
	// must be a [Dirtier], and no single record may change more than MaxChanged-MaxDirty of them. A key has
	// 1 to [MaxKey] bytes, none of them zero; a value has at most [MaxBody] bytes. No key is ever deleted.
	Snapshot(changed func(key string, state []byte)) error

	// Restore gives back a key that Snapshot gave out. Restore(Snapshot()) changes no later output. It does not keep state.
	Restore(key string, state []byte) error
}

// A Dirtier is a Processor that counts its changed keys, so that the runner commits before there are too many of them.
type Dirtier interface {
	// Dirty returns how many keys the next Snapshot would give. It is called after every record.
	Dirty() int
}

// What a caller reacts to.
var (
	// ErrConflict: another instance has taken the partition over. Stop working on it.
	ErrConflict = errors.New("another instance owns the partition")

	// ErrGap: the stream no longer holds what the position needs, or is another stream. A person must decide.
	ErrGap = errors.New("input is incomplete")

	// ErrCorrupt: the stored state does not match its digest. A person must decide.
	ErrCorrupt = errors.New("state does not match its digest")

	// ErrNewer: the state is in a format that this program does not know. Nothing was changed. A newer program must go on.
	ErrNewer = errors.New("state was written by a newer version of the program")

	// ErrOlder: the state is in a format that this program does not read any more. Nothing was changed. A program of a
	// version in between must go on first.
	ErrOlder = errors.New("state was written by a version of the program that is too old")
)
