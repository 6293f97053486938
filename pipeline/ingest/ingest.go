// Package ingest turns objects full of audit logs, such as files or the objects of a bucket, into chunks of raw records.
//
// It is a stage like the others: [Source] is read by the runner's loop, [Processor] hands on what it reads. Where it
// differs is that its input is bytes, so the order of the input is made here. A [Plan] lists the objects in the order of
// their time, the control records among them, and is committed before the first chunk is put. A record's number is then
// (the object's place in the plan, offset in the object), and a restart reads the same bytes in the same order and cuts
// them into the same chunks.
//
// The outside is behind a [Connector]; those that do I/O are in services/ingest. [Splitter] finds the records.
package ingest

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync/atomic"
)

// Constants is the version of what decides where objects are cut into records and chunks.
const Constants = "1"

// An Object is one file, or one object of a bucket.
type Object struct {
	Name string // unique in its connector; the parts of its path are separated by "/"
	Size int64  // of what is stored, bytes
	Tag  string // changes when the content does; if it is empty, the plan makes one from the content

	// For objects without a tag that are followed. Modified is when the content changed last, Unix nanoseconds, 0 if
	// unknown: while it and the size are the same, so is the content. Settled says that this was long ago, so that what
	// is incomplete will stay so.
	Modified int64
	Settled  bool

	// Stored is when it was stored where it is, Unix nanoseconds, 0 if unknown. It decides what people are told, nothing else.
	Stored int64
}

// A Connector reads logs from outside.
type Connector interface {
	// Name names the connector. It decides lanes, so it stays the same for ever.
	Name() string

	// List returns the objects there are, in any order. An error with an object's name is about that object only: it
	// becomes a dead letter and the list goes on. An error without a name ends the list.
	List(ctx context.Context) iter.Seq2[Object, error]

	// Open opens an object as it is stored. The context is for opening only; reading goes on until Close, and may return
	// more than the object's Size if it has grown. An error that wraps ErrUnreadable, here or from reading, is about
	// this object only: it becomes a dead letter. Any other error of Open is passing, and tried again.
	Open(ctx context.Context, o Object) (io.ReadCloser, error)
}

// An Expecter is a Connector that may read ahead. Before an object is opened, Expect is called with it and those that will
// probably be opened behind it, in that order, of which it takes as many as it likes. What is read is the same with and without.
type Expecter interface {
	Connector
	Expect(next iter.Seq[Object])
}

// A PartialLister is a Connector whose lists, when it is followed, may leave out objects that earlier ones had. Planned is called
// when all that the last list returned is in the stored plan. Without that call the next list leaves nothing out.
type PartialLister interface {
	Connector
	Planned()
}

// ErrUnreadable marks an object that cannot be read, now or later: it is gone, or we may not.
var ErrUnreadable = errors.New("object cannot be read")

// The reasons for which objects, or the rest of one, are not read. They come beside those of the splitter.
const (
	// Dead letters.
	Unreadable Reason = "unreadable" // it is gone, or we may not read it
	Changed    Reason = "changed"    // it is not what it was when the plan was made
	Corrupt    Reason = "corrupt"    // its compression is broken
	Expansion  Reason = "expansion"  // it expands to more than compressed logs can

	// Objects that are skipped, without a dead letter.
	Digest  Reason = "digest"    // a CloudTrail digest file, which has hashes of log files
	Insight Reason = "insight"   // the vendor's own insights
	Empty   Reason = "empty"     // it holds no record and nothing else
	NotALog Reason = "not_a_log" // none of its first records is of a known format
	Renamed Reason = "renamed"   // its content was read under another name
)

// Progress counts what was read, for a progress bar. Its methods may be called at any time.
type Progress struct {
	bytes, totalBytes, objects, totalObjects atomic.Int64
}

// Bytes returns how many stored bytes were read, and how many there are in the plan.
func (p *Progress) Bytes() (done, total int64) { return p.bytes.Load(), p.totalBytes.Load() }

// Objects returns how many objects were read, and how many there are in the plan.
func (p *Progress) Objects() (done, total int64) { return p.objects.Load(), p.totalObjects.Load() }

// start counts the entries before a place as done.
func (p *Progress) start(plan *Plan, place int) {
	var bytes, totalBytes, objects, totalObjects int64
	entries := plan.entries
	for i := range entries {
		if entries[i].Control != "" {
			continue
		}
		if i+1 < place {
			objects++
			bytes += entries[i].Size
		}
		totalObjects++
		totalBytes += entries[i].Size
	}
	p.bytes.Store(bytes)
	p.totalBytes.Store(totalBytes)
	p.objects.Store(objects)
	p.totalObjects.Store(totalObjects)
}
