//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/ingest"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
)

const (
	goalRecovery       = 5 * time.Second // p99
	recoveryPartitions = 8
	recoveryLanes      = 2
	recoveryRecords    = 300_000 // in files of 2,000, which come one after the other
	recoveryEvery      = 2 * time.Second
	settleTime         = 2 * time.Minute // until everything is shared evenly, or taken over

	scalePartitions = 16
	scaleLanes      = 16
)

// A service is a command, and the stages that are watched of it; a detector's process runs seven that are alike, and is killed
// with all of them.
type service struct {
	command string
	stages  []string
}

// services are all that read streams.
func services() []service {
	var detectors []string
	for _, t := range types() {
		detectors = append(detectors, detect.Stage(t))
	}
	return []service{
		{"normalizer", []string{"normalizer"}}, {"aggregator", []string{"aggregator"}}, {"detector", detectors},
		{"pairer", []string{"pairer"}},
	}
}

// An owned is one partition of a stage.
type owned struct{ stage, partition string }

// look returns the checkpoints of a service.
func (s *system) look(ctx context.Context, v service) (map[owned]tvjetstream.Saved, error) {
	all := make(map[owned]tvjetstream.Saved)
	for _, stage := range v.stages {
		list, err := tvjetstream.Checkpoints(ctx, s.js, stage)
		if err != nil {
			return nil, err
		}
		for p, cp := range list {
			if _, err := strconv.Atoi(p); err == nil { // a connector keeps its plan beside its lanes
				all[owned{stage, p}] = cp
			}
		}
	}
	return all, nil
}

// owners counts the partitions of each owner, stage by stage, and is nil if not all of them are owned by those that live.
func owners(all map[owned]tvjetstream.Saved, v service, partitions int, live []*process) map[string]map[string]int {
	if len(all) != partitions*len(v.stages) {
		return nil
	}
	counts := make(map[string]map[string]int)
	for o, cp := range all {
		if !slices.ContainsFunc(live, func(p *process) bool { return p.name == cp.Owner }) {
			return nil
		}
		if counts[o.stage] == nil {
			counts[o.stage] = make(map[string]int)
		}
		counts[o.stage][cp.Owner]++
	}
	return counts
}

// even reports whether all partitions are owned by those that live, each with as many as the others, or one more.
func even(all map[owned]tvjetstream.Saved, v service, partitions int, live []*process) bool {
	counts := owners(all, v, partitions, live)
	for _, of := range counts {
		for _, p := range live {
			if n := of[p.name]; n < partitions/len(live) || n > (partitions+len(live)-1)/len(live) {
				return false
			}
		}
	}
	return counts != nil
}

// settled waits until a service is shared evenly, and returns its checkpoints.
func (s *system) settled(ctx context.Context, v service, partitions int, live []*process) (all map[owned]tvjetstream.Saved, err error) {
	what := fmt.Sprintf("the partitions of %s are spread over %d instances", v.command, len(live))
	err = await(ctx, settleTime, what, func(ctx context.Context) (bool, error) {
		if err := s.alive(); err != nil {
			return false, err
		}
		if all, err = s.look(ctx, v); err != nil {
			return false, nil //nolint:nilerr // it is asked again
		}
		return even(all, v, partitions, live), nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %v", err, owners(all, v, partitions, live))
	}
	return all, nil
}

// balanced waits until every stage that reads a stream is owned, by whomever.
func (s *system) balanced(ctx context.Context) error {
	id, err := tvjetstream.ReadIdentity(ctx, s.js)
	if err != nil {
		return err
	}
	for _, v := range services() {
		if _, err := s.settled(ctx, v, v.partitions(id), s.of(v)); err != nil {
			return err
		}
	}
	return nil
}

// of returns the processes of a service.
func (s *system) of(v service) []*process {
	var all []*process
	for _, p := range s.processes {
		if p.cmd.Args[1] == v.command {
			all = append(all, p)
		}
	}
	return all
}

func (v service) partitions(id tvjetstream.Identity) int {
	switch v.command {
	case "ingest", "normalizer":
		return id.Lanes
	}
	return id.Partitions
}

// benchRecovery kills processes and measures how long what they owned does nothing.
func (b *bench) benchRecovery(ctx context.Context, out io.Writer) error {
	s, err := b.deploy(ctx, "--lanes", strconv.Itoa(recoveryLanes), "--partitions", strconv.Itoa(recoveryPartitions))
	if err != nil {
		return err
	}
	defer s.close()
	followed, stop, err := s.trickle(ctx, recoveryRecords)
	if err != nil {
		return err
	}
	defer stop()
	id := tvjetstream.Identity{Lanes: recoveryLanes, Partitions: recoveryPartitions}
	all := append([]service{{"ingest", []string{"ingest"}}}, services()...)
	args := map[string][]string{"ingest": {"--poll", "1s", followed}}
	for _, v := range all {
		if _, err := s.run("", v.command, args[v.command]...); err != nil {
			return err
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nrecovery, from SIGKILL to the first commit of the next owner of each partition, %d kills each\n", b.kills)
	fmt.Fprintf(w, "\tpartitions taken over\tp50, s\tp99, s\tmax, s\tgoal, p99\t\tstarted again alone\tp50, s\tp99, s\tmax, s\tgoal, p99\n")
	for _, v := range all {
		fmt.Fprintf(os.Stderr, "recovery: %s\n", v.command)
		alone, err := s.recover(ctx, v, v.partitions(id), b.kills, args[v.command])
		if err != nil {
			return err
		}
		// With a second instance.
		if _, err := s.run("", v.command, args[v.command]...); err != nil {
			return err
		}
		beside, err := s.recover(ctx, v, v.partitions(id), b.kills, args[v.command])
		if err != nil {
			return err
		}
		if _, err := s.settled(ctx, v, v.partitions(id), s.of(v)); err != nil {
			return err
		}
		for _, p := range s.of(v)[1:] { // the machine is for the next one
			if _, err := p.stop(); err != nil {
				return err
			}
			s.forget(p)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", v.command, recovered(beside), recovered(alone))
	}
	return w.Flush()
}

func recovered(times []time.Duration) string {
	slices.Sort(times)
	p99 := percentile(times, 99)
	return fmt.Sprintf("%d\t%.2f\t%.2f\t%.2f\t≤ %.0f\t%s", len(times), percentile(times, 50).Seconds(), p99.Seconds(),
		percentile(times, 100).Seconds(), goalRecovery.Seconds(), verdict(len(times) > 0 && p99 <= goalRecovery))
}

// recover kills the first instance of a service again and again. If it is alone, it is started at once, as a supervisor would;
// otherwise when the others have taken over.
func (s *system) recover(ctx context.Context, v service, partitions, kills int, args []string) (times []time.Duration, err error) {
	for n := range kills {
		// At another moment between two heartbeats each time.
		if err := sleep(ctx, time.Duration(n)*time.Second/time.Duration(kills)); err != nil {
			return nil, err
		}
		before, err := s.settled(ctx, v, partitions, s.of(v))
		if err != nil {
			return nil, err
		}
		victim := s.of(v)[0]
		alone := len(s.of(v)) == 1
		since := victim.kill()
		s.forget(victim)
		again := func() error {
			_, err := s.run(victim.name, v.command, args...)
			return err
		}
		if alone {
			if err := again(); err != nil {
				return nil, err
			}
		}
		took := make(map[owned]time.Duration)
		missing := 0
		for _, cp := range before {
			if cp.Owner == victim.name {
				missing++
			}
		}
		err = await(ctx, settleTime, "what was "+victim.name+"'s has another owner", func(ctx context.Context) (bool, error) {
			if err := s.alive(); err != nil {
				return false, err
			}
			now, err := s.look(ctx, v)
			if err != nil {
				return false, nil //nolint:nilerr // it is asked again
			}
			for o, cp := range now {
				if was := before[o]; was.Owner == victim.name && cp.Epoch > was.Epoch && cp.Owner != "" && took[o] == 0 {
					took[o] = cp.At.Sub(since)
				}
			}
			return len(took) == missing, nil
		})
		if err != nil {
			return nil, err
		}
		for _, d := range took {
			times = append(times, d)
		}
		if !alone {
			if err := again(); err != nil {
				return nil, err
			}
		}
	}
	return times, nil
}

// trickle writes logs, and gives the files names in a folder one after the other until it is stopped.
func (s *system) trickle(ctx context.Context, records int) (folder string, stop func(), err error) {
	from, to := filepath.Join(s.home, "written"), filepath.Join(s.home, "followed")
	if err := s.command(ctx, s.program, "simulate", "--bulk", strconv.Itoa(records), from); err != nil {
		return "", nil, err
	}
	var files []string
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return "", nil, err
	}
	// The names of the vendor's files tell their time.
	slices.SortFunc(files, func(a, b string) int { return cmp.Compare(ingest.Locate(a).Time, ingest.Locate(b).Time) })
	if err := os.Mkdir(to, 0o755); err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, file := range files {
			rel, err := filepath.Rel(from, file)
			if err == nil {
				err = os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o755)
			}
			if err == nil {
				err = os.Link(file, filepath.Join(to, rel))
			}
			if err != nil && !errors.Is(err, fs.ErrExist) {
				fmt.Fprintln(os.Stderr, "bench: feed:", err)
				return
			}
			if sleep(ctx, recoveryEvery) != nil {
				return
			}
		}
	}()
	return to, func() { cancel(); <-done }, nil
}

// A step of scaling.
type step struct {
	instances int
	moved     int // partitions, each time that one found another owner
	must      int // partitions that had to move: what the instance that came has taken, or the one that left had
	fewest    int // that an instance owns then, of one stage
	largest   int
	took      time.Duration
}

// benchScale lets instances join and leave.
func (b *bench) benchScale(ctx context.Context, out io.Writer) error {
	s, err := b.deploy(ctx, "--lanes", strconv.Itoa(scaleLanes), "--partitions", strconv.Itoa(scalePartitions))
	if err != nil {
		return err
	}
	defer s.close()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nscale-out, %d partitions and %d lanes\tinstances\tpartitions of each\tspread\t\tmoved\tgoal\t\tbalanced after, s\n",
		scalePartitions, scaleLanes)
	for _, v := range services() {
		fmt.Fprintf(os.Stderr, "scale-out: %s\n", v.command)
		steps, err := s.scale(ctx, v)
		if err != nil {
			return err
		}
		for i, t := range steps {
			from := 0
			if i > 0 {
				from = steps[i-1].instances
			}
			fmt.Fprintf(w, "%s\t%d → %d\t%d to %d\t±1\t%s\t%d\t= %d\t%s\t%.2f\n", v.command, from, t.instances, t.fewest, t.largest,
				verdict(t.largest-t.fewest <= 1), t.moved, t.must, verdict(t.moved == t.must), t.took.Seconds())
		}
		for _, p := range s.of(v) {
			if _, err := p.stop(); err != nil {
				return err
			}
			s.forget(p)
		}
	}
	return w.Flush()
}

func (s *system) scale(ctx context.Context, v service) ([]step, error) {
	before := make(map[owned]tvjetstream.Saved)
	var steps []step
	for _, n := range []int{1, 2, 3, 2} {
		var since time.Time
		var mover *process
		var err error
		if n < len(s.of(v)) {
			mover = s.of(v)[0]
			if since, err = mover.stop(); err != nil {
				return nil, err
			}
			s.forget(mover)
		} else {
			if mover, err = s.run("", v.command); err != nil {
				return nil, err
			}
			since = mover.begun
		}
		live := s.of(v)
		after, err := s.settled(ctx, v, scalePartitions, live)
		if err != nil {
			return nil, err
		}
		t := step{instances: n, fewest: scalePartitions}
		for o, cp := range after {
			was := before[o]
			if cp.Epoch > was.Epoch {
				t.moved += int(cp.Epoch - was.Epoch)
				t.took = max(t.took, cp.At.Sub(since))
			}
			if cp.Owner == mover.name || was.Owner == mover.name {
				t.must++
			}
		}
		for _, of := range owners(after, v, scalePartitions, live) {
			for _, p := range live {
				t.fewest, t.largest = min(t.fewest, of[p.name]), max(t.largest, of[p.name])
			}
		}
		before = after
		steps = append(steps, t)
	}
	return steps, nil
}
