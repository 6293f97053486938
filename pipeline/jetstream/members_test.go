package jetstream_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
)

// members deploys, with a short TTL.
func members(t *testing.T, js natsjs.JetStream) {
	t.Helper()
	deploy(t, js)
	stream, err := js.Stream(t.Context(), "KV_MEMBERS")
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	if c.MaxAge != 3*time.Second {
		t.Errorf("heartbeats are kept for %v, want 3 s", c.MaxAge)
	}
	c.MaxAge = time.Second
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

func heart(t *testing.T, js natsjs.JetStream, name, host string) *jetstream.Heart {
	t.Helper()
	h, err := jetstream.NewHeart(t.Context(), js, jetstream.Member{ID: name, Host: host, Version: "v1", Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func wantMembers(t *testing.T, js natsjs.JetStream, want string) []jetstream.Member {
	t.Helper()
	all, err := jetstream.Members(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range all {
		names = append(names, m.ID)
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("members are %q, want %q", got, want)
	}
	return all
}

func TestMembersComeBeatAndLeave(t *testing.T) {
	js := startJetStream(t)
	members(t, js)
	wantMembers(t, js, "")
	b, a := heart(t, js, "b", "h1"), heart(t, js, "a.x/ y", "h2") // any name will do
	stages := map[string]jetstream.Holding{"normalizer": {Owned: []int{1, 2}, Halted: map[int]string{3: "gap"}}}
	for _, err := range []error{b.Join(t.Context(), nil), a.Join(t.Context(), nil), a.Beat(t.Context(), stages)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	all := wantMembers(t, js, "a.x/ y b")
	if h := all[0].Stages["normalizer"]; all[0].Host != "h2" || len(h.Owned) != 2 || h.Halted[3] != "gap" || all[0].Version != "v1" {
		t.Errorf("%+v", all[0])
	}
	if err := b.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantMembers(t, js, "a.x/ y")
	if err := heart(t, js, "b", "h3").Join(t.Context(), nil); err != nil { // the name is free
		t.Fatal(err)
	}
	wantMembers(t, js, "a.x/ y b")
}

// gone waits until nobody is a member.
func gone(t *testing.T, js natsjs.JetStream) {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		all, err := jetstream.Members(t.Context(), js)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 0 {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Fatalf("still there: %+v", all)
		}
	}
}

func TestASilentMemberIsMissedAndHeardAgain(t *testing.T) {
	js := startJetStream(t)
	members(t, js)
	h := heart(t, js, "a", "h")
	if err := h.Join(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	gone(t, js)
	if err := h.Beat(t.Context(), nil); err != nil {
		t.Fatalf("Beat after a pause: %v", err)
	}
	wantMembers(t, js, "a")
}

func TestANameIsTakenOnce(t *testing.T) {
	js := startJetStream(t)
	members(t, js)
	first := heart(t, js, "a", "h1")
	if err := first.Join(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	beaten := make(chan error, 1)
	go func() {
		for {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
				beaten <- nil
				return
			}
			if err := first.Beat(ctx, nil); err != nil && ctx.Err() == nil {
				beaten <- err
				return
			}
		}
	}()
	err := heart(t, js, "a", "h2").Join(t.Context(), nil)
	if !errors.Is(err, jetstream.ErrName) || !strings.Contains(err.Error(), "h1") || !strings.Contains(err.Error(), "--instance") {
		t.Errorf("Join = %v, want ErrName, where the other runs and what to do", err)
	}
	stop()
	if err := <-beaten; err != nil {
		t.Errorf("the first one: %v", err)
	}

	// When the first one is silent, as after a kill, the name is free; and then it is the first one that is told.
	if err := heart(t, js, "a", "h2").Join(t.Context(), nil); err != nil {
		t.Fatalf("Join after a kill: %v", err)
	}
	if err := first.Beat(t.Context(), nil); !errors.Is(err, jetstream.ErrName) || !strings.Contains(err.Error(), "h2") {
		t.Errorf("Beat = %v, want ErrName", err)
	}
}

// Whoever is missing in an answer that broke off is not dead.
func TestWithoutAServerNobodyIsMissed(t *testing.T) {
	s := startServer(t, jetstreamtest.Dir(t))
	js := connect(t, s)
	members(t, js)
	if err := heart(t, js, "a", "h").Join(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	jetstreamtest.Stop(s)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if all, err := jetstream.Members(ctx, js); err == nil {
		t.Errorf("Members = %+v without an error", all)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if all, err := jetstream.Checkpoints(ctx, js, "normalizer"); err == nil {
		t.Errorf("Checkpoints = %+v without an error", all)
	}
}

func TestWithoutMembersOneDeploysAgain(t *testing.T) {
	js := startJetStream(t)
	_, err := jetstream.NewHeart(t.Context(), js, jetstream.Member{ID: "a"})
	if err == nil || !strings.Contains(err.Error(), "deploy again") {
		t.Errorf("NewHeart = %v", err)
	}
}
