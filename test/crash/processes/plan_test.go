//go:build linux

package main

import (
	"slices"
	"testing"
	"time"
)

// The same seed gives the same faults, in the order of their time, and a long run has every kind at every stage.
func TestSchedule(t *testing.T) {
	for _, cluster := range []bool{false, true} {
		c := config{seed: 3, faults: 2000, every: time.Second, cluster: cluster}
		faults := schedule(&c)
		if !slices.Equal(faults, schedule(&c)) {
			t.Error("the same seed gives other faults")
		}
		if !slices.IsSortedFunc(faults, func(a, b fault) int { return int(a.at - b.at) }) {
			t.Error("faults are not in the order of their time")
		}
		type what struct {
			stage, step string
			kind        kind
		}
		seen := make(map[what]bool)
		for _, f := range faults {
			seen[what{f.stage, f.step, f.kind}] = true
			if f.kind == pause && f.lasts < shortestPause {
				t.Errorf("a pause of %s is shorter than what others wait", f.lasts)
			}
		}
		for _, stage := range commands {
			for _, k := range []kind{kill, pause, leave, join} {
				if !seen[what{stage, anyStep, k}] {
					t.Errorf("cluster %t: no %s of %s", cluster, k, stage)
				}
			}
			for _, step := range slices.Concat(loopSteps, startSteps, endSteps) {
				if !seen[what{stage, step, kill}] {
					t.Errorf("cluster %t: no kill of %s at %s", cluster, stage, step)
				}
			}
		}
		if !seen[what{server, anyStep, kill}] || cluster != seen[what{server, anyStep, cut}] {
			t.Errorf("cluster %t: the faults of servers are others", cluster)
		}
	}
}

// Whoever sleeps in a run without fence must wake up beside another owner, so one of a stage may sleep at a time.
func TestScheduleFence(t *testing.T) {
	c := config{seed: 3, faults: 50, every: longestPause, broken: "fence"}
	awake := make(map[string]time.Duration)
	for _, f := range schedule(&c) {
		if f.kind != wipe || f.at < awake[f.stage] {
			t.Errorf("%s of %s at %s, when one sleeps until %s", f.kind, f.stage, f.at, awake[f.stage])
		}
		awake[f.stage] = f.at + f.lasts
	}
}

func TestPercentile(t *testing.T) {
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(i+1))
	}
	for p, want := range map[int]time.Duration{50: 100, 99: 198, 100: 200} {
		if got := percentile(times, p); got != want {
			t.Errorf("percentile %d = %d, want %d", p, got, want)
		}
	}
	if got := percentile(nil, 99); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}
