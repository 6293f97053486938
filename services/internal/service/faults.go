//go:build faults

package service

import (
	"context"
	"iter"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// disturb puts faults between the runner and its ports, in a program built with the tag faults, as test/crash/processes
// builds it. Nothing of it is in the product.
//
// TRAILVANE_FAULT names a file. When it is there and says "kill STEP" or "stop STEP", then the next partition that comes to
// that step removes the file and does so to the whole process, by SIGKILL or SIGSTOP. TRAILVANE_BROKEN says what is wrong
// with this program all the time: "fence", its commits replace whatever there is; "repeats", it takes repeats for new.
func disturb(c *runner.Config) {
	switch os.Getenv("TRAILVANE_BROKEN") {
	case "fence":
		c.Store = noFence{c.Store}
	case "repeats":
		c.Source = takesRepeats{c.Source}
	}
	f := fault(os.Getenv("TRAILVANE_FAULT"))
	if f == "" {
		return
	}
	c.Source = &faultySource{c.Source, f}
	c.Sink = &faultySink{c.Sink, f}
	c.Store = &faultyStore{Store: c.Store, fault: f}
}

// A fault is the file that says what happens, and where.
type fault string

// armed returns what is to happen at a step, nothing if it is empty.
func (f fault) armed(step string) (action string) {
	order, err := os.ReadFile(string(f))
	if err != nil {
		return ""
	}
	action, where, _ := strings.Cut(strings.TrimSpace(string(order)), " ")
	if where != step {
		return ""
	}
	return action
}

// at is called where the loop comes to a step.
func (f fault) at(step string) {
	action := f.armed(step)
	if action == "" || os.Remove(string(f)) != nil { // only one partition finds it to remove
		return
	}
	signal := syscall.SIGKILL
	if action == "stop" {
		signal = syscall.SIGSTOP
	}
	if err := syscall.Kill(os.Getpid(), signal); err != nil {
		panic(err)
	}
	// The signal reaches the other threads a little later. This one must not get further in its step until then.
	time.Sleep(50 * time.Millisecond) //nolint:forbidigo // nothing tells when all threads have stopped
}

type faultySource struct {
	runner.Source
	fault fault
}

func (s *faultySource) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	records, err := s.Source.Read(ctx, after)
	if len(records) > 0 {
		s.fault.at("read")
	}
	return records, err
}

type faultySink struct {
	runner.Sink
	fault fault
}

func (s *faultySink) Put(ctx context.Context, outputs ...runner.Output) (int, error) {
	s.fault.at("put")
	half := 0
	if len(outputs) > 1 && s.fault.armed("half-put") != "" {
		var err error
		half, err = s.Sink.Put(ctx, outputs[:len(outputs)/2]...)
		if err != nil {
			return half, err
		}
		s.fault.at("half-put")
	}
	n, err := s.Sink.Put(ctx, outputs[half:]...)
	s.fault.at("after-put")
	return half + n, err
}

// A faultyStore is that of one partition, so that it may know what was loaded last.
type faultyStore struct {
	runner.Store
	fault fault

	mu    sync.Mutex
	epoch uint64 // of the checkpoint that was loaded last
}

func (s *faultyStore) Load(ctx context.Context, p string) (schemas.Checkpoint, iter.Seq2[string, []byte], error) {
	s.fault.at("load")
	cp, state, err := s.Store.Load(ctx, p)
	s.fault.at("after-load")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch = cp.Epoch
	return cp, state, err
}

func (s *faultyStore) Commit(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
	step := "commit"
	s.mu.Lock()
	switch {
	case c.Owner == "":
		step = "release"
	case c.Epoch != s.epoch:
		step = "claim"
	}
	s.epoch = c.Epoch
	s.mu.Unlock()
	s.fault.at(step)
	err := s.Store.Commit(ctx, p, c, changed)
	s.fault.at("after-" + step)
	return err
}

// noFence loads again before each commit, so that every commit is on top of what there is.
type noFence struct{ runner.Store }

func (s noFence) Commit(ctx context.Context, p string, c schemas.Checkpoint, changed map[string][]byte) error {
	if _, _, err := s.Load(ctx, p); err != nil {
		return err
	}
	return s.Store.Commit(ctx, p, c, changed)
}

// takesRepeats gives every record a number of its own, so that none is a repeat.
type takesRepeats struct{ runner.Source }

func (s takesRepeats) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	records, err := s.Source.Read(ctx, after)
	for i := range records {
		records[i].Number = schemas.Number{Seq: records[i].Seq}
	}
	return records, err
}
