package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// metrics returns what a service shows at /metrics, by line without the value.
func (s *serving) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.health+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s, %v", answer.Status, err)
	}
	all := make(map[string]float64)
	for line := range strings.Lines(string(body)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil {
			all[name] = n
		}
	}
	return all
}

// sum adds up a metric over its labels, of which some may be chosen.
func sum(all map[string]float64, name string, labels ...string) (total float64) {
	for line, value := range all {
		if n, rest, _ := strings.Cut(line, "{"); n == name && !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(rest, l) }) {
			total += value
		}
	}
	return total
}

// A service shows the metrics of docs/metrics.md and no others, and they tell what has happened.
func TestMetrics(t *testing.T) {
	s := serve(t, "serve", "--store", filepath.Join(t.TempDir(), "store"), "--partitions", "2", "--poll", "500ms", company)
	s.ready(t)
	var all map[string]float64
	last := ""
	within(t, "everything is committed", func() bool {
		all = s.metrics(t)
		last = "missing"
		return sum(all, "trailvane_insights_total") >= float64(len(starts(t, "3"))) &&
			sum(all, "trailvane_outputs_total", `stage="pairer"`) == sum(all, "trailvane_insights_total") &&
			sum(all, "trailvane_records_total", `stage="pairer"`) == sum(all, "trailvane_findings_total") &&
			sum(all, "trailvane_events_total") == sum(all, "trailvane_events_counted_total")+sum(all, "trailvane_events_dropped_total", `"duplicate"`)+
				sum(all, "trailvane_events_stale_total")
	}, &last)
	s.stop(t)

	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `(trailvane_[a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		told[m[1]] = true
	}
	shown := make(map[string]bool)
	for line := range all {
		name, _, _ := strings.Cut(line, "{")
		if !strings.HasPrefix(name, "trailvane_") {
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		if shown[name] = true; !told[name] {
			t.Errorf("%s is shown, and no line of docs/metrics.md", name)
		}
	}
	for name := range told {
		// Nothing is refused or skipped here.
		if !shown[name] && name != "trailvane_dead_letters_total" && name != "trailvane_objects_skipped_total" {
			t.Errorf("%s of docs/metrics.md is not shown", name)
		}
	}
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"trailvane_partitions", []string{`state="owned"`, `stage="aggregator"`}, 2},
		{"trailvane_partitions", []string{`state="halted"`}, 0},
		{"trailvane_insight_conflicts_total", nil, 0},
	} {
		if got := sum(all, c.name, c.labels...); got != c.want {
			t.Errorf("%s%v = %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	for _, name := range []string{"trailvane_state_size_bytes", "trailvane_stream_limit_bytes", "trailvane_account_regions", "trailvane_objects_total"} {
		if sum(all, name) == 0 {
			t.Errorf("%s is 0", name)
		}
	}
}
