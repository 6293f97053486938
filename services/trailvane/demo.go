package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/analyze"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/simulate"
)

type demoCommand struct {
	Seed uint64 `default:"1" help:"Another seed is another company."`
	Keep string `type:"path" placeholder:"FOLDER" help:"Keep the logs in a new folder, to look at or to analyze."`
}

// Run writes the logs of an invented company, analyzes them like any others, and tells what was found.
func (d *demoCommand) Run(ctx context.Context, c console) error {
	dir := d.Keep
	if dir == "" {
		temporary, err := os.MkdirTemp("", "trailvane-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		dir = filepath.Join(temporary, "logs")
	} else if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return usagef("%s is not empty; name a new folder", dir)
	}
	truth, err := simulate.Write(dir, simulate.Options{Seed: d.Seed})
	if err != nil {
		return err
	}
	t := tale{w: c.out}
	t.say("An invented company has one account on AWS and one on Alibaba Cloud. People work in them in office hours, "+
		"pipelines deploy, jobs run, machines scale up and down. Here are ten days of their audit logs: %d events in %d files. "+
		"Somewhere in them two stolen keys are used to delete what can be deleted.",
		truth.Events+truth.Repeats, truth.Files)

	o := analyze.Options{
		Paths: []string{dir}, Partitions: runtime.GOMAXPROCS(0), Settings: schemas.DefaultSettings(),
		Progress: new(ingest.Progress), Log: c.log(),
	}
	stop := present.Progress(c.err, present.Bytes, o.Progress.Bytes)
	r, err := analyze.Run(ctx, o)
	stop()
	if err != nil {
		return err
	}
	width, terminal := present.Terminal(c.out)
	if !terminal {
		width = taleWidth
	}
	t.say("Trailvane learned for a day what is normal, and went on learning. It reports:")
	t.add(present.Table(r.Insights, max(width, taleWidth)))
	for _, s := range present.Stretches(r.Insights) {
		t.add("\n" + present.Explain(s, min(width, taleWidth)))
	}
	t.compare(truth.Attacks, r.Insights)
	if d.Keep != "" {
		t.say("The logs are in %s. Try: trailvane analyze %[1]s --near-misses", present.Safe(d.Keep, taleWidth))
	} else {
		t.say("Now your own logs: trailvane analyze FOLDER. To look at these: trailvane demo --keep FOLDER")
	}
	return t.err
}

// taleWidth is the width of prose, columns.
const taleWidth = 110

// A tale is text that is told in paragraphs.
type tale struct {
	w   io.Writer
	err error
}

func (t *tale) add(text string) {
	if t.err == nil {
		_, t.err = io.WriteString(t.w, text)
	}
}

func (t *tale) say(format string, args ...any) {
	t.add("\n" + present.Fold(fmt.Sprintf(format, args...), taleWidth, "") + "\n")
}

// compare says which of the planted attacks were found, and whether anything else was.
func (t *tale) compare(attacks []simulate.Attack, insights []schemas.Insight) {
	stretches := present.Stretches(insights)
	found := make([]bool, len(stretches))
	var lines []string
	for _, a := range attacks {
		line := fmt.Sprintf("Missed: %d calls of %s in %s.", a.Calls, a.Event, a.Region)
		for i, s := range stretches {
			if s.Start == nil || s.Start.Account() != a.Account || s.Start.Region != a.Region ||
				s.Start.Details.Type != a.Type || s.Start.Details.EventName != a.Event {
				continue
			}
			found[i] = true
			line = fmt.Sprintf("Found: the key of %s, used from %s, called %s %d times from %s on; the insight starts at %s.",
				a.Principal, a.Address, a.Event, a.Calls, a.First.Format(time.TimeOnly), s.Start.EventTime.Time().Format(time.TimeOnly))
		}
		lines = append(lines, line)
	}
	others := 0
	for _, f := range found {
		if !f {
			others++
		}
	}
	lines = append(lines, fmt.Sprintf("Besides these attacks, Trailvane reported %d others: false alarms in this story.", others))
	t.say("What was planted, and what became of it:")
	t.add("  " + strings.Join(lines, "\n  ") + "\n")
}
