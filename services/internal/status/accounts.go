package status

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/all"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
)

// state calls fn for what a partition has stored, if it has.
func (l *look) state(ctx context.Context, stage string, p int, filter string, fn func(key string, value []byte) error) error {
	generation, ok := l.generation[place{stage, p}]
	if !ok {
		return nil
	}
	return jetstream.ReadState(ctx, l.js, stage, strconv.Itoa(p), generation, filter, fn)
}

// marks reads the event times from the state of the aggregator, as it was committed last.
func (l *look) marks(ctx context.Context) error {
	type where struct {
		account schemas.Account
		region  string
	}
	var marks []aggregate.Mark
	for p := range l.Deployment.Partitions {
		known := make(map[where]int) // of this partition: its place in marks
		err := l.state(ctx, aggregate.Stage, p, aggregate.MarkKeys+".>",
			func(key string, value []byte) error {
				return aggregate.ReadMarks(key, value, func(m aggregate.Mark) {
					at := where{m.Account, m.Region}
					if i, ok := known[at]; ok {
						marks[i] = m // the value may have been replaced while we read
						return
					}
					if len(marks) == maxMarks {
						l.Watermarks.Partial = true
						return
					}
					known[at] = len(marks)
					marks = append(marks, m)
				})
			})
		if err != nil {
			return err
		}
	}
	l.newest = make(map[int]schemas.Minute)
	for _, m := range marks {
		if newest, ok := l.newest[m.Lane]; !ok || m.Newest > newest {
			l.newest[m.Lane] = m.Newest
		}
	}
	l.watermarks(marks)
	l.accounts(marks)
	return nil
}

// idle reports whether there was no event for so long that nothing but another event moves the mark. What is long ago is told by
// the events of its lane and not by a clock, so that history that is still being read is not taken for silence.
func (l *look) idle(m aggregate.Mark) bool { return m.Newest < l.newest[m.Lane]-idleAfter }

func (l *look) watermarks(marks []aggregate.Mark) {
	slices.SortFunc(marks, func(a, b aggregate.Mark) int {
		return cmp.Or(cmp.Compare(a.First, b.First), a.Account.Compare(b.Account), strings.Compare(a.Region, b.Region))
	})
	l.Watermarks.Total = len(marks)
	for _, m := range marks {
		idle := l.idle(m)
		if idle {
			l.Watermarks.Idle++
		}
		if l.options.All || !idle && len(l.Watermarks.Behind) < shown {
			l.Watermarks.Behind = append(l.Watermarks.Behind, Watermark{
				Provider: m.Account.Provider, Account: m.Account.ID, Region: m.Region, Lane: m.Lane,
				Newest: m.Newest, Watermark: m.First, Idle: idle,
			})
		}
	}
}

// accounts counts the accounts, and finds those of which every region is idle.
func (l *look) accounts(marks []aggregate.Mark) {
	slices.SortFunc(marks, func(a, b aggregate.Mark) int {
		return cmp.Or(a.Account.Compare(b.Account), cmp.Compare(b.Newest, a.Newest))
	})
	newest := slices.CompactFunc(marks, func(a, b aggregate.Mark) bool { return a.Account == b.Account })
	l.Accounts.Total = len(newest)
	for _, m := range newest {
		if !l.idle(m) {
			continue
		}
		l.Accounts.Silent++
		l.Accounts.Quiet = append(l.Accounts.Quiet, SilentAccount{m.Account.Provider, m.Account.ID, m.Lane, m.Newest})
	}
	slices.SortStableFunc(l.Accounts.Quiet, func(a, b SilentAccount) int { return cmp.Compare(a.Newest, b.Newest) })
	if !l.options.All {
		l.Accounts.Quiet = l.Accounts.Quiet[:min(len(l.Accounts.Quiet), shown)]
	}
}

// tellers are the types that are asked how far accounts have learned, the first of them that runs: all of them know every account,
// and these keep what they know of an account as such, which is an entry of a few KB, apart from what they know of its habits.
var tellers = []schemas.InsightType{schemas.IP, schemas.TrailConcealment, schemas.PasswordChange, schemas.PolicyChange}

// accountKeys matches the state keys in which they keep it.
const accountKeys = "d.a.>"

// learning asks a detector about its accounts. Each value is given to a detector of its own, so that no more than one value of
// accounts is in memory, at most half a MiB coded.
func (l *look) learning(ctx context.Context) error {
	runs := func(t schemas.InsightType) bool {
		for p := range l.Deployment.Partitions {
			if _, ok := l.generation[place{detect.Stage(t), p}]; ok {
				return true
			}
		}
		return false
	}
	i := slices.IndexFunc(tellers, runs)
	if i < 0 {
		return nil
	}
	t := tellers[i]
	create := all.Detectors()[t]
	var least []Learning
	for p := range l.Deployment.Partitions {
		err := l.state(ctx, detect.Stage(t), p, accountKeys, func(key string, value []byte) error {
			d, ok := create().(detect.Explainer)
			if !ok {
				return fmt.Errorf("the detector for %s explains nothing", t)
			}
			if err := d.Restore(strings.TrimPrefix(key, "d."), value); err != nil {
				return err
			}
			for _, a := range d.Learning() {
				least = append(least, Learning{a.Account.Provider, a.Account.ID, int(a.Seen), int(a.Needed)})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	compare := func(a, b Learning) int {
		return cmp.Or(strings.Compare(string(a.Provider), string(b.Provider)), strings.Compare(a.Account, b.Account))
	}
	slices.SortFunc(least, compare)
	least = slices.CompactFunc(least, func(a, b Learning) bool { return compare(a, b) == 0 }) // replaced while we read
	slices.SortStableFunc(least, func(a, b Learning) int { return cmp.Compare(a.Seen-a.Needed, b.Seen-b.Needed) })
	l.Accounts.Learning = len(least)
	if !l.options.All {
		least = least[:min(len(least), shown)]
	}
	l.Accounts.Least = append(l.Accounts.Least, least...)
	return nil
}
