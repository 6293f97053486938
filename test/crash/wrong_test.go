package crash

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/pair"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// Each mistake in one stage must change what comes out, in one of a few ways to run the pipeline. The first shows besides that
// no detector could lose its state unseen.
func TestReplayFindsMistakes(t *testing.T) {
	records := raw()
	var all []string
	for _, s := range stages(1)[1:] { // a normalizer's state is the bound of its regions, which is far
		all = append(all, s.Name)
	}
	ways := []way{{1, 20_000, 3, nil}, {2, 1 << 30, 0, nil}, {7, 1000, 1, nil}}
	for _, c := range []struct {
		name   string
		stages []string // or a part of their name
		wrong  func(c *runner.Config)
	}{
		{"state not restored", all, func(c *runner.Config) {
			wrap(c, func(p runner.Processor) runner.Processor { return notRestored{p} })
		}},
		{"a change not saved now and then", []string{"AkI", "Trail"}, func(c *runner.Config) {
			wrap(c, func(p runner.Processor) runner.Processor { return &notSaved{Processor: p} })
		}},
		{"an output lost after a snapshot", []string{aggregate.Stage, "Policy", pair.Stage}, func(c *runner.Config) {
			wrap(c, func(p runner.Processor) runner.Processor { return &losesOne{Processor: p} })
		}},
		{"one account depends on another", []string{"IpI", "Password", pair.Stage}, func(c *runner.Config) {
			wrap(c, func(p runner.Processor) runner.Processor { return &talks{Processor: p} })
		}},
		{"the partition in an insight", []string{pair.Stage}, func(c *runner.Config) {
			partition := c.Partition
			wrap(c, func(p runner.Processor) runner.Processor { return tells{p, partition} })
		}},
		{"position one too high", []string{aggregate.Stage, "ErrorRate", pair.Stage}, func(c *runner.Config) {
			c.Store = ahead{c.Store}
		}},
	} {
		for _, stage := range c.stages {
			t.Run(c.name+" in "+stage, func(t *testing.T) {
				wrong := func(config *runner.Config) {
					if strings.Contains(config.Stage, stage) {
						c.wrong(config)
					}
				}
				first := undisturbed
				first.wrong = wrong
				want, err := replay(records, first)
				if err != nil {
					t.Fatal(err)
				}
				if len(want.Insights) == 0 || len(want.Metrics) == 0 {
					t.Fatal("nothing comes out, so that nothing can differ")
				}
				// Each by itself: what METRICS shows, the insights must show too, and the aggregator's mistakes both.
				insights, metrics := false, stage != aggregate.Stage
				for _, w := range ways {
					w.wrong = wrong
					got, err := replay(records, w)
					insights = insights || err != nil || !maps.Equal(want.Insights, got.Insights)
					metrics = metrics || err != nil || !maps.Equal(want.Metrics, got.Metrics)
					if insights && metrics {
						t.Logf("found: %d insight events, then %d; %d parts of hours, then %d; %v",
							len(want.Insights), len(got.Insights), len(want.Metrics), len(got.Metrics), err)
						return
					}
				}
				t.Errorf("the test of replays would not find it in insights (%t) and metrics (%t)", insights, metrics)
			})
		}
	}
}

func wrap(c *runner.Config, wrong func(runner.Processor) runner.Processor) {
	inner := c.New
	c.New = func(generation uint64) runner.Processor { return wrong(inner(generation)) }
}

type notRestored struct{ runner.Processor }

func (notRestored) Restore(string, []byte) error { return nil }

type notSaved struct {
	runner.Processor
	n int
}

func (p *notSaved) Snapshot(changed func(string, []byte)) error {
	return p.Processor.Snapshot(func(key string, state []byte) {
		if p.n++; p.n%3 != 0 {
			changed(key, state)
		}
	})
}

type losesOne struct {
	runner.Processor
	saved bool
}

func (p *losesOne) Snapshot(changed func(string, []byte)) error {
	p.saved = true
	return p.Processor.Snapshot(changed)
}

func (p *losesOne) Apply(r runner.Record, emit func(runner.Output)) error {
	return p.Processor.Apply(r, func(o runner.Output) {
		if !p.saved {
			emit(o)
		}
		p.saved = false
	})
}

// talks keeps back what follows an output of another account, by the region in its subject: the accounts have none in common.
type talks struct {
	runner.Processor
	last int // account
}

func (p *talks) Apply(r runner.Record, emit func(runner.Output)) error {
	return p.Processor.Apply(r, func(o runner.Output) {
		account := slices.IndexFunc(clouds[:], func(c cloud) bool {
			return slices.ContainsFunc(c.regions[:], func(name string) bool { return strings.Contains(o.Subject, name) })
		}) + 1
		if p.last == 0 || account == 0 || p.last == account {
			emit(o)
		}
		p.last = account
	})
}

type tells struct {
	runner.Processor
	partition string
}

func (p tells) Apply(r runner.Record, emit func(runner.Output)) error {
	return p.Processor.Apply(r, func(o runner.Output) {
		o.Body = append(slices.Clone(o.Body), p.partition...)
		emit(o)
	})
}

type ahead struct{ runner.Store }

func (s ahead) Commit(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
	if c.Seq > 0 {
		c.Seq++
	}
	return s.Store.Commit(ctx, p, c, changed)
}
