package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
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

// A stage whose state cannot be looked at holds up no other: what a dead instance had there is taken over all the same.
func TestKilledBesideABrokenStage(t *testing.T) {
	f := newFleet(t, short)
	f.also = []Work{{Stage: "gone", Partitions: 1, Open: func(context.Context, int) (Part, error) { return nil, errors.New("it is gone") }}}
	a, b := f.node("a"), f.node("b")
	f.eventually("both work", func() string {
		owners := f.owners()
		if slices.Contains(owners[:], "") || !slices.Contains(owners[:], "a") || !slices.Contains(owners[:], "b") {
			return fmt.Sprint(owners)
		}
		return ""
	})
	b.proxy.let(false)
	f.eventually("a takes over", func() string {
		if owners := f.owners(); slices.ContainsFunc(owners[:], func(o string) bool { return o != "a" }) {
			return fmt.Sprint(owners)
		}
		return ""
	})
	if err := a.Ready(); err == nil {
		t.Error("ready, although a stage cannot be looked at")
	}
	b.stop()
}

// One that is paused past its take-over, with a put under way, wakes up: its commit is refused, what it put is equal and dropped,
// and it takes part again.
func TestZombie(t *testing.T) {
	f := newFleet(t, short)
	var armed atomic.Bool
	var b *node
	pause := func(p *toy) {
		p.apply = func(int, string) error {
			if armed.CompareAndSwap(true, false) {
				b.proxy.let(false)
			}
			return nil
		}
	}
	a, c := f.node("a"), f.node("c")
	f.shared(a, c)
	b = f.node("b", pause)
	f.shared(a, b, c)
	f.publish()
	f.complete()
	before := f.checkpoints()
	<-time.After(f.ttl)
	armed.Store(true)
	f.publish()
	f.shared(a, c)
	f.publish()
	asleep := f.complete() // what it had put, but not committed, was put again
	b.proxy.let(true)
	f.eventually("loss", func() string {
		if n := strings.Count(b.log.String(), "msg=lost"); n < 2 {
			return fmt.Sprintf("it has lost %d partitions", n)
		}
		return ""
	})
	if log := b.log.String(); !strings.Contains(log, "another instance owns the partition") {
		t.Error("no commit of the zombie was refused")
	}
	t.Logf("it takes part again after %v", f.shared(a, b, c))
	f.publish()
	if repeats := f.complete(); repeats <= asleep {
		t.Error("what the zombie had under way was never stored, so nothing was tested")
	}
	for p, cp := range f.checkpoints() {
		if before[p].Owner == "b" && cp.Epoch <= before[p].Epoch {
			t.Errorf("partition %d of b is in epoch %d, was in %d", p, cp.Epoch, before[p].Epoch)
		}
	}
}

// A partition that cannot go on stands still, and is told to everybody; all others go on.
func TestHalted(t *testing.T) {
	f := newFleet(t, short)
	var broken atomic.Bool
	broken.Store(true)
	breaks := func(p *toy) {
		p.apply = func(partition int, body string) error {
			if partition == 3 && body == "r2" && broken.Load() {
				return errors.New("cannot be understood")
			}
			return nil
		}
	}
	a := f.node("a", breaks)
	f.shared(a)
	f.publish()
	f.complete()
	f.publish()
	f.eventually("halt", func() string {
		if err := a.Ready(); err == nil || !strings.Contains(err.Error(), "toy 3 is halted: toy 3: apply record 2") {
			return fmt.Sprintf("Ready = %v", err)
		}
		return ""
	})
	f.eventually("heartbeat", func() string {
		members, err := tvjetstream.Members(t.Context(), f.js)
		if err != nil {
			t.Fatal(err)
		}
		if h := members[0].Stages["toy"]; len(h.Owned) != 7 || !strings.Contains(h.Halted[3], "cannot be understood") {
			return fmt.Sprintf("%+v", members)
		}
		return ""
	})
	// It counts as a's, and b gets a share of the others.
	b := f.node("b", breaks)
	f.eventually("share of b", func() string {
		if err := b.Ready(); err != nil && !strings.Contains(err.Error(), "halted") {
			return err.Error()
		}
		return ""
	})
	broken.Store(false)
	f.shared(a, b)
	f.complete()
	if !strings.Contains(a.log.String(), "level=ERROR msg=halted stage=toy partition=3 epoch=") {
		t.Errorf("log:\n%s", a.log)
	}
}

func TestNewerState(t *testing.T) {
	f := newFleet(t, short)
	a := f.node("a", func(p *toy) {
		p.apply = func(int, string) error { return fmt.Errorf("state 7: %w", runner.ErrNewer) }
	})
	f.shared(a)
	f.publishTo(2, "r1")
	if err := <-a.done; !errors.Is(err, runner.ErrNewer) {
		t.Errorf("Run = %v, want ErrNewer", err)
	}
	if owners := f.owners(); owners != ([partitions]string{}) {
		t.Errorf("owners %v, want all given up", owners)
	}
	if members, err := tvjetstream.Members(t.Context(), f.js); err != nil || len(members) != 0 {
		t.Errorf("members %v, %v", members, err)
	}
}

func TestNewerCheckpoint(t *testing.T) {
	f := newFleet(t, short)
	c := schemas.Checkpoint{Owner: "newer", Epoch: 7}
	body := c.Append(nil)
	body[1] = 99 // the version, behind the head of the array
	if _, err := f.js.Publish(t.Context(), "$KV.STATE_toy.checkpoint.2", body); err != nil {
		t.Fatal(err)
	}
	if err := <-f.node("a").done; !errors.Is(err, runner.ErrNewer) {
		t.Errorf("Run = %v, want ErrNewer", err)
	}
}

// An instance whose server is away can be stopped.
func TestStopWithoutServer(t *testing.T) {
	f := newFleet(t, short)
	a := f.node("a")
	f.shared(a)
	f.publish()
	f.complete()
	a.proxy.let(false)
	begin := time.Now()
	a.stop()
	if err := <-a.done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
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

// A process of many stages looks at the members twice a second, and at the checkpoints only now and then.
func TestAtRestItAsksLittle(t *testing.T) {
	f := newFleet(t, short)
	a, b := f.node("a"), f.node("b")
	f.shared(a, b)
	f.complete()
	nc := f.js.Conn()
	var members, states atomic.Int64
	for subject, n := range map[string]*atomic.Int64{"KV_MEMBERS": &members, "KV_STATE_toy": &states} {
		sub, err := nc.Subscribe("$JS.API.DIRECT.GET."+subject, func(*nats.Msg) { n.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Unsubscribe()
	}
	settled := func() string {
		if n := members.Load(); n < 12 {
			return fmt.Sprintf("%d looks", n)
		}
		return ""
	}
	f.eventually("looks", settled) // until both have heard of each other's last claims
	members.Store(0)
	states.Store(0)
	f.eventually("looks", func() string {
		if n := members.Load(); n < 4*looksAnyway {
			return fmt.Sprintf("%d looks", n)
		}
		return ""
	})
	if n := states.Load(); n > 6 { // two instances, twice each
		t.Errorf("checkpoints were read %d times in %d looks", n, members.Load())
	}
}
