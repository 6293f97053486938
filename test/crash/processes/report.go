//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trailvane/trailvane/schemas"
)

// A report is what a run says.
type report struct {
	begun    bool // everything was prepared, and the faults began
	events   int
	faults   map[string]map[string]int // by stage, then by kind and step
	insights map[schemas.InsightType]int
	repeats  map[string]int // stored, which readers dropped; by flow
	deaths   []string
	failures []string
	settled  time.Duration // from the last fault healed to everything read
	wall     time.Duration
	rows     []string // about take-overs and outages
}

// takeovers adds the rows about take-overs.
func (r *report) takeovers(w *watch) {
	row := func(name string, times []time.Duration) {
		ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
		r.rows = append(r.rows, fmt.Sprintf("%s\t%d partitions\tp50 %s\tp99 %s\tlongest %s",
			name, len(times), ms(percentile(times, 50)), ms(percentile(times, 99)), ms(percentile(times, 100))))
	}
	row("take-over, killed or paused", w.times(func(t takeover) bool { return t.how != leave }))
	row("  no other fault meanwhile", w.times(func(t takeover) bool { return t.how != leave && t.alone }))
	row("hand-over, planned stop", w.times(func(t takeover) bool { return t.how == leave }))
	row("  no other fault meanwhile", w.times(func(t takeover) bool { return t.how == leave && t.alone }))
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) > 0 {
		r.rows = append(r.rows, fmt.Sprintf("not taken over\t%d partitions, before everything was read", len(w.waiting)))
	}
}

// outages adds the rows about servers that were away: whether work went on meanwhile, and when it did afterwards. Of those that
// overlap nothing can be said.
func (r *report) outages(w *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortFunc(w.commits, time.Time.Compare)
	for _, many := range []int{1, 2} {
		total, during := 0, 0
		var after []time.Duration
		for _, s := range w.spans {
			overlaps := func(o *span) bool {
				return o != s && o.stage == server && o.begin.Before(s.end.Add(noticed)) && o.end.Add(noticed).After(s.begin)
			}
			if s.stage != server || s.many != many || s.end.IsZero() || slices.ContainsFunc(w.spans, overlaps) {
				continue
			}
			total++
			from, _ := slices.BinarySearchFunc(w.commits, s.begin.Add(noticed), time.Time.Compare)
			to, _ := slices.BinarySearchFunc(w.commits, s.end, time.Time.Compare)
			if to > from {
				during++
			}
			if to < len(w.commits) {
				after = append(after, w.commits[to].Sub(s.end))
			}
		}
		slices.Sort(after)
		if total > 0 {
			r.rows = append(r.rows, fmt.Sprintf("servers away at once: %d\t%d times, in %d of them something was committed meanwhile\tafterwards p50 %s\tlongest %s",
				many, total, during, percentile(after, 50).Round(time.Millisecond), percentile(after, 100).Round(time.Millisecond)))
		}
		if many == 2 && during > 0 {
			r.failures = append(r.failures, "something was committed although two of three servers were away")
		}
	}
}

// noticed is the time after which what was on its way when a server went has arrived, and the others have a leader.
const noticed = 2 * time.Second

// write writes the report, and returns an error if the run has failed.
func (r *report) write(out io.Writer, c *config) error {
	commit := "unknown"
	if b, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		commit = strings.TrimSpace(string(b))
	}
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "run\tseed %d, %d faults, cluster %t, trimming %t, commit %s, %s, %d cores\n",
		c.seed, c.faults, c.cluster, c.trim, commit, runtime.Version(), runtime.NumCPU())
	fmt.Fprintf(t, "input\t%d events, %d accounts, %d lanes, %d partitions\n", r.events, 2*c.accounts, lanes, partitions)
	for _, stage := range slices.Sorted(maps.Keys(r.faults)) {
		var kinds []string
		n := 0
		for _, k := range slices.Sorted(maps.Keys(r.faults[stage])) {
			kinds = append(kinds, fmt.Sprintf("%d %s", r.faults[stage][k], k))
			n += r.faults[stage][k]
		}
		fmt.Fprintf(t, "faults, %s\t%d: %s\n", stage, n, strings.Join(kinds, ", "))
	}
	for _, row := range r.rows {
		fmt.Fprintln(t, row)
	}
	var types []string
	events := 0
	for _, k := range slices.Sorted(maps.Keys(r.insights)) {
		types = append(types, fmt.Sprintf("%d %s", r.insights[k], k))
		events += r.insights[k]
	}
	fmt.Fprintf(t, "insight events\t%d: %s\n", events, strings.Join(types, ", "))
	var repeats []string
	for _, flow := range slices.Sorted(maps.Keys(r.repeats)) {
		repeats = append(repeats, fmt.Sprintf("%d in %s", r.repeats[flow], flow))
	}
	fmt.Fprintf(t, "repeats, dropped\t%s\n", strings.Join(repeats, ", "))
	fmt.Fprintf(t, "time\t%s in all, %s from the last fault healed until everything was read\n",
		r.wall.Round(time.Second), r.settled.Round(100*time.Millisecond))
	if err := t.Flush(); err != nil {
		return err
	}
	for _, d := range r.deaths {
		fmt.Fprintln(out, "ended by itself:", d)
	}
	for _, f := range r.failures {
		fmt.Fprintln(out, "failure:", f)
	}
	if len(r.deaths)+len(r.failures) > 0 {
		return errors.New("the run has failed")
	}
	return nil
}
