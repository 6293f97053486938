//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trailvane/trailvane/schemas"
)

const (
	goalReady   = 2 * time.Second
	benchImage  = "trailvane:bench"
	idleTime    = 10 * time.Second // after which a service that has nothing to do is looked at
	readyPoll   = 10 * time.Millisecond
	removeTime  = time.Minute
	serverImage = "nats:2.15.2"
)

// A contained is one service in a container.
type contained struct {
	name, id string
	ready    time.Duration // from the start of its process
	memory   string        // as docker tells it
}

// benchContainers measures the image, and each service in a container of its own: how soon it is ready, with a server and a deployment
// there, and what it takes when it has nothing to do. Without a Docker engine it says so.
func (b *bench) benchContainers(ctx context.Context, out io.Writer) (err error) {
	if said, err := exec.CommandContext(ctx, "docker", "info", "--format", "{{.ServerVersion}}").CombinedOutput(); err != nil {
		fmt.Fprintf(out, "\ncontainers: not measured, no Docker engine answers here: %v: %.200s\n", err, said)
		return nil
	}
	fmt.Fprintln(os.Stderr, "containers: image")
	if err := b.command(ctx, ".ci/stand-ins"); err != nil {
		return err
	}
	if err := b.command(ctx, "docker", "build", "-q", "-f", "deploy/Dockerfile", "-t", benchImage, "."); err != nil {
		return err
	}
	size, err := docker(ctx, "image", "inspect", "--format", "{{.Size}}", benchImage)
	if err != nil {
		return err
	}
	bytes, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return err
	}
	network := "trailvane-bench-" + strconv.Itoa(os.Getpid())
	if _, err := docker(ctx, "network", "create", network); err != nil {
		return err
	}
	var ids []string
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTime)
		defer cancel()
		if len(ids) > 0 {
			_, failed := docker(clean, append([]string{"rm", "--force", "--volumes"}, ids...)...)
			err = errors.Join(err, failed)
		}
		_, failed := docker(clean, "network", "rm", network)
		err = errors.Join(err, failed)
	}()
	run := func(args ...string) (string, error) {
		id, err := docker(ctx, append([]string{"run", "--detach", "--network", network}, args...)...)
		if err == nil {
			ids = append(ids, id)
		}
		return id, err
	}
	if _, err := run("--name", network+"-nats", serverImage, "--jetstream", "--store_dir", "/tmp/data"); err != nil {
		return err
	}
	nats := "TRAILVANE_NATS=nats://" + network + "-nats:4222"
	if _, err := docker(ctx, "run", "--rm", "--network", network, "--env", nats, benchImage, "deploy", "--partitions", "16", "--lanes", "8"); err != nil {
		return err
	}
	var all []contained
	for _, args := range containedServices() {
		fmt.Fprintln(os.Stderr, "containers:", strings.Join(args, " "))
		id, err := run(append([]string{"--read-only", "--publish", "127.0.0.1::8080", "--tmpfs", "/tmp", "--env", nats, benchImage}, args...)...)
		if err != nil {
			return err
		}
		c := contained{name: strings.TrimPrefix(strings.Join(args, " "), "detector --type "), id: id}
		if c.ready, err = readyAfter(ctx, id); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, c)
	}
	if err := sleep(ctx, idleTime); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nimage, MB\t%.1f\n\nin a container\tready after, s\tgoal\t\tidle memory\n", float64(bytes)/1e6)
	for _, c := range all {
		if c.memory, err = docker(ctx, "stats", "--no-stream", "--format", "{{.MemUsage}}", c.id); err != nil {
			return err
		}
		used, _, _ := strings.Cut(c.memory, " /")
		fmt.Fprintf(w, "%s\t%.2f\t≤ %.0f\t%s\t%s\n", c.name, c.ready.Seconds(), goalReady.Seconds(), verdict(c.ready <= goalReady), used)
	}
	return w.Flush()
}

// containedServices are the command lines of all services, one for each type of detector.
func containedServices() [][]string {
	all := [][]string{{"ingest", "--http", "127.0.0.1:8081"}, {"normalizer"}, {"aggregator"}}
	for _, t := range types() {
		all = append(all, []string{"detector", "--type", short(t)})
	}
	return append(all, []string{"pairer"})
}

func short(t schemas.InsightType) string {
	return strings.ToLower(strings.TrimSuffix(string(t), "Insight"))
}

// readyAfter returns how long after its start a container's service is ready.
func readyAfter(ctx context.Context, id string) (time.Duration, error) {
	began, err := docker(ctx, "inspect", "--format", "{{.State.StartedAt}}", id)
	if err != nil {
		return 0, err
	}
	begun, err := time.Parse(time.RFC3339Nano, began)
	if err != nil {
		return 0, err
	}
	port, err := docker(ctx, "port", id, "8080/tcp")
	if err != nil {
		return 0, err
	}
	url := "http://" + strings.Fields(port)[0] + "/readyz"
	client := &http.Client{Timeout: time.Second}
	for deadline := begun.Add(startTime); time.Now().Before(deadline); {
		res, err := client.Get(url)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return time.Since(begun), nil
			}
		}
		if err := sleep(ctx, readyPoll); err != nil {
			return 0, err
		}
	}
	log, _ := docker(ctx, "logs", id)
	return 0, fmt.Errorf("not ready after %s:\n%s", startTime, log[max(0, len(log)-tailBytes):])
}

// docker runs a command of docker and returns what it says.
func docker(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "docker", args...)
	var errs strings.Builder
	c.Stderr = &errs
	said, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", strings.Join(slices.Clip(args), " "), err, errs.String())
	}
	return strings.TrimSpace(string(said)), nil
}
