// Package analyze replays logs through the whole pipeline in one process and returns the insights: ingest, normalizer,
// aggregator, detectors and pairer, each a stage on an embedded broker, exactly as they run when they are spread over hosts.
//
// The stages end one after the other. When ingest has read everything, the normalizers work on what is left in their
// streams and end, then the aggregators, and so on: nothing is left behind, and nobody waits for time to pass.
package analyze

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/pair"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/aggregator"
	"github.com/trailvane/trailvane/services/detector"
	ingestservice "github.com/trailvane/trailvane/services/ingest"
	"github.com/trailvane/trailvane/services/ingest/objects"
	"github.com/trailvane/trailvane/services/internal/broker"
	"github.com/trailvane/trailvane/services/internal/mmdb"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/stages"
	"github.com/trailvane/trailvane/services/normalizer"
	"github.com/trailvane/trailvane/services/pairer"
)

// Options say what to analyze.
type Options struct {
	Paths   []string       // files, folders, globs, s3://bucket/key, oss://bucket/key, "-" for Stdin
	Stdin   io.Reader      // may be nil
	Objects objects.Config // of the paths in object stores
	Format  string         // of all objects; empty: each object's is found out

	// Store is the folder that keeps the streams and the state, so that the next run goes on; empty: a temporary one.
	Store      string
	Partitions int // 0: those of the store; in a new one as many as there are cores
	Settings   schemas.Settings

	Catalog *catalog.Catalog // of sensitive operations; catalog.Default if nil

	// Each, if it is not nil, gets every insight event as soon as it is stored, in that order, from one goroutine. Its error
	// ends Run. Standard input that is all there is to read, without a Store, is analyzed as it comes.
	Each func(*schemas.Insight) error

	Databases []string // files in the MaxMind DB format that know networks and countries of addresses

	Progress *ingest.Progress // may be nil; may be read while Run works
	Log      *slog.Logger     // what goes wrong and is tried again; slog.Default() if nil
}

// Live reports whether the logs are analyzed as they come: standard input that is all there is to read, without a Store.
func (o *Options) Live() bool { return o.ingest("").Live() }

// ingest says what the lane reads.
func (o *Options) ingest(dir string) *ingestservice.Config {
	return &ingestservice.Config{
		Paths: o.Paths, Stdin: o.Stdin, Objects: o.Objects, Format: o.Format, Remember: o.Store != "", Dir: dir,
		Settings: o.Settings, End: &schemas.End{Close: o.Store == ""}, Progress: o.Progress,
	}
}

// A Result is what was found, from the first run of a store on.
type Result struct {
	Insights []schemas.Insight // by event time, then id

	Found     ingest.Found // objects, compared with earlier runs of the store
	Objects   int          // in all runs
	Ingest    ingest.Stats
	Normalize normalize.Stats
	Aggregate aggregate.Stats
	Pair      pair.Stats
	Dead      []schemas.DeadLetter // the first ones
	Conflicts uint64               // insight events that were found again with other bytes: a bug of ours if not 0

	NearMisses []detect.NearMiss // what came closest to the line without crossing it, closest first
	Learning   []detect.Learning // accounts that have not finished learning

	Took time.Duration
}

// Unreadable reports whether there were records, and every one of them is a dead letter.
func (r *Result) Unreadable() bool {
	var dead, dropped uint64
	for _, n := range r.Normalize.Dead {
		dead += n
	}
	for _, n := range r.Normalize.Dropped {
		dropped += n
	}
	return dead > 0 && r.Normalize.Events == 0 && dropped == 0
}

// maxDead bounds Result.Dead: enough to see what kind of thing goes wrong.
const maxDead = 5

// Run analyzes. When the context ends it stops cleanly and returns its error; with a Store, the same call goes on later.
func Run(ctx context.Context, o Options) (*Result, error) {
	begun := time.Now()
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Catalog == nil {
		o.Catalog = catalog.Default()
	}
	if o.Progress == nil {
		o.Progress = new(ingest.Progress)
	}
	o.Objects.Log = o.Log
	resolver, err := databases(o.Databases)
	if err != nil {
		return nil, err
	}
	dir := o.Store
	if dir != "" {
		if err := broker.MayBeStore(dir); err != nil {
			return nil, err
		}
	} else {
		temporary, err := os.MkdirTemp("", "trailvane-")
		if err != nil {
			return nil, fmt.Errorf("make a folder for the streams: %w", err)
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	stopped, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	o.Log = slog.New(untilFailure{o.Log.Handler(), stopped})
	b, err := broker.Start(ctx, broker.Config{Dir: dir, MaxStore: maxStore, Log: o.Log, OnFailure: stop})
	if err != nil {
		return nil, err
	}
	defer b.Shutdown()
	r, err := run(stopped, b, dir, o, resolver)
	if failure := context.Cause(stopped); errors.Is(failure, broker.ErrWrite) {
		return nil, fmt.Errorf("%w; %s", failure, advice(o))
	}
	if o.Store != "" && (errors.Is(err, runner.ErrNewer) || errors.Is(err, runner.ErrOlder)) {
		return nil, fmt.Errorf("the store %s was made by another version of Trailvane: %w; "+
			"use that version, or another folder", o.Store, err)
	}
	if err != nil {
		return nil, err
	}
	r.Took = time.Since(begun)
	return r, nil
}

// databases opens the databases of addresses, nil if there are none.
func databases(files []string) (normalize.Resolver, error) {
	if len(files) == 0 {
		return nil, nil
	}
	return mmdb.Open(files...)
}

// maxStore leaves it to the disk how much the streams may take: at a limit of its own the server would refuse, and the stages
// would wait for room that nobody makes.
const maxStore = 1 << 60

// advice says what to do when the disk is full.
func advice(o Options) string {
	if o.Store != "" {
		return "make room there, then the same command goes on"
	}
	return "set TMPDIR or --store to a folder with more room: about half of what the logs take uncompressed"
}

// untilFailure logs until the store cannot be written: that is what the user needs to know, and not what fails for it.
type untilFailure struct {
	slog.Handler
	stopped context.Context
}

// Enabled reports whether there is anything to say.
func (h untilFailure) Enabled(ctx context.Context, level slog.Level) bool {
	return !errors.Is(context.Cause(h.stopped), broker.ErrWrite) && h.Handler.Enabled(ctx, level)
}

// WithAttrs keeps the promise for loggers that are made from this one.
func (h untilFailure) WithAttrs(attrs []slog.Attr) slog.Handler {
	return untilFailure{h.Handler.WithAttrs(attrs), h.stopped}
}

// WithGroup does as well.
func (h untilFailure) WithGroup(name string) slog.Handler {
	return untilFailure{h.Handler.WithGroup(name), h.stopped}
}

func run(ctx context.Context, b *broker.Broker, dir string, o Options, resolver normalize.Resolver) (*Result, error) {
	js, err := b.JetStream(nats.Name("analyze"))
	if err != nil {
		return nil, err
	}
	defer js.Conn().Close()

	d, err := deploy(ctx, js, o)
	if err != nil {
		return nil, err
	}
	p, err := open(ctx, d, dir, o, resolver)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if o.Each != nil {
		err = follow(ctx, js, o.Each, p.run)
	} else {
		err = p.run(ctx)
	}
	if err != nil {
		return nil, err
	}
	return p.result(ctx, js)
}

// lanes is the number of lanes: one core reads and scans faster than the others can follow.
const lanes = 1

func deploy(ctx context.Context, js natsjetstream.JetStream, o Options) (*service.Deployment, error) {
	if o.Partitions == 0 {
		o.Partitions = min(runtime.GOMAXPROCS(0), service.MaxPartitions)
		if made, err := jetstream.ReadIdentity(ctx, js); err == nil {
			o.Partitions = made.Partitions
		}
	}
	id := jetstream.Identity{
		Lanes: lanes, Partitions: o.Partitions,
		Lateness: int(o.Settings.Lateness), Learn: int(o.Settings.Learn), Budget: o.Settings.Budget,
	}
	topology := jetstream.DefaultTopology(id, stages.Names()...)
	topology.Trim = false // the next run of a store may be asked about records between the stages, from the first on
	if err := jetstream.Deploy(ctx, js, topology); err != nil {
		if errors.Is(err, jetstream.ErrIdentity) {
			return nil, otherwise(ctx, js, o, err)
		}
		return nil, err
	}
	return &service.Deployment{JS: js, Identity: id, Instance: "analyze-" + uuid.NewString(), Log: o.Log}, nil
}

// otherwise says with which flags the store was made.
func otherwise(ctx context.Context, js natsjetstream.JetStream, o Options, err error) error {
	id, readErr := jetstream.ReadIdentity(ctx, js)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	if id.Lanes != lanes {
		return fmt.Errorf("the store %s was made by services with --lanes=%d, and analyze has one: %w; go on with 'trailvane serve', "+
			"or name another folder", o.Store, id.Lanes, err)
	}
	return fmt.Errorf("the store %s was made with --learn=%s --lateness=%s --budget=%g --partitions=%d: %w; "+
		"use the same, or another folder",
		o.Store, duration(id.Learn), duration(id.Lateness), id.Budget, id.Partitions, err)
}

// duration writes minutes as a flag has them.
func duration(minutes int) string {
	if minutes%60 == 0 && minutes > 0 {
		return fmt.Sprintf("%dh", minutes/60)
	}
	return fmt.Sprintf("%dm", minutes)
}

// pipeline is all stages, in the order of the flow.
type pipeline struct {
	ingest      *ingestservice.Lane
	normalizers []*normalizer.Partition
	aggregators []*aggregator.Partition
	detectors   []*detector.Partition
	pairers     []*pairer.Partition
}

func open(
	ctx context.Context, d *service.Deployment, dir string, o Options, resolver normalize.Resolver,
) (_ *pipeline, err error) {
	p := new(pipeline)
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.ingest, err = ingestservice.Open(ctx, d, *o.ingest(dir)); err != nil {
		return nil, err
	}
	for lane := range d.Identity.Lanes {
		n, err := normalizer.Open(ctx, d, lane, o.Catalog, resolver)
		if err != nil {
			return nil, err
		}
		p.normalizers = append(p.normalizers, n)
	}
	for i := range d.Identity.Partitions {
		a, err := aggregator.Open(ctx, d, i)
		if err != nil {
			return nil, err
		}
		p.aggregators = append(p.aggregators, a)
		panes := detector.NewPanes()
		for _, t := range stages.Types() {
			det, err := detector.Open(ctx, d, t, i, panes)
			if err != nil {
				return nil, err
			}
			p.detectors = append(p.detectors, det)
		}
		pr, err := pairer.Open(ctx, d, i)
		if err != nil {
			return nil, err
		}
		p.pairers = append(p.pairers, pr)
	}
	return p, nil
}

// part is a partition of any stage.
type part interface {
	Run(ctx context.Context) error
	Drain()
	Close()
}

func (p *pipeline) levels() [][]part {
	var in []part
	if p.ingest != nil {
		in = []part{p.ingest}
	}
	return [][]part{in, parts(p.normalizers), parts(p.aggregators), parts(p.detectors), parts(p.pairers)}
}

func parts[P part](of []P) []part {
	all := make([]part, len(of))
	for i := range of {
		all[i] = of[i]
	}
	return all
}

func (p *pipeline) close() {
	for _, level := range p.levels() {
		for _, s := range level {
			s.Close()
		}
	}
}

// run runs all stages at once and ends them one after the other. The first error ends them all.
func (p *pipeline) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	levels := p.levels()
	done := make([]sync.WaitGroup, len(levels))
	for i, level := range levels {
		for _, s := range level {
			done[i].Go(func() {
				if err := s.Run(ctx); err != nil {
					cancel(err)
				}
			})
		}
	}
	for i, level := range levels {
		if i > 0 {
			for _, s := range level {
				s.Drain()
			}
		}
		done[i].Wait()
	}
	return context.Cause(ctx)
}

// result collects what the stages have left.
func (p *pipeline) result(ctx context.Context, js natsjetstream.JetStream) (*Result, error) {
	r := &Result{
		Found: p.ingest.Plan.Found(), Objects: p.ingest.Plan.Objects(), Ingest: p.ingest.Processor().Stats(),
		Normalize: normalize.Stats{}, Pair: pair.Stats{},
	}
	for _, n := range p.normalizers {
		r.Normalize = r.Normalize.Add(n.Processor().Stats())
	}
	for _, a := range p.aggregators {
		r.Aggregate = r.Aggregate.Add(a.Processor().Stats())
	}
	for _, d := range p.detectors {
		if e, ok := d.Processor().Detector().(detect.Explainer); ok {
			r.NearMisses = append(r.NearMisses, e.NearMisses()...)
			r.Learning = append(r.Learning, e.Learning()...)
		}
	}
	slices.SortStableFunc(r.NearMisses, func(a, b detect.NearMiss) int { // each detector has its own order
		return cmp.Or(a.Compare(b), a.Account.Compare(b.Account), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Object, b.Object))
	})
	for _, s := range p.pairers {
		r.Pair = r.Pair.Add(s.Processor().Stats())
		r.Conflicts += s.Conflicts()
	}
	err := jetstream.ReadAll(ctx, js, jetstream.InsightsStream, func(rec runner.Record) error {
		var i schemas.Insight
		if err := i.Decode(rec.Body); err != nil {
			return fmt.Errorf("insight on %s: %w", rec.Subject, err)
		}
		r.Insights = append(r.Insights, i)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the insights: %w", err)
	}
	slices.SortFunc(r.Insights, func(a, b schemas.Insight) int {
		return cmp.Or(cmp.Compare(a.EventTime, b.EventTime), cmp.Compare(a.EventID, b.EventID))
	})
	r.Dead, err = firstDead(ctx, js)
	return r, err
}

var errEnough = errors.New("enough")

// firstDead returns the first dead letters. One that was put twice, because the first put was not known to be stored,
// counts once.
func firstDead(ctx context.Context, js natsjetstream.JetStream) ([]schemas.DeadLetter, error) {
	var dead []schemas.DeadLetter
	seen := make(map[string]schemas.Number)
	err := jetstream.ReadAll(ctx, js, jetstream.DeadStream, func(rec runner.Record) error {
		if n, ok := seen[rec.Producer]; ok && !n.Less(rec.Number) {
			return nil
		}
		seen[rec.Producer] = rec.Number
		var d schemas.DeadLetter
		if err := d.Decode(rec.Body); err != nil {
			return err
		}
		d.Raw = slices.Clone(d.Raw)
		if dead = append(dead, d); len(dead) == maxDead {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("read the dead letters: %w", err)
	}
	return dead, nil
}
