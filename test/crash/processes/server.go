//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/test/ports"
)

// A node is one NATS server with its files.
type node struct {
	name    string
	host    string
	port    int
	inside  string // network namespace, empty if none
	program string
	config  string
	log     string

	mu      sync.Mutex
	process *process
	cuts    int // that hold its network down now
	faults  int // that hold it down now: of several, the last one that is healed starts it again
}

// newNodes writes the configuration of one server on loopback, or of three that are a cluster in namespaces.
func newNodes(dir, program string, cluster bool) ([]*node, error) {
	nodes := make([]*node, 1)
	if cluster {
		nodes = make([]*node, 3)
	}
	var routes []string
	for i := range nodes {
		n := &node{name: fmt.Sprint("n", i), host: "127.0.0.1", program: program}
		if cluster {
			n.host, n.port, n.inside = nodeAddress(i), 4222, n.name
			routes = append(routes, "nats-route://"+n.host+":6222")
		} else {
			var err error
			if n.port, err = ports.Free(); err != nil {
				return nil, err
			}
		}
		n.config, n.log = filepath.Join(dir, n.name+".conf"), filepath.Join(dir, "logs", n.name+".log")
		nodes[i] = n
	}
	for _, n := range nodes {
		text := fmt.Sprintf("server_name: %s\nlisten: %q\nmax_payload: 1048576\n"+
			"jetstream { store_dir: %q, max_file_store: 20GB, max_memory_store: 256MB }\n",
			n.name, net.JoinHostPort(n.host, fmt.Sprint(n.port)), filepath.Join(dir, n.name))
		if cluster {
			// A connection over a dead network is given up in seconds, not in the minutes of the default. (Not with one server:
			// there a process that is paused keeps its connection, and what it has to say is heard as soon as it wakes up.)
			text += fmt.Sprintf("ping_interval: \"2s\"\nping_max: 2\ncluster { name: crash, listen: %q, routes: [%s] }\n",
				net.JoinHostPort(n.host, "6222"), `"`+strings.Join(routes, `", "`)+`"`)
		}
		if err := os.WriteFile(n.config, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// urls is what clients connect to.
func urls(nodes []*node) string {
	var all []string
	for _, n := range nodes {
		all = append(all, fmt.Sprintf("nats://%s:%d", n.host, n.port))
	}
	return strings.Join(all, ",")
}

func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	name, args := enter(n.inside, n.program, "-c", n.config)
	p, err := start(n.log, nil, name, args...)
	if err != nil {
		return err
	}
	p.name, p.stage = n.name, server
	n.process = p
	return nil
}

// down kills the server.
func (n *node) down() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults++
	n.process.kill()
}

// up starts it again, if nothing else holds it down.
func (n *node) up() error {
	n.mu.Lock()
	n.faults--
	held := n.faults > 0
	n.mu.Unlock()
	if held {
		return nil
	}
	return n.start()
}

// diedByItself reports whether the server has ended although nobody ended it.
func (n *node) diedByItself() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process != nil && !n.process.running() && !n.process.told.Load()
}

// connect returns a connection that outlives every outage.
func connect(ctx context.Context, nodes []*node) (jetstream.JetStream, error) {
	nc, err := nats.Connect(urls(nodes), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.Timeout(time.Second),
		nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2), nats.RetryOnFailedConnect(true))
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := js.AccountInfo(once)
		cancel()
		if err == nil {
			return js, nil
		}
		if waited := sleep(ctx, 100*time.Millisecond); waited != nil {
			nc.Close()
			return nil, errors.Join(waited, err)
		}
	}
}

// sleep waits, or returns why there is nothing to wait for any more.
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
