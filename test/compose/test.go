package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/trailvane/trailvane/pipeline/detect/all"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/test/live"
)

const (
	liveTime    = 2 * time.Hour // of event time
	scaled      = 3
	settleTime  = 90 * time.Second // from the last record until everything is found
	mostAway    = 4                // seconds that a killed container stays away
	natsEvery   = 5                // one of so many faults is that of NATS
	natsService = "nats"
	viewer      = "deploy/secrets/viewer.creds"
)

// whatWasSent is in what demo tells.
var whatWasSent = regexp.MustCompile(`[0-9,]+ events in [0-9,]+ objects`)

// test runs everything and compares.
func (p *project) test(ctx context.Context, c config, out io.Writer) error {
	begun := time.Now()
	if _, err := p.run(ctx, "scripts/up"); err != nil {
		return err
	}
	fmt.Fprintf(out, "up            all containers are healthy after %s\n", time.Since(begun).Round(time.Second))

	kept := filepath.Join(p.dir, "sent")
	sending, sent := context.WithCancel(ctx)
	defer sent()
	done := make(chan error, 1)
	go func() {
		defer sent()
		told, err := p.run(ctx, p.program, "demo", "--seed", fmt.Sprint(c.seed), "--to", p.http, "--token-file", "deploy/secrets/http-tokens",
			"--live", liveTime.String(), "--speed", fmt.Sprint(c.speed), "--keep", kept)
		if err == nil {
			fmt.Fprintf(out, "sent          %s\n", whatWasSent.FindString(told))
		}
		done <- err
	}()
	faults, err := p.disturb(sending, ctx, c)
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	for _, what := range slices.Sorted(maps.Keys(faults)) {
		fmt.Fprintf(out, "%-13s %d times\n", what, faults[what])
	}
	if c.broken {
		if err := lose(kept); err != nil {
			return err
		}
	}
	return p.compare(ctx, kept, c, out)
}

// disturb scales the aggregator up, kills containers and starts them again until everything is sent, and scales it back.
func (p *project) disturb(sending, ctx context.Context, c config) (faults map[string]int, err error) {
	r := rand.New(rand.NewPCG(c.seed, 0))
	services := []string{"ingest", "normalizer", "aggregator", "aggregator", "pairer"}
	for _, t := range slices.Sorted(maps.Keys(all.Detectors())) {
		services = append(services, "detector-"+strings.ToLower(strings.TrimSuffix(string(t), "Insight")))
	}
	faults = make(map[string]int)
	scale := func(n int) error {
		faults[fmt.Sprintf("scaled to %d", n)]++
		slog.Info("scale", "aggregator", n)
		_, err := p.do(ctx, "up", "-d", "--no-recreate", "--scale", fmt.Sprintf("aggregator=%d", n))
		return err
	}
	for i := 0; ; i++ {
		select {
		case <-time.After(c.every):
		case <-sending.Done():
			return faults, errors.Join(ctx.Err(), scale(1))
		}
		switch {
		case i%8 == 1:
			err = scale(scaled)
		case i%8 == 6:
			err = scale(1)
		case i%natsEvery == 3:
			err = p.kill(ctx, natsService, r)
			faults["killed "+natsService]++
		default:
			service := services[r.IntN(len(services))]
			err = p.kill(ctx, service, r)
			faults["killed "+strings.SplitN(service, "-", 2)[0]]++
		}
		if err != nil {
			return faults, err
		}
	}
}

// kill kills one container of a service and starts it again.
func (p *project) kill(ctx context.Context, service string, r *rand.Rand) error {
	ids, err := p.containers(ctx, service)
	if err != nil || len(ids) == 0 {
		return errors.Join(err, fmt.Errorf("%s: %d containers", service, len(ids)))
	}
	id, away := ids[r.IntN(len(ids))], time.Duration(r.IntN(mostAway*1000))*time.Millisecond
	slog.Info("kill", "service", service, "container", id[:12], "away", away)
	if _, err := p.run(ctx, "docker", "kill", "--signal", "KILL", id); err != nil {
		return err
	}
	select {
	case <-time.After(away):
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err = p.run(ctx, "docker", "start", id)
	return err
}

// lose removes what was sent of AWS in the last three hours, in which somebody stole a key.
func lose(kept string) error {
	removed := 0
	err := filepath.WalkDir(kept, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, "AWSLogs") {
			return err
		}
		for h := range 4 {
			if strings.Contains(d.Name(), time.Now().UTC().Add(-time.Duration(h)*time.Hour).Format("_20060102T15")) {
				removed++
				return os.Remove(path)
			}
		}
		return nil
	})
	if err == nil && removed == 0 {
		err = errors.New("nothing was sent that could be removed")
	}
	return err
}

// compare waits until everything is found, and compares it with what analyze finds.
func (p *project) compare(ctx context.Context, kept string, c config, out io.Writer) error {
	printed, err := p.run(ctx, p.program, "analyze", "--quiet", "--output", "ndjson", "--shape", "native", kept)
	if err != nil {
		return err
	}
	analyzed, err := live.Parse(live.Lines([]byte(printed))...)
	if err != nil {
		return err
	}
	js, end, err := p.connect()
	if err != nil {
		return err
	}
	defer end()
	settled, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	var published map[string]live.Insight
	var differences []string
	for {
		var events [][]byte
		err := tvjetstream.ReadAll(settled, js, tvjetstream.InsightsStream, func(r runner.Record) error {
			events = append(events, r.Body)
			return nil
		})
		if err == nil {
			if published, err = live.Parse(events...); err != nil {
				return err
			}
			differences = live.Compare(published, analyzed)
		}
		if len(differences) == 0 && err == nil || settled.Err() != nil {
			break
		}
		select {
		case <-time.After(time.Second):
		case <-settled.Done():
		}
	}
	types := make(map[string]int)
	for _, i := range published {
		types[i.Type]++
	}
	fmt.Fprintf(out, "insights      %d events of %d types published, %d found by analyze: %v\n", len(published), len(types), len(analyzed), types)
	if len(differences) > 0 {
		err := fmt.Errorf("%d insight events differ from those of analyze:\n%s", len(differences), tail(strings.Join(differences, "\n"), 8000))
		if !c.broken {
			return err
		}
		fmt.Fprintf(out, "found         that analyze had fewer logs: %d insight events differ\n", len(differences))
		return nil
	}
	switch {
	case c.broken:
		return errors.New("analyze had fewer logs than were sent, and that was not found")
	case len(published) < leastInsights || len(types) < leastTypes:
		return fmt.Errorf("%d insight events of %d types say too little; at least %d of %d types are needed", len(published), len(types), leastInsights, leastTypes)
	}
	dead, err := js.Stream(ctx, tvjetstream.DeadStream)
	if err != nil {
		return err
	}
	if n := dead.CachedInfo().State.Msgs; n > 0 {
		return fmt.Errorf("%d dead letters, although everything that was sent can be read", n)
	}
	return p.healthy(ctx, out)
}

// healthy demands that nothing is left to be read, no letter is dead, and nobody logged an error.
func (p *project) healthy(ctx context.Context, out io.Writer) error {
	settled, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	var said string
	err := within(settled, func() (err error) {
		said, err = p.run(ctx, p.program, "status", "--nats", p.nats, "--creds", viewer, "--json")
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "status        %s\n", gjson.Get(said, "headline"))
	logs, err := p.do(ctx, "logs", "--no-color")
	if err != nil {
		return err
	}
	var wrong []string
	for line := range strings.Lines(logs) {
		if strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "panic:") {
			wrong = append(wrong, line)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%d errors in the containers' logs:\n%s", len(wrong), tail(strings.Join(wrong, ""), 4000))
	}
	fmt.Fprintf(out, "logs          %d lines, none an error\n", strings.Count(logs, "\n"))
	return nil
}
