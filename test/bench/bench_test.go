//go:build linux

package main

import (
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/trailvane/trailvane/schemas"
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
	if err := run(t.Context(), []string{"-cost", "-state", "-records", "3000", "-n", "2", "-part", "20"}, &out); err != nil {
		t.Fatal(err)
	}
	has(t, out.String(),
		`3000 records, median of 2 runs`,
		`rate, events/s +\d+ +≥ 100000 +(ok|missed)`,
		`plain counter, CPU µs/event, server included +\d+\.\d\d +≤ 12 +(ok|missed)`,
		`pipeline / counter +\d+\.\d\d +≤ 1 +(ok|missed)`,
		`peak memory, MB +[1-9]\d+`,
		`allocations/event +\d+\.\d\d`,
		`2 +\d+ +\d+\.\d\d`,
		`RAW +[1-9]\d* +\d+`,
		`EVENTS +[1-9]\d* +\d+`,
		`what detectors keep +state, bytes +per +goal +ns per row +goal`,
		`ApiCallRateInsight +[1-9]\d* +series +≤ 1024 +(ok|missed) +[1-9]\d* +≤ 2000 +(ok|missed)`,
	)
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v behind, %v", left, err)
	}
}

// has fails if no line is like one that is wanted.
func has(t *testing.T, out string, wanted ...string) {
	t.Helper()
	for _, line := range wanted {
		if !regexp.MustCompile(`(?m)^` + line).MatchString(out) {
			t.Errorf("no line like %q in\n%s", line, out)
		}
	}
}

// Every row can be measured by itself, with real processes, and leaves none behind. Figures are not judged: the machine may be
// busy.
func TestSmallRows(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	b := &bench{dir: t.TempDir()}
	if err := b.build(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("rows", func(t *testing.T) {
		for _, tt := range []struct {
			args []string
			want []string
		}{
			{[]string{"-load", "-part", "100"}, []string{
				`detector-ApiCallRateInsight +10000 +[1-9]\d* +\d+\.\d +\d+\.\d\d +\d+\.\d\d +≤ 1 +(ok|missed)`,
				`aggregator +10000 +[1-9]\d* +\d+\.\d +\d+\.\d\d +\d+\.\d\d +≤ 1 +(ok|missed)`,
			}},
			{[]string{"-delay", "-part", "20"}, []string{
				`delay, RAW to INSIGHTS, ms, of [1-9]\d+ records at \d+ records/s; as fast as it goes: \d+`,
				`IpInsight +[2-9]\d+ +\d+\.\d +\d+\.\d +\d+\.\d +≤ 250 +(ok|missed) +[1-9]\d*`,
				`all +[1-9]\d+`,
				`of a Start, ms, in +p50 +p99 +max`,
				`normalizer +\d+\.\d +\d+\.\d +\d+\.\d`,
				`pairer +\d+\.\d +\d+\.\d +\d+\.\d`,
			}},
			{[]string{"-scale"}, []string{
				`detector +1 → 2 +8 to 8 +±1 +ok +56 +(= 56 +ok|= \d+ +missed)`,
				`pairer +3 → 2 +8 to 8 +±1 +ok`,
			}},
			{[]string{"-recovery", "-kills", "1"}, []string{
				`recovery, from SIGKILL to the first commit of the next owner of each partition, 1 kills each`,
				`ingest +1 +\d+\.\d\d .*≤ 5 +(ok|missed) +2 +\d+\.\d\d`,
				`detector +28 +\d+\.\d\d .*≤ 5 +(ok|missed) +56 +\d+\.\d\d`,
			}},
		} {
			t.Run(tt.args[0], func(t *testing.T) {
				t.Parallel() // most of it is waiting
				var out strings.Builder
				if err := run(t.Context(), append(tt.args, "-program", b.program), &out); err != nil {
					t.Fatal(err)
				}
				has(t, out.String(), tt.want...)
			})
		}
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v behind, %v", left, err)
	}
}

// The flood has every record once, in order, and the chunks that it makes are what a connector would make.
func TestFlood(t *testing.T) {
	f := newFlood(time.Hour)
	seen := make(map[string]bool)
	for after := uint64(0); after < 5*perRead; {
		records, err := f.Read(t.Context(), after)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Prev != after || r.Seq != after+1 {
				t.Fatalf("record %d follows %d, want %d", r.Seq, r.Prev, after)
			}
			after = r.Seq
			var c schemas.Chunk
			if err := c.Decode(r.Body); err != nil {
				t.Fatal(err)
			}
			for _, raw := range c.Records {
				var e struct{ EventID, EventTime, RecipientAccountID string }
				if err := json.Unmarshal(raw.Body, &e); err != nil {
					t.Fatalf("%v in %s", err, raw.Body)
				}
				if _, err := time.Parse(time.RFC3339, e.EventTime); err != nil || seen[e.EventID] || len(e.RecipientAccountID) != 12 {
					t.Fatalf("%+v: %v", e, err)
				}
				seen[e.EventID] = true
			}
		}
	}
	if len(seen) != 5*perRead*perChunk || f.sent != 5*perRead {
		t.Errorf("%d records in %d chunks, want %d", len(seen), f.sent, 5*perRead*perChunk)
	}
	f.until = time.Time{}
	if records, err := f.Read(t.Context(), 5*perRead); err != nil || len(records) != 1 || records[0].Subject != "raw.0.end" {
		t.Errorf("at the end: %v, %v", records, err)
	}
	if _, err := f.Read(t.Context(), 5*perRead+1); err != io.EOF {
		t.Errorf("behind the end: %v", err)
	}
}

func TestPercentile(t *testing.T) {
	var all []time.Duration
	if got := percentile(all, 99); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for i := range 200 {
		all = append(all, time.Duration(i+1))
	}
	for p, want := range map[int]time.Duration{50: 100, 99: 198, 100: 200} {
		if got := percentile(all, p); got != want {
			t.Errorf("%d percent of 1 to 200: %d, want %d", p, got, want)
		}
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	for _, args := range [][]string{{"-records", "0"}, {"-n", "0"}, {"-part", "0"}, {"-part", "101"}, {"-records", "many"}, {"logs/"}, {"-kills", "0"}, {"-burst", "1s"}} {
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
