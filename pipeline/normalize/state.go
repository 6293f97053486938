package normalize

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/trailvane/trailvane/schemas"
	"github.com/vmihailenco/msgpack/v5"
)

// Stats count what a lane has read, since its first record. They are part of the state, so that a crash neither loses nor
// doubles a count.
type Stats struct {
	Records uint64            // raw records
	Events  uint64            // management events passed on
	Dropped map[string]uint64 // by category
	Dead    map[string]uint64 // by reason

	Databases []string `json:",omitempty"` // that knew networks and countries, the latest last
}

func newStats() Stats {
	return Stats{Dropped: make(map[string]uint64), Dead: make(map[string]uint64)}
}

// Stats returns the counts.
func (p *Processor) Stats() Stats { return p.stats }

func categoryName(c schemas.Category) string {
	switch c {
	case schemas.Data:
		return "data"
	case schemas.InsightCategory:
		return "insight"
	case schemas.NetworkActivity:
		return "network"
	default:
		return "management"
	}
}

// statsKey is the state key of the counts; the accounts are in pages.
const statsKey = "stats"

type savedAccount struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Provider string
	ID       string
	Regions  []uint32
}

// Snapshot gives out the slices of accounts that have changed, and the counts.
func (p *Processor) Snapshot(changed func(key string, state []byte)) error {
	err := p.kept.WriteChanged(func(a, b *account) int { return a.id.Compare(b.id) }, (*account).appendEntry, changed)
	if err != nil {
		return err
	}
	if p.counted {
		p.counted = false
		b, err := json.Marshal(p.stats)
		if err != nil {
			return err
		}
		changed(statsKey, b)
	}
	return nil
}

func (a *account) appendEntry(entries [][]byte) ([][]byte, error) {
	b, err := msgpack.Marshal(savedAccount{Provider: string(a.id.Provider), ID: a.id.ID, Regions: a.regions})
	return append(entries, b), err
}

// Restore gives a key back.
func (p *Processor) Restore(key string, state []byte) error {
	if key == statsKey {
		s := newStats()
		if err := json.Unmarshal(state, &s); err != nil {
			return fmt.Errorf("state %s: %w", key, err)
		}
		p.stats = s
		return nil
	}
	return p.kept.Read(key, state, func(_ int, entry []byte) error {
		var s savedAccount
		if err := msgpack.Unmarshal(entry, &s); err != nil {
			return err
		}
		a := &account{id: schemas.Account{Provider: schemas.Provider(s.Provider), ID: s.ID}, regions: s.Regions}
		p.keep(a)
		return nil
	})
}

// Add returns the sum of two lanes' counts.
func (s Stats) Add(t Stats) Stats {
	sum := newStats()
	sum.Records, sum.Events = s.Records+t.Records, s.Events+t.Events
	for _, c := range []Stats{s, t} {
		for _, v := range c.Databases {
			if !slices.Contains(sum.Databases, v) {
				sum.note(v)
			}
		}
		for name, n := range c.Dropped {
			sum.Dropped[name] += n
		}
		for name, n := range c.Dead {
			sum.Dead[name] += n
		}
	}
	return sum
}
