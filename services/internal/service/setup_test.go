package service

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/broker"
)

func TestMain(m *testing.M) { jetstreamtest.VerifyNoLeaks(m) }

const partitions = 8

// A toy numbers the records of its partition. Its state is how many there were.
type toy struct {
	n       int
	changed bool
	apply   func(partition int, body string) error // may be nil
	part    int
}

func (p *toy) Apply(r runner.Record, emit func(runner.Output)) error {
	if p.apply != nil {
		if err := p.apply(p.part, string(r.Body)); err != nil {
			return err
		}
	}
	p.n, p.changed = p.n+1, true
	emit(runner.Output{Subject: fmt.Sprintf("windows.%d.r.counts", p.part), Body: fmt.Appendf(nil, "%s is %d", r.Body, p.n)})
	return nil
}

func (p *toy) Snapshot(changed func(string, []byte)) error {
	if p.changed {
		changed("n", strconv.AppendInt(nil, int64(p.n), 10))
	}
	p.changed = false
	return nil
}

func (p *toy) Restore(_ string, state []byte) (err error) {
	p.n, err = strconv.Atoi(string(state))
	return err
}

// A fleet is a server, and instances of the toy stage on it.
type fleet struct {
	t     *testing.T
	dir   string
	port  int
	ttl   time.Duration
	world *broker.Broker
	js    jetstream.JetStream // of the test
	sent  [partitions]int
	also  []Work // of all nodes
}

func newFleet(t *testing.T, ttl time.Duration) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: jetstreamtest.Dir(t), port: -1, ttl: ttl}
	f.start()
	t.Cleanup(func() { f.world.Shutdown() })
	_, f.js = f.connect(f.address())
	id := tvjetstream.Identity{Lanes: 1, Partitions: partitions, Lateness: 15, Learn: 60, Budget: 1}
	if err := tvjetstream.Deploy(t.Context(), f.js, tvjetstream.DefaultTopology(id, "toy", "toy2")); err != nil {
		t.Fatal(err)
	}
	members, err := f.js.Stream(t.Context(), "KV_"+tvjetstream.MembersBucket)
	if err != nil {
		t.Fatal(err)
	}
	config := members.CachedInfo().Config
	config.MaxAge = ttl
	if _, err := f.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	return f
}

// start starts the server, on the same port as before.
func (f *fleet) start() {
	f.t.Helper()
	b, err := broker.Start(f.t.Context(), broker.Config{
		Dir: f.dir, Host: "127.0.0.1", Port: f.port, MaxStore: 1 << 30, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.world = b
	_, port, err := net.SplitHostPort(f.address())
	if err != nil {
		f.t.Fatal(err)
	}
	f.port, _ = strconv.Atoi(port)
}

func (f *fleet) address() string { return strings.TrimPrefix(f.world.ClientURL(), "nats://") }

func (f *fleet) connect(address string) (*nats.Conn, jetstream.JetStream) {
	f.t.Helper()
	nc, err := nats.Connect("nats://"+address, nats.ReconnectWait(50*time.Millisecond), nats.MaxReconnects(-1))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		closed := make(chan struct{})
		nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
		nc.Close()
		<-closed
	})
	js, err := jetstream.New(nc)
	if err != nil {
		f.t.Fatal(err)
	}
	return nc, js
}

// A node is an instance of a fleet.
type node struct {
	*Instance
	name  string
	proxy *proxy
	log   *logs
	stop  context.CancelFunc
	done  chan error
}

// node starts an instance behind a proxy of its own.
func (f *fleet) node(name string, change ...func(*toy)) *node {
	f.t.Helper()
	n := &node{name: name, proxy: newProxy(f.t, f.address()), log: new(logs), done: make(chan error, 1)}
	_, js := f.connect(n.proxy.address())
	d := &Deployment{JS: js, Instance: name, Log: slog.New(slog.NewTextHandler(n.log, nil))}
	n.Instance = NewInstance(d, append(slices.Clone(f.also), Work{Stage: "toy", Partitions: partitions, Open: func(ctx context.Context, p int) (Part, error) {
		return Open(ctx, d, Stage[*toy]{
			Name: "toy", Partition: p, Input: tvjetstream.EventsStream(p), Constants: "v1",
			New: func(uint64) *toy {
				toy := &toy{part: p}
				for _, c := range change {
					c(toy)
				}
				return toy
			},
		})
	}})...)
	n.haltTime = 200 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.done <- n.Run(ctx)
	}()
	f.t.Cleanup(func() {
		cancel()
		n.proxy.let(true)
		<-ended
		if f.t.Failed() {
			f.t.Logf("log of %s:\n%s", name, n.log)
		}
	})
	return n
}

// publish gives each partition a record.
func (f *fleet) publish() {
	f.t.Helper()
	for p := range partitions {
		f.publishTo(p, fmt.Sprint("r", f.sent[p]+1))
	}
}

func (f *fleet) publishTo(p int, body string) {
	f.t.Helper()
	if _, err := f.js.Publish(f.t.Context(), fmt.Sprintf("events.%d.r", p), []byte(body)); err != nil {
		f.t.Fatal(err)
	}
	f.sent[p]++
}

// eventually waits for a condition that says what is missing.
func (f *fleet) eventually(what string, missing func() string) time.Duration {
	f.t.Helper()
	begin := time.Now()
	for deadline := time.After(30 * time.Second); ; {
		last := missing()
		if last == "" {
			return time.Since(begin)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			f.t.Fatalf("%s: %s", what, last)
		}
	}
}

// checkpoints returns the checkpoints by partition.
func (f *fleet) checkpoints() [partitions]schemas.Checkpoint {
	f.t.Helper()
	var all [partitions]schemas.Checkpoint
	saved, err := tvjetstream.Checkpoints(f.t.Context(), f.js, "toy")
	if err != nil {
		f.t.Fatal(err)
	}
	for p := range all {
		all[p] = saved[strconv.Itoa(p)].Checkpoint
	}
	return all
}

func (f *fleet) owners() (owners [partitions]string) {
	f.t.Helper()
	for p, c := range f.checkpoints() {
		owners[p] = c.Owner
	}
	return owners
}

// shared waits until the nodes own everything, give or take one, and are ready.
func (f *fleet) shared(nodes ...*node) time.Duration {
	f.t.Helper()
	return f.eventually("share", func() string {
		n := make(map[string]int)
		for _, owner := range f.owners() {
			n[owner]++
		}
		for _, node := range nodes {
			if k := n[node.name]; k < partitions/len(nodes) || k > (partitions+len(nodes)-1)/len(nodes) {
				return fmt.Sprintf("shares are %v", n)
			}
			if err := node.Ready(); err != nil {
				return fmt.Sprintf("%s is not ready: %v", node.name, err)
			}
			delete(n, node.name)
		}
		if len(n) > 0 {
			return fmt.Sprintf("%v own something", slices.Collect(maps.Keys(n)))
		}
		return ""
	})
}

// outputs returns what a partition has put out as its readers see it, and how many repeats they drop. A repeat must be equal.
func (f *fleet) outputs(p int) (bodies []string, repeats int) {
	f.t.Helper()
	stored := make(map[schemas.Number][]byte)
	var last schemas.Number
	source := tvjetstream.NewSource(f.js, tvjetstream.WindowsStream(p), tvjetstream.SourceConfig{})
	defer source.Close()
	source.Drain()
	for after := uint64(0); ; {
		records, err := source.Read(f.t.Context(), after)
		if err == io.EOF {
			return bodies, repeats
		}
		if err != nil {
			f.t.Fatal(err)
		}
		for _, r := range records {
			after = r.Seq
			if had, ok := stored[r.Number]; ok && !bytes.Equal(had, r.Body) {
				f.t.Errorf("output %v of partition %d is %q, was %q", r.Number, p, r.Body, had)
			}
			stored[r.Number] = bytes.Clone(r.Body)
			if last.Less(r.Number) {
				last = r.Number
				bodies = append(bodies, string(r.Body))
			} else {
				repeats++
			}
		}
	}
}

// complete waits until every record has come out, once for whoever drops repeats, and returns the number of repeats.
func (f *fleet) complete() (repeats int) {
	f.t.Helper()
	for p := range partitions {
		f.eventually(fmt.Sprint("outputs of partition ", p), func() string {
			bodies, _ := f.outputs(p)
			if len(bodies) < f.sent[p] {
				return fmt.Sprintf("%d of %d", len(bodies), f.sent[p])
			}
			return ""
		})
		bodies, n := f.outputs(p)
		repeats += n
		for i, body := range bodies {
			if want := fmt.Sprintf("r%d is %d", i+1, i+1); body != want {
				f.t.Errorf("output %d of partition %d is %q, want %q", i, p, body, want)
			}
		}
	}
	return repeats
}

// A proxy stands between a client and the server, and can hold back everything that goes through it.
type proxy struct {
	listener net.Listener
	target   string
	copying  sync.WaitGroup

	mu    sync.Mutex
	moves *sync.Cond
	open  bool
	conns []net.Conn
	ended bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, open: true}
	p.moves = sync.NewCond(&p.mu)
	p.copying.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			p.copying.Go(func() { p.copy(client, server) })
			p.copying.Go(func() { p.copy(server, client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		p.ended = true
		for _, c := range p.conns {
			c.Close()
		}
		p.moves.Broadcast()
		p.mu.Unlock()
		p.copying.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for !p.open && !p.ended {
			p.moves.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// let lets everything through, or nothing.
func (p *proxy) let(through bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = through
	p.moves.Broadcast()
}

// Logs is what an instance has logged.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
