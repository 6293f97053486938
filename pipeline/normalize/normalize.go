// Package normalize is the first processor of the pipeline: it turns chunks of raw records into batches of normalized
// management events, keyed by the partition of their account.
//
// A chunk's events are put into sections by account and region; a section's strings are coded once in a sorted dictionary.
// Records that cannot be decoded, and events without an account or a believable time, become dead letters one by one; the
// rest goes on. Events that insights do not look at (data, network and insight events) are counted and dropped.
//
// How sensitive an event is by the catalogue, whom it changes, and how its caller had signed in become the traits of its row.
// Nothing else of a request goes on, because requests may hold secrets.
//
// Control records go to every partition.
package normalize

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/pipeline/pages"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

const (
	// Stage is the name of the stage.
	Stage = "normalizer"

	// version is that of the bounds, and of how events are judged.
	version = "3"
)

// Constants is the version of what decides outputs beside state and record: bounds, and what the catalogue says.
func Constants(c *catalog.Catalog) string { return version + ", catalogue " + c.Version() }

const (
	// maxBatchBytes bounds an events message well below the broker's 1 MiB, headers and estimates included.
	maxBatchBytes = 512 << 10
	// maxSectionBytes lets a message hold at least two sections.
	maxSectionBytes = 256 << 10
	// maxAccounts bounds the accounts of one lane, and so its memory, to about 100 MB: twice the largest deployment that
	// the sizing guide speaks of.
	maxAccounts = 1 << 18
	// future is how far an event may lie behind its chunk's stored time: clocks differ by seconds, so ten minutes are
	// generous; one date in 2099 must not move a watermark.
	future = 10 * time.Minute
)

// earliest is the earliest believable event time, 2006-01-01: no cloud wrote audit logs before. A malformed date must not
// begin an account's learning time in the year 0.
var earliest = time.Date(2006, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// Partition returns the partition of an account, of n. All regions of an account share it, because identities are global.
func Partition(a schemas.Account, n int) int {
	return int(xxhash.Sum64String(a.String()) % uint64(n))
}

// Config says which lane is read and how its output is spread.
type Config struct {
	Lane       int
	Partitions int
	Decoders   []decode.Decoder
	Catalog    *catalog.Catalog // catalog.Default if nil
	Resolver   Resolver         // nil: networks and countries stay unknown
}

// A Processor normalizes the chunks of one lane.
type Processor struct {
	lane       int
	partitions int
	decoders   map[string]decode.Decoder
	catalog    *catalog.Catalog

	accounts map[schemas.Account]*account
	kept     *pages.Kept[*account]
	resolver resolver
	stats    Stats
	counted  bool // stats have changed since the last snapshot

	// For one chunk, used again for the next.
	chunk    schemas.Chunk
	sections map[sectionKey]*section
	order    []*section // in order of first appearance
	idle     []*section
	batch    schemas.EventBatch
}

// account is what a lane knows of an account: the regions it has been seen in.
type account struct {
	id      schemas.Account
	slice   int
	regions []uint32 // hashes of their names: all that is asked is whether one has been seen
}

type sectionKey struct {
	account *account
	region  string
}

var _ runner.Processor = (*Processor)(nil)

// New returns a processor with empty state.
func New(c Config) *Processor {
	p := &Processor{
		lane: c.Lane, partitions: c.Partitions,
		decoders: make(map[string]decode.Decoder, len(c.Decoders)),
		catalog:  c.Catalog,
		accounts: make(map[schemas.Account]*account),
		kept:     pages.Keep[*account]("accounts", 128),
		sections: make(map[sectionKey]*section),
		resolver: newResolver(c.Resolver),
		stats:    newStats(),
	}
	if p.catalog == nil {
		p.catalog = catalog.Default()
	}
	for _, d := range c.Decoders {
		p.decoders[d.Format()] = d
	}
	return p
}

// Apply normalizes one raw message.
func (p *Processor) Apply(r runner.Record, emit func(runner.Output)) error {
	switch kind := schemas.LastToken(r.Subject); schemas.ControlKind(kind) {
	case schemas.TickControl:
		var t schemas.Tick
		if err := t.Decode(r.Body); err != nil {
			return fmt.Errorf("tick: %w", err)
		}
		stored := schemas.MinuteOf(r.Time.Unix())
		if t.Lane = p.lane; t.Time == 0 || t.Time > stored {
			t.Time = stored
		}
		if t.Account.ID != "" {
			emit(runner.Output{
				Subject: schemas.EventsControl(Partition(t.Account, p.partitions), schemas.TickControl), Body: t.Append(nil),
			})
			return nil
		}
		p.control(schemas.TickControl, t.Append(nil), emit)
	case schemas.EndControl:
		var e schemas.End
		if err := e.Decode(r.Body); err != nil {
			return fmt.Errorf("end: %w", err)
		}
		e.Lane = p.lane
		p.control(schemas.EndControl, e.Append(nil), emit)
	case schemas.SettingsControl:
		var s schemas.Settings
		if err := s.Decode(r.Body); err != nil {
			return fmt.Errorf("settings: %w", err)
		}
		s.Lane = p.lane
		p.control(schemas.SettingsControl, s.Append(nil), emit)
	default:
		return p.normalize(kind, r, emit)
	}
	return nil
}

// control hands a control record to every partition.
func (p *Processor) control(kind schemas.ControlKind, body []byte, emit func(runner.Output)) {
	for i := range p.partitions {
		emit(runner.Output{Subject: schemas.EventsControl(i, kind), Body: slices.Clone(body)})
	}
}

func (p *Processor) normalize(format string, r runner.Record, emit func(runner.Output)) error {
	if err := p.chunk.Decode(r.Body); err != nil {
		return fmt.Errorf("chunk: %w", err)
	}
	decoder := p.decoders[format]
	if decoder == nil {
		return fmt.Errorf("chunk of %s: no decoder for format %q; it was written by a newer version", p.chunk.Object, format)
	}
	p.counted = true
	p.resolver.begin()
	if p.resolver.from != nil {
		p.stats.note(p.resolver.from.Version())
	}
	latest := r.Time.Add(future).Unix()
	var refused error
	add := func(e *schemas.Event) { refused = cmp.Or(p.add(e, latest), refused) } // outside the loop: it is allocated once
	for _, raw := range p.chunk.Records {
		p.stats.Records++
		refused = nil
		if err := cmp.Or(decoder.Decode(alias(raw.Body), add), refused); err != nil {
			p.dead(raw, err, emit)
		}
	}
	p.flush(emit)
	return nil
}

// add puts an event into its section. The error is the reason why it cannot be one.
func (p *Processor) add(e *schemas.Event, latest int64) error {
	if e.Category != schemas.Management {
		p.stats.Dropped[categoryName(e.Category)]++
		return nil
	}
	if e.Account.ID == "" {
		e.Account.ID = cmp.Or(p.chunk.Account, e.CallerAccount)
	}
	switch {
	case e.Account.ID == "":
		return refuse("no_account", "the record names no receiving account, its path none, and its caller has none")
	case e.Time < earliest:
		return refuse("too_early", "event time %s is before 2006, when no cloud wrote audit logs", when(e.Time))
	case e.Time > latest:
		return refuse("future", "event time %s is more than 10 minutes after the record was received", when(e.Time))
	}
	if e.Region == "" {
		e.Region = schemas.GlobalRegion
	}
	a, err := p.account(e.Account)
	if err != nil {
		return err
	}
	p.stats.Events++
	p.section(a, p.region(a, e.Region)).add(e, p.traits(e), p.resolver.of(e.SourceIP))
	return nil
}

// traits judges an event. What only reads is never sensitive, whatever its name: the record's own flag says it.
func (p *Processor) traits(e *schemas.Event) schemas.Traits {
	t := schemas.Traits{Auth: e.Auth}
	if !e.Write {
		return t
	}
	if t.Sensitive = p.catalog.Classify(e.Service, e.Name, e.Request); t.Sensitive != 0 {
		t.Target = targetOf(e)
	}
	return t
}

func (p *Processor) account(id schemas.Account) (*account, error) {
	if a := p.accounts[id]; a != nil {
		return a, nil
	}
	if len(p.accounts) >= maxAccounts {
		return nil, refuse("too_many_accounts", "the lane has already seen %d accounts", maxAccounts)
	}
	id.ID = strings.Clone(id.ID) // it aliases the message
	a := &account{id: id}
	p.keep(a)
	p.kept.Touch(a.slice)
	return a, nil
}

// region returns the region under which an account's event goes on: at most [schemas.MaxRegions] keep their names.
func (p *Processor) region(a *account, region string) string {
	hash := uint32(xxhash.Sum64String(region))
	if slices.Contains(a.regions, hash) {
		return region
	}
	if len(a.regions) >= schemas.MaxRegions {
		return schemas.OtherRegion
	}
	a.regions = append(a.regions, hash)
	p.kept.Touch(a.slice)
	return region
}

func (p *Processor) keep(a *account) {
	p.accounts[a.id], a.slice = a, p.kept.Slice(xxhash.Sum64String(a.id.String()))
	p.kept.Add(a.slice, a)
}

// section returns the section that takes the next event of an account and region, beginning a new one when it is full.
func (p *Processor) section(a *account, region string) *section {
	key := sectionKey{a, region}
	s := p.sections[key]
	if s == nil || s.full() {
		if n := len(p.idle); n > 0 {
			s, p.idle = p.idle[n-1], p.idle[:n-1]
		} else {
			s = newSection()
		}
		s.begin(a.id, region, Partition(a.id, p.partitions))
		p.sections[key] = s
		p.order = append(p.order, s)
	}
	return s
}

// flush emits the chunk's sections: by partition, then region, then in order of first appearance.
func (p *Processor) flush(emit func(runner.Output)) {
	slices.SortStableFunc(p.order, func(a, b *section) int {
		return cmp.Or(cmp.Compare(a.partition, b.partition), cmp.Compare(a.region, b.region))
	})
	for i := 0; i < len(p.order); {
		first := p.order[i]
		p.batch.Sections = p.batch.Sections[:0]
		for size := 0; i < len(p.order); i++ {
			s := p.order[i]
			if s.partition != first.partition || s.region != first.region {
				break
			}
			if size += s.bytes; size > maxBatchBytes && len(p.batch.Sections) > 0 {
				break
			}
			p.batch.Sections = append(p.batch.Sections, s.finish(p.lane))
		}
		emit(runner.Output{
			Subject: schemas.EventsSubject(first.partition, first.region),
			Body:    p.batch.Append(nil),
		})
	}
	p.idle = append(p.idle, p.order...)
	p.order = p.order[:0]
	clear(p.sections)
}

func (p *Processor) dead(raw schemas.RawRecord, err error, emit func(runner.Output)) {
	d := schemas.DeadLetter{
		Stage: Stage, Object: p.chunk.Object, Offset: raw.Offset, Size: int64(len(raw.Body)),
		Reason: "malformed", Error: clip(err.Error()), Raw: raw.Body[:min(len(raw.Body), schemas.MaxDeadRaw)],
	}
	var r *refusal
	if errors.As(err, &r) {
		d.Reason = r.reason
	}
	p.stats.Dead[d.Reason]++
	emit(runner.Output{Subject: schemas.DeadSubject(Stage), Body: d.Append(nil)})
}

// A refusal is an event that was decoded and cannot be used.
type refusal struct{ reason, text string }

func (r *refusal) Error() string { return r.text }

func refuse(reason, format string, args ...any) error {
	return &refusal{reason, fmt.Sprintf(format, args...)}
}

func when(unixSecond int64) string { return time.Unix(unixSecond, 0).UTC().Format(time.RFC3339) }

// clip bounds an error to what a dead letter holds.
func clip(s string) string {
	const most = 1 << 10
	if len(s) > most {
		s = s[:most]
	}
	return strings.ToValidUTF8(s, "�")
}

// alias returns the bytes of a raw record as a string without copying them. It is safe because a record's body is never
// written to, and because nothing keeps the string beyond Apply: sections copy what they keep into their output, and
// accounts and regions are cloned. Copying instead costs one allocation of the record's size for every event.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
