package runnertest

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// The toy pipeline has the shape of the real one: split cuts the lines of two lanes into words, count counts each word in
// two partitions, publish makes findings and insights of the counts.
func toy() Pipeline {
	stream := func(name string) func(int) string {
		return func(partition int) string { return name + "_" + strconv.Itoa(partition) }
	}
	return Pipeline{
		Raw: toyRaw(),
		Stages: []Stage{
			{Name: "split", Partitions: 2, Input: stream("RAW"), Constants: "v1",
				New: func(int, uint64) runner.Processor { return &split{table: newTable()} }},
			{Name: "count", Partitions: 2, Input: stream("EVENTS"), Constants: "v1",
				New: func(p int, _ uint64) runner.Processor { return &count{table: newTable(), partition: p} }},
			{Name: "publish", Partitions: 2, Input: stream("WINDOWS"), Constants: "v1",
				New: func(p int, g uint64) runner.Processor {
					return &publish{table: newTable(), partition: p, generation: g}
				}},
		},
	}
}

// toyRaw is lines of words. Lane 0 numbers its records, lane 1 does not; no word is in both, as no account is.
func toyRaw() []Raw {
	words := [2][]string{{"ant", "bee", "cat", "dog"}, {"elk", "fox", "gnu"}}
	var raw []Raw
	for i := range 60 {
		lane := i % 3 % 2
		var line []string
		for k := range i * 7 % 5 {
			w := words[lane]
			line = append(line, w[(i*i+k*k*3+k)%len(w)])
		}
		r := Raw{
			Subject: schemas.RawSubject(lane, "words"), Body: []byte(strings.Join(line, " ")),
			Time: time.Unix(int64(i), 0), Trace: fmt.Sprintf("trace-%d", i),
		}
		if lane == 0 {
			r.Producer, r.Number = "ingest.0.g0", schemas.Number{Seq: uint64(i/10 + 1), Index: uint32(i % 10)}
		}
		raw = append(raw, r)
	}
	return raw
}

// A table is counts by key that knows what has changed.
type table struct {
	counts  map[string]uint64
	changed map[string]bool
}

func newTable() table { return table{make(map[string]uint64), make(map[string]bool)} }

func (t *table) set(key string, n uint64) {
	t.counts[key] = n
	t.changed[key] = true
}

func (t *table) add(key string) uint64 {
	t.set(key, t.counts[key]+1)
	return t.counts[key]
}

func (t *table) Dirty() int { return len(t.changed) }

func (t *table) Snapshot(changed func(string, []byte)) error {
	for _, key := range slices.Sorted(maps.Keys(t.changed)) {
		changed(key, binary.AppendUvarint(nil, t.counts[key]))
	}
	clear(t.changed)
	return nil
}

func (t *table) Restore(key string, state []byte) error {
	n, size := binary.Uvarint(state)
	if size <= 0 {
		return fmt.Errorf("state of %q is not a number", key)
	}
	t.counts[key] = n
	return nil
}

// split puts out the words of a line, with their place in the lane.
type split struct{ table }

func (s *split) Apply(r runner.Record, emit func(runner.Output)) error {
	for _, word := range strings.Fields(string(r.Body)) {
		partition := int(xxhash.Sum64String(word) % 2)
		emit(runner.Output{
			Subject: schemas.EventsSubject(partition, word),
			Body:    fmt.Appendf(nil, "%s %d at %s", word, s.add(word), r.Time.UTC().Format(time.TimeOnly)),
		})
	}
	return nil
}

// count puts out the number of each word, and a hash of all that was said of it, in order.
type count struct {
	table
	partition int
}

func (c *count) Apply(r runner.Record, emit func(runner.Output)) error {
	word, _, _ := strings.Cut(string(r.Body), " ")
	n := c.add("n." + word)
	c.set("hash."+word, xxhash.Sum64(binary.LittleEndian.AppendUint64(slices.Clone(r.Body), c.counts["hash."+word])))
	for range 1 + n%2 {
		emit(runner.Output{
			Subject: schemas.WindowsSubject(c.partition, word, schemas.CountsPane),
			Body:    fmt.Appendf(nil, "%s %d %x", word, n, c.counts["hash."+word]),
		})
	}
	return nil
}

// publish puts out a finding for each count, and every fourth time an insight.
type publish struct {
	table
	partition  int
	generation uint64
}

func (p *publish) Apply(r runner.Record, emit func(runner.Output)) error {
	word, rest, _ := strings.Cut(string(r.Body), " ")
	n := p.add(word)
	body := fmt.Appendf(nil, "%s %d generation %d: %s", word, n, p.generation, rest)
	emit(runner.Output{Subject: schemas.FindingsSubject(p.partition, word, schemas.APICallRate), Body: body})
	if n%4 == 0 {
		account := schemas.Account{Provider: schemas.AWS, ID: word}
		emit(runner.Output{
			Subject: schemas.InsightSubject("here", account, schemas.APICallRate, fmt.Sprint(n)),
			Body:    slices.Clone(body), Once: true,
		})
	}
	return nil
}
