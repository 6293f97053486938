package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/view"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/analyze"
	ingestservice "github.com/trailvane/trailvane/services/ingest"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/service"
)

type analyzeCommand struct {
	Paths []string `arg:"" name:"path" help:"Files, folders, glob patterns in quotes, s3://BUCKET/KEY or oss://BUCKET/KEY of objects and folders in object stores, or - for standard input. Plain, gzip or zstd; JSON records in a CloudTrail file, an array, or one a line."`

	objectFlags
	Format     string        `default:"auto" enum:"auto,${formats}" help:"Format of the logs: ${enum}."`
	Store      string        `type:"path" placeholder:"FOLDER" help:"Keep streams and state in a folder: the next run reads only what is new. Without it everything is learned from the logs named here."`
	Learn      time.Duration `default:"24h" help:"Learn so long, in event time, before the first insight of an account."`
	Lateness   time.Duration `default:"15m" help:"How late events may be delivered and still count in their minute, at most 1h."`
	Budget     float64       `default:"1" help:"Multiplies the false insights that are tolerated: 0.3 is quieter, 3 sees more."`
	MMDB       []string      `name:"mmdb" type:"path" placeholder:"FILE,…" help:"Databases in the MaxMind DB format that know network (ASN) and country of addresses, as GeoLite2-ASN.mmdb,GeoLite2-Country.mmdb; new addresses are told better with them."`
	Partitions int           `placeholder:"N" help:"Parallelism, 1 to 32 (default: that of the store; in a new one, one for each core). A store keeps its number."`

	Catalogue string `type:"path" placeholder:"FILE" help:"Change which operations count as sensitive: a file with lines such as 'policy core vault.example.com GrantAccess' to add one or change its tier, 'policy none iam.amazonaws.com CreateUser' to leave one out; docs/catalogue.md explains them. A store goes on with another catalogue from its next record on."`

	showFlags
	From       moment `placeholder:"TIME" help:"Show insight events from this time on, as 2026-03-01 or 2026-03-01T08:30:00Z. What was before is learned from all the same."`
	To         moment `placeholder:"TIME" help:"Show insight events before this time."`
	NearMisses bool   `help:"Also show what was nearly unusual enough."`
	ExitCode   bool   `help:"Exit with 10 if insights are shown."`
	Quiet      bool   `short:"q" help:"Print no progress and no summary."`

	CPUProfile   string `name:"cpuprofile" hidden:"" placeholder:"FILE"`
	AllocProfile string `name:"allocprofile" hidden:"" placeholder:"FILE"`
}

// Help is shown below the flags.
func (analyzeCommand) Help() string {
	return "Insights go to standard output, sorted by time at the end; those of standard input, as ndjson and without --store, as " +
		"they come, if its records are one a line. " +
		"Credentials and region of object stores come from where their vendors' tools find them; docs/formats.md tells more. " +
		"Progress, the summary and reasons why nothing was found go to standard error. " +
		"Exit codes: 0 done, 1 failed, 2 wrong usage, 10 insights were found and --exit-code was given, 130 interrupted, " +
		"141 nobody reads the output any more."
}

// Run analyzes and prints.
func (a *analyzeCommand) Run(ctx context.Context, c console) error {
	show, least, err := a.filter()
	if err != nil {
		return err
	}
	o, err := a.options(c)
	if err != nil {
		return err
	}
	var shown []schemas.Insight
	streamed := a.ndjson(c.out) && o.Live()
	if streamed {
		feed := newFeed(show, least)
		o.Each = func(i *schemas.Insight) error {
			if !feed.next(i) {
				return nil
			}
			shown = append(shown, *i)
			return a.print(c.out, shown[len(shown)-1:])
		}
	}
	stop, err := a.profile()
	if err != nil {
		return err
	}
	r, err := a.analyze(ctx, c, o)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	if !streamed {
		shown = a.chosen(r.Insights, show, least)
		if err := a.print(c.out, shown); err != nil {
			return err
		}
	}
	if !a.Quiet {
		a.close(c.err, r, shown)
	}
	switch {
	case r.Conflicts > 0:
		return fmt.Errorf("%d insight events were found again with other content, which must not happen; please report it with the logs if you can", r.Conflicts)
	case r.Ingest.Objects == 0 && r.Found.Known == 0:
		return fmt.Errorf("no logs found in %s", where(a.Paths))
	case r.Unreadable():
		return errors.New("not one record could be read; the dead letters above say why (is --format right?)")
	case a.ExitCode && len(shown) > 0:
		return exitError(exitInsights)
	}
	return nil
}

// where lists what was to be read.
func where(paths []string) string {
	names := slices.Clone(paths)
	for i, p := range names {
		if p == "-" {
			names[i] = standardInput
		}
	}
	return strings.Join(names, ", ")
}

const standardInput = "standard input"

// analyze runs the pipeline under a progress bar.
func (a *analyzeCommand) analyze(ctx context.Context, c console, o analyze.Options) (*analyze.Result, error) {
	stop := func() {}
	if !a.Quiet {
		stop = present.Progress(c.err, present.Bytes, o.Progress.Bytes)
	}
	defer stop()
	r, err := analyze.Run(ctx, o)
	if errors.Is(err, context.Canceled) && o.Store != "" && !a.Quiet {
		stop()
		fmt.Fprintln(c.err, "trailvane: stopped; the same command goes on from here")
	}
	return r, err
}

func (a *analyzeCommand) options(c console) (analyze.Options, error) {
	o := analyze.Options{
		Paths: a.Paths, Stdin: c.in, Objects: a.config(), Store: a.Store, Partitions: a.Partitions, Databases: a.MMDB, Progress: new(ingest.Progress), Log: c.log(),
		Settings: schemas.Settings{
			Lateness: schemas.Minute(a.Lateness / time.Minute), Learn: schemas.Minute(a.Learn / time.Minute), Budget: a.Budget,
		},
	}
	if err := a.objectFlags.check(a.Paths); err != nil {
		return o, usageError{err}
	}
	var err error
	if o.Catalog, err = readCatalogue(a.Catalogue); err != nil {
		return o, err
	}
	if a.Format != "auto" {
		o.Format = a.Format
	}
	switch {
	case a.Lateness < 0 || a.Lateness > time.Duration(aggregate.MaxLateness)*time.Minute || a.Lateness%time.Minute != 0:
		return o, usagef("--lateness=%s: whole minutes from 0 to 1h are possible", a.Lateness)
	case a.Learn < 0 || a.Learn > maxLearn || a.Learn%time.Minute != 0:
		return o, usagef("--learn=%s: whole minutes from 0 to %s are possible", a.Learn, maxLearn)
	case !(a.Budget > 0 && a.Budget <= maxBudget):
		return o, usagef("--budget=%g: more than 0 and at most %g is possible", a.Budget, float64(maxBudget))
	case a.Partitions < 0 || a.Partitions > maxPartitions:
		return o, usagef("--partitions=%d: 1 to %d are possible", a.Partitions, maxPartitions)
	}
	return o, nil
}

const (
	maxPartitions = service.MaxPartitions
	maxLearn      = service.MaxLearn
	maxBudget     = service.MaxBudget
)

// filter returns what decides whether an insight event is shown, and how severe it must be.
func (a *analyzeCommand) filter() (func(*schemas.Insight) bool, view.Severity, error) {
	if !a.To.IsZero() && !a.From.Before(a.To.Time) {
		return nil, 0, usagef("--to=%s is not after --from=%s", a.To.Format(time.RFC3339), a.From.Format(time.RFC3339))
	}
	show, least, err := a.showFlags.filter()
	return func(i *schemas.Insight) bool { return show(i) && a.within(i.EventTime.Time()) }, least, err
}

// chosen fills in the views of all insights, which know of each other whether they are shown or not, and returns those that are
// to be shown: both events of those that are severe enough at their Start or at their End.
func (a *analyzeCommand) chosen(insights []schemas.Insight, show func(*schemas.Insight) bool, least view.Severity) []schemas.Insight {
	severe := make(map[string]bool)
	for n, v := range view.All(insights) {
		v.Fill(&insights[n])
		if v.Severity >= least {
			severe[insights[n].SharedEventID] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(insights), func(i schemas.Insight) bool { return !show(&i) || !severe[i.SharedEventID] })
}

// within reports whether what happened then is wanted.
func (a *analyzeCommand) within(at time.Time) bool {
	return !at.Before(a.From.Time) && (a.To.IsZero() || at.Before(a.To.Time))
}

// print writes the insights.
func (a *analyzeCommand) print(out io.Writer, insights []schemas.Insight) error {
	var err error
	switch width, terminal := present.Terminal(out); {
	case a.ndjson(out):
		err = a.lines(out, insights)
	case len(insights) > 0:
		if !terminal {
			width = tableWidth
		}
		text := present.Table(insights, width)
		if a.Output == "explain" {
			text = explain(insights, min(width, taleWidth))
		}
		_, err = io.WriteString(out, text)
	}
	if err != nil {
		return fmt.Errorf("print the insights: %w", err)
	}
	return nil
}

// explain tells each stretch of activity in words, incident by incident.
func explain(insights []schemas.Insight, width int) string {
	var blocks []string
	for _, incident := range present.Incidents(present.Stretches(insights)) {
		for _, s := range incident.Stretches {
			blocks = append(blocks, present.Explain(s, width))
		}
	}
	return strings.Join(blocks, "\n")
}

// tableWidth is the width of a table that goes to a file: no column is cut there that a wide terminal would show.
const tableWidth = 160

// close writes what was read and, if nothing was found, why.
func (a *analyzeCommand) close(out io.Writer, r *analyze.Result, shown []schemas.Insight) {
	s := summary(r)
	fmt.Fprintln(out)
	fmt.Fprint(out, s.Text(shown))
	switch {
	case len(r.Insights) == 0:
		fmt.Fprint(out, "\n", s.Nothing(r.Learning, r.NearMisses))
	case len(shown) == 0:
		fmt.Fprintf(out, "\nNone of the %d insight events passes --type, --account, --region, --from, --to and --min-severity.\n", len(r.Insights))
	}
	misses := slices.DeleteFunc(slices.Clone(r.NearMisses), func(m detect.NearMiss) bool {
		return !a.where(m.Account.ID, m.Region) || !a.within(m.At.Time())
	})
	switch {
	case !a.NearMisses || len(r.Insights) == 0: // then they are told anyway
	case len(misses) > 0:
		fmt.Fprint(out, "\nWhat came nearest to being unusual enough:\n", present.NearMisses(misses))
	default:
		fmt.Fprint(out, "\nNothing else came near to being unusual enough.\n")
	}
}

func summary(r *analyze.Result) *present.Summary {
	s := &present.Summary{
		Files: r.Ingest.Objects, Skipped: make(map[string]int64), NotLogs: slices.Clone(r.Ingest.NotLogs), Stored: r.Ingest.Stored,
		Records: r.Ingest.Records,
		Events:  r.Aggregate.Events, Dropped: r.Normalize.Dropped, Duplicates: r.Aggregate.Duplicates,
		Late: r.Aggregate.Late, Stale: r.Aggregate.Stale,
		Dead: make(map[string]uint64), FirstDead: slices.Clone(r.Dead),
		Seen: r.Aggregate.Seen, First: r.Aggregate.First, Last: r.Aggregate.Last, Took: r.Took,
	}
	if f := r.Found; f.Known > 0 {
		s.Store, s.New = f.Known+f.Grown, f.New+f.Grown
	}
	for i, name := range s.NotLogs {
		if _, ok := ingestservice.FromStdin(name); ok {
			s.NotLogs[i] = standardInput
		}
	}
	for i := range s.FirstDead {
		d := &s.FirstDead[i]
		if from, ok := ingestservice.FromStdin(d.Object); ok {
			d.Object, d.Offset = standardInput, d.Offset+from
		}
	}
	for reason, n := range r.Ingest.Skipped {
		s.Skipped[string(reason)] = n
	}
	for reason, n := range r.Ingest.Dead {
		s.Dead[string(reason)] += uint64(n)
	}
	for reason, n := range r.Normalize.Dead {
		s.Dead[reason] += n
	}
	return s
}

// profile begins the profiles that were asked for, and returns what ends them.
func (a *analyzeCommand) profile() (stop func() error, err error) {
	if a.CPUProfile == "" && a.AllocProfile == "" {
		return func() error { return nil }, nil
	}
	var cpu *os.File
	if a.CPUProfile != "" {
		if cpu, err = os.Create(a.CPUProfile); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(cpu); err != nil {
			return nil, err
		}
	}
	return func() error {
		if cpu != nil {
			pprof.StopCPUProfile()
			if err := cpu.Close(); err != nil {
				return err
			}
		}
		if a.AllocProfile == "" {
			return nil
		}
		f, err := os.Create(a.AllocProfile)
		if err != nil {
			return err
		}
		return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
	}, nil
}
