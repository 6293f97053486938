package status

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trailvane/trailvane/pipeline/model"
)

// judge finds what is wrong, and says in a sentence how the deployment is.
func (s *Status) judge() {
	if s.Deployment == nil {
		s.problem(NoDeployment, "there is no deployment on this server", "create one: trailvane deploy, or trailvane serve; or look elsewhere: --nats URL")
		s.Headline = "nothing here: " + s.Problems[0].Text
		return
	}
	for i := range s.Stages {
		s.judgeStage(&s.Stages[i])
	}
	for _, st := range s.Streams {
		if !st.Waits || st.Used() < nearlyFull {
			continue
		}
		advice := "find the stage that reads it and is stopped or slow, or give it more room: trailvane deploy --storage-limit"
		if strings.HasPrefix(st.Name, "KV_") {
			advice = "give it more room: trailvane deploy --storage-limit; commits are refused when it is full"
		}
		s.problem(Full, fmt.Sprintf("%s is %.0f %% full", st.Name, 100*st.Used()), advice)
	}
	for _, l := range s.Lanes {
		if l.State == Silent {
			s.problem(SilentLane, fmt.Sprintf("lane %d is silent: its connector has put nothing for %s", l.Lane, Ago(s.At.Sub(l.LastRecord))),
				"look at the ingest that feeds it, and whether it may still read the logs; until it ticks again, event time stands still")
		}
	}
	if n := s.Dead.LastDay; n > 0 {
		some := model.Plural(uint64(n), "record was refused", "records were refused")
		if s.Dead.Scanned == maxDead && n == maxDead {
			some = "at least " + some
		}
		s.problem(DeadLetters, some+" within a day", "trailvane dead list shows them; mend and trailvane dead replay, or trailvane dead purge")
	}
	slices.SortStableFunc(s.Problems, func(a, b Problem) int { return cmp.Compare(rank(a.Kind), rank(b.Kind)) })
	s.Healthy = len(s.Problems) == 0
	s.headline()
}

func (s *Status) problem(k Kind, text, advice string) {
	s.Problems = append(s.Problems, Problem{k, text, advice})
}

func rank(k Kind) int {
	return slices.Index([]Kind{NoDeployment, Halted, Stopped, Full, Stalled, SilentLane, DeadLetters}, k)
}

// judgeStage looks at the partitions of a stage. What is wrong with several in the same way is one problem.
func (s *Status) judgeStage(st *Stage) {
	var unowned, never, stalled []int
	var waiting uint64
	halted := make(map[string][]int)
	for _, p := range st.Partitions {
		late := p.Lag > 0 && s.At.Sub(p.Committed) > stallAfter
		switch {
		case p.State == HaltedNow:
			halted[p.Reason] = append(halted[p.Reason], p.Partition)
		case st.Name == ingestStage && slices.Contains([]LaneState{Ended, Unused}, s.lane(p.Partition)):
			// there is nothing to read
		case p.State == Unowned:
			unowned = append(unowned, p.Partition)
			waiting += p.Lag
		case p.State == Never:
			never = append(never, p.Partition)
			waiting += p.Lag
		case late:
			stalled = append(stalled, p.Partition)
			waiting += p.Lag
		}
	}
	for _, why := range sortedKeys(halted) {
		s.problem(Halted, fmt.Sprintf("%s has halted: %s", st.of(halted[why]), why),
			"docs/operations.md says for each reason what to do; then start its instance again")
	}
	// A connector takes the lanes that it has logs for, and a type of insight that was given up need not run.
	if st.Name != ingestStage {
		unowned = append(unowned, never...)
	}
	if !st.Reader {
		unowned = nil
	}
	if len(unowned) > 0 {
		slices.Sort(unowned)
		text := "nobody works on " + st.of(unowned)
		if waiting > 0 {
			text += ", " + model.Plural(waiting, "record waits", "records wait")
		}
		advice := "start it: " + startOf(st.Name)
		if isDetector(st.Name) {
			advice += "; or give the type up: trailvane readers disable " + st.Name
		}
		s.problem(Stopped, text, advice)
	}
	if len(stalled) > 0 {
		s.problem(Stalled, fmt.Sprintf("%s stands still, %s", st.of(stalled), model.Plural(waiting, "record waits", "records wait")),
			"look at the log of its instance; a full stream further on makes it wait")
	}
}

func (s *Status) lane(n int) LaneState {
	if n < len(s.Lanes) {
		return s.Lanes[n].State
	}
	return Unused
}

// of names partitions of the stage: all of it, or which.
func (st *Stage) of(partitions []int) string {
	if len(partitions) == len(st.Partitions) {
		return st.Name
	}
	return st.Name + " " + ranges(partitions)
}

// ranges writes ascending numbers: "0-3, 7".
func ranges(numbers []int) string {
	var parts []string
	for i := 0; i < len(numbers); {
		j := i
		for j+1 < len(numbers) && numbers[j+1] == numbers[j]+1 {
			j++
		}
		part := strconv.Itoa(numbers[i])
		if j > i {
			part += "-" + strconv.Itoa(numbers[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ", ")
}

func (s *Status) headline() {
	if s.Healthy {
		var lag uint64
		for _, st := range s.Stages {
			for _, p := range st.Partitions {
				lag = max(lag, p.Lag)
			}
		}
		if s.Accounts.Total == 0 {
			s.Headline = "healthy, but no event has come yet: the log of ingest says what it finds, and its metric trailvane_objects_skipped_total what is no log"
			return
		}
		text := "healthy: " + model.Plural(uint64(s.Accounts.Total), "account", "accounts")
		if n := s.Accounts.Learning; n > 0 {
			text += fmt.Sprintf(" (%d still learning)", n)
		}
		if lag == 0 {
			s.Headline = text + ", everything is read and committed"
		} else {
			s.Headline = text + ", the last records are being worked on"
		}
		return
	}
	const told = 3 // more than that is a list, which follows
	var texts []string
	for _, p := range s.Problems[:min(len(s.Problems), told)] {
		texts = append(texts, p.Text)
	}
	s.Headline = "needs attention: " + strings.Join(texts, "; ")
	if n := len(s.Problems) - told; n > 0 {
		s.Headline += fmt.Sprintf("; and %d more", n)
	}
}

func sortedKeys(m map[string][]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Ago writes how long ago something was: "45 s", "12 min", "3 h", "2 days".
func Ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(max(d, 0).Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
