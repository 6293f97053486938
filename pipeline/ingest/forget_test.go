package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
)

// A lane that is followed for a year keeps weeks of its plan. What is old and forgotten is not taken for new, whatever is
// still there and may grow is not forgotten, and whoever loads the plan goes on.
func TestForget(t *testing.T) {
	f := newFolder()
	store := memory.NewBroker(nil).Store("ingest")
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	name := func(day, n int) string {
		at := start.Add(time.Duration(day)*24*time.Hour + time.Duration(n)*time.Minute)
		return fmt.Sprintf("AWSLogs/111122223333/CloudTrail/r/%s/111122223333_CloudTrail_r_%s_x.json",
			at.Format("2006/01/02"), at.Format("20060102T1504Z"))
	}
	old := 0
	var l *follow
	begin := func(after uint64) {
		l = newFollow(f, store, func(c *FollowConfig) {
			c.Committed = func(context.Context) (uint64, error) { return l.after, nil }
			c.TooOld = func(n int) { old = n }
		})
		l.after = after
		info, err := l.Info(t.Context())
		if err != nil || info.First > after+1 || info.Last < after {
			t.Fatalf("position %x is not in %+v, %v", after, info, err)
		}
	}
	logs := func(line string) bool { return line != "settings" && !strings.HasPrefix(line, "tick") }
	begin(0)
	f.write("trail.jsonl", lines(int(start.Unix()), 1))
	got, places, most := 0, 0, 0
	for day := range 80 {
		l.now = start.Add(time.Duration(day) * 24 * time.Hour)
		for n := range 50 {
			f.write(name(day, n), lines(1, 1))
		}
		f.add("trail.jsonl", lines(int(l.now.Unix())+1, 1))
		for _, line := range l.next(t) {
			if logs(line) {
				got++
			}
		}
		places, most = l.plan.Len(), max(most, len(l.plan.entries))
		if day%10 == 9 {
			now := l.now
			begin(l.after)
			l.now = now
			if got := l.next(t); slices.ContainsFunc(got, logs) {
				t.Fatalf("day %d, again: %q", day, got)
			}
		}
	}
	if got != 80*51 {
		t.Errorf("%d chunks, want %d", got, 80*51)
	}
	if places < 4000 || most > 1500 || len(l.plan.index) > 1500 {
		t.Errorf("%d of %d places are kept, %d names", most, places, len(l.plan.index))
	}
	if old != 0 {
		t.Errorf("%d objects were left out that were read", old)
	}
	f.write(name(3, 500), lines(1, 1))
	if got := l.next(t); slices.ContainsFunc(got, logs) || old != 1 {
		t.Errorf("%d objects were left out, got %q", old, got)
	}
	// A list that leaves out old days comes upon them again once a day. That is no news.
	old = 0
	was := f.files[name(1, 1)]
	delete(f.files, name(1, 1))
	l.next(t)
	was.stored = l.now.Add(-25 * time.Hour).UnixNano()
	f.files[name(1, 1)] = was
	if got := l.next(t); slices.ContainsFunc(got, logs) || old != 0 {
		t.Errorf("%d objects are news, got %q", old, got)
	}
	delete(f.files, name(1, 1))
	l.next(t)
	was.stored = l.now.Add(-time.Hour).UnixNano()
	f.files[name(1, 1)] = was
	if got := l.next(t); slices.ContainsFunc(got, logs) || old != 1 {
		t.Errorf("%d objects are news, want that of an hour ago; got %q", old, got)
	}
	if len(l.failed) > 0 {
		t.Error(l.failed)
	}

	var again forgotten
	b := l.plan.pages.forgotten.append(nil)
	if err := again.decode(b); err != nil || string(again.append(nil)) != string(b) {
		t.Errorf("decoded %+v, %v", again, err)
	}
}

// Who slept while the owner went on for weeks finds that its place is forgotten. That is a gap, which loading explains.
func TestForgottenPlace(t *testing.T) {
	f := newFolder()
	store := memory.NewBroker(nil)
	start := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	day := func(day int) {
		for n := range 50 {
			at := start.Add(time.Duration(day)*24*time.Hour + time.Duration(n)*time.Minute)
			f.write(fmt.Sprintf("AWSLogs/111122223333/CloudTrail/r/%s/111122223333_CloudTrail_r_%s_x.json",
				at.Format("2006/01/02"), at.Format("20060102T1504Z")), lines(int(at.Unix()), 1))
		}
	}
	day(0)
	zombie := newFollow(f, store.Store("ingest"))
	zombie.now = start
	zombie.next(t)
	var owner *follow
	owner = newFollow(f, store.Store("ingest"), func(c *FollowConfig) {
		c.Committed = func(context.Context) (uint64, error) { return owner.after, nil }
	})
	for d := 1; d < 60; d++ {
		day(d)
		owner.now = start.Add(time.Duration(d) * 24 * time.Hour)
		owner.next(t)
	}
	if owner.plan.base == 0 {
		t.Fatal("nothing is forgotten")
	}
	zombie.now = owner.now // it wakes up, and finds what has come meanwhile
	for what, after := range map[string]uint64{"where it was": zombie.after, "in between": 7<<offsetBits | 3, "the beginning": 0} {
		zombie.waits = 1 // where it was it waits first, and then looks what has come
		if records, err := zombie.Read(t.Context(), after); !errors.Is(err, runner.ErrGap) {
			t.Errorf("%s: %d records, %v", what, len(records), err)
		}
	}
	for what, after := range map[string]uint64{"where it was": zombie.after, "in between": 7<<offsetBits | 3, "the beginning": 0} {
		if records, err := newFollow(f, store.Store("ingest")).Read(t.Context(), after); !errors.Is(err, runner.ErrGap) {
			t.Errorf("anew, %s: %d records, %v", what, len(records), err)
		}
	}
}
