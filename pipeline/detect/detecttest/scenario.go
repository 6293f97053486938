package detecttest

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

var update = flag.Bool("update", false, "rewrite the answers in scenario files; commit only what you understand")

// Scenarios runs the files dir/*.txt. A file says in prose what it shows, then what happens, line by line, and below four
// dashes what the detector answers:
//
//	# Ten times its habit for five minutes: one Start when it begins, one End after.
//	windows 7d  every 1m  service=Ecs event=DeleteInstance count=2
//	windows 5m  every 1m  service=Ecs event=DeleteInstance count=20
//	windows 30m every 1m  service=Ecs event=DeleteInstance count=2
//	----
//	day 8 00:00  Start  DeleteInstance  insight=20 baseline=2 duration=1 count=20
//	day 8 00:05  End    DeleteInstance  insight=20 baseline=2 duration=5 count=100  Cooled
//
// Time begins on day 1, Monday 2026-01-05, 00:00 UTC. The commands:
//
//	windows SPAN every STEP [from OFFSET] FIELDS   calls, for the span, which time moves on by
//	and          every STEP [from OFFSET] FIELDS   more calls, in the same span as the line before
//	quiet SPAN                                     nothing happens, and ticks say so
//	late SPAN FIELDS                               calls that come that much after their minute
//	end                                            the input is over
//	set split | batch SPAN | learn SPAN | budget X panes of one row; of so many minutes; settings
//
// A span is 90m, 12h or 7d. Fields are service, event, error, principal, type (user, role, root, federated, service), key, ip,
// agent, country, asn, auth (key, temporary, console, mfa), class (policy, password, trail, restore; "trail:adjacent" has another
// tier than core), target (self, other, wildcard, admin, root), read=yes, region and count; several values with commas between
// them take turns, and count=0 is silence.
func Scenarios(t *testing.T, newDetector New, dir string) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in %s (%v)", dir, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			story, want, _ := strings.Cut(string(text), "----\n")
			if !strings.HasPrefix(story, "#") {
				t.Errorf("%s does not begin by saying what it shows", file)
			}
			got, err := tell(newDetector(), story)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(story+"----\n"+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
			}
		})
	}
}

// A story is a scenario while it is told.
type story struct {
	detector detect.Detector
	settings schemas.Settings
	feeds    map[string]*Feed
	now      schemas.Minute
	batch    schemas.Minute
	split    bool
	out      strings.Builder

	span  schemas.Minute // of the windows line that waits for more calls
	calls []regionCall
}

type regionCall struct {
	region string
	Call
}

func tell(d detect.Detector, text string) (string, error) {
	s := &story{detector: d, settings: schemas.DefaultSettings(), feeds: make(map[string]*Feed), now: Epoch, batch: 1}
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.line(words); err != nil {
			return "", fmt.Errorf("line %d: %q: %w", i+1, line, err)
		}
	}
	s.flush()
	if s.out.Len() == 0 {
		return "silence\n", nil
	}
	return s.out.String(), nil
}

func (s *story) line(words []string) error {
	if words[0] != "and" {
		s.flush()
	}
	rest := words[1:]
	switch words[0] {
	case "windows":
		span, err := parseSpan(rest)
		if err != nil {
			return err
		}
		s.span = span
		return s.plan(rest[1:])
	case "and":
		return s.plan(rest)
	case "quiet":
		span, err := parseSpan(rest)
		if err != nil {
			return err
		}
		for end := s.now + span; s.now < end; {
			s.now = min(end, s.now+schemas.Hour)
			for _, f := range s.sorted() {
				p := f.Tick(s.now - 2*f.Lateness)
				s.observe(&p)
			}
		}
	case "late":
		span, err := parseSpan(rest)
		if err != nil {
			return err
		}
		calls, err := parseCalls(rest[1:])
		if err != nil {
			return err
		}
		c := calls[0]
		c.Minute = s.now - span
		s.pane(c.region, []Call{c.Call})
	case "end":
		for _, f := range s.sorted() {
			p := f.End()
			s.observe(&p)
		}
	case "set":
		return s.set(rest)
	default:
		return fmt.Errorf("unknown command %q", words[0])
	}
	return nil
}

func (s *story) set(words []string) error {
	if words[0] == "split" {
		s.split = true
		return nil
	}
	if len(words) != 2 {
		return fmt.Errorf("set what?")
	}
	var err error
	switch words[0] {
	case "batch":
		s.batch, err = parseSpan(words[1:])
	case "learn":
		s.settings.Learn, err = parseSpan(words[1:])
	case "budget":
		s.settings.Budget, err = strconv.ParseFloat(words[1], 64)
	default:
		err = fmt.Errorf("unknown setting %q", words[0])
	}
	return err
}

// plan reads "every STEP [from OFFSET] FIELDS" and notes the calls of the span.
func (s *story) plan(words []string) error {
	if len(words) < 3 || words[0] != "every" {
		return fmt.Errorf("want: every STEP FIELDS")
	}
	step, err := parseSpan(words[1:])
	if err != nil {
		return err
	}
	words = words[2:]
	from := schemas.Minute(0)
	if words[0] == "from" {
		if from, err = parseSpan(words[1:]); err != nil {
			return err
		}
		words = words[2:]
	}
	turns, err := parseCalls(words)
	if err != nil {
		return err
	}
	for i, m := 0, from; m < s.span; i, m = i+1, m+step {
		c := turns[i%len(turns)]
		c.Minute = s.now + m
		if c.Count > 0 {
			s.calls = append(s.calls, c)
		}
	}
	return nil
}

// flush sends what was planned, in batches.
func (s *story) flush() {
	slices.SortStableFunc(s.calls, func(a, b regionCall) int { return int(a.Minute - b.Minute) })
	for len(s.calls) > 0 {
		until := s.calls[0].Minute - s.calls[0].Minute%s.batch + s.batch
		byRegion := make(map[string][]Call)
		var regions []string
		for len(s.calls) > 0 && s.calls[0].Minute < until {
			c := s.calls[0]
			s.calls = s.calls[1:]
			if byRegion[c.region] == nil {
				regions = append(regions, c.region)
			}
			byRegion[c.region] = append(byRegion[c.region], c.Call)
		}
		for _, region := range regions {
			s.pane(region, byRegion[region])
		}
	}
	s.now += s.span
	s.span = 0
}

func (s *story) pane(region string, calls []Call) {
	f := s.feeds[region]
	if f == nil {
		account := schemas.Account{Provider: schemas.Alibaba, ID: "1234567890123456"}
		f = &Feed{Account: account, Region: region, Lateness: s.settings.Lateness}
		s.feeds[region] = f
	}
	before := f.watermark
	if f.newest == 0 {
		before = math.MinInt32
	}
	p := f.Pane(calls)
	if s.split {
		for len(p.Rows) > 1 {
			part := p
			part.Rows, part.Watermark = p.Rows[:1], before
			s.observe(&part)
			p.Rows = p.Rows[1:]
		}
	}
	s.observe(&p)
}

func (s *story) sorted() []*Feed {
	var feeds []*Feed
	for _, f := range s.feeds {
		feeds = append(feeds, f)
	}
	slices.SortFunc(feeds, func(a, b *Feed) int { return strings.Compare(a.Region, b.Region) })
	return feeds
}

func (s *story) observe(p *schemas.Pane) {
	s.detector.Observe(p, s.settings, func(f *schemas.Finding) {
		at, what := f.Start, "Start"
		switch f.Kind {
		case schemas.CloseFinding:
			at, what = f.End, "End  "
		case schemas.UpdateFinding:
			what = "Update"
		}
		m := at - Epoch
		st := &f.Statistics
		fmt.Fprintf(&s.out, "day %d %02d:%02d  %s  %s  insight=%v baseline=%v duration=%d count=%d", m/schemas.Day+1, m/60%24, m%60,
			what, f.Object, st.Insight, st.Baseline, st.InsightDuration, st.InsightCount)
		if len(s.feeds) > 1 {
			fmt.Fprintf(&s.out, "  %s", p.Region)
		}
		if f.Why.Continues != "" {
			fmt.Fprintf(&s.out, "  continues=%s", f.Why.Continues)
		}
		if f.Kind == schemas.CloseFinding {
			fmt.Fprintf(&s.out, "  %s", f.Why.EndReason)
			if !f.Why.Confirmed {
				s.out.WriteString("  unconfirmed")
			}
		} else {
			fmt.Fprintf(&s.out, "\n                   %s", f.Why.Text)
		}
		s.out.WriteByte('\n')
	})
}

func parseSpan(words []string) (schemas.Minute, error) {
	if len(words) == 0 || len(words[0]) < 2 {
		return 0, fmt.Errorf("want a span")
	}
	unit, ok := map[byte]schemas.Minute{'m': 1, 'h': schemas.Hour, 'd': schemas.Day}[words[0][len(words[0])-1]]
	n, err := strconv.Atoi(words[0][:len(words[0])-1])
	if err != nil || !ok || n < 0 {
		return 0, fmt.Errorf("%q is no span", words[0])
	}
	return schemas.Minute(n) * unit, nil
}

// parseCalls reads fields; as many calls as the field with the most values has.
func parseCalls(words []string) ([]regionCall, error) {
	values := map[string][]string{"service": {"Ecs"}, "event": {"DeleteInstance"}, "principal": {"alice"}, "count": {"1"},
		"region": {"cn-hangzhou"}, "error": {""}, "key": {""}, "ip": {""}, "agent": {""}, "read": {""},
		"type": {""}, "country": {""}, "asn": {""}, "auth": {""}, "class": {""}, "target": {""}}
	turns := 1
	for _, w := range words {
		name, list, ok := strings.Cut(w, "=")
		if _, known := values[name]; !ok || !known {
			return nil, fmt.Errorf("unknown field %q", w)
		}
		values[name] = strings.Split(list, ",")
		turns = max(turns, len(values[name]))
	}
	calls := make([]regionCall, turns)
	for i := range calls {
		get := func(name string) string { return values[name][i%len(values[name])] }
		n, err := strconv.ParseUint(get("count"), 10, 32)
		if err != nil {
			return nil, err
		}
		c := Call{
			Service: get("service"), Event: get("event"), Error: get("error"), Principal: get("principal"), AccessKey: get("key"),
			SourceIP: get("ip"), UserAgent: get("agent"), Country: get("country"), ASN: get("asn"),
			Read: get("read") != "", Count: uint32(n),
		}
		c.Type, err = word[schemas.PrincipalType](get("type"), "", "root", "user", "role", "federated", "service")
		if err == nil {
			c.Traits.Auth, err = word[schemas.Auth](get("auth"), "", "key", "temporary", "console", "mfa")
		}
		if err == nil {
			c.Traits.Target, err = word[schemas.Target](get("target"), "", "other", "self", "wildcard", "admin", "root")
		}
		if err == nil {
			c.Traits.Sensitive, err = parseClass(get("class"))
		}
		if err != nil {
			return nil, err
		}
		calls[i] = regionCall{get("region"), c}
	}
	return calls, nil
}

// word returns the place of a word in a list.
func word[T schemas.PrincipalType | schemas.Auth | schemas.Target](w string, list ...string) (T, error) {
	i := slices.Index(list, w)
	if i < 0 {
		return 0, fmt.Errorf("unknown word %q, want one of %q", w, list)
	}
	return T(i), nil
}

// parseClass reads a class with an optional tier.
func parseClass(text string) (s schemas.Sensitive, err error) {
	name, tier, ok := strings.Cut(text, ":")
	if !ok {
		tier = schemas.CoreTier.String()
	}
	if name == "" || name == "restore" {
		if name != "" {
			s = schemas.RestoresTrail
		}
		return s, nil
	}
	for c := schemas.PolicyClass; c <= schemas.TrailClass; c++ {
		for t := schemas.IndirectTier; t <= schemas.CoreTier; t++ {
			if c.String() == name && t.String() == tier {
				return s.With(c, t), nil
			}
		}
	}
	return 0, fmt.Errorf("unknown class %q", text)
}
