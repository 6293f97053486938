// Package memory is the runner's ports on maps: streams, sources, sinks and stores that live as long as a [Broker] does.
// It is small enough to be read as the meaning of the contracts, and it is what the pipeline's tests run on. It keeps the
// broker's bounds (sizes of messages and batches, names of keys), so that what works here works there.
package memory

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A Broker holds streams and buckets. Streams come into being when they are first used. It may be used from many
// goroutines.
type Broker struct {
	now func() time.Time

	mu      sync.Mutex
	streams map[string]*stream
	buckets map[string]*bucket
	created map[string]int // how often each stream was made; its identity
	taken   int            // outputs with Once whose subject held other bytes
}

// NewBroker returns an empty broker. Records get the time that now returns when they are stored.
func NewBroker(now func() time.Time) *Broker {
	return &Broker{now: now, created: make(map[string]int), streams: make(map[string]*stream), buckets: make(map[string]*bucket)}
}

// A stream is records with gapless sequences from first on.
type stream struct {
	id       string
	first    uint64
	records  []runner.Record
	size     int            // bytes
	limit    int            // bytes, none if zero
	subjects map[string]int // index into records counted from sequence 1, of the last record of each subject
	changed  chan struct{}  // closed and replaced when anything changes
}

func (s *stream) last() uint64 { return s.first + uint64(len(s.records)) - 1 }

func (s *stream) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// messageSize is what a record takes of a stream's limit.
func messageSize(subject string, body []byte) int { return len(subject) + len(body) }

// stream returns a stream; the lock must be held.
func (b *Broker) stream(name string) *stream {
	s := b.streams[name]
	if s == nil {
		b.created[name]++
		s = &stream{
			id: name + "#" + strconv.Itoa(b.created[name]), first: 1,
			subjects: make(map[string]int), changed: make(chan struct{}),
		}
		b.streams[name] = s
	}
	return s
}

// Publish stores a record that nobody numbers, as a client outside the pipeline does. It does not wait: a full stream is an
// error.
func (b *Broker) Publish(subject string, body []byte, trace string) error {
	name, err := schemas.StreamOf(subject)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stream(name)
	if s.full(subject, body) {
		return fmt.Errorf("stream %s is full", name)
	}
	s.append(runner.Record{Subject: subject, Body: bytes.Clone(body), Trace: trace, Time: b.now()})
	return nil
}

// full reports whether a message does not fit. An empty stream takes any.
func (s *stream) full(subject string, body []byte) bool {
	return s.limit > 0 && s.size > 0 && s.size+messageSize(subject, body) > s.limit
}

func (s *stream) append(r runner.Record) {
	r.Prev = s.last()
	r.Seq = r.Prev + 1
	s.records = append(s.records, r)
	s.size += messageSize(r.Subject, r.Body)
	s.subjects[r.Subject] = int(r.Seq)
	s.wake()
}

// Limit bounds a stream's bytes: Put waits while there is no room. Zero takes the bound away.
func (b *Broker) Limit(name string, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stream(name)
	s.limit = bytes
	s.wake()
}

// Purge removes the records up to a sequence, and with it makes room.
func (b *Broker) Purge(name string, upTo uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stream(name)
	for len(s.records) > 0 && s.first <= upTo {
		r := &s.records[0]
		s.size -= messageSize(r.Subject, r.Body)
		if s.subjects[r.Subject] == int(r.Seq) {
			delete(s.subjects, r.Subject)
		}
		s.records = s.records[1:]
		s.first++
	}
	s.wake()
}

// Delete removes a stream. When it is used again it is another one.
func (b *Broker) Delete(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.streams[name]; s != nil {
		delete(b.streams, name)
		s.wake()
	}
}

// Streams returns the names of all streams, sorted.
func (b *Broker) Streams() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	names := make([]string, 0, len(b.streams))
	for name := range b.streams {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Records returns what a stream holds. The bodies are the broker's.
func (b *Broker) Records(name string) []runner.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.stream(name).records)
}

// Conflicts returns how many outputs with Once found other bytes on their subject. The first ones stayed.
func (b *Broker) Conflicts() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken
}
