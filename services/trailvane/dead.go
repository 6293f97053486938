package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/services/internal/dead"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/service"
)

type deadCommand struct {
	List   deadListCommand   `cmd:"" help:"List the records that were refused, the newest first."`
	Show   deadShowCommand   `cmd:"" help:"Show one of them, with its record."`
	Replay deadReplayCommand `cmd:"" help:"Put records into the pipeline again, when what was wrong is mended."`
	Purge  deadPurgeCommand  `cmd:"" help:"Take dead letters away."`
}

// age is a time on the command line, or how long ago it was.
type age struct{ time.Time }

// UnmarshalText parses a flag.
func (a *age) UnmarshalText(text []byte) error {
	if d, err := time.ParseDuration(string(text)); err == nil && d >= 0 {
		a.Time = time.Now().Add(-d)
		return nil
	}
	var days int
	if n, err := fmt.Sscanf(string(text), "%dd", &days); err == nil && n == 1 && days >= 0 && fmt.Sprintf("%dd", days) == string(text) {
		a.Time = time.Now().AddDate(0, 0, -days)
		return nil
	}
	var m moment
	if err := m.UnmarshalText(text); err != nil {
		return fmt.Errorf("%q is neither how long ago, such as 90m or 7d, nor a time such as 2026-03-01T08:30:00Z", text)
	}
	a.Time = m.Time
	return nil
}

// open connects to a deployment that is there.
func (f *lookFlags) open(ctx context.Context, c console, name string) (natsjetstream.JetStream, error) {
	js, err := f.connect(ctx, c, name)
	if err != nil {
		return nil, err
	}
	if _, err := js.Stream(ctx, "DEAD"); err != nil {
		js.Conn().Close()
		if errors.Is(err, natsjetstream.ErrStreamNotFound) {
			return nil, fmt.Errorf("there is no deployment at %s: --nats names another server, or create one with trailvane deploy",
				service.WithoutSecrets(f.NATS))
		}
		return nil, err
	}
	return js, nil
}

type deadListCommand struct {
	lookFlags
	Stage  string `placeholder:"STAGE" help:"Only those of this stage: ingest or normalizer."`
	Reason string `placeholder:"REASON" help:"Only those with this reason, as malformed."`
	Since  age    `placeholder:"TIME" help:"Only those since this time, or for so long: 2026-03-01, 90m, 7d."`
	Limit  int    `default:"50" placeholder:"N" help:"List so many at most, 1 to 10000 (default: ${default})."`
	JSON   bool   `name:"json" help:"Print one JSON object a line."`
}

// Help is shown below the flags.
func (deadListCommand) Help() string {
	return "Examples:\n  trailvane dead list --since 24h\n  trailvane dead list --stage normalizer --reason no_account --json\n\n" + adminCodes
}

// Run lists.
func (d *deadListCommand) Run(ctx context.Context, c console) error {
	if err := d.check(); err != nil {
		return err
	}
	if d.Limit < 1 || d.Limit > dead.MaxSelected {
		return usagef("--limit=%d: 1 to %d are possible", d.Limit, dead.MaxSelected)
	}
	js, err := d.open(ctx, c, "dead list")
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	letters, total, err := dead.List(ctx, js, dead.Filter{Stage: d.Stage, Reason: d.Reason, Since: d.Since.Time}, d.Limit)
	if err != nil {
		return err
	}
	if !d.JSON {
		_, err := io.WriteString(c.out, present.DeadList(letters, total))
		return err
	}
	out := json.NewEncoder(c.out)
	for i := range letters {
		if err := out.Encode(letters[i].View()); err != nil {
			return err
		}
	}
	return nil
}

type deadShowCommand struct {
	lookFlags
	Letter uint64 `arg:"" help:"Number of the letter, as 'trailvane dead list' shows it."`
	Raw    bool   `help:"Write the record itself to standard output, and nothing else; not to a terminal, which it could take over."`
	JSON   bool   `name:"json" help:"Print one JSON object; the record is base64."`
}

// Help is shown below the flags.
func (deadShowCommand) Help() string {
	return "Examples:\n  trailvane dead show 42\n  trailvane dead show 42 --raw > record.json\n\n" + adminCodes
}

// shownRaw bounds the record on a terminal, bytes.
const shownRaw = 4 << 10

// Run shows.
func (d *deadShowCommand) Run(ctx context.Context, c console) error {
	if err := d.check(); err != nil {
		return err
	}
	_, terminal := present.Terminal(c.out)
	if d.Raw && terminal {
		return usagef("--raw: the record may hold anything, so it is not written to a terminal; redirect it: > record.json")
	}
	if d.Raw && d.JSON {
		return usagef("--raw and --json: one of them is possible")
	}
	js, err := d.open(ctx, c, "dead show")
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	l, ok, err := dead.Get(ctx, js, d.Letter)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("there is no letter %d: it was replayed or purged, or was never there; trailvane dead list shows those there are", d.Letter)
	case d.Raw:
		_, err = c.out.Write(l.Raw)
	case d.JSON:
		err = json.NewEncoder(c.out).Encode(l.View())
	default:
		most := len(l.Raw)
		if terminal {
			most = shownRaw
		}
		_, err = io.WriteString(c.out, present.DeadLetter(&l, most))
	}
	return err
}

type deadReplayCommand struct {
	lookFlags
	Letters []uint64 `arg:"" optional:"" help:"Numbers of the letters; none: those that --stage and --reason select."`
	Stage   string   `placeholder:"STAGE" help:"Those of this stage."`
	Reason  string   `placeholder:"REASON" help:"Those with this reason."`
	Format  string   `default:"auto" enum:"auto,${formats}" help:"Format of the records: ${enum}."`
	DryRun  bool     `help:"Change nothing, and say what would become of each record."`
}

// Help is shown below the flags.
func (deadReplayCommand) Help() string {
	return "Puts the record of each letter into its lane again, where the normalizer reads it; the letter leaves DEAD, so that replaying it " +
		"twice does nothing. If the normalizer refuses the record again, it comes back as a new letter: so replay when the normalizers " +
		"are mended. A record that this program would refuse stays where it is. What was longer than 64 KiB is not whole and cannot " +
		"be replayed.\n\n" +
		"Its events count at their own times. Where time has gone on, they are late and not part of rates; more than a day behind, no detector " +
		"learns from them, and they are in the metrics only.\n\n" +
		"Examples:\n  trailvane dead replay 42 43 --dry-run\n  trailvane dead replay --stage normalizer --reason malformed\n\n" +
		"Exit codes: 0 done; 11 some letters could not be replayed; 1 failed; 2 wrong usage."
}

// Run replays.
func (d *deadReplayCommand) Run(ctx context.Context, c console) error {
	if err := d.check(); err != nil {
		return err
	}
	named, selected := len(d.Letters) > 0, d.Stage != "" || d.Reason != ""
	if named == selected {
		return usagef("name letters, or select them by --stage and --reason")
	}
	js, err := d.open(ctx, c, "dead replay")
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	letters, missing, err := d.letters(ctx, js)
	if err != nil {
		return err
	}
	format := d.Format
	if format == "auto" {
		format = ""
	}
	r, err := dead.NewReplayer(ctx, js, format)
	if err != nil {
		return err
	}
	defer r.Close()
	if !d.DryRun {
		if err := r.Resume(ctx); err != nil {
			return err
		}
	}
	report := replayReport{out: c.out, dry: d.DryRun}
	for _, seq := range missing {
		report.refused(fmt.Sprintf("letter %d is not there: it was replayed or purged, or was never there", seq))
	}
	for _, l := range letters {
		t, err := r.Try(ctx, l)
		if err == nil && !d.DryRun {
			err = r.Replay(ctx, t)
		}
		switch {
		case errors.Is(err, dead.ErrRefused):
			report.refused(err.Error())
		case err != nil:
			return err
		default:
			report.replayed(t)
		}
	}
	return report.end()
}

func (d *deadReplayCommand) letters(ctx context.Context, js natsjetstream.JetStream) ([]dead.Letter, []uint64, error) {
	if len(d.Letters) > 0 {
		return dead.Select(ctx, js, d.Letters)
	}
	letters, err := dead.Find(ctx, js, dead.Filter{Stage: d.Stage, Reason: d.Reason})
	return letters, nil, err
}

// A replayReport tells what became of each letter.
type replayReport struct {
	out         io.Writer
	dry         bool
	done, fails int
	stale       int // of done: with events of more than a day ago
	several     int // of done: with more than one event
	err         error
}

func (r *replayReport) say(text string) {
	if r.err == nil {
		_, r.err = fmt.Fprintln(r.out, present.Safe(text, maxError))
	}
}

func (r *replayReport) refused(text string) {
	r.fails++
	r.say(text)
}

func (r *replayReport) replayed(t dead.Trial) {
	r.done++
	if t.Events > 1 {
		r.several++
	}
	what := "no event that insights look at"
	if t.Events > 0 {
		what = fmt.Sprintf("events: %d, from %s", t.Events, t.Oldest.Format(time.RFC3339))
		if time.Since(t.Oldest) > 24*time.Hour {
			r.stale++
		}
	}
	verb := "replayed into"
	if r.dry {
		verb = "would go into"
	}
	r.say(fmt.Sprintf("letter %d %s lane %d as %s; %s", t.Seq, verb, t.Lane, t.Format, what))
}

func (r *replayReport) end() error {
	verb := "replayed"
	if r.dry {
		verb = "could be replayed; nothing was changed"
	}
	r.say(fmt.Sprintf("%d %s, %d cannot be", r.done, verb, r.fails))
	if r.stale > 0 {
		r.say(fmt.Sprintf("%d of them have events of more than a day ago: no detector learns from these, they count in the metrics only.", r.stale))
	}
	if r.several > 0 {
		r.say(fmt.Sprintf("%d of them hold several events: those that had gone through the first time count in the metrics once more.", r.several))
	}
	if r.err == nil && r.fails > 0 {
		return exitError(exitAttention)
	}
	return r.err
}

type deadPurgeCommand struct {
	lookFlags
	Letters   []uint64 `arg:"" optional:"" help:"Numbers of the letters."`
	Stage     string   `placeholder:"STAGE" help:"All of this stage; with --older-than the older ones of them."`
	OlderThan age      `placeholder:"TIME" help:"All before this time, or of so long ago: 2026-03-01, 36h, 7d."`
	All       bool     `env:"-" help:"All there are."`
	Yes       bool     `env:"-" short:"y" help:"Do not ask."`
	DryRun    bool     `help:"Change nothing, and say how many it would be."`
}

// Help is shown below the flags.
func (deadPurgeCommand) Help() string {
	return "Takes dead letters away for good, with their records. It asks before, on a terminal; elsewhere it needs --yes.\n\n" +
		"Examples:\n  trailvane dead purge 42 43\n  trailvane dead purge --stage normalizer --older-than 7d --yes\n\n" + adminCodes
}

// Run purges.
func (d *deadPurgeCommand) Run(ctx context.Context, c console) error {
	if err := d.check(); err != nil {
		return err
	}
	ways := 0
	for _, way := range []bool{len(d.Letters) > 0, d.Stage != "" || !d.OlderThan.IsZero(), d.All} {
		if way {
			ways++
		}
	}
	if ways != 1 {
		return usagef("name letters, or --stage and --older-than, or --all: one of these")
	}
	js, err := d.open(ctx, c, "dead purge")
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	letters, total, err := d.selected(ctx, js)
	if err != nil {
		return err
	}
	which := fmt.Sprintf("%d dead letters", total)
	if total == 1 {
		which = "1 dead letter"
	}
	switch {
	case total == 0:
		_, err := fmt.Fprintln(c.out, "no dead letter is selected")
		return err
	case d.DryRun:
		_, err := fmt.Fprintf(c.out, "%s would be taken away; nothing was changed\n", which)
		return err
	case !d.Yes:
		if err := confirm(c, fmt.Sprintf("Take %s away for good?", which)); err != nil {
			return err
		}
	}
	if len(d.Letters) > 0 {
		for _, l := range letters {
			if err := dead.Remove(ctx, js, l); err != nil {
				return err
			}
		}
	} else if _, err := dead.Purge(ctx, js, d.Stage, d.OlderThan.Time); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s taken away\n", which)
	return err
}

// selected returns the letters that are named, or how many the flags select.
func (d *deadPurgeCommand) selected(ctx context.Context, js natsjetstream.JetStream) (letters []dead.Letter, total int, err error) {
	if len(d.Letters) > 0 {
		letters, _, err = dead.Select(ctx, js, d.Letters)
		return letters, len(letters), err
	}
	err = dead.Scan(ctx, js, dead.Filter{Stage: d.Stage, Before: d.OlderThan.Time}, func(dead.Letter) error {
		total++
		return nil
	})
	return nil, total, err
}

// confirm asks, and returns an error unless the answer is yes. Nobody is asked where nobody can answer.
func confirm(c console, question string) error {
	if _, terminal := present.Terminal(c.err); !terminal {
		return usagef("nobody is there to confirm it; say --yes")
	}
	fmt.Fprintf(c.err, "%s [y/N] ", question)
	answer, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
