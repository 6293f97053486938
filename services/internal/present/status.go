package present

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/status"
)

// mostLine bounds a line about a deployment: the reason of a halt may quote whole keys.
const mostLine = 400

// Status tells how a deployment is: in a sentence first, then what to do, then a table for each part of it.
func Status(s *status.Status) string {
	var b strings.Builder
	b.WriteString(Safe(s.Headline, mostLine) + "\n")
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "  ! %s\n    %s\n", Safe(p.Text, mostLine), Safe(p.Advice, mostLine))
	}
	if s.Deployment == nil {
		return b.String()
	}
	fmt.Fprintf(&b, "\nDeployment: %s, %s, lateness %s, learning %s, budget %g; %s\n",
		plural(s.Deployment.Partitions, "partition"), plural(s.Deployment.Lanes, "lane"), span(schemas.Minute(s.Deployment.Lateness)),
		span(schemas.Minute(s.Deployment.Learn)), s.Deployment.Budget, instances(s))
	b.WriteString("\n" + stages(s))
	b.WriteString("\n" + lanes(s))
	b.WriteString("\n" + accounts(s))
	b.WriteString("\n" + deadSummary(s))
	b.WriteString(streams(s))
	return b.String()
}

func instances(s *status.Status) string {
	if len(s.Instances) == 0 {
		return "no instance is alive"
	}
	var names []string
	for _, i := range s.Instances {
		name := Safe(i.ID, mostCell)
		if i.Version != "" {
			name += " (" + Safe(i.Version, mostCell) + ")"
		}
		names = append(names, name)
	}
	return plural(len(names), "instance") + ": " + strings.Join(names, ", ")
}

// stages shows one line for each stage in which all partitions are alike, and one for each partition otherwise.
func stages(s *status.Status) string {
	g := grid{{"STAGE", "PARTITION", "STATE", "OWNER", "LAG", "LAST COMMIT"}}
	for _, st := range s.Stages {
		for i := 0; i < len(st.Partitions); {
			j := i + 1
			for j < len(st.Partitions) && alike(&st.Partitions[i], &st.Partitions[j]) {
				j++
			}
			g = append(g, partitions(s, st, i, j))
			i = j
		}
	}
	return g.String()
}

func alike(a, b *status.Partition) bool {
	return a.State == b.State && a.Owner == b.Owner && a.Reason == b.Reason
}

// partitions is the line of partitions i to j-1: their lag together, the oldest commit.
func partitions(s *status.Status, st status.Stage, i, j int) []string {
	p := st.Partitions[i]
	which := fmt.Sprint(p.Partition)
	if j-i > 1 {
		which += fmt.Sprintf("-%d", st.Partitions[j-1].Partition)
	}
	var lag uint64
	committed := p.Committed
	for _, q := range st.Partitions[i:j] {
		lag += q.Lag
		if q.Committed.Before(committed) {
			committed = q.Committed
		}
	}
	text := count(lag)
	if st.Name == "ingest" {
		text = "-"
	}
	owner := Safe(p.Owner, mostCell)
	if owner == "" {
		owner = "-"
	}
	return []string{st.Name, which, strings.ReplaceAll(string(p.State), "_", " "), owner, text, since(s.At, committed)}
}

func lanes(s *status.Status) string {
	g := grid{{"LANE", "STATE", "LAST RECORD", "LAST CHUNK", "LAST TICK"}}
	unused := 0
	for _, l := range s.Lanes {
		if l.State == status.Unused && l.LastRecord.IsZero() {
			unused++
			continue
		}
		g = append(g, []string{
			fmt.Sprint(l.Lane), string(l.State), since(s.At, l.LastRecord), since(s.At, l.LastChunk), since(s.At, l.LastTick),
		})
	}
	text := g.String()
	if unused > 0 {
		text += plural(unused, "lane") + " without a record\n"
	}
	return text
}

func accounts(s *status.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Accounts: %s, %s learning, %s silent\n", count(s.Accounts.Total), count(s.Accounts.Learning), count(s.Accounts.Silent))
	for _, l := range s.Accounts.Least {
		fmt.Fprintf(&b, "  %s learns: %s of %s seen\n", accountOf(l.Provider, l.Account), span(schemas.Minute(l.Seen)), span(schemas.Minute(l.Needed)))
	}
	more(&b, s.Accounts.Learning-len(s.Accounts.Least))
	for _, q := range s.Accounts.Quiet {
		fmt.Fprintf(&b, "  %s is silent: last event %s UTC, lane %d\n", accountOf(q.Provider, q.Account), when(q.Newest.Time()), q.Lane)
	}
	more(&b, s.Accounts.Silent-len(s.Accounts.Quiet))
	if s.Watermarks.Total == 0 {
		return b.String()
	}
	g := grid{{"WATERMARK (UTC)", "LAST EVENT (UTC)", "LANE", "ACCOUNT", "REGION"}}
	for _, w := range s.Watermarks.Behind {
		g = append(g, []string{
			when(w.Watermark.Time()), when(w.Newest.Time()), fmt.Sprint(w.Lane), accountOf(w.Provider, w.Account), Safe(w.Region, mostCell),
		})
	}
	b.WriteString("\n" + g.String())
	if rest := s.Watermarks.Total - len(s.Watermarks.Behind); rest > 0 {
		fmt.Fprintf(&b, "%s of accounts and regions in all, %s idle; --all shows them\n",
			plural(s.Watermarks.Total, "watermark"), count(s.Watermarks.Idle))
	}
	if s.Watermarks.Partial {
		b.WriteString("There are more than were looked at.\n")
	}
	return b.String()
}

func more(b *strings.Builder, n int) {
	if n > 0 {
		fmt.Fprintf(b, "  … and %s more; --all shows them\n", count(n))
	}
}

func accountOf(p schemas.Provider, id string) string {
	return Safe(schemas.Account{Provider: p, ID: id}.String(), mostCell)
}

func deadSummary(s *status.Status) string {
	if s.Dead.Total == 0 {
		return "Dead letters: none\n"
	}
	text := fmt.Sprintf("Dead letters: %s (%s), the newest %s", count(s.Dead.Total), reasons(s.Dead.ByStage), since(s.At, s.Dead.Newest))
	if s.Dead.Scanned > 0 {
		text += fmt.Sprintf("; of the last %s: %s", count(s.Dead.Scanned), reasons(s.Dead.ByReason))
	}
	return text + "\n"
}

// streams sums up the streams by flow, and shows those that are half full or more one by one.
func streams(s *status.Status) string {
	bytes, messages := map[string]int64{}, map[string]uint64{}
	var full grid
	for _, st := range s.Streams {
		kind, _, _ := strings.Cut(st.Name, "_")
		if kind == "KV" {
			kind = "state"
		}
		bytes[kind] += st.Bytes
		messages[kind] += st.Messages
		if st.Used() >= 0.5 {
			full = append(full, []string{Safe(st.Name, mostCell), size(st.Bytes), size(st.Limit), fmt.Sprintf("%.0f %%", 100*st.Used())})
		}
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(bytes)) {
		if messages[kind] > 0 {
			parts = append(parts, kind+" "+size(bytes[kind]))
		}
	}
	text := "Stored: " + strings.Join(parts, ", ") + "\n"
	if len(full) > 0 {
		text += "\n" + append(grid{{"STREAM", "HOLDS", "LIMIT", "FULL"}}, full...).String()
	}
	return text
}

// since writes how long before now something was: "3 h ago".
func since(now, at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return status.Ago(now.Sub(at)) + " ago"
}

// A grid is lines of cells, the first of which are titles. Cells are safe.
type grid [][]string

// String writes the lines in columns as wide as they need to be.
func (g grid) String() string {
	widths := make([]int, len(g[0]))
	for _, row := range g {
		for i, cell := range row {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	var b strings.Builder
	for _, row := range g {
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-columns(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
