package jetstream

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
)

// A request may end without a word when its bytes are used up exactly, so we must count them as the server does; a
// difference would end in a wait for heartbeats.
func TestBytesOfARequestAreCountedAsTheServerDoes(t *testing.T) {
	s := jetstreamtest.Start(t, nil)
	closed := make(chan struct{})
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { nc.Close(); <-closed }()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		m := nats.NewMsg("s." + strings.Repeat("x", i+1))
		m.Header.Set(numberHeader, "p "+strconv.Itoa(i)+".0")
		m.Data = make([]byte, 10_000*i)
		if _, err := js.PublishMsg(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	p, err := openPull(ctx, js, "S", "", 0, SourceConfig{}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.ask(); err != nil {
		t.Fatal(err)
	}
	left := p.config.Bytes
	for n := 0; ; n++ {
		select {
		case m := <-p.messages:
			if m.Header.Get("Status") == "" {
				left -= m.Size()
				continue
			}
			if text := m.Header.Get("Description"); text != "Message Size Exceeds MaxBytes" {
				t.Fatalf("status after %d messages: %s %s", n, m.Header.Get("Status"), text)
			}
			if got := m.Header.Get("Nats-Pending-Bytes"); got != strconv.Itoa(left) {
				t.Errorf("after %d messages %s bytes are left, we count %d", n, got, left)
			}
			return
		case <-time.After(10 * time.Second):
			t.Fatal("no message")
		}
	}
}

// A consumer whose count breaks has lost a message, even if the stream's sequence looks plausible.
func TestABrokenCountIsALostConsumer(t *testing.T) {
	for _, c := range []struct {
		name           string
		seq, delivered uint64
		ok             bool
	}{
		{"the next", 11, 4, true},
		{"after a purge", 50, 4, true},
		{"one missing", 12, 5, false},
		{"again", 10, 3, false},
		{"an old sequence", 9, 4, false},
	} {
		p := &pull{at: 10, delivered: 3}
		err := p.deliver(c.seq, c.delivered)
		if (err == nil) != c.ok || !c.ok && !errors.Is(err, errLost) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.ok && (p.at != c.seq || p.delivered != c.delivered) || !c.ok && (p.at != 10 || p.delivered != 3) {
			t.Errorf("%s: now at %d, %d", c.name, p.at, p.delivered)
		}
	}
}
