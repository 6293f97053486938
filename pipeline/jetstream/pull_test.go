package jetstream

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A request may end without a word when its bytes are used up exactly, so we must count them as the server does; a
// difference would end in a wait for heartbeats.
func TestBytesOfARequestAreCountedAsTheServerDoes(t *testing.T) {
	s, err := server.NewServer(&server.Options{
		DontListen: true, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 1 << 26,
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("server is not ready")
	}
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
