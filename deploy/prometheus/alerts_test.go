// Package prometheus tests what Prometheus and Grafana are given: that each alert fires when it should and not when it should not, and that
// rules and dashboards speak of metrics that there are.
package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"go.yaml.in/yaml/v3"
)

const step = 15 * time.Second // of the server's evaluation

// alerts returns the rules by name.
func alerts(t *testing.T) map[string]rulefmt.Rule {
	t.Helper()
	content, err := os.ReadFile("alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(content, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	all := make(map[string]rulefmt.Rule)
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = r
		}
	}
	return all
}

// A situation is some series, one sample each quarter of a minute, in Prometheus' notation: 1+2x5 is 1 3 5 7 9 11.
type situation struct {
	why    string
	series string
	at     time.Duration // when it is looked
	fires  bool
}

var situations = map[string][]situation{
	"TrailvaneDown": {
		{"away for three minutes", `up{job="trailvane",instance="a"} 1x20 0x12`, 8 * time.Minute, true},
		{"restarted at once", `up{job="trailvane",instance="a"} 1x20 0x2 1x20`, 8 * time.Minute, false},
		{"somebody else's", `up{job="node",instance="a"} 0x40`, 8 * time.Minute, false},
	},
	"TrailvaneHalted": {
		{"one of two instances", `
			trailvane_partitions{stage="pairer",state="halted",instance="a"} 0x40
			trailvane_partitions{stage="pairer",state="halted",instance="b"} 1x40`, 5 * time.Minute, true},
		{"none", `trailvane_partitions{stage="pairer",state="halted"} 0x40`, 5 * time.Minute, false},
		{"no data", ``, 5 * time.Minute, false},
	},
	"TrailvaneUnowned": {
		{"an instance has gone, and nobody took its partitions", `
			trailvane_partitions{stage="aggregator",state="owned",instance="a"} 8x400
			trailvane_partitions{stage="aggregator",state="owned",instance="b"} 8x100 _x300`, 40 * time.Minute, true},
		{"the only instance has gone", `
			trailvane_partitions{stage="aggregator",state="owned",instance="a"} 8x100 _x300`, 40 * time.Minute, true},
		{"scaled out", `
			trailvane_partitions{stage="aggregator",state="owned",instance="a"} 16x100 8x100
			trailvane_partitions{stage="aggregator",state="owned",instance="b"} _x100 8x100`, 40 * time.Minute, false},
		{"taken over within a minute", `
			trailvane_partitions{stage="aggregator",state="owned",instance="a"} 8x103 16x100
			trailvane_partitions{stage="aggregator",state="owned",instance="b"} 8x100 _x100`, 30 * time.Minute, false},
	},
	"TrailvaneLag": {
		{"behind for an hour", `trailvane_lag_records{stage="normalizer",partition="0"} 900x240
			trailvane_lag_records{stage="normalizer",partition="1"} 900x240`, time.Hour, true},
		{"a burst that was caught up with", `trailvane_lag_records{stage="normalizer",partition="0"} 0x60 90000x20 0x200`, 25 * time.Minute, false},
		{"what a commit has not covered", `trailvane_lag_records{stage="normalizer",partition="0"} 200x240`, time.Hour, false},
	},
	"TrailvaneWatermarkDelay": {
		{"two hours", `trailvane_watermark_delay_seconds{region="eu-central-1"} 7200x240`, 30 * time.Minute, true},
		{"a region of two", `trailvane_watermark_delay_seconds{region="a",instance="x"} 60x240
			trailvane_watermark_delay_seconds{region="a",instance="y"} 3700x240`, 30 * time.Minute, true},
		{"lateness and a quiet half hour", `trailvane_watermark_delay_seconds{region="eu-central-1"} 2700x240`, 30 * time.Minute, false},
	},
	"TrailvaneSilent": {
		{"seven hours", `trailvane_silence_seconds{instance="x"} 25200x240`, 45 * time.Minute, true},
		{"one of two partitions", `trailvane_silence_seconds{instance="x"} 60x240
			trailvane_silence_seconds{instance="y"} 25200x240`, 45 * time.Minute, true},
		{"two hours", `trailvane_silence_seconds{instance="x"} 7200x240`, 45 * time.Minute, false},
		{"ticks alone", `trailvane_watermark_delay_seconds{region="a"} 1800x240
			trailvane_silence_seconds{instance="x"} 25200x240`, 45 * time.Minute, true},
	},
	"TrailvaneNoEvents": {
		{"nothing for two hours", `trailvane_events_total{instance="a"} 0+100x120 12000x480
			trailvane_account_regions{instance="a"} 5x600`, 150 * time.Minute, true},
		{"the counter has gone", `trailvane_events_total{instance="a"} 0+100x120 _x480
			trailvane_account_regions{instance="a"} 5x600`, 150 * time.Minute, true},
		{"a restart is no silence", `trailvane_events_total{instance="a"} 0+100x300 0+100x300
			trailvane_account_regions{instance="a"} 5x600`, 150 * time.Minute, false},
		{"a deployment that has never had any", `trailvane_account_regions{instance="a"} 0x600`, 150 * time.Minute, false},
	},
	"TrailvaneDeadLetters": {
		{"some", `trailvane_dead_letters_total{stage="normalizer",reason="malformed"} 3x40 5x20`, 15 * time.Minute, true},
		{"the first of their reason", `trailvane_dead_letters_total{stage="normalizer",reason="malformed"} _x40 5x20`, 15 * time.Minute, true},
		{"the first of their reason, long ago", `trailvane_dead_letters_total{stage="normalizer",reason="malformed"} _x40 5x80`, 27 * time.Minute, false},
		{"old ones, and a restart", `trailvane_dead_letters_total{stage="normalizer",reason="malformed"} 3x40 0x20`, 15 * time.Minute, false},
		{"none", ``, 15 * time.Minute, false},
	},
	"TrailvaneLateEvents": {
		{"one in ten", `trailvane_events_late_total 0+10x400
			trailvane_events_counted_total 0+100x400`, 80 * time.Minute, true},
		{"one in a hundred", `trailvane_events_late_total 0+1x400
			trailvane_events_counted_total 0+100x400`, 80 * time.Minute, false},
		{"no events", `trailvane_events_late_total 0x400
			trailvane_events_counted_total 0x400`, 80 * time.Minute, false},
	},
	"TrailvaneStaleEvents": {
		{"some", `trailvane_events_stale_total 0x40 7x40`, 15 * time.Minute, true},
		{"none", `trailvane_events_stale_total 7x80`, 15 * time.Minute, false},
	},
	"TrailvaneInsightConflict": {
		{"one", `trailvane_insight_conflicts_total{stage="pairer",partition="3"} 0x10 1x10`, 4 * time.Minute, true},
		{"none", `trailvane_insight_conflicts_total{stage="pairer",partition="3"} 0x20`, 4 * time.Minute, false},
	},
	"TrailvaneStreamFull": {
		{"as several processes tell", `trailvane_stream_size_bytes{stream="RAW_0",instance="a"} 95x100
			trailvane_stream_limit_bytes{stream="RAW_0",instance="a"} 100x100
			trailvane_stream_size_bytes{stream="RAW_0",instance="b"} 95x100
			trailvane_stream_limit_bytes{stream="RAW_0",instance="b"} 100x100`, 15 * time.Minute, true},
		{"half", `trailvane_stream_size_bytes{stream="RAW_0"} 50x100
			trailvane_stream_limit_bytes{stream="RAW_0"} 100x100`, 15 * time.Minute, false},
		{"full for a minute", `trailvane_stream_size_bytes{stream="RAW_0"} 50x40 99x4 50x40
			trailvane_stream_limit_bytes{stream="RAW_0"} 100x100`, 15 * time.Minute, false},
	},
	"TrailvaneCommitSlow": {
		{"five seconds", `trailvane_commit_duration_seconds_bucket{stage="pairer",le="2.5"} 0x120
			trailvane_commit_duration_seconds_bucket{stage="pairer",le="5"} 0+2x120
			trailvane_commit_duration_seconds_bucket{stage="pairer",le="+Inf"} 0+2x120`, 25 * time.Minute, true},
		{"fast", `trailvane_commit_duration_seconds_bucket{stage="pairer",le="0.1"} 0+2x120
			trailvane_commit_duration_seconds_bucket{stage="pairer",le="+Inf"} 0+2x120`, 25 * time.Minute, false},
		{"no commits", `trailvane_commit_duration_seconds_bucket{stage="pairer",le="0.1"} 5x120
			trailvane_commit_duration_seconds_bucket{stage="pairer",le="+Inf"} 5x120`, 25 * time.Minute, false},
	},
	"TrailvaneRetries": {
		{"two a second", `trailvane_retries_total{stage="ingest"} 0+30x200`, 40 * time.Minute, true},
		{"now and then, with a restart", `trailvane_retries_total{stage="ingest"} 0+1x100 0+1x100`, 40 * time.Minute, false},
	},
	"TrailvaneLoads": {
		{"a loop", `trailvane_loads_total{stage="pairer",partition="1"} 0+1x120`, 30 * time.Minute, true},
		{"a take-over", `trailvane_loads_total{stage="pairer",partition="1"} 1x60 2x60`, 30 * time.Minute, false},
	},
	"TrailvaneRestarts": {
		{"a crash loop", `process_start_time_seconds{job="trailvane",instance="a"} 100x20 400x20 700x20 1000x20 1300x40`, 30 * time.Minute, true},
		{"an update", `process_start_time_seconds{job="trailvane",instance="a"} 100x60 900x60`, 30 * time.Minute, false},
		{"somebody else's", `process_start_time_seconds{job="node",instance="a"} 100x20 400x20 700x20 1000x20 1300x40`, 30 * time.Minute, false},
	},
	"TrailvaneMemory": {
		{"two gigabytes", `process_resident_memory_bytes{job="trailvane",instance="a"} 2e9x100`, 15 * time.Minute, true},
		{"as usual", `process_resident_memory_bytes{job="trailvane",instance="a"} 40e6x100`, 15 * time.Minute, false},
	},
}

// fires reports whether an alert fires: whether its expression has had a value, for the same labels, all the time that it asks for.
func fires(t *testing.T, r rulefmt.Rule, s situation) bool {
	t.Helper()
	var load strings.Builder
	load.WriteString("load 15s\n")
	for line := range strings.Lines(s.series) {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintf(&load, "  %s\n", line)
		}
	}
	storage := promqltest.LoadedStorage(t, load.String())
	defer storage.Close()
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{}),
	})
	var pending map[string]bool
	for at := s.at - time.Duration(r.For); at <= s.at; at += step {
		q, err := engine.NewInstantQuery(context.Background(), storage, nil, r.Expr, time.Unix(0, 0).Add(at))
		if err != nil {
			t.Fatal(err)
		}
		v, err := q.Exec(context.Background()).Vector()
		if err != nil {
			t.Fatal(err)
		}
		now := make(map[string]bool)
		for _, sample := range v {
			if key := sample.Metric.String(); pending == nil || pending[key] {
				now[key] = true
			}
		}
		pending = now
		q.Close()
	}
	return len(pending) > 0
}

func TestAlerts(t *testing.T) {
	rules := alerts(t)
	for name, r := range rules {
		var yes, no bool
		for _, s := range situations[name] {
			if got := fires(t, r, s); got != s.fires {
				t.Errorf("%s, %s: fires %t, want %t", name, s.why, got, s.fires)
			}
			yes, no = yes || s.fires, no || !s.fires
		}
		if !yes || !no {
			t.Errorf("%s needs a situation in which it fires, and one in which it does not", name)
		}
	}
	for name := range situations {
		if _, ok := rules[name]; !ok {
			t.Errorf("there is no alert %s", name)
		}
	}
}

// Who is woken by an alert must find out what it means and what to do.
func TestAlertsSayWhatToDo(t *testing.T) {
	for name, r := range alerts(t) {
		if !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) {
			t.Errorf("%s has severity %q", name, r.Labels["severity"])
		}
		if r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 40 {
			t.Errorf("%s says too little: %v", name, r.Annotations)
		}
		page, anchor, _ := strings.Cut(r.Annotations["runbook"], "#")
		content, err := os.ReadFile(filepath.Join("..", "..", page))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Contains(anchors(string(content)), anchor) {
			t.Errorf("%s: %s has no heading #%s", name, page, anchor)
		}
		if anchor == "alerts" && !strings.Contains(string(content), "`"+name+"`") {
			t.Errorf("%s does not say what to do about %s", page, name)
		}
	}
}

var notInAnchors = regexp.MustCompile(`[^a-z0-9 -]`)

// anchors returns those of a page's headings, as they are made for them on the web.
func anchors(page string) (all []string) {
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "#") {
			title := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
			all = append(all, strings.ReplaceAll(notInAnchors.ReplaceAllString(title, ""), " ", "-"))
		}
	}
	return all
}

// metrics returns the labels of each metric that Trailvane has, by the table that its own tests keep true.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{"up": {}, "process_resident_memory_bytes": {}, "process_start_time_seconds": {}}
	for _, m := range regexp.MustCompile("(?m)^\\| `(trailvane_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(page), -1) {
		var names []string
		for name := range strings.SplitSeq(m[3], ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
		if m[2] == "histogram" {
			all[m[1]+"_bucket"], all[m[1]+"_sum"], all[m[1]+"_count"] = append(slices.Clone(names), "le"), names, names
			continue
		}
		all[m[1]] = names
	}
	if len(all) < 20 {
		t.Fatalf("docs/metrics.md has %d metrics", len(all))
	}
	return all
}

// check tells what an expression asks for that there is not.
func check(t *testing.T, where, expr string) {
	t.Helper()
	known := metrics(t)
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %q: %v", where, expr, err)
		return
	}
	everywhere := []string{"job", "instance", "le", labels.MetricName}
	var has []string
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		names, ok := known[s.Name]
		if !ok {
			t.Errorf("%s: there is no metric %q", where, s.Name)
		}
		has = append(has, names...)
		for _, m := range s.LabelMatchers {
			if !slices.Contains(append(names, everywhere...), m.Name) {
				t.Errorf("%s: %s has no label %q", where, s.Name, m.Name)
			}
		}
		return nil
	})
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		if a, ok := n.(*parser.AggregateExpr); ok {
			for _, l := range a.Grouping {
				if !slices.Contains(append(has, everywhere...), l) {
					t.Errorf("%s: %q groups by %q, which nothing in it has", where, expr, l)
				}
			}
		}
		return nil
	})
}

func TestAlertsKnowTheirMetrics(t *testing.T) {
	for name, r := range alerts(t) {
		check(t, name, r.Expr)
	}
}

// Every service of the compose file that shows metrics is asked for them.
func TestTargets(t *testing.T) {
	var c struct {
		ScrapeConfigs []struct {
			DNS []struct{ Names []string } `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	var compose struct {
		Services map[string]struct{ Command []string }
	}
	for file, into := range map[string]any{"prometheus.yml": &c, "../../docker-compose.yml": &compose} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(content, into); err != nil {
			t.Fatal(file, err)
		}
	}
	var want []string
	for name, s := range compose.Services {
		if len(s.Command) > 0 && slices.Contains([]string{"ingest", "normalizer", "aggregator", "detector", "pairer"}, s.Command[0]) {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	got := slices.Clone(c.ScrapeConfigs[0].DNS[0].Names)
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("Prometheus asks %v, want %v", got, want)
	}
}

// A panel is one picture of the dashboard.
type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  struct{ UID string }
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []struct{ Expr string }
	GridPos     struct{ X, Y, W, H int }
}

func TestDashboard(t *testing.T) {
	content, err := os.ReadFile("../grafana/dashboards/trailvane.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID, Title string
		Panels     []panel
		Templating struct {
			List []struct{ Name, Type, Query string }
		}
	}
	if err := json.Unmarshal(content, &d); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	ids, shown := make(map[int]bool), make(map[string]bool)
	if len(d.Templating.List) == 0 || d.Templating.List[0].Type != "datasource" || d.UID == "" {
		t.Error("the data source is no variable, or the dashboard has no uid")
	}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("panel %d is there twice", p.ID)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("panel %q: description %q, unit %q, data source %q, %d targets", p.Title, p.Description, p.FieldConfig.Defaults.Unit,
				p.Datasource.UID, len(p.Targets))
		}
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
			t.Errorf("panel %q lies at %+v", p.Title, p.GridPos)
		}
		if !strings.Contains(string(page), "| "+p.Title+" |") {
			t.Errorf("docs/operations.md does not say what panel %q means", p.Title)
		}
		for _, target := range p.Targets {
			check(t, "panel "+p.Title, strings.ReplaceAll(target.Expr, "$__rate_interval", "1m"))
			for name := range metrics(t) {
				if strings.Contains(target.Expr, name) {
					shown[name] = true
				}
			}
		}
	}
	for name, r := range alerts(t) {
		seen := false
		for _, metric := range slices.Sorted(maps.Keys(metrics(t))) {
			seen = seen || shown[metric] && strings.Contains(r.Expr, metric)
		}
		if !seen {
			t.Errorf("no panel shows what %s is about", name)
		}
	}
}
