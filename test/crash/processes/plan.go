//go:build linux

package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// Stages of the deployment, as commands of the program.
var commands = []string{"ingest", "normalizer", "aggregator", "detector", "pairer"}

// server stands where the name of a stage does.
const server = "server"

// A kind is what happens to an instance or to a server.
type kind string

const (
	kill  kind = "kill"  // SIGKILL; another takes its place a little later
	pause kind = "pause" // SIGSTOP for longer than the others wait, SIGCONT
	leave kind = "leave" // SIGTERM; another takes its place a little later
	join  kind = "join"  // one more
	wipe  kind = "wipe"  // a pause before a commit, and as soon as that is made SIGKILL for the whole stage: what the fence is for
	cut   kind = "cut"   // of a server: its network is down for a while
)

// anyStep is a fault from outside, at any moment.
const anyStep = "any"

// Steps of the loop. Those of a start happen to the instance that takes the place of one that left.
var (
	loopSteps  = []string{"read", "put", "half-put", "after-put", "commit", "after-commit"}
	startSteps = []string{"load", "after-load", "claim", "after-claim"}
	endSteps   = []string{"release", "after-release"}
)

// A fault is one of the schedule. Which instance it meets is decided when it happens, by pick and who is alive.
type fault struct {
	at    time.Duration // since the beginning
	stage string
	kind  kind
	step  string
	pick  uint64
	lasts time.Duration // until it is healed: the pause, or the time until another takes the place
	renew bool          // who takes the place has a new name, otherwise the same
}

// How long others wait for the heartbeat of an instance is 3 s: a pause is longer.
const (
	shortestPause = 4 * time.Second
	longestPause  = 9 * time.Second
)

// schedule draws the faults of a run.
func schedule(c *config) []fault {
	r := rand.New(rand.NewPCG(c.seed, 4))
	between := func(from, to time.Duration) time.Duration { return from + time.Duration(r.Int64N(int64(to-from))) }
	whole := time.Duration(c.faults) * c.every
	faults := make([]fault, c.faults)
	for i := range faults {
		f := fault{
			at: between(0, max(whole, 1)), stage: commands[r.IntN(len(commands))], step: anyStep,
			pick: r.Uint64(), lasts: between(200*time.Millisecond, 6*time.Second), renew: r.IntN(2) == 0,
		}
		onServer := r.Float64() < 0.08
		if c.cluster {
			onServer = r.Float64() < 0.25
		}
		step := func(of []string) string { return of[r.IntN(len(of))] }
		switch n := r.IntN(100); {
		case onServer:
			f.stage, f.kind = server, kill
			if c.cluster { // longer than it takes to notice
				f.lasts = between(5*time.Second, 10*time.Second)
			}
			if c.cluster && n < 50 {
				f.kind = cut
			}
		case n < 22:
			f.kind = kill
		case n < 44:
			f.kind, f.step = kill, step(loopSteps)
		case n < 54:
			f.kind, f.step = kill, step(startSteps)
		case n < 58:
			f.kind, f.step = kill, step(endSteps)
		case n < 70:
			f.kind = pause
		case n < 82:
			f.kind, f.step = pause, step(loopSteps)
		case n < 86:
			f.kind, f.step = wipe, "commit"
		case n < 93:
			f.kind = leave
		default:
			f.kind = join
		}
		switch c.broken {
		case "fence": // most of all, whoever sleeps before a commit wakes up beside another owner
			// If both instances of a stage slept, there would be no other owner: they take turns. These stages have much
			// state, of which one commit replaces only a part.
			f.stage, f.kind, f.step = []string{"detector", "aggregator"}[i%2], wipe, "commit"
			f.at = time.Duration(i+1) * c.every
		case "repeats":
			f.stage, f.kind, f.step = commands[1+i%4], kill, "after-put"
		}
		switch f.kind {
		case wipe:
			f.lasts = between(longestPause, longestPause+3*time.Second) // so that the new owner has committed too
		case pause:
			f.lasts = between(shortestPause, longestPause)
		}
		faults[i] = f
	}
	slices.SortFunc(faults, func(a, b fault) int { return cmp.Compare(a.at, b.at) })
	return faults
}
