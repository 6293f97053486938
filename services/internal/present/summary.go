package present

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

// A Summary is what an analysis has read and what became of it.
type Summary struct {
	Files   int64            // that were read
	Skipped map[string]int64 // files that hold no logs to read, by reason
	NotLogs []string         // names of the first files of unknown content
	Store   int              // of the files now named, those that a store knew from earlier runs
	New     int              // of these, files that are new or have grown; of no interest where Store is 0
	Stored  int64            // bytes of the files, as they are stored
	Records int64            // raw records

	Events     uint64            // management events that were counted
	Dropped    map[string]uint64 // events that insights do not look at, by category
	Duplicates uint64            // events that were delivered twice
	Late       uint64            // of Events: too late for the rates of their minute
	Stale      uint64            // more than a day late: they taught nothing

	Dead      map[string]uint64    // dead letters by reason
	FirstDead []schemas.DeadLetter // the first few

	Seen        bool // there was an event, so that First and Last say something
	First, Last schemas.Minute
	Took        time.Duration
}

// shownDead bounds the dead letters that are shown one by one; the reasons of all are counted.
const shownDead = 3

// Text returns the closing summary, some lines in which everything that was read appears once.
func (s *Summary) Text(insights []schemas.Insight) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s %s\n", name, fmt.Sprintf(format, args...))
	}
	read := fmt.Sprintf("%s, %s, %s in %s", plural(s.Files, "file"), size(s.Stored), plural(s.Records, "record"), took(s.Took))
	if s.Took > 0 && s.Records > 0 {
		read += fmt.Sprintf(", %s a second", count(int64(float64(s.Records)/s.Took.Seconds())))
	}
	line("read", "%s", read)
	if s.Store > 0 {
		line("store", "knew %s; %s new or grown in this run", plural(s.Store, "file"), count(s.New))
	}
	if n := total(s.Skipped); n > 0 {
		line("skipped", "%s: %s", plural(n, "file"), reasons(s.Skipped))
	}
	for _, n := range s.NotLogs {
		line("", "not a log: %s", Safe(n, 200))
	}
	if s.Seen {
		line("events", "%s, from %s to %s UTC", count(s.Events), when(s.First.Time()), when(s.Last.Time()))
	} else {
		line("events", "%s", count(s.Events))
	}
	var dropped []string
	if s.Duplicates > 0 {
		dropped = append(dropped, plural(s.Duplicates, "duplicate"))
	}
	if s.Stale > 0 {
		dropped = append(dropped, count(s.Stale)+" stale")
	}
	for _, c := range slices.Sorted(maps.Keys(s.Dropped)) {
		if n := s.Dropped[c]; n > 0 {
			dropped = append(dropped, plural(n, Safe(c, 40)+" event"))
		}
	}
	if len(dropped) > 0 {
		line("dropped", "%s", strings.Join(dropped, ", "))
	}
	if s.Late > 0 {
		line("late", "%s, left out of rates", plural(s.Late, "event"))
	}
	s.dead(line)
	line("insights", "%s", byType(insights))
	return b.String()
}

// dead adds the dead letters.
func (s *Summary) dead(line func(name, format string, args ...any)) {
	n := total(s.Dead)
	if n == 0 {
		return
	}
	line("dead letters", "%s: %s", count(n), reasons(s.Dead))
	for _, d := range s.FirstDead[:min(len(s.FirstDead), shownDead)] {
		why := d.Error
		if !strings.HasPrefix(why, d.Reason) { // some errors begin with it
			why = d.Reason + ": " + why
		}
		line("", "%s at byte %s: %s", Safe(d.Object, 200), count(d.Offset), Safe(why, 240))
	}
	if n > shownDead && len(s.FirstDead) > shownDead {
		line("", "…")
	}
}

// byType counts stretches of activity.
func byType(insights []schemas.Insight) string {
	started, open := map[string]uint64{}, 0
	stretches := Stretches(insights)
	for _, s := range stretches {
		started[short(s.first().Details.Type)]++
		if s.End == nil {
			open++
		}
	}
	if len(stretches) == 0 {
		return "none"
	}
	text := count(len(stretches)) + ": " + reasons(started) + ", in " + plural(len(Incidents(stretches)), "incident")
	if open > 0 {
		text += fmt.Sprintf(" (%s still open)", count(open))
	}
	return text
}

// reasons lists counts by name, the largest first.
func reasons[N int64 | uint64](counts map[string]N) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	var list []string
	for _, n := range names {
		if counts[n] > 0 {
			list = append(list, count(counts[n])+" "+Safe(strings.ReplaceAll(n, "_", " "), 40))
		}
	}
	return strings.Join(list, ", ")
}

func total[N int64 | uint64](counts map[string]N) N {
	var n N
	for _, c := range counts {
		n += c
	}
	return n
}

// size formats bytes in powers of ten, as file managers do.
func size(n int64) string {
	switch x := float64(n); {
	case n < 1000:
		return plural(n, "byte")
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", x/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", x/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// took formats how long something took: "0.8 s", "42 s", "3 min 5 s".
func took(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	d = d.Round(time.Second)
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}

// Nothing says why there is no insight: there were no events, the accounts were still learning, or how far the nearest
// misses were from the line.
func (s *Summary) Nothing(learning []detect.Learning, misses []detect.NearMiss) string {
	var b strings.Builder
	b.WriteString("No insights.\n")
	if s.Events == 0 {
		b.WriteString("  There was no management event in what was read.\n")
		return b.String()
	}
	for i, l := range longest(learning) {
		if i == 5 {
			b.WriteString("  …\n")
			break
		}
		fmt.Fprintf(&b, "  Account %s is still learning: %s of %s seen.\n", Safe(l.Account.ID, mostCell),
			span(l.Seen), span(l.Needed))
	}
	if len(learning) > 0 {
		b.WriteString("  Give more of the logs, or a shorter --learn, which costs false insights.\n")
	}
	if len(misses) > 0 {
		b.WriteString("  What came nearest:\n")
		b.WriteString(NearMisses(misses[:min(len(misses), 3)]))
	} else if len(learning) == 0 {
		b.WriteString("  Nothing came near the line either.\n")
	}
	return b.String()
}

// longest keeps one entry for each account, the furthest from its end, in order of account: several detectors may say the
// same.
func longest(learning []detect.Learning) []detect.Learning {
	all := slices.Clone(learning)
	slices.SortFunc(all, func(a, b detect.Learning) int {
		return cmp.Or(a.Account.Compare(b.Account), cmp.Compare(b.Needed-b.Seen, a.Needed-a.Seen))
	})
	return slices.CompactFunc(all, func(a, b detect.Learning) bool { return a.Account == b.Account })
}

// span writes minutes in words: "56 minutes", "24 hours".
func span(m schemas.Minute) string {
	switch {
	case m < 2*schemas.Hour:
		return plural(int(m), "minute")
	case m < 3*schemas.Day:
		return plural(int(m/schemas.Hour), "hour")
	}
	return plural(int(m/schemas.Day), "day")
}

// NearMisses lists what was nearly unusual enough, in the order given, two lines each: what, and how far from the line.
func NearMisses(misses []detect.NearMiss) string {
	var b strings.Builder
	for _, m := range misses {
		fmt.Fprintf(&b, "  %s  %s %s in %s, %s: 1 in %s, the line is at 1 in %s\n", when(m.At.Time()), short(m.Type),
			Safe(m.Object, mostCell), Safe(m.Account.ID, mostCell), Safe(m.Region, mostCell), oneIn(m.Log10P), oneIn(m.Line))
		if m.Text != "" {
			fmt.Fprintf(&b, "    %s\n", Safe(m.Text, 300))
		}
	}
	return b.String()
}

// oneIn turns the logarithm of a probability into the number of tries that it takes.
func oneIn(log10p float64) string { return large(math.Pow(10, -log10p)) }
