//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/detect"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/test/ports"
)

const (
	startTime = time.Minute            // that a process has to start and answer, on a busy machine
	stopTime  = 30 * time.Second       // that a process has to stop: its commits take two seconds on a quiet one
	pollTime  = 50 * time.Millisecond  // between two looks at checkpoints; what is measured are times that the server stored
	drainTime = 10 * time.Minute       // until everything that was fed is worked on
	tailBytes = 2000                   // of the log of a process that failed, in an error
	serverMax = int64(20) << 30        // the server's own limit, so that it never depends on the disk
	quiet     = 500 * time.Millisecond // that positions stay the same at the ends of the streams, when all is done
)

// A process is one that this program has started. It ends at the latest when this program does.
type process struct {
	name  string
	log   string
	cmd   *exec.Cmd
	begun time.Time
	ended chan struct{} // closed when it has
}

// starter starts processes from one thread that lives as long as the program, because the kernel ends them when the thread
// ends that started them.
var starter = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

// start starts a process whose output is appended to a file.
func start(name, log, program string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the process has its own
	p := &process{name: name, log: log, cmd: exec.Command(program, args...), begun: time.Now(), ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	starter() <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // the state says how it ended
		close(p.ended)
	}()
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process by SIGKILL, and returns the time at which it was sent.
func (p *process) kill() time.Time {
	at := time.Now()
	_ = p.cmd.Process.Kill()
	<-p.ended
	return at
}

// stop ends the process by SIGTERM, and returns the time at which it was sent.
func (p *process) stop() (time.Time, error) {
	at := time.Now()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopTime):
		p.kill()
		return at, fmt.Errorf("%s did not stop within %s of SIGTERM", p.name, stopTime)
	}
	if !p.cmd.ProcessState.Success() {
		return at, p.failure()
	}
	return at, nil
}

// failure says how a process ended, and what it said last.
func (p *process) failure() error {
	said, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s ended: %s\n%s", p.name, p.cmd.ProcessState, said[max(0, len(said)-tailBytes):])
}

// resident returns the memory that a process has in use, bytes; 0 if it has ended.
func (p *process) resident() int64 {
	// Size and resident, in pages.
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64) // the kernel wrote it
	return pages * int64(os.Getpagesize())
}

// A system is a deployment of real processes: a NATS server on loopback that keeps everything in files, and services.
type system struct {
	*bench
	url    string
	js     jetstream.JetStream
	home   string // folder of logs and of the store
	server *process

	processes []*process // services
	count     int        // that were ever started
}

// deploy builds what is missing, starts a server, and deploys. Close the system.
func (b *bench) deploy(ctx context.Context, flags ...string) (_ *system, err error) {
	if err := b.build(ctx); err != nil {
		return nil, err
	}
	s := &system{bench: b}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.home, err = os.MkdirTemp(b.dir, "system-"); err != nil {
		return nil, err
	}
	port, err := ports.Free()
	if err != nil {
		return nil, err
	}
	s.url = "nats://127.0.0.1:" + strconv.Itoa(port)
	config := filepath.Join(s.home, "server.conf")
	text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\nmax_payload: 1048576\njetstream { store_dir: %q, max_file_store: %d, max_memory_store: 256MB }\n",
		port, filepath.Join(s.home, "store"), serverMax)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	if s.server, err = start("nats-server", filepath.Join(s.home, "nats-server.log"), b.nats, "-c", config); err != nil {
		return nil, err
	}
	if s.js, err = connect(ctx, s.url); err != nil {
		return nil, fmt.Errorf("%w\n%w", err, s.server.failure())
	}
	return s, b.command(ctx, b.program, append([]string{"deploy", "--nats", s.url}, flags...)...)
}

// build builds the program under test and the server, once.
func (b *bench) build(ctx context.Context) error {
	if b.program == "" {
		b.program = filepath.Join(b.dir, "trailvane")
		if err := b.command(ctx, "go", "build", "-o", b.program, "github.com/trailvane/trailvane/services/trailvane"); err != nil {
			return err
		}
	}
	if b.nats == "" {
		b.nats = filepath.Join(b.dir, "nats-server")
		return b.command(ctx, "go", "build", "-o", b.nats, "github.com/nats-io/nats-server/v2")
	}
	return nil
}

// connect waits until the server answers.
func connect(ctx context.Context, url string) (jetstream.JetStream, error) {
	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.RetryOnFailedConnect(true))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err == nil {
		err = await(ctx, startTime, "the server answers", func(ctx context.Context) (bool, error) {
			_, err := js.AccountInfo(ctx)
			return err == nil, nil
		})
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return js, nil
}

// run starts a service, under a name or, if it is empty, under a new one.
func (s *system) run(name, command string, args ...string) (*process, error) {
	s.count++
	if name == "" {
		name = fmt.Sprintf("%s-%d", command, s.count)
	}
	p, err := start(name, filepath.Join(s.home, name+".log"), s.program,
		append([]string{command, "--nats", s.url, "--instance", name, "--log-level", "warn"}, args...)...)
	if err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	return p, nil
}

// alive returns an error if a service has ended that nobody ended.
func (s *system) alive(ended ...*process) error {
	if !s.server.running() {
		return s.server.failure()
	}
	for _, p := range s.processes {
		if !p.running() && !slices.Contains(ended, p) {
			return p.failure()
		}
	}
	return nil
}

// forget takes a process off the list of those that should live.
func (s *system) forget(p *process) {
	s.processes = slices.DeleteFunc(s.processes, func(q *process) bool { return p == q })
}

// close ends everything, and removes it.
func (s *system) close() {
	for _, p := range s.processes {
		p.kill()
	}
	if s.js != nil {
		s.js.Conn().Close()
	}
	if s.server != nil {
		s.server.kill()
	}
	if s.home != "" {
		_ = os.RemoveAll(s.home) // it lies in a folder that is removed at the end
	}
}

// await looks until something is so, or for too long.
func await(ctx context.Context, most time.Duration, what string, so func(ctx context.Context) (bool, error)) error {
	for until := time.Now().Add(most); ; {
		once, cancel := context.WithTimeout(ctx, startTime)
		ok, err := so(once)
		cancel()
		switch {
		case ok || err != nil:
			return err
		case time.Now().After(until):
			return fmt.Errorf("waited %s in vain: %s", most, what)
		}
		if err := sleep(ctx, pollTime); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A reading is what a stage reads: its n-th partition the n-th stream of a kind.
type reading struct{ stage, stream string }

// readings are all stages, in the order of the flow, as far as they read streams.
func readings() []reading {
	all := []reading{{"normalizer", "RAW"}, {"aggregator", "EVENTS"}}
	for _, t := range types() {
		all = append(all, reading{detect.Stage(t), "WINDOWS"})
	}
	return append(all, reading{"pairer", "FINDINGS"})
}

// drained waits until every stage has committed its position at the end of its input, and returns what is behind otherwise.
func (s *system) drained(ctx context.Context) error {
	behind := errors.New("nothing was looked at")
	still := time.Time{} // since when nothing is behind
	err := await(ctx, drainTime, "everything that was fed is worked on", func(ctx context.Context) (bool, error) {
		if err := s.alive(); err != nil {
			return false, err
		}
		if behind = s.lag(ctx); behind != nil {
			still = time.Time{}
			return false, nil
		}
		if still.IsZero() {
			still = time.Now()
		}
		return time.Since(still) > quiet, nil
	})
	if err != nil {
		return errors.Join(err, behind)
	}
	return nil
}

// lag says which stage has not committed all of its input, nil if none.
func (s *system) lag(ctx context.Context) error {
	for _, r := range readings() {
		all, err := tvjetstream.Checkpoints(ctx, s.js, r.stage)
		if err != nil {
			return err
		}
		for partition := 0; ; partition++ {
			stream, err := s.js.Stream(ctx, r.stream+"_"+strconv.Itoa(partition))
			if errors.Is(err, jetstream.ErrStreamNotFound) && partition > 0 {
				break
			}
			if err != nil {
				return err
			}
			if last, at := stream.CachedInfo().State.LastSeq, all[strconv.Itoa(partition)].Seq; at != last {
				return fmt.Errorf("%s %d is at %d of %d", r.stage, partition, at, last)
			}
		}
	}
	return nil
}
