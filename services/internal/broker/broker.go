// Package broker runs a NATS server with JetStream inside this process, on a directory of its own.
//
// By default nobody else can reach it: it has no port, and [Broker.Connect] connects through memory. What was acknowledged
// survives the end of the process, also by SIGKILL, because the server hands every write to the operating system before it
// answers; to survive the end of the machine it must also write through, see [Config.Sync].
package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says how a server runs. Only Dir is needed.
type Config struct {
	// Dir holds the streams; it is made if it is missing. One server may use it at a time.
	Dir string

	// MaxStore and MaxMemory bound what all streams may take, bytes. Streams with limits reserve them, so that their sum
	// must stay below; 64 GiB and 256 MiB if zero. The server refuses writes, commits too, when it is full.
	MaxStore  int64
	MaxMemory int64

	// Sync is how often files are written through to the disk. 2 minutes if zero, which is the server's own default;
	// SyncAlways writes every acknowledged message through.
	Sync time.Duration

	// Host and Port are where other clients may connect; nowhere if Port is 0, on a free port if it is -1.
	Host string
	Port int

	Log *slog.Logger // errors and warnings of the server; slog.Default() if nil

	// OnFailure is told once, from another goroutine, when the server can write no more, mostly because the disk is full.
	// Writes then go unanswered until it is started again. It may be nil; the log has it then.
	OnFailure func(error)
}

// SyncAlways as [Config.Sync]: nothing that was acknowledged is lost when the power fails.
const SyncAlways = time.Duration(-1)

const (
	defaultMaxStore  = 64 << 30
	defaultMaxMemory = 256 << 20 // consumers of all readers; no stream is kept in memory
	maxPayload       = 1 << 20   // the largest message; every bound of the pipeline is below it
	startPatience    = 30 * time.Second
)

// ErrInUse: another process has the directory open.
var ErrInUse = errors.New("the store is in use by another process")

// ErrWrite: the server cannot write to its directory any more.
var ErrWrite = errors.New("cannot write to the store")

// A Broker is a running server.
type Broker struct {
	server *server.Server
	lock   *os.File
}

// MayBeStore returns an error if a folder that a user has named has something in it but no store, such as the logs.
func MayBeStore(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	ours := func(e fs.DirEntry) bool { return e.Name() == "lock" || e.Name() == "jetstream" }
	if len(entries) > 0 && !slices.ContainsFunc(entries, ours) {
		return fmt.Errorf("the folder %s holds other files and is no store; name a new one", dir)
	}
	return nil
}

// Start opens the directory and returns when the server takes connections: tens of milliseconds, and longer only where an
// earlier process ended without closing a large store. End it with [Broker.Shutdown].
func Start(ctx context.Context, c Config) (_ *Broker, err error) {
	if c.Dir == "" {
		return nil, errors.New("broker needs a directory")
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the store: %w; name a folder that this user may write to", err)
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	s, err := server.NewServer(c.options())
	if err != nil {
		return nil, fmt.Errorf("start broker in %s: %w", c.Dir, err)
	}
	log := c.Log
	if log == nil {
		log = slog.Default()
	}
	messages := &logger{log: log.With("part", "broker"), onFailure: c.OnFailure}
	s.SetLoggerV2(messages, false, false, false)
	b := &Broker{server: s, lock: lock}
	s.Start() // it returns when it is up
	for wait := startPatience; !s.ReadyForConnections(100 * time.Millisecond); wait -= 100 * time.Millisecond {
		if ctx.Err() != nil || wait <= 0 || messages.reason() != "" {
			b.stop()
			return nil, errors.Join(fmt.Errorf("start broker in %s: not ready%s", c.Dir, messages.reason()), ctx.Err())
		}
	}
	if !s.JetStreamEnabled() {
		b.stop()
		return nil, fmt.Errorf("start broker in %s: no store%s", c.Dir, messages.reason())
	}
	return b, nil
}

func (c *Config) options() *server.Options {
	o := &server.Options{
		ServerName:             "trailvane",
		DontListen:             c.Port == 0,
		Host:                   c.Host,
		Port:                   c.Port,
		MaxPayload:             maxPayload,
		JetStream:              true,
		StoreDir:               c.Dir,
		JetStreamMaxStore:      c.MaxStore,
		JetStreamMaxMemory:     c.MaxMemory,
		DisableJetStreamBanner: true,
		NoSigs:                 true, // signals are the process's
		NoLog:                  true, // we set a logger of our own
	}
	if o.JetStreamMaxStore == 0 {
		o.JetStreamMaxStore = defaultMaxStore
	}
	if o.JetStreamMaxMemory == 0 {
		o.JetStreamMaxMemory = defaultMaxMemory
	}
	if c.Sync == SyncAlways {
		o.SyncAlways = true
	} else {
		o.SyncInterval = c.Sync
	}
	return o
}

// Connect returns a new connection through memory. The caller closes it.
func (b *Broker) Connect(opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("", append([]nats.Option{nats.InProcessServer(b.server), nats.MaxReconnects(-1)}, opts...)...)
}

// JetStream returns a JetStream context on a new connection, which the caller closes: js.Conn().Close().
func (b *Broker) JetStream(opts ...nats.Option) (jetstream.JetStream, error) {
	nc, err := b.Connect(opts...)
	if err != nil {
		return nil, err
	}
	return jetstream.New(nc)
}

// ClientURL is where other clients connect, if the configuration has a port.
func (b *Broker) ClientURL() string { return b.server.ClientURL() }

// Shutdown ends the server and returns when everything is written and closed. Connections should be closed before.
func (b *Broker) Shutdown() { b.stop() }

func (b *Broker) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
	b.lock.Close() // gives the lock back
}

// lockDir takes the directory for this process. The lock ends with the process, however that ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		f.Close()
		if errors.Is(err, errLocked) {
			return nil, fmt.Errorf("%s: %w", dir, ErrInUse)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
