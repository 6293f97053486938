package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/test/ports"
)

// imageVersion is the tag of the image under test.
const imageVersion = "compose-test"

// A project is one deployment in containers.
type project struct {
	root    string // of the repository
	dir     string // of the run
	name    string
	compose []string // the command
	env     []string
	nats    string // URL
	http    string // URL
	program string // trailvane, for the host
}

// newProject builds what the project needs: the program and the image, and stand-ins for images where there is no registry.
func newProject(ctx context.Context, root, dir string, standIns ...string) (*project, error) {
	p := &project{root: root, dir: dir, name: "trailvane-test-" + strconv.Itoa(os.Getpid()), program: filepath.Join(dir, "trailvane")}
	compose, err := p.run(ctx, "scripts/compose")
	if err != nil {
		return nil, err
	}
	p.compose = strings.Fields(compose)
	natsPort, err := freePort()
	if err != nil {
		return nil, err
	}
	httpPort, err := freePort()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o755); err != nil {
		return nil, err
	}
	p.nats, p.http = "nats://127.0.0.1:"+natsPort, "http://127.0.0.1:"+httpPort
	p.env = append(os.Environ(), "COMPOSE_PROJECT_NAME="+p.name, "TRAILVANE_VERSION="+imageVersion, "NATS_PORT="+natsPort,
		"HTTP_PORT="+httpPort, "LOGS="+filepath.Join(dir, "logs"))
	for _, command := range [][]string{
		{"go", "build", "-o", p.program, "./services/trailvane"},
		append([]string{".ci/stand-ins"}, standIns...),
		{"docker", "build", "-q", "-f", "deploy/Dockerfile", "-t", "trailvane:" + imageVersion, "."},
	} {
		begun := time.Now()
		if _, err := p.run(ctx, command...); err != nil {
			return nil, err
		}
		slog.Info("built", "by", strings.Join(command, " "), "took", time.Since(begun).Round(time.Second))
	}
	return p, nil
}

// run runs a command in the root of the repository and returns what it says, all of it in an error.
func (p *project) run(ctx context.Context, command ...string) (string, error) {
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Dir, c.Env = p.root, p.env
	var out, all bytes.Buffer
	c.Stdout, c.Stderr = &both{&out, &all}, &all
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, tail(all.String(), 4000))
	}
	return strings.TrimSpace(out.String()), nil
}

// both writes to two buffers.
type both [2]*bytes.Buffer

func (b *both) Write(p []byte) (int, error) {
	b[0].Write(p)
	return b[1].Write(p)
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// do runs docker compose.
func (p *project) do(ctx context.Context, args ...string) (string, error) {
	return p.run(ctx, append(p.compose[:len(p.compose):len(p.compose)], args...)...)
}

// containers returns the ids of a service's containers.
func (p *project) containers(ctx context.Context, service string) ([]string, error) {
	ids, err := p.do(ctx, "ps", "-q", service)
	return strings.Fields(ids), err
}

// connect returns a connection as viewer, and what ends it.
func (p *project) connect() (js jetstream.JetStream, end func(), err error) {
	nc, err := nats.Connect(p.nats, nats.UserCredentials(filepath.Join(p.root, viewer)), nats.CustomInboxPrefix("_INBOX.viewer"))
	if err != nil {
		return nil, nil, err
	}
	js, err = jetstream.New(nc)
	return js, nc.Close, err
}

// keepLogs writes what all containers have logged into the folder of the run.
func (p *project) keepLogs(ctx context.Context) error {
	logs, err := p.do(ctx, "logs", "--no-color")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.dir, "containers.log"), []byte(logs), 0o644)
}

// remove removes containers, networks and volumes.
func (p *project) remove(ctx context.Context) error {
	_, err := p.do(ctx, "down", "--volumes", "--remove-orphans", "--timeout", "5")
	return err
}

// freePort returns a port of 127.0.0.1 that nobody uses now.
func freePort() (string, error) {
	port, err := ports.Free()
	return strconv.Itoa(port), err
}
