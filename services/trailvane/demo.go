package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/pipeline/view"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/analyze"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/simulate"
)

type demoCommand struct {
	Seed uint64 `default:"1" help:"Another seed is another company."`
	Keep string `type:"path" placeholder:"FOLDER" help:"Keep the logs in a new folder, to look at or to analyze."`

	To        string        `placeholder:"URL" help:"Send the logs to a service that takes events by HTTP, as http://127.0.0.1:8081, instead of analyzing them here: ten days until two hours ago at once, then the last two hours, in which everything happens, as if they were now."`
	TokenFile string        `type:"existingfile" placeholder:"FILE" help:"File of tokens of that service; the first one is used."`
	Live      time.Duration `default:"2h" help:"How much of the logs comes live, at least 2h (default: ${default})."`
	Speed     float64       `default:"20" help:"How much faster than real time that is, 1 to 10000 (default: ${default})."`
}

// Help is shown below the flags.
func (demoCommand) Help() string {
	return "Example: trailvane serve --http 127.0.0.1:8081 --port 4222, and in other terminals\n" +
		"trailvane demo --to http://127.0.0.1:8081, and trailvane tail\n\n" + exitCodes
}

// Run writes the logs of an invented company, analyzes them like any others, and tells what was found; or sends them.
func (d *demoCommand) Run(ctx context.Context, c console) error {
	if d.To != "" {
		return d.send(ctx, c)
	}
	if d.TokenFile != "" {
		return usagef("--token-file is for --to URL")
	}
	dir := d.Keep
	if dir == "" {
		temporary, err := os.MkdirTemp("", "trailvane-demo-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		dir = filepath.Join(temporary, "logs")
	} else if err := isNew(dir); err != nil {
		return err
	}
	truth, err := simulate.Write(dir, simulate.Options{Seed: d.Seed})
	if err != nil {
		return err
	}
	t := tale{w: c.out}
	t.say("An invented company has one account on AWS and one on Alibaba Cloud. People work in them in office hours, "+
		"pipelines deploy, jobs run, machines scale up and down. Here are ten days of their audit logs: %s in %s. "+
		"Somewhere in them two stolen keys are used to delete what can be deleted and to hide it, and two programs lose a permission.",
		model.Plural(uint64(truth.Events+truth.Repeats), "event", "events"), model.Plural(uint64(truth.Files), "file", "files"))

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
	for i, v := range view.All(r.Insights) {
		v.Fill(&r.Insights[i])
	}
	width, terminal := present.Terminal(c.out)
	if !terminal {
		width = taleWidth
	}
	t.say("Trailvane learned for a day what is normal, and went on learning. It reports:")
	t.add(present.Table(r.Insights, max(width, taleWidth)))
	t.explain(present.Incidents(present.Stretches(r.Insights)), min(width, taleWidth))
	t.compare(truth.Attacks, r.Insights)
	if d.Keep != "" {
		t.say("The logs are in %s. Try: trailvane analyze %[1]s --near-misses", present.Safe(d.Keep, taleWidth))
	} else {
		t.say("Now your own logs: trailvane analyze FOLDER. To look at these: trailvane demo --keep FOLDER")
	}
	return t.err
}

// isNew returns an error if something is in a folder.
func isNew(dir string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return usagef("%s is not empty; name a new folder", dir)
	}
	return nil
}

// taleWidth is the width of prose, columns.
const taleWidth = 110

// A tale is text that is told in paragraphs.
type tale struct {
	w      io.Writer
	ragged bool // no empty line yet behind what was told
	err    error
}

func (t *tale) add(text string) {
	if t.err == nil {
		_, t.err = io.WriteString(t.w, text)
		t.ragged = true
	}
}

func (t *tale) say(format string, args ...any) {
	if t.ragged {
		t.add("\n")
	}
	t.add(present.Fold(fmt.Sprintf(format, args...), taleWidth, "") + "\n")
	t.ragged = false
}

// explain tells the insights of the largest incident in words; to tell all would take pages.
func (t *tale) explain(incidents []present.Incident, width int) {
	if len(incidents) == 0 {
		return
	}
	largest := slices.MaxFunc(incidents, func(a, b present.Incident) int { return cmp.Compare(len(a.Stretches), len(b.Stretches)) })
	if len(incidents) > 1 {
		t.say("One of these incidents in words, with the figures behind each insight:")
	}
	for i, s := range largest.Stretches {
		if i > 0 {
			t.add("\n")
		}
		t.add(present.Explain(s, width))
	}
}

// compare tells what was planted, which of it was found, and whether anything else was.
func (t *tale) compare(attacks []simulate.Attack, insights []schemas.Insight) {
	stretches := present.Stretches(insights)
	expected := make([]bool, len(stretches)) // to be part of an attack
	t.say("What was planted, and what became of it:")
	for _, a := range attacks {
		incidents := make(map[string]bool)
		var found, missed []string
		for _, e := range a.Expect {
			name := strings.TrimSuffix(string(e.Type), "Insight")
			i := slices.IndexFunc(stretches, func(s present.Stretch) bool { return sees(s, a, e) })
			if i < 0 {
				missed = append(missed, name)
				continue
			}
			found = append(found, name)
			incidents[stretches[i].Start.Details.Trailvane.IncidentID] = true
		}
		also := 0
		for i, s := range stretches {
			if s.Start != nil && incidents[s.Start.Details.Trailvane.IncidentID] {
				expected[i] = true
				also++
			}
		}
		t.attack(a, found, missed, len(incidents), also-len(found))
	}
	others := 0
	for _, e := range expected {
		if !e {
			others++
		}
	}
	switch others {
	case 0:
		t.say("Trailvane reported nothing else: no false alarm in this story.")
	case 1:
		t.say("Besides, Trailvane reported one other: a false alarm in this story.")
	default:
		t.say("Besides, Trailvane reported %d others: false alarms in this story.", others)
	}
}

// sees reports whether a stretch is the insight that an attack must cause.
func sees(s present.Stretch, a simulate.Attack, e simulate.Expected) bool {
	if s.Start == nil {
		return false
	}
	at := s.Start.EventTime.Time()
	return s.Start.Account() == a.Account && s.Start.Region == e.Region && s.Start.Details.Type == e.Type &&
		s.Start.Details.Object == e.Object && !at.Before(e.First.Truncate(time.Minute)) && !at.After(e.Last)
}

// attack tells one attack in words.
func (t *tale) attack(a simulate.Attack, found, missed []string, incidents, also int) {
	var b strings.Builder
	switch a.Name {
	case "stolen key":
		burst := a.Expect[1] // after the address
		fmt.Fprintf(&b, "Somebody at %s used the key of %s: looked around from %s on, called %s %d times in %d minutes, then gave it an "+
			"administrator's rights and a password, and switched the trail off.", a.Address, a.Principal, a.First.Format(time.TimeOnly),
			burst.Event, burst.Calls, int(burst.Last.Sub(burst.First).Minutes())+1)
	default:
		e := a.Expect[0]
		fmt.Fprintf(&b, "%s lost a permission: %d calls of %s were refused in %d minutes from %s on.", a.Principal, e.Calls, e.Event,
			int(e.Last.Sub(e.First).Minutes())+1, e.First.Format(time.TimeOnly))
	}
	if len(found) > 0 {
		fmt.Fprintf(&b, " Found: %s", strings.Join(found, ", "))
		switch {
		case incidents > 1:
			fmt.Fprintf(&b, ", in %d incidents", incidents)
		case len(found) > 1:
			b.WriteString(", all in one incident")
		}
		if also > 0 {
			fmt.Fprintf(&b, " with %d more about it", also)
		}
		b.WriteString(".")
	}
	if len(missed) > 0 {
		fmt.Fprintf(&b, " Missed: %s.", strings.Join(missed, ", "))
	}
	t.add(present.Fold(b.String(), taleWidth, "  "))
}
