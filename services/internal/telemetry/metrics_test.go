package telemetry

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"context"
	"log/slog"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of docs/metrics.md")

var page = filepath.Join("..", "..", "..", "docs", "metrics.md")

const begin, end = "<!-- begin of the table, which a test writes -->\n", "<!-- end of the table -->\n"

func table() string {
	var b strings.Builder
	b.WriteString("| name | kind | labels | what |\n|---|---|---|---|\n")
	for _, m := range Metrics() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Exposed(), m.Kind, strings.Join(m.Labels, ", "), m.Help)
	}
	return b.String()
}

// docs/metrics.md tells the metrics that there are. To write its table, run this with -update.
func TestPage(t *testing.T) {
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	is, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q and %q", page, begin, end)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+begin+table()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(table(), is); diff != "" {
		t.Errorf("%s is not what the program has; write it by -update (-program +page):\n%s", page, diff)
	}
}

// /metrics shows each metric under the name that the page tells, and no other one of ours.
func TestExposed(t *testing.T) {
	tele, err := Start(t.Context(), "one", "v1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := tele.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	err = tele.Serve(func(_ context.Context, o Observe) {
		for _, m := range Metrics() {
			if m.Kind != Histogram {
				o(m.Name, 7, m.Labels...)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	tele.Committed("aggregator", 3*time.Millisecond)
	answer := httptest.NewRecorder()
	tele.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	var got, want []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (trailvane_\S+ \S+)$`).FindAllStringSubmatch(answer.Body.String(), -1) {
		got = append(got, m[1])
	}
	for _, m := range Metrics() {
		want = append(want, m.Exposed()+" "+string(m.Kind))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if want := `trailvane_insights_total{region="region",type="type"} 7`; !strings.Contains(answer.Body.String(), want) {
		t.Errorf("no %s in\n%s", want, answer.Body)
	}
	if want := `trailvane_commit_duration_seconds_bucket{stage="aggregator",le="0.005"} 1`; !strings.Contains(answer.Body.String(), want) {
		t.Errorf("no %s in\n%s", want, answer.Body)
	}
}

func TestRegionsAreBounded(t *testing.T) {
	var r Regions
	for i := range 3 * MaxRegions {
		name := fmt.Sprint("region-", i)
		want := name
		if i >= MaxRegions {
			want = Other
		}
		if got := r.Label(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	if got := r.Label("region-3"); got != "region-3" {
		t.Errorf("region-3 is %s", got)
	}
}
