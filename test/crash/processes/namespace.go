//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// The network of the cluster: this program runs in a network namespace of its own, in which there is nothing but a bridge;
// each server, and all services together, have a namespace behind a pair of virtual interfaces on that bridge. Nothing of it
// can be seen outside, and nothing is left of it when the last process has ended, however that happens.
const (
	insideEnv = "TRAILVANE_CRASH_INSIDE"
	services  = "svc"
	bridge    = "10.99.0.1/24"
)

func nodeAddress(i int) string { return fmt.Sprintf("10.99.0.%d", 11+i) }

// enterNamespace runs this program once more, in namespaces of its own, and reports whether it did; inside, it makes the
// network.
func enterNamespace(ctx context.Context, args []string, out io.Writer) (done bool, err error) {
	if os.Getenv(insideEnv) != "" {
		return false, makeNetwork(ctx)
	}
	if os.Getuid() != 0 {
		return true, errors.New("-cluster makes network namespaces, which takes root")
	}
	self, err := os.Executable()
	if err != nil {
		return true, err
	}
	c := exec.CommandContext(ctx, self, args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.Env = append(os.Environ(), insideEnv+"=1")
	c.Stdout, c.Stderr = out, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	ended := make(chan error)
	starter <- func() {
		if err := c.Start(); err != nil {
			go func() { ended <- err }()
			return
		}
		go func() { ended <- c.Wait() }()
	}
	return true, <-ended
}

func makeNetwork(ctx context.Context) error {
	// Namespaces have names by mounts. They must not be seen outside, and the folder for them must be ours.
	const names = "/run/netns"
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := os.MkdirAll(names, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("none", names, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount %s: %w", names, err)
	}
	commands := []string{
		"link set lo up", "link add br0 type bridge", "addr add " + bridge + " dev br0", "link set br0 up",
	}
	add := func(name, address string) {
		commands = append(commands, "netns add "+name, "link add "+name+" type veth peer name eth0 netns "+name,
			"link set "+name+" master br0", "link set "+name+" up",
			"-n "+name+" link set lo up", "-n "+name+" addr add "+address+"/24 dev eth0", "-n "+name+" link set eth0 up")
	}
	for i := range 3 {
		add(fmt.Sprint("n", i), nodeAddress(i))
	}
	add(services, "10.99.0.2")
	for _, c := range commands {
		if err := ip(ctx, strings.Fields(c)...); err != nil {
			return err
		}
	}
	return nil
}

func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// enter returns how to start a program in a namespace: ip becomes that program, so that it has the same process id.
func enter(namespace, program string, args ...string) (string, []string) {
	if namespace == "" {
		return program, args
	}
	return "ip", append([]string{"netns", "exec", namespace, program}, args...)
}

// network takes a node off the bridge, or puts it there again.
func (n *node) network(ctx context.Context, up bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !up {
		n.cuts++
		return ip(ctx, "link", "set", n.name, "down")
	}
	if n.cuts--; n.cuts > 0 {
		return nil
	}
	return ip(ctx, "link", "set", n.name, "up")
}
