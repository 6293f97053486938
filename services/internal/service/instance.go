package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
)

// A Work is a stage, as an instance may run it: all its partitions, of which the instance owns some.
type Work struct {
	Stage      string // also names its state bucket
	Partitions int

	// Open prepares a partition. It is called each time that the instance takes the partition over, and again after an error
	// that a person must look at.
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

// An Instance is one process's share of the work. It says that it lives by a heartbeat, looks who else does, and runs its share
// of the partitions of each of its stages; docs/decisions/0016-ownership.md has the rules.
//
// Who owns a partition is decided by its checkpoint alone. What an instance believes of the others, and its clock, decide only
// when it tries.
type Instance struct {
	deployment *Deployment
	self       tvjetstream.Member
	fail       context.CancelCauseFunc // ends Run with an error
	beatNow    chan struct{}
	haltTime   time.Duration
	running    sync.WaitGroup // tenures

	mu      sync.Mutex // guards what follows, and the tenures and shares of the stages
	stages  []*stage
	lookErr error // of the last look
	leaving bool
}

// NewInstance returns an instance that can run some stages. It runs once. Whatever is opened on the deployment from now on asks
// this instance whether an owner lives.
func NewInstance(d *Deployment, works ...Work) *Instance {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	i := &Instance{
		deployment: d,
		self:       tvjetstream.Member{ID: d.Instance, Host: host, Version: d.Version, Started: time.Now().Round(0)},
		beatNow:    make(chan struct{}, 1),
		haltTime:   haltTime,
		lookErr:    errors.New("it has not begun yet"),
	}
	for _, w := range works {
		i.stages = append(i.stages, &stage{Work: w, tenures: make(map[int]*tenure)})
	}
	d.owned = i.owned
	return i
}

// leaveTime bounds how long the last heartbeat may take; the key ends by itself anyway.
const leaveTime = time.Second

// Run works until the context ends; then every partition commits and is given up, which takes a few seconds at most, and Run
// returns nil. An error is for a person: another live instance has this name ([tvjetstream.ErrName]), or the state is newer than
// this program ([runner.ErrNewer]). A partition that cannot go on by itself ends nothing: it is halted, logged, and shown by
// [Instance.Ready] and in the heartbeat.
func (i *Instance) Run(ctx context.Context) error {
	outer := ctx
	ctx, i.fail = context.WithCancelCause(ctx)
	defer i.fail(nil)
	heart, err := i.join(ctx)
	if err != nil {
		if outer.Err() != nil {
			return nil
		}
		return err
	}

	// Heartbeats go on until everything is given up.
	beats, stopBeats := context.WithCancel(context.WithoutCancel(ctx))
	var beating sync.WaitGroup
	beating.Go(func() { i.beat(beats, heart) })

	i.watch(ctx, heart.TTL())

	i.mu.Lock()
	i.leaving = true
	i.mu.Unlock()
	i.beatNow <- struct{}{} // so that the others need not wait for us before they share what we give up
	i.running.Wait()
	stopBeats()
	beating.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	if err := heart.Leave(last); err != nil {
		i.deployment.Log.Warn("left without a word; the others will notice", "err", err)
	}
	if outer.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// join makes the instance a member. It waits for a server that is away.
func (i *Instance) join(ctx context.Context) (*tvjetstream.Heart, error) {
	for {
		heart, err := tvjetstream.NewHeart(ctx, i.deployment.JS, i.self)
		if err == nil {
			if err = heart.Join(ctx, i.holdings()); err == nil {
				return heart, nil
			}
		}
		if ctx.Err() != nil || errors.Is(err, tvjetstream.ErrName) {
			return nil, err
		}
		i.looked(err)
		i.deployment.Log.Warn("cannot join yet, trying again", "err", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// beat says three times per TTL what this instance has.
func (i *Instance) beat(ctx context.Context, heart *tvjetstream.Heart) {
	ticker := time.NewTicker(heart.TTL() / 3)
	defer ticker.Stop()
	silent := false
	for {
		select {
		case <-ticker.C:
		case <-i.beatNow:
		case <-ctx.Done():
			return
		}
		err := heart.Beat(ctx, i.holdings())
		switch {
		case errors.Is(err, tvjetstream.ErrName):
			i.fail(err)
		case err != nil && !silent && ctx.Err() == nil:
			i.deployment.Log.Warn("heartbeat is not heard; the others will take over what is ours", "err", err)
		case err == nil && silent:
			i.deployment.Log.Info("heartbeat is heard again")
		}
		silent = err != nil
	}
}

// maxReason bounds what a heartbeat says about a halted partition: all partitions of all stages must fit into one message.
const maxReason = 300

// holdings is what the heartbeat says: an instance that is leaving takes part in no stage any more.
func (i *Instance) holdings() map[string]tvjetstream.Holding {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := make(map[string]tvjetstream.Holding)
	if i.leaving {
		return all
	}
	for _, s := range i.stages {
		h := tvjetstream.Holding{Owned: []int{}}
		for partition, t := range s.tenures {
			switch {
			case t.halted != "":
				if h.Halted == nil {
					h.Halted = make(map[int]string)
				}
				h.Halted[partition] = t.halted[:min(len(t.halted), maxReason)]
			case t.epoch() != 0 && !t.leaving:
				h.Owned = append(h.Owned, partition)
			}
		}
		slices.Sort(h.Owned)
		all[s.Stage] = h
	}
	return all
}

// Ready returns nil if the instance is connected, owns its share of every stage and has restored it, and nothing is halted.
// Otherwise the error says what is missing.
func (i *Instance) Ready() error {
	if nc := i.deployment.JS.Conn(); !nc.IsConnected() {
		return fmt.Errorf("not connected to the broker: %s", nc.Status())
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.lookErr != nil {
		return fmt.Errorf("it is not known who works on what: %w", i.lookErr)
	}
	if i.leaving {
		return errors.New("stopping")
	}
	var missing []string
	for _, s := range i.stages {
		works := 0
		for partition, t := range s.tenures {
			switch {
			case t.halted != "":
				missing = append(missing, fmt.Sprintf("%s %d is halted: %s", s.Stage, partition, t.halted))
			case t.epoch() == 0:
				missing = append(missing, fmt.Sprintf("%s %d is not restored yet", s.Stage, partition))
			case !t.leaving:
				works++
			}
		}
		if works < s.share {
			missing = append(missing, fmt.Sprintf("%s works on %d partitions of its share of %d", s.Stage, works, s.share))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return errors.New(strings.Join(missing, "; "))
}

// owned reports whether whoever owns a partition may live. Only the one does not from whom we decided to take it: whoever has
// claimed it since is alive.
func (i *Instance) owned(stage string, partition int, owner string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, s := range i.stages {
		if t := s.tenures[partition]; s.Stage == stage && t != nil {
			return owner != t.from
		}
	}
	return true
}

// looked remembers whether a look succeeded.
func (i *Instance) looked(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lookErr = err
}
