package detector

import (
	"hash/maphash"
	"sync"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// keptMessages is how many decoded messages are kept: two reads of a source, so that a detector may be that far behind the others
// and still find what they have decoded. With 200 events each that is about 10 MB for a partition.
const keptMessages = 512

// Panes are the decoded windows messages of one partition, for all detectors that this process runs on it: each message is
// decoded by the first that needs it. It holds the last ones only; who is further behind decodes again. Its methods may be
// called by several goroutines.
type Panes struct {
	seed maphash.Seed

	mu   sync.Mutex
	of   map[message]*decoded
	last [keptMessages]message // in a ring
	next int
}

// A message is known by its place in the stream and by its content: a stream that was made anew begins at the same places.
type message struct{ seq, sum uint64 }

// A decoded message is read-only once it is done.
type decoded struct {
	once  sync.Once
	panes schemas.PaneBatch
	err   error
}

// NewPanes returns empty Panes.
func NewPanes() *Panes {
	return &Panes{seed: maphash.MakeSeed(), of: make(map[message]*decoded, keptMessages)}
}

// Decode is a [detect.Decode].
func (p *Panes) Decode(r *runner.Record) (*schemas.PaneBatch, error) {
	d := p.get(message{r.Seq, maphash.Bytes(p.seed, r.Body)})
	d.once.Do(func() { d.err = d.panes.Decode(r.Body) })
	return &d.panes, d.err
}

func (p *Panes) get(m message) *decoded {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.of[m]
	if d == nil {
		d = new(decoded)
		delete(p.of, p.last[p.next])
		p.of[m] = d
		p.last[p.next] = m
		p.next = (p.next + 1) % keptMessages
	}
	return d
}
