package runnertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
)

// A world is one run of a pipeline. Its goroutine decides what happens next; all others wait for it at the steps of the
// loop.
type world struct {
	Pipeline
	covered *coverage
	broker  *memory.Broker
	rng     *rand.Rand
	now     time.Time // what the broker stamps records with
	calm    bool      // no faults, no cuts
	faults  int       // that may still happen
	slow    int       // order of a stage that falls behind, so that it reads and puts much at once; or of none
	parts   []*part
	events  []string // what happened, to be read after a failure
	late    []func() // requests that are still on their way

	ctx    context.Context
	cancel context.CancelFunc

	mu        sync.Mutex // guards what follows, and the instances' dead
	instances []*instance
	waiting   []*request
}

// A part is one partition of a stage.
type part struct {
	stage   Stage
	order   int // of the stage
	index   int
	input   string
	owner   *instance // who works on it as far as the world knows
	begun   int       // instances so far
	done    bool      // an instance has come to the end
	drained bool      // all of its input is there
}

// An instance is one run of the runner.
type instance struct {
	*part
	name   string
	world  *world
	source *memory.Source
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // of Run, once ended
	paused bool  // it stands still; only the world looks at it
	dead   bool  // whatever it does has no effect any more
}

// A request is a goroutine that waits at a step.
type request struct {
	*instance
	step   string
	ready  func() bool // nil if it can always go on
	answer chan answer
}

// An answer lets it go on. The dice decide whatever is random there.
type answer struct {
	dice uint64
	err  error
}

var (
	errFault = errors.New("injected fault")
	errDead  = errors.New("killed")
)

// run lets the pipeline work until all of its input has come to the end.
func (w *world) run() error {
	w.covered.runs++
	w.ctx, w.cancel = context.WithCancel(context.Background())
	defer w.end()
	if err := w.feed(); err != nil {
		return err
	}
	const tooLong = 1_000_000 // turns; no run needs nearly as many
	for range tooLong {
		synctest.Wait() // now everybody waits for us, or for time to pass
		if err := w.reap(); err != nil {
			return err
		}
		w.drain()
		if w.finished() {
			return nil
		}
		w.begin()
		w.disturb()
		w.next()
	}
	return errors.New("it does not come to an end")
}

// reap takes leave of instances that have ended.
func (w *world) reap() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range w.instances {
		select {
		case <-i.ended:
		default:
			continue
		}
		if i.owner == i {
			i.owner = nil
		}
		switch {
		case i.dead, errors.Is(i.err, runner.ErrConflict), errors.Is(i.err, context.Canceled):
			w.note("%s ends: %v", i.name, i.err)
		case i.err != nil:
			return fmt.Errorf("%s: %w", i.name, i.err)
		default:
			w.note("%s has come to the end", i.name)
			i.done = true
		}
	}
	w.instances = slices.DeleteFunc(w.instances, func(i *instance) bool {
		select {
		case <-i.ended:
			return true
		default:
			return false
		}
	})
	return nil
}

// drain makes the inputs bounded that nobody writes to any more.
func (w *world) drain() {
	for _, p := range w.parts {
		if p.drained || slices.ContainsFunc(w.parts, func(q *part) bool { return q.order < p.order && !q.done }) {
			continue
		}
		p.drained = true
		for _, i := range w.instances {
			if i.part == p {
				i.source.Drain()
			}
		}
	}
}

func (w *world) finished() bool {
	return !slices.ContainsFunc(w.parts, func(p *part) bool { return !p.done }) &&
		!slices.ContainsFunc(w.instances, func(i *instance) bool { return !i.paused })
}

// begin gives partitions without an owner a new one, sooner or later.
func (w *world) begin() {
	for _, p := range w.parts {
		if p.owner == nil && !p.done && (w.calm || w.rng.IntN(4) == 0) {
			w.instance(p)
		}
	}
}

// instance begins to work on a partition.
func (w *world) instance(p *part) {
	ctx, cancel := context.WithCancel(w.ctx)
	i := &instance{
		part: p, world: w, name: fmt.Sprintf("%s.%d#%d", p.stage.Name, p.index, p.begun), cancel: cancel,
		source: w.broker.Source(p.input), ended: make(chan struct{}),
	}
	p.begun++
	p.owner = i
	if p.drained {
		i.source.Drain()
	}
	c := runner.Config{
		Stage: p.stage.Name, Partition: strconv.Itoa(p.index), Instance: i.name, Constants: p.stage.Constants,
		Source: &source{instance: i, inner: i.source},
		Sink:   &sink{instance: i, inner: w.broker.Sink()},
		Store:  &store{instance: i, inner: w.broker.Store(p.stage.Name)},
		New: func(generation uint64) runner.Processor {
			return newProcessor(i, p.stage.New(p.index, generation))
		},
		// Whoever was abandoned counts as gone; one that wakes up before its claim finds its successor alive.
		Owned: func(owner string) bool { return p.owner != nil && p.owner.name == owner },
		Log:   slog.New(slog.DiscardHandler),
	}
	if !w.calm {
		// From a commit after every record to none but those that time brings.
		c.CommitBytes = []int{1, 100, 1000, 10_000, 1 << 40}[w.rng.IntN(5)]
	}
	if p.stage.wrap != nil {
		p.stage.wrap(&c)
	}
	w.mu.Lock()
	w.instances = append(w.instances, i)
	w.mu.Unlock()
	w.note("%s begins", i.name)
	go func() {
		defer close(i.ended)
		i.err = runner.Run(ctx, c)
	}()
}

// disturb does now and then what is nobody's step: time passes, somebody paused wakes, something late arrives.
func (w *world) disturb() {
	if w.calm {
		return
	}
	if w.rng.IntN(64) == 0 {
		w.pass(time.Duration(1+w.rng.IntN(4)) * time.Second) // a commit is due after five
	}
	if w.rng.IntN(32) == 0 {
		w.wake()
	}
	if n := len(w.late); n > 0 && w.rng.IntN(16) == 0 {
		k := w.rng.IntN(n)
		f := w.late[k]
		w.late = slices.Delete(w.late, k, k+1)
		f()
	}
}

func (w *world) pass(d time.Duration) {
	<-time.After(d) // virtual
	synctest.Wait()
}

// wake lets a paused instance go on, beside its successor.
func (w *world) wake() {
	var asleep []*instance
	for _, i := range w.instances {
		if i.paused {
			asleep = append(asleep, i)
		}
	}
	if len(asleep) > 0 {
		i := asleep[w.rng.IntN(len(asleep))]
		w.note("%s wakes", i.name)
		i.paused = false
	}
}

// next lets one of those go on who wait at a step, or time pass if there is none.
func (w *world) next() {
	w.mu.Lock()
	var able []*request
	for _, r := range w.waiting {
		if !r.paused && (r.ready == nil || r.ready()) {
			able = append(able, r)
		}
	}
	w.mu.Unlock()
	if len(able) == 0 {
		w.pass(10 * time.Millisecond)
		return
	}
	// The order in which they came is the Go scheduler's.
	slices.SortFunc(able, func(a, b *request) int {
		return cmp.Or(cmp.Compare(a.order, b.order), strings.Compare(a.name, b.name), strings.Compare(a.step, b.step))
	})
	r := able[0]
	if !w.calm {
		able = w.prefer(able)
		r = able[w.rng.IntN(len(able))]
	}
	w.grant(r, w.choose(r))
}

// prefer leaves out the stage that is held back, mostly, while others have something to do.
func (w *world) prefer(able []*request) []*request {
	var others []*request
	for _, r := range able {
		if r.order != w.slow {
			others = append(others, r)
		}
	}
	if len(others) == 0 || w.rng.IntN(64) == 0 {
		return able
	}
	return others
}

// choose decides what happens at a step. All faults at all steps of all stages shall happen equally often, all over the run,
// so each step has its share of the faults, and the more seldom a run comes there, the likelier one is. Every other time it is
// the fault that has happened least there.
func (w *world) choose(r *request) fault {
	at := place{r.stage.Name, r.step}
	w.covered.visits[at]++
	if w.calm || w.faults == 0 {
		return none
	}
	possible := faultsAt(r.step)
	share := float64(w.Faults*len(possible)) / float64(w.covered.cells())
	visits := float64(w.covered.visits[at]) / float64(w.covered.runs) // in a run
	if w.rng.Float64() >= min(share/visits, 0.25) {
		return none
	}
	f := possible[w.rng.IntN(len(possible))]
	if w.rng.IntN(2) == 0 {
		f = slices.MinFunc(possible, func(a, b fault) int {
			return cmp.Compare(w.covered.hits[hit{at, a}], w.covered.hits[hit{at, b}])
		})
	}
	return f
}

// grant lets a request go on, or lets a fault happen to it.
func (w *world) grant(r *request, f fault) {
	if f != none {
		w.faults--
		w.covered.hits[hit{place{r.stage.Name, r.step}, f}]++
		w.note("%s: %s at %s", r.name, f, r.step)
	}
	a := answer{dice: w.rng.Uint64()}
	switch f {
	case fails:
		a.err = errFault
	case killed:
		w.kill(r.instance)
		return
	case paused:
		r.paused = true
		w.abandon(r.instance)
		return // it keeps waiting
	case stopped:
		w.abandon(r.instance)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(r)
	r.answer <- a
	if f == stopped {
		r.cancel()
	}
}

// abandon makes room for a successor.
func (w *world) abandon(i *instance) {
	if i.owner == i {
		i.owner = nil
	}
}

// kill takes the effect from all that an instance still does.
func (w *world) kill(i *instance) {
	w.abandon(i)
	w.mu.Lock()
	defer w.mu.Unlock()
	i.dead = true
	i.cancel()
	for _, r := range slices.Clone(w.waiting) {
		if r.instance == i {
			w.forget(r)
			r.answer <- answer{err: errDead}
		}
	}
}

// forget takes a request off the list; the lock must be held.
func (w *world) forget(r *request) {
	if k := slices.Index(w.waiting, r); k >= 0 {
		w.waiting = slices.Delete(w.waiting, k, k+1)
	}
}

// end lets what is late arrive and kills whoever is left, or wakes him for a last time.
func (w *world) end() {
	for _, i := range w.instances {
		if w.rng.IntN(2) == 0 {
			i.paused = false
		}
	}
	for range 1000 {
		synctest.Wait()
		if !slices.ContainsFunc(w.instances, func(i *instance) bool { return !i.paused }) || w.reap() != nil {
			break
		}
		w.faults = 0
		w.next()
	}
	for _, f := range w.late {
		f()
	}
	for _, i := range w.instances {
		w.kill(i)
	}
	w.cancel()
	for _, i := range w.instances {
		<-i.ended
	}
}

func (w *world) note(format string, args ...any) {
	if !w.calm {
		w.events = append(w.events, fmt.Sprintf(format, args...))
	}
}

// at waits at a step until the world lets it go on.
func (i *instance) at(ctx context.Context, step string, ready func() bool) (dice uint64, err error) {
	w := i.world
	r := &request{instance: i, step: step, ready: ready, answer: make(chan answer, 1)}
	w.mu.Lock()
	if i.dead {
		w.mu.Unlock()
		return 0, errDead
	}
	w.waiting = append(w.waiting, r)
	w.mu.Unlock()
	select {
	case a := <-r.answer:
		w.mu.Lock() // the world may not have said all yet
		defer w.mu.Unlock()
		return a.dice, a.err
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case a := <-r.answer: // both happened; the answer counts
		return a.dice, a.err
	default:
		w.forget(r)
		return 0, ctx.Err()
	}
}
