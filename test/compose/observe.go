package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v3"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/test/live"
)

const (
	observeSpeed = 1000
	shownTime    = 2 * time.Minute  // from the last record until everything is seen everywhere
	tailTime     = 15 * time.Second // that tail has to print what is there
	rateInterval = "1m"             // what Grafana makes of $__rate_interval

	observability = "observability" // profile
	grafana       = "grafana"       // service
)

// stagesOfTrace begin the names of the spans on the way from a request to an insight event.
var stagesOfTrace = []string{"ingest request", "normalizer apply", "aggregator apply", "detector-", "pairer apply"}

// quietPanels show nothing when nothing is wrong.
var quietPanels = []string{"Drops", "Dead letters", "Conflicts"}

// observe runs everything with deploy/observability.env, has the company send, and looks where an operator would: insights in tail,
// the trace of each in Jaeger, all processes, rules and panels in Prometheus.
func (p *project) observe(ctx context.Context, c config, out io.Writer) error {
	file, err := os.ReadFile(filepath.Join(p.root, "deploy/observability.env"))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(file)) {
		if line := strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			p.env = append(p.env, line)
		}
	}
	port := make(map[string]string)
	for _, name := range []string{"JAEGER_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT"} {
		if port[name], err = freePort(); err != nil {
			return err
		}
		p.env = append(p.env, name+"="+port[name])
	}
	p.env = append(p.env, "OTEL_TRACES_SAMPLER_ARG=1")
	up, err := p.services(observability)
	if err != nil {
		return err
	}
	if !p.hasImage(ctx, grafana) {
		fmt.Fprintln(out, "NOT TESTED: Grafana, whose image is not here and cannot be made of Go modules")
		up = slices.DeleteFunc(up, func(s string) bool { return s == grafana })
	}
	if _, err := p.run(ctx, append([]string{"scripts/up"}, up...)...); err != nil {
		return err
	}
	if _, err := p.run(ctx, p.program, "demo", "--seed", fmt.Sprint(c.seed), "--to", p.http, "--token-file", "deploy/secrets/http-tokens",
		"--live", liveTime.String(), "--speed", fmt.Sprint(observeSpeed)); err != nil {
		return err
	}
	shown, cancel := context.WithTimeout(ctx, shownTime)
	defer cancel()
	if err := p.inTail(shown, out); err != nil {
		return err
	}
	if err := p.inJaeger(shown, "http://127.0.0.1:"+port["JAEGER_PORT"], out); err != nil {
		return err
	}
	return p.inPrometheus(shown, "http://127.0.0.1:"+port["PROMETHEUS_PORT"], out)
}

// services returns the names of all services that no profile holds back, and of those of a profile, sorted.
func (p *project) services(profile string) ([]string, error) {
	content, err := os.ReadFile(filepath.Join(p.root, "docker-compose.yml"))
	if err != nil {
		return nil, err
	}
	var file struct {
		Services map[string]struct{ Profiles []string }
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		return nil, err
	}
	maps.DeleteFunc(file.Services, func(_ string, s struct{ Profiles []string }) bool {
		return len(s.Profiles) > 0 && !slices.Contains(s.Profiles, profile)
	})
	return slices.Sorted(maps.Keys(file.Services)), nil
}

// hasImage reports whether the image of a service is here or can be pulled.
func (p *project) hasImage(ctx context.Context, service string) bool {
	_, err := p.do(ctx, "pull", "-q", service)
	return err == nil
}

// inTail demands that tail prints insights of enough types.
func (p *project) inTail(ctx context.Context, out io.Writer) error {
	for {
		once, cancel := context.WithTimeout(ctx, tailTime)
		tail := exec.CommandContext(once, p.program, "tail", "--nats", p.nats, "--creds", viewer, "--since", "24h",
			"--output", "ndjson", "--shape", "native")
		tail.Dir, tail.Env = p.root, p.env
		tail.Cancel = func() error { return tail.Process.Signal(syscall.SIGINT) } // as a person ends it
		var printed, complaints bytes.Buffer
		tail.Stdout, tail.Stderr = &printed, &complaints
		err := tail.Run()
		cancel()
		if err != nil && once.Err() == nil {
			return fmt.Errorf("tail: %w\n%s", err, complaints.Bytes())
		}
		insights, err := live.Parse(live.Lines(printed.Bytes())...)
		if err != nil {
			return fmt.Errorf("tail: %w", err)
		}
		types := make(map[string]int)
		for _, i := range insights {
			types[i.Type]++
		}
		if len(types) >= leastTypes {
			fmt.Fprintf(out, "tail          insights of %d types: %v\n", len(types), types)
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("tail prints insights of %d types, at least %d are needed: %v", len(types), leastTypes, types)
		}
	}
}

// inJaeger demands that the trace of every insight event is there, from the request to the event.
func (p *project) inJaeger(ctx context.Context, address string, out io.Writer) error {
	js, end, err := p.connect()
	if err != nil {
		return err
	}
	defer end()
	var traces []string
	events, traced := 0, 0
	if err := tvjetstream.ReadAll(ctx, js, tvjetstream.InsightsStream, func(r runner.Record) error {
		events++
		if parts := strings.Split(r.Trace, "-"); len(parts) == 4 {
			traces = append(traces, parts[1])
			traced++
		}
		return nil
	}); err != nil {
		return err
	}
	slices.Sort(traces)
	traces = slices.Compact(traces)
	if traced < events/2 { // those that a tick has caused have none
		return fmt.Errorf("%d of %d insight events have a trace", traced, events)
	}
	whole := func(trace string) error {
		answer, err := get(ctx, address+"/api/traces/"+trace)
		if err != nil {
			return err
		}
		operations := answer.Get("data.0.spans.#.operationName").Array()
		for _, stage := range stagesOfTrace {
			if !slices.ContainsFunc(operations, func(o gjson.Result) bool { return strings.HasPrefix(o.String(), stage) }) {
				return fmt.Errorf("trace %s has no span %q: %v", trace, stage, operations)
			}
		}
		return nil
	}
	for _, trace := range traces {
		if err := within(ctx, func() error { return whole(trace) }); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "jaeger        %d traces of %d insight events are whole, from the request to the event; %d were caused by a tick\n",
		len(traces), traced, events-traced)
	return nil
}

// inPrometheus demands that all processes are scraped, all rules can be evaluated, none fires, and all panels have something to show.
func (p *project) inPrometheus(ctx context.Context, address string, out io.Writer) error {
	services, err := p.services(observability)
	if err != nil {
		return err
	}
	want := 0
	for _, s := range services {
		if slices.Contains([]string{"ingest", "normalizer", "aggregator", "pairer"}, s) || strings.HasPrefix(s, "detector-") {
			want++
		}
	}
	targets := func() error {
		answer, err := get(ctx, address+"/api/v1/targets?state=active")
		if err != nil {
			return err
		}
		health := answer.Get("data.activeTargets.#.health").Array()
		up := slices.DeleteFunc(slices.Clone(health), func(h gjson.Result) bool { return h.String() != "up" })
		if len(up) != want || len(health) != want {
			return fmt.Errorf("%d of %d targets are up, not %d: %s", len(up), len(health), want, answer.Get("data.activeTargets.#.lastError"))
		}
		fmt.Fprintf(out, "prometheus    %d targets are up\n", want)
		return nil
	}
	rules := func() error {
		answer, err := get(ctx, address+"/api/v1/rules")
		if err != nil {
			return err
		}
		all := answer.Get("data.groups.#.rules|@flatten").Array()
		var firing []string
		for _, r := range all {
			if r.Get("health").String() != "ok" {
				return fmt.Errorf("rule %s is %s: %s", r.Get("name"), r.Get("health"), r.Get("lastError"))
			}
			if r.Get("state").String() == "firing" {
				firing = append(firing, r.Get("name").String())
			}
		}
		if len(all) == 0 || len(firing) > 0 {
			return fmt.Errorf("%d rules, of which %v fire", len(all), firing)
		}
		fmt.Fprintf(out, "              %d rules are evaluated, none fires\n", len(all))
		return nil
	}
	content, err := os.ReadFile(filepath.Join(p.root, "deploy/grafana/dashboards/trailvane.json"))
	if err != nil {
		return err
	}
	panels := gjson.GetBytes(content, "panels").Array()
	pictures := func() error {
		shown := 0
		for _, panel := range panels {
			for _, target := range panel.Get("targets").Array() {
				expr := strings.ReplaceAll(target.Get("expr").String(), "$__rate_interval", rateInterval)
				answer, err := get(ctx, address+"/api/v1/query?query="+url.QueryEscape(expr))
				if err != nil {
					return err
				}
				if len(answer.Get("data.result").Array()) > 0 {
					shown++
				} else if !slices.Contains(quietPanels, panel.Get("title").String()) {
					return fmt.Errorf("panel %q has nothing to show: %s", panel.Get("title"), expr)
				}
			}
		}
		fmt.Fprintf(out, "              %d expressions of the dashboard have something to show\n", shown)
		return nil
	}
	for _, demand := range []func() error{targets, rules, pictures} {
		if err := within(ctx, demand); err != nil {
			return err
		}
	}
	return nil
}

// within asks once a second until it is so, or the context ends.
func within(ctx context.Context, demand func() error) error {
	for {
		err := demand()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return err
		}
	}
}

// get returns the JSON that a page of a program beside the services answers.
func get(ctx context.Context, address string) (gjson.Result, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return gjson.Result{}, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return gjson.Result{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return gjson.Result{}, err
	}
	if answer.StatusCode != http.StatusOK || !json.Valid(body) {
		return gjson.Result{}, fmt.Errorf("%s: %s: %.500s", address, answer.Status, body)
	}
	return gjson.ParseBytes(body), nil
}
