package runnertest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A Pipeline is stages and what they are fed with.
type Pipeline struct {
	// Stages, in the order of the flow: each reads only what Raw or earlier stages have written.
	Stages []Stage

	// Raw is everything that no stage writes, in order. A record with a producer is stored again now and then, as by an
	// ingest that was interrupted.
	Raw []Raw

	// Final names the streams to compare; if empty, all that no stage reads.
	Final []string

	// Group names what a final record belongs to: within a group the order counts, between groups it does not, because
	// the order in which several lanes write to one stream is nobody's promise. If nil, it is subject and producer.
	Group func(runner.Record) string

	Runs   int    // with faults, 60 if zero
	Faults int    // in one run, about; 60 if zero
	Seed   uint64 // of everything that is random
}

// A Stage is one stage of a pipeline.
type Stage struct {
	Name       string
	Partitions int
	Input      func(partition int) string // the stream that a partition reads
	New        func(partition int, generation uint64) runner.Processor
	Constants  string

	wrap func(*runner.Config) // makes the stage wrong, to test the kit itself
}

// Raw is a record of the pipeline's input.
type Raw struct {
	Subject  string
	Body     []byte
	Time     time.Time // when it is stored
	Trace    string
	Producer string
	Number   schemas.Number
}

// Crash is the test of rule 9. It runs the pipeline once undisturbed, then many times with faults: at every step of the
// runner's loop, calls fail, with and without effect; instances are killed, stopped, or paused and woken beside their
// successors; requests arrive late; reads, puts and commits are cut at random. The final streams, as their readers see
// them, must be the same, byte for byte. It fails also if a fault has not happened at least three times at each step of
// each stage, and logs how often it did.
//
// All of a run happens in virtual time and, but for commits beside the loop, one step after the other, in an order that
// the seed decides. So a failure names the run, and happens again.
func Crash(t *testing.T, p Pipeline) {
	t.Helper()
	report, err := check(t, p)
	t.Log(report)
	if err != nil {
		t.Fatal(err)
	}
}

// check runs the pipeline and says what is wrong with it.
func check(t *testing.T, p Pipeline) (*coverage, error) {
	if p.Runs == 0 {
		p.Runs = 60
	}
	if p.Faults == 0 {
		p.Faults = 60
	}
	if p.Group == nil {
		p.Group = func(r runner.Record) string { return r.Subject + " by " + r.Producer }
	}
	covered := newCoverage(p.Stages)
	var want map[string][][]byte
	// A fault that has not happened often enough is given up to as many runs again as it needs, three times over: which
	// steps are reached depends a little on when commits beside the loop come to their end.
	for run := 0; run <= p.Runs || run <= 4*p.Runs && covered.missing() != nil; run++ {
		var got map[string][][]byte
		var err error
		var w *world
		synctest.Test(t, func(*testing.T) {
			w = newWorld(p, covered, run)
			if err = w.run(); err == nil {
				got, err = w.final()
			}
		})
		switch {
		case err == nil && run == 0:
			if want = got; len(want) == 0 {
				return covered, errors.New("the undisturbed run puts out nothing")
			}
			continue
		case err == nil:
			err = compare(want, got)
		}
		if err != nil {
			return covered, fmt.Errorf("run %d of seed %d: %w\nwhat happened:\n  %s",
				run, p.Seed, err, strings.Join(w.events, "\n  "))
		}
	}
	return covered, covered.missing()
}

// final returns the final streams as a reader sees them, by group.
func (w *world) final() (map[string][][]byte, error) {
	if n := w.broker.Conflicts(); n > 0 {
		return nil, fmt.Errorf("%d outputs met other bytes on their subject", n)
	}
	names := w.Final
	if len(names) == 0 {
		for _, name := range w.broker.Streams() {
			read := slices.ContainsFunc(w.parts, func(p *part) bool { return p.input == name })
			if !read {
				names = append(names, name)
			}
		}
	}
	groups := make(map[string][][]byte)
	for _, name := range names {
		seen := make(map[string]schemas.Number)
		for _, r := range w.broker.Records(name) {
			if n, ok := seen[r.Producer]; ok && !n.Less(r.Number) {
				continue
			}
			seen[r.Producer] = r.Number
			group := name + " " + w.Group(r)
			groups[group] = append(groups[group], r.Body)
		}
	}
	return groups, nil
}

// compare says where two results differ first.
func compare(want, got map[string][][]byte) error {
	groups := maps.Clone(want)
	maps.Copy(groups, got)
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		for i := range max(len(want[g]), len(got[g])) {
			switch {
			case i >= len(got[g]):
				return fmt.Errorf("%s: %d records, want %d", g, len(got[g]), len(want[g]))
			case i >= len(want[g]):
				return fmt.Errorf("%s: %d records, want %d; the first too many is %.200q", g, len(got[g]), len(want[g]), got[g][i])
			case !bytes.Equal(want[g][i], got[g][i]):
				return fmt.Errorf("%s: record %d is\n  %.500q, want\n  %.500q", g, i, got[g][i], want[g][i])
			}
		}
	}
	return nil
}

// A fault is what can happen to an instance at a step.
type fault int

const (
	none    fault = iota
	fails         // the call returns an error; before or after its effect, as the step says
	killed        // the process is gone
	paused        // it stands still, a successor begins, then it goes on
	stopped       // a planned stop begins
)

func (f fault) String() string { return [...]string{"-", "error", "kill", "pause", "stop"}[f] }

// The steps of the runner's loop at which something can happen, and what. A processor's calls do not fail by themselves.
var (
	anything = []fault{fails, killed, paused, stopped}
	notFail  = []fault{killed, paused, stopped}
	onlyFail = []fault{fails}

	steps = []struct {
		name   string
		faults []fault
	}{
		{"load", anything},
		{"load late", onlyFail}, // a replica answers with a state older than its checkpoint
		{"info", anything},
		{"claim before", anything},
		{"claim after", anything},
		{"read", anything},
		{"apply", notFail},
		{"put before", anything},
		{"put partial", anything},
		{"put after", anything},
		{"put late", onlyFail}, // it fails, and is stored some time later
		{"snapshot", notFail},
		{"commit before", anything},
		{"commit after", anything},
		{"commit late", onlyFail},
	}
)

// leastHits is how often each fault must have happened at each step of each stage.
const leastHits = 3

// A place is where a fault can happen.
type place struct{ stage, step string }

type hit struct {
	place
	fault fault
}

// A coverage counts the faults of all runs, and how often instances came where they can happen.
type coverage struct {
	stages []Stage
	runs   int
	visits map[place]int
	hits   map[hit]int
}

func newCoverage(stages []Stage) *coverage {
	return &coverage{stages: stages, visits: make(map[place]int), hits: make(map[hit]int)}
}

// cells is the number of faults at all steps of all stages.
func (c *coverage) cells() (n int) {
	for _, s := range steps {
		n += len(s.faults)
	}
	return n * len(c.stages)
}

func faultsAt(step string) []fault {
	for _, s := range steps {
		if s.name == step {
			return s.faults
		}
	}
	panic("no step " + step)
}

// errSeldom: nothing was wrong, but too little was tried.
var errSeldom = errors.New("a fault happened too seldom")

// missing names what happened too seldom.
func (c *coverage) missing() error {
	var seldom []string
	for _, stage := range c.stages {
		for _, step := range steps {
			for _, f := range step.faults {
				if n := c.hits[hit{place{stage.Name, step.name}, f}]; n < leastHits {
					seldom = append(seldom, fmt.Sprintf("%s at %s of %s: %d", f, step.name, stage.Name, n))
				}
			}
		}
	}
	if len(seldom) > 0 {
		return fmt.Errorf("%w: less than %d times, so more runs or input are needed:\n  %s",
			errSeldom, leastHits, strings.Join(seldom, "\n  "))
	}
	return nil
}

// String is a table: how often each stage was hit at each step, by fault.
func (c *coverage) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d runs; faults as error/kill/pause/stop\n%-14s", c.runs, "")
	for _, s := range c.stages {
		fmt.Fprintf(&b, " %20s", s.Name)
	}
	for _, step := range steps {
		fmt.Fprintf(&b, "\n%-14s", step.name)
		for _, s := range c.stages {
			cell := make([]string, 0, len(anything))
			for _, f := range anything {
				if !slices.Contains(step.faults, f) {
					cell = append(cell, "-")
				} else {
					cell = append(cell, fmt.Sprint(c.hits[hit{place{s.Name, step.name}, f}]))
				}
			}
			fmt.Fprintf(&b, " %20s", strings.Join(cell, "/"))
		}
	}
	return b.String()
}

// feed stores the input. Stretches of numbered records come again, as from an ingest that did not know that it had stored
// them.
func (w *world) feed() error {
	for i := 0; i < len(w.Raw); {
		r := w.Raw[i]
		w.now = r.Time
		_, err := w.broker.Sink().Put(w.ctx, runner.Output{
			Subject: r.Subject, Body: bytes.Clone(r.Body), Producer: r.Producer, Number: r.Number, Trace: r.Trace,
		})
		if err != nil {
			return err
		}
		i++
		if !w.calm && w.rng.IntN(20) == 0 {
			for back := w.rng.IntN(5); back > 0 && i > 0 && w.Raw[i-1].Producer != ""; back-- {
				i--
			}
		}
	}
	return nil
}

func newWorld(p Pipeline, covered *coverage, run int) *world {
	w := &world{
		Pipeline: p, covered: covered, calm: run == 0, faults: 2 * p.Faults,
		rng: rand.New(rand.NewPCG(p.Seed, uint64(run))),
	}
	w.slow = w.rng.IntN(2 * len(p.Stages)) // in every other run
	w.broker = memory.NewBroker(func() time.Time { return w.now })
	for k, s := range p.Stages {
		for i := range s.Partitions {
			w.parts = append(w.parts, &part{stage: s, order: k, index: i, input: s.Input(i)})
		}
	}
	return w
}
