package service

import (
	"errors"
	"strings"
	"testing"
	"time"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
)

// short is a TTL for tests: long enough for a busy machine, short enough to wait for.
const short = 1500 * time.Millisecond

// One, then three, then two: partitions are handed over at once, and nothing is worked on twice.
func TestPlannedHandOver(t *testing.T) {
	f := newFleet(t, 3*time.Second)
	f.publish()
	a := f.node("a")
	t.Logf("a owns all after %v", f.shared(a))
	f.publish()
	f.complete()
	b := f.node("b")
	t.Logf("b has its share after %v", f.shared(a, b))
	f.publish()
	before := f.owners()
	c := f.node("c")
	t.Logf("c has its share after %v", f.shared(a, b, c))
	for p, owner := range f.owners() {
		if owner != before[p] && owner != "c" {
			t.Errorf("partition %d went from %s to %s when c came", p, before[p], owner)
		}
	}
	f.publish()
	f.complete()

	before = f.owners()
	f.publish()
	begin := time.Now()
	b.stop()
	if err := <-b.done; err != nil {
		t.Errorf("Run = %v", err)
	}
	left := time.Since(begin)
	f.shared(a, c)
	took := time.Since(begin)
	t.Logf("b has left after %v, and its share is taken after %v", left, took)
	if took > f.ttl {
		t.Errorf("the others waited for b to be silent: %v", took)
	}
	for p, owner := range f.owners() {
		if owner != before[p] && before[p] != "b" {
			t.Errorf("partition %d went from %s to %s when b left", p, before[p], owner)
		}
	}
	f.publish()
	if repeats := f.complete(); repeats != 0 {
		t.Errorf("%d outputs were put twice", repeats)
	}
	members, err := tvjetstream.Members(t.Context(), f.js)
	if err != nil || len(members) != 2 {
		t.Errorf("members %+v, %v", members, err)
	}
}

// One that is cut off is missed after the TTL, not earlier and not much later.
func TestKilled(t *testing.T) {
	f := newFleet(t, short)
	a, b, c := f.node("a"), f.node("b"), f.node("c")
	f.shared(a, b, c)
	f.publish()
	f.complete()
	<-time.After(f.ttl) // only after that anybody is missed
	f.publish()
	begin := time.Now()
	b.proxy.let(false)
	f.publish()
	f.shared(a, c)
	took := time.Since(begin)
	t.Logf("taken over after %v, with a TTL of %v", took, f.ttl)
	if took < f.ttl/2 {
		t.Errorf("taken over after %v, before b could be missed", took)
	}
	f.publish()
	f.complete()
	b.stop()
}

// One that is paused past its take-over wakes up: what it has under way changes nothing, and it takes part again.
func TestZombie(t *testing.T) {
	f := newFleet(t, short)
	a, b, c := f.node("a"), f.node("b"), f.node("c")
	f.shared(a, b, c)
	f.publish()
	f.complete()
	before := f.checkpoints()
	<-time.After(f.ttl)
	b.proxy.let(false)
	f.shared(a, c)
	f.publish()
	f.complete()
	b.proxy.let(true)
	t.Logf("it takes part again after %v", f.shared(a, b, c))
	f.publish()
	f.complete()
	for p, cp := range f.checkpoints() {
		if before[p].Owner == "b" && cp.Epoch < before[p].Epoch+1 {
			t.Errorf("partition %d of b is in epoch %d, was in %d", p, cp.Epoch, before[p].Epoch)
		}
	}
}

func TestServerRestart(t *testing.T) {
	f := newFleet(t, short)
	a, b, c := f.node("a"), f.node("b"), f.node("c")
	f.shared(a, b, c)
	f.publish()
	f.complete()
	<-time.After(f.ttl)
	before := f.owners()
	f.world.Shutdown()
	<-time.After(2 * f.ttl) // long enough for all heartbeats to be forgotten
	f.start()
	f.shared(a, b, c)
	f.publish()
	f.complete()
	<-time.After(2 * f.ttl) // for all that might be decided by mistake
	f.shared(a, b, c)
	if got := f.owners(); got != before {
		t.Errorf("owners are %v, were %v before the server's restart", got, before)
	}
}

func TestName(t *testing.T) {
	f := newFleet(t, short)
	a := f.node("a")
	f.shared(a)
	again := f.node("a")
	if err := <-again.done; !errors.Is(err, tvjetstream.ErrName) || !strings.Contains(err.Error(), "--instance") {
		t.Errorf("Run = %v, want ErrName and what to do", err)
	}
	f.shared(a)
}
