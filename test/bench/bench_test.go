//go:build linux

package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// The plain counter is this program itself, also when this program is the test.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == counterArg {
		main()
		return
	}
	os.Exit(m.Run())
}

// A small run has every line of a large one, and leaves nothing behind.
func TestASmallRun(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out strings.Builder
	if err := run(t.Context(), []string{"-records", "3000", "-n", "2", "-part", "20"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`3000 records, median of 2 runs`,
		`rate, events/s +\d+ +≥ 100000, now 50000 +(ok|missed)`,
		`plain counter, CPU µs/event, server included +\d+\.\d\d +≤ 12 +(ok|missed)`,
		`pipeline / counter +\d+\.\d\d +≤ 1 +(ok|missed)`,
		`peak memory, MB +[1-9]\d+`,
		`allocations/event +\d+\.\d\d`,
		`2 +\d+ +\d+\.\d\d`,
		`RAW +[1-9]\d* +\d+`,
		`EVENTS +[1-9]\d* +\d+`,
		`what detectors keep +state, bytes +per +goal +ns per row +goal`,
		`ApiCallRateInsight +[1-9]\d* +series +≤ 1024 +(ok|missed) +[1-9]\d* +≤ 2000 +(ok|missed)`,
	} {
		if !regexp.MustCompile(`(?m)^` + line).MatchString(out.String()) {
			t.Errorf("no line like %q in\n%s", line, out.String())
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v behind, %v", left, err)
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{{"-records", "0"}, {"-n", "0"}, {"-part", "0"}, {"-part", "101"}, {"-records", "many"}, {"logs/"}} {
		if err := run(t.Context(), args, t.Output()); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}

func TestWhoIsChargedForASample(t *testing.T) {
	sample := func(label, value string, stack ...string) *profile.Sample {
		s := &profile.Sample{Label: map[string][]string{label: {value}}}
		for _, f := range stack {
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: f}}}})
		}
		return s
	}
	const server, client = "github.com/nats-io/nats-server/v2/server.(*stream).internalLoop", "github.com/nats-io/nats%2ego.(*Conn).readLoop"
	tests := []struct {
		sample *profile.Sample
		want   string
	}{
		{sample("stage", "ingest", "runtime.memmove", client), "ingest"},
		{sample("stream", "RAW_0", "runtime.memmove", server), "server: RAW"},
		{sample("stream", "KV_STATE_ingest", "runtime.memmove", server), "server: state"},
		{sample("account", "$G", server), "server: connections"},
		{sample("", "", client), "client: connections"},
		{sample("", "", "runtime.scanobject", "runtime.gcBgMarkWorker.func2"), "garbage collection"},
		{sample("", "", "runtime.schedule"), "scheduler and the rest"},
	}
	for _, c := range tests {
		if got := owner(c.sample); got != c.want {
			t.Errorf("%v is charged to %q, want %q", c.sample.Label, got, c.want)
		}
	}
}

func TestMedian(t *testing.T) {
	same := func(d time.Duration) float64 { return float64(d) }
	for want, of := range map[float64][]time.Duration{2: {3, 1, 2}, 1: {1}, 4: {9, 4, 5, 1}} {
		if got := median(of, same); got != want {
			t.Errorf("median of %v is %g, want %g", of, got, want)
		}
	}
}
