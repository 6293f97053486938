// Package pair is the last processor of the pipeline: it turns findings into insight events, one Start and one End for
// every stretch of unusual activity.
//
// Ids are functions of what was found: the shared id of the type, account, region, key, generation and ordinal, the id
// of each event of that and its state. So whoever finds the same again publishes the same bytes under the same subject, and
// the first one stays. A reset finding says that a detector has begun anew: what its older generations had open is ended.
package pair

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

const (
	// Stage is the name of the stage.
	Stage = "pairer"

	// Constants is the version of what decides outputs beside state and record: namespace of the ids, whose findings count.
	Constants = "3"
)

// namespace of the insight ids, chosen once at random.
var namespace = uuid.MustParse("0f7c8c52-7a3e-4b0a-9d3c-52f4d1a6be77")

// A Processor pairs the findings of one partition.
type Processor struct {
	partition   int
	open        map[key]*insight
	kept        *pages.Kept[*insight]
	generations map[schemas.InsightType]uint64 // of the last reset
	stats       Stats
	counted     bool
}

// key is what can have one open insight.
type key struct {
	kind    schemas.InsightType
	account schemas.Account
	region  string
	object  string // the finding's key
}

// insight is an open one, as its last finding left it.
type insight struct {
	slice   int
	finding schemas.Finding
}

// Stats count what a partition has published, by type, and the findings that made no sense.
type Stats struct {
	Started map[schemas.InsightType]uint64
	Ended   map[schemas.InsightType]uint64
	Strange uint64 // a second open, a close of what was not open, the word of a generation that is over, or for another type
}

var _ runner.Processor = (*Processor)(nil)

// New returns a processor with empty state.
func New(partition int) *Processor {
	return &Processor{
		partition: partition, open: make(map[key]*insight), kept: pages.Keep[*insight]("open", 128), stats: newStats(),
		generations: make(map[schemas.InsightType]uint64),
	}
}

func newStats() Stats {
	return Stats{Started: make(map[schemas.InsightType]uint64), Ended: make(map[schemas.InsightType]uint64)}
}

// Add returns the sum of two partitions' counts.
func (s Stats) Add(t Stats) Stats {
	sum := newStats()
	sum.Strange = s.Strange + t.Strange
	for _, c := range []Stats{s, t} {
		for kind, n := range c.Started {
			sum.Started[kind] += n
		}
		for kind, n := range c.Ended {
			sum.Ended[kind] += n
		}
	}
	return sum
}

// Stats returns the counts.
func (p *Processor) Stats() Stats { return p.stats }

// Accept reports whether a finding was put by a detector of the type that its subject names. The server lets a detector publish on subjects
// of its type, but the name of the producer is for the producer to say: with another's name and a high number it would make the
// findings of that one look like repeats.
func Accept(r *runner.Record) bool {
	return runner.By(detect.Stage(schemas.InsightType(schemas.LastToken(r.Subject))))(r)
}

// Apply works on one finding.
func (p *Processor) Apply(r runner.Record, emit func(runner.Output)) error {
	var f schemas.Finding
	if err := f.Decode(r.Body); err != nil {
		return fmt.Errorf("finding: %w", err)
	}
	p.counted = true
	if schemas.LastToken(r.Subject) != string(f.Type) {
		// A detector may publish on subjects of its type only, so this one speaks for another.
		p.stats.Strange++
		return nil
	}
	if f.Kind == schemas.ResetFinding {
		p.reset(&f, emit)
		return nil
	}
	if current, ok := p.generations[f.Type]; ok && current != f.Generation {
		// An owner that was paused woke up behind the reset of another. Nobody would ever close what it opens.
		p.stats.Strange++
		return nil
	}
	k := key{f.Type, f.Account, f.Region, f.Key}
	known := p.open[k]
	switch f.Kind {
	case schemas.OpenFinding:
		if known != nil {
			// A detector has one open insight per key. Its law is broken, but no insight may stay without an End.
			p.stats.Strange++
			p.end(k, known, schemas.ModelChanged, emit)
		}
		known = &insight{slice: p.kept.Slice(xxhash.Sum64String(f.Account.String() + "/" + f.Key)), finding: f}
		p.open[k] = known
		p.kept.Add(known.slice, known)
		p.kept.Touch(known.slice)
		p.stats.Started[f.Type]++
		publish(&f, schemas.StartState, f.Start, emit)
	case schemas.UpdateFinding, schemas.CloseFinding:
		if known == nil || known.finding.Ordinal != f.Ordinal || known.finding.Generation != f.Generation {
			p.stats.Strange++
			return nil
		}
		known.finding = f
		p.kept.Touch(known.slice)
		if f.Kind == schemas.CloseFinding {
			p.end(k, known, f.Why.EndReason, emit)
		}
	default:
		return fmt.Errorf("finding of an unknown kind %d", f.Kind)
	}
	return nil
}

// reset ends what older generations of a detector had open. From now on only this one is heard.
func (p *Processor) reset(f *schemas.Finding, emit func(runner.Output)) {
	p.generations[f.Type] = f.Generation
	var ended []key
	for k, i := range p.open {
		if k.kind == f.Type && i.finding.Generation != f.Generation {
			ended = append(ended, k)
		}
	}
	slices.SortFunc(ended, compareKeys)
	for _, k := range ended {
		p.end(k, p.open[k], schemas.ModelChanged, emit)
	}
}

// end publishes the End of an open insight and forgets it.
func (p *Processor) end(k key, i *insight, reason schemas.EndReason, emit func(runner.Output)) {
	f := &i.finding
	f.Why.EndReason = reason
	// A detector that is gone said no end: the activity was seen for as long as its last finding says.
	f.End = max(f.End, f.Start+schemas.Minute(max(1, f.Statistics.InsightDuration)))
	delete(p.open, k)
	p.kept.Remove(i.slice, i)
	p.stats.Ended[f.Type]++
	publish(f, schemas.EndState, f.End, emit)
}

// publish emits one insight event.
func publish(f *schemas.Finding, state schemas.State, at schemas.Minute, emit func(runner.Output)) {
	shared := sharedID(f)
	why := f.Why
	if n, err := strconv.ParseUint(why.Continues, 10, 32); err == nil {
		earlier := *f
		earlier.Ordinal = uint32(n)
		why.Continues = sharedID(&earlier).String()
	}
	event := uuid.NewSHA1(shared, []byte(state)).String()
	i := schemas.Insight{
		EventVersion:  schemas.InsightVersion,
		EventCategory: schemas.InsightEventCategory,
		EventID:       event,
		SharedEventID: shared.String(),
		EventTime:     at,
		Provider:      f.Account.Provider,
		Region:        f.Region,
		AccountID:     f.Account.ID,
		Details: schemas.InsightDetails{
			State: state, Type: f.Type, Object: f.Object,
			EventSource: f.Service, EventName: f.Event, ErrorCode: f.ErrorCode,
			Context:   schemas.InsightContext{Statistics: f.Statistics, Attributions: f.Attributions},
			Trailvane: schemas.TrailvaneDetails{Why: why},
		},
	}
	emit(runner.Output{Subject: schemas.InsightSubject(f.Region, f.Account, f.Type, event), Body: i.Append(nil), Once: true})
}

// sharedID hashes what makes an insight itself. Parts are led by their length, so that no key can be taken for another's.
func sharedID(f *schemas.Finding) uuid.UUID {
	var b []byte
	for _, s := range []string{string(f.Type), string(f.Account.Provider), f.Account.ID, f.Region, f.Key} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, f.Generation)
	b = binary.AppendUvarint(b, uint64(f.Ordinal))
	return uuid.NewSHA1(namespace, b)
}

// statsKey is the state key of the counts and the generations; the open insights are in pages.
const statsKey = "stats"

type savedHead struct {
	Stats
	Generations map[schemas.InsightType]uint64 // states of earlier versions have none: then everybody is heard until the next reset
}

// Snapshot gives out what has changed.
func (p *Processor) Snapshot(changed func(key string, state []byte)) error {
	if !p.counted {
		return nil
	}
	p.counted = false
	b, err := json.Marshal(savedHead{p.stats, p.generations})
	if err != nil {
		return err
	}
	changed(statsKey, b)

	return p.kept.WriteChanged(
		func(a, b *insight) int { return compareKeys(a.key(), b.key()) },
		func(i *insight, entries [][]byte) ([][]byte, error) {
			return append(entries, i.finding.Append(nil)), nil
		},
		changed)
}

// Restore gives a key back.
func (p *Processor) Restore(name string, state []byte) error {
	if name == statsKey {
		head := savedHead{newStats(), make(map[schemas.InsightType]uint64)}
		if err := json.Unmarshal(state, &head); err != nil {
			return fmt.Errorf("state %s: %w", name, err)
		}
		p.stats, p.generations = head.Stats, head.Generations
		return nil
	}
	return p.kept.Read(name, state, func(slice int, entry []byte) error {
		i := &insight{slice: slice}
		if err := i.finding.Decode(entry); err != nil {
			return err
		}
		p.open[i.key()] = i
		p.kept.Add(slice, i)
		return nil
	})
}

func (i *insight) key() key {
	return key{i.finding.Type, i.finding.Account, i.finding.Region, i.finding.Key}
}

func compareKeys(a, b key) int {
	for _, c := range [...]int{
		strings.Compare(string(a.kind), string(b.kind)), a.account.Compare(b.account),
		strings.Compare(a.region, b.region), strings.Compare(a.object, b.object),
	} {
		if c != 0 {
			return c
		}
	}
	return 0
}
