//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A process is one that this program has started. It is told apart from all others by its handle, never by a name.
type process struct {
	name  string
	stage string
	cmd   *exec.Cmd
	log   string
	begun time.Time
	fault string // file that arms it

	told  atomic.Bool   // it is going to end because of us
	ended chan struct{} // closed when it has
	at    time.Time     // then
}

// starter starts processes from one thread that lives as long as the program, because the kernel ends them (Pdeathsig) when
// the thread ends that started them.
var starter = func() chan func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
}()

// start starts a process whose output is appended to a file.
func start(log string, env []string, name string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the process has its own
	p := &process{cmd: exec.Command(name, args...), begun: time.Now(), ended: make(chan struct{}), log: log}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error)
	starter <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(name), err)
	}
	fmt.Fprintf(out, "--- process %d: %q\n", p.cmd.Process.Pid, args)
	go func() {
		_ = p.cmd.Wait() // the state says how it ended
		p.at = time.Now()
		close(p.ended)
	}()
	return p, nil
}

// spoke reports whether the process has written anything into its log.
func (p *process) spoke() bool {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return true
	}
	head := fmt.Sprintf("--- process %d: ", p.cmd.Process.Pid)
	_, own, _ := strings.Cut(string(b), head)
	return strings.Count(own, "\n") > 1
}

// signal sends a signal, and does nothing if the process has ended.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the process, and returns when that has happened.
func (p *process) kill() time.Time {
	p.told.Store(true)
	at := time.Now()
	p.signal(syscall.SIGKILL)
	<-p.ended
	return at
}

// wait reports whether the process ends within a time.
func (p *process) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.ended:
		return true
	case <-t.C:
		return false
	}
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stopped reports whether the process is stopped by a signal.
func (p *process) stopped() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // the name before may hold anything
	return len(rest) > 0 && rest[0] == 'T'
}
