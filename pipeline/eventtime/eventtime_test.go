package eventtime_test

import (
	"fmt"
	"testing"

	"github.com/trailvane/trailvane/pipeline/eventtime"
	"github.com/trailvane/trailvane/schemas"
	"pgregory.net/rapid"
)

const lateness schemas.Minute = 15

func Example() {
	var w eventtime.Watermark
	w.Observe(1000, 15)
	fmt.Println(w.First(), w.Judge(985) == eventtime.OnTime, w.Judge(984) == eventtime.Late)
	w.End()
	_, first, _ := w.State()
	fmt.Println(int(first))
	// Output:
	// 1970-01-01T16:25:00Z true true
	// 1001
}

func TestJudge(t *testing.T) {
	w := eventtime.At(2000, 1985)
	for m, want := range map[schemas.Minute]eventtime.Punctuality{
		2001: eventtime.OnTime, 1985: eventtime.OnTime, 1984: eventtime.Late,
		1985 - schemas.Day: eventtime.Late, 1984 - schemas.Day: eventtime.Stale,
	} {
		if got := w.Judge(m); got != want {
			t.Errorf("Judge(%d) = %v, want %v", m, got, want)
		}
	}
	var empty eventtime.Watermark
	if got := empty.Judge(-1 << 30); got != eventtime.OnTime {
		t.Errorf("first event: %v, want on time", got)
	}
}

func TestTickTrailsByTwiceTheLatenessAndLeavesQuietRegions(t *testing.T) {
	w := eventtime.At(2000, 1985)
	if w.Tick(2015, lateness) {
		t.Errorf("tick at 2015 moved the watermark to %d", w.First())
	}
	if !w.Tick(2100, lateness) || w.First() != 2070 {
		t.Errorf("tick at 2100: first %d, want 2070", int(w.First()))
	}
	if w.Tick(2000+schemas.Day+1, lateness) {
		t.Error("a region without an event for a day was moved")
	}
	var empty eventtime.Watermark
	if empty.Tick(5000, lateness) {
		t.Error("a region without any event was moved")
	}
}

func TestEndClosesTheMinutesSeenOnly(t *testing.T) {
	w := eventtime.At(2000, 1985)
	w.End()
	if w.First() != 2001 {
		t.Errorf("first = %d, want 2001", int(w.First()))
	}
}

func TestNeverMovesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w eventtime.Watermark
		last, begun := schemas.Minute(0), false
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			m := schemas.Minute(rapid.IntRange(-5000, 5000).Draw(t, "minute"))
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				w.Tick(m, lateness)
			case 1:
				w.End()
			default:
				want := w.After(m, lateness)
				w.Observe(m, lateness)
				if w.First() != want {
					t.Fatalf("After said %d, Observe made %d", want, w.First())
				}
			}
			if _, _, ok := w.State(); ok && begun && w.First() < last {
				t.Fatalf("moved back from %d to %d", last, w.First())
			}
			_, _, begun = w.State()
			last = w.First()
		}
	})
}
