// Package dead reads the dead letters of a deployment, puts records back into the pipeline, and takes letters away.
//
// A letter is known by its place in the stream DEAD. One that was put twice, because the first put was not known to be stored, is
// one letter, known by the first place.
package dead

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A Letter is a dead letter with its place.
type Letter struct {
	schemas.DeadLetter

	Seq      uint64    // in DEAD
	Copies   []uint64  // places of later copies, ascending
	Time     time.Time // when it was stored
	Producer string    // the partition that put it
	Number   schemas.Number
}

func read(r runner.Record) (Letter, error) {
	l := Letter{Seq: r.Seq, Time: r.Time, Producer: r.Producer, Number: r.Number}
	if err := l.Decode(r.Body); err != nil {
		return l, fmt.Errorf("dead letter %d: %w", r.Seq, err)
	}
	return l, nil
}

// Lane returns the lane in which the record came. It is the partition of the normalizer or ingest that put the letter.
func (l *Letter) Lane() (lane int, ok bool) {
	stage, rest, _ := strings.Cut(l.Producer, ".")
	partition, _, found := strings.Cut(rest, ".")
	n, err := strconv.ParseUint(partition, 10, 8)
	return int(n), found && err == nil && stage == l.Stage
}

// Whole reports whether the letter holds all of the record.
func (l *Letter) Whole() bool { return l.Size == int64(len(l.Raw)) && l.Size > 0 }

// A View is a letter as programs read it. Fields are only added.
type View struct {
	Letter uint64    `json:"letter"`
	Stored time.Time `json:"stored"`
	Stage  string    `json:"stage"`
	Lane   *int      `json:"lane"` // null if it is unknown
	Reason string    `json:"reason"`
	Error  string    `json:"error"`
	Object string    `json:"object"`
	Offset int64     `json:"offset"`        // of the record in the uncompressed object, bytes
	Size   int64     `json:"size"`          // of the whole record, bytes; -1 if unknown
	Raw    []byte    `json:"raw,omitempty"` // at most 64 KiB, base64; not in lists
}

// View returns the letter for programs.
func (l *Letter) View() View {
	v := View{
		Letter: l.Seq, Stored: l.Time.UTC(), Stage: l.Stage, Reason: l.Reason, Error: l.Error, Object: l.Object,
		Offset: l.Offset, Size: l.Size, Raw: l.Raw,
	}
	if lane, ok := l.Lane(); ok {
		v.Lane = &lane
	}
	return v
}

// A Filter selects letters. The zero value selects all.
type Filter struct {
	Stage  string    // that put them
	Reason string    // one of a closed list
	Since  time.Time // stored then or later
	Before time.Time // stored earlier
}

// subject is as much of the filter as the server can apply.
func (f *Filter) subject() string {
	if f.Stage == "" {
		return "dead.>"
	}
	return schemas.DeadSubject(schemas.Token(f.Stage))
}

func (f *Filter) selects(l *Letter) bool {
	return (f.Reason == "" || l.Reason == f.Reason) && (f.Since.IsZero() || !l.Time.Before(f.Since)) &&
		(f.Before.IsZero() || l.Time.Before(f.Before))
}

// Scan calls fn for the letters that a filter selects, the oldest first, each once. The letter is fn's. It reads all of them, one
// at a time: the stream's limit bounds how long that takes.
func Scan(ctx context.Context, js natsjs.JetStream, f Filter, fn func(Letter) error) error {
	return scan(ctx, js, f, 0, func(l Letter, again bool) error {
		if again {
			return nil
		}
		return fn(l)
	})
}

// Newest calls fn for at most so many of the newest letters, the oldest first. Last is the last place in DEAD.
func Newest(ctx context.Context, js natsjs.JetStream, last uint64, most int, fn func(Letter) error) error {
	return scan(ctx, js, Filter{}, last-min(last, uint64(most)), func(l Letter, again bool) error {
		if again {
			return nil
		}
		return fn(l)
	})
}

// scan tells for each letter whether it is a copy of one before it.
func scan(ctx context.Context, js natsjs.JetStream, f Filter, after uint64, fn func(l Letter, again bool) error) error {
	highest := make(map[string]schemas.Number) // by producer; there are as many as partitions have had generations
	return jetstream.ReadFrom(ctx, js, jetstream.DeadStream, f.subject(), after, func(r runner.Record) error {
		l, err := read(r)
		if err != nil {
			return err
		}
		n, known := highest[l.Producer]
		again := known && l.Producer != "" && !n.Less(l.Number)
		if !again {
			highest[l.Producer] = l.Number
		}
		if !f.selects(&l) {
			return nil
		}
		return fn(l, again)
	})
}

// List returns the newest letters that a filter selects, at most so many, the newest first, without the records, and how many there
// are in all.
func List(ctx context.Context, js natsjs.JetStream, f Filter, most int) (letters []Letter, total int, err error) {
	ring := make([]Letter, 0, min(most, 1000))
	err = Scan(ctx, js, f, func(l Letter) error {
		l.Raw = nil
		if len(ring) < most {
			ring = append(ring, l)
		} else if most > 0 {
			ring[total%most] = l
		}
		total++
		return nil
	})
	for i := range ring {
		letters = append(letters, ring[(total-1-i)%len(ring)])
	}
	return letters, total, err
}

// Get returns a letter, and false if there is none at that place.
func Get(ctx context.Context, js natsjs.JetStream, seq uint64) (Letter, bool, error) {
	r, ok, err := jetstream.Get(ctx, js, jetstream.DeadStream, seq)
	if err != nil || !ok {
		return Letter{}, false, err
	}
	l, err := read(r)
	return l, err == nil, err
}

// MaxSelected bounds the letters that one command replays or takes away one by one, and so the memory for their places.
const MaxSelected = 10_000

// Select returns the letters at some places, with their copies, in ascending order and without the records; missing are the
// places that hold none.
func Select(ctx context.Context, js natsjs.JetStream, places []uint64) (letters []Letter, missing []uint64, err error) {
	wanted := make(map[uint64]bool, len(places))
	for _, p := range places {
		wanted[p] = true
	}
	letters, err = collect(ctx, js, Filter{}, func(l *Letter) bool { return wanted[l.Seq] })
	for _, l := range letters {
		delete(wanted, l.Seq)
		for _, c := range l.Copies {
			delete(wanted, c)
		}
	}
	for _, p := range places {
		if wanted[p] {
			missing = append(missing, p)
			delete(wanted, p)
		}
	}
	return letters, missing, err
}

// Find returns the letters that a filter selects, with their copies, in ascending order and without the records.
func Find(ctx context.Context, js natsjs.JetStream, f Filter) ([]Letter, error) {
	return collect(ctx, js, f, func(*Letter) bool { return true })
}

// collect gathers letters and their copies. A copy that is asked for stands for its letter.
func collect(ctx context.Context, js natsjs.JetStream, f Filter, wanted func(*Letter) bool) ([]Letter, error) {
	type name struct {
		producer string
		number   schemas.Number
	}
	var letters []Letter
	places := make(map[name]int)
	err := scan(ctx, js, f, 0, func(l Letter, again bool) error {
		l.Raw = nil
		if i, ok := places[name{l.Producer, l.Number}]; again && ok {
			letters[i].Copies = append(letters[i].Copies, l.Seq)
			return nil
		}
		if !wanted(&l) {
			return nil
		}
		if len(letters) == MaxSelected {
			return fmt.Errorf("more than %d dead letters are selected: narrow it down, or do it in parts", MaxSelected)
		}
		places[name{l.Producer, l.Number}] = len(letters)
		letters = append(letters, l)
		return nil
	})
	return letters, err
}

// Remove takes a letter away, its copies first, so that none of them can be taken for another letter.
func Remove(ctx context.Context, js natsjs.JetStream, l Letter) error {
	for i := len(l.Copies) - 1; i >= 0; i-- {
		if err := jetstream.Delete(ctx, js, jetstream.DeadStream, l.Copies[i]); err != nil {
			return err
		}
	}
	return jetstream.Delete(ctx, js, jetstream.DeadStream, l.Seq)
}

// Purge takes away the letters of a stage (empty: of all) that were stored before a time (zero: all there are now), and returns
// how many messages they were.
func Purge(ctx context.Context, js natsjs.JetStream, stage string, before time.Time) (uint64, error) {
	held, err := jetstream.Contents(ctx, js)
	if err != nil {
		return 0, err
	}
	bound := held[jetstream.DeadStream].Last + 1 // what comes meanwhile stays
	if !before.IsZero() {
		err := Scan(ctx, js, Filter{Since: before}, func(l Letter) error {
			bound = l.Seq
			return errFound
		})
		if err != nil && !isFound(err) {
			return 0, err
		}
	}
	f := Filter{Stage: stage}
	return jetstream.Purge(ctx, js, jetstream.DeadStream, f.subject(), bound)
}
