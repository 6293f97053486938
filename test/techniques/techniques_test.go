// Package techniques plays labelled attacks, recorded by others, to the whole pipeline: each is moved in time, account and region
// onto the logs of the invented company, which nobody attacks. What must be told, and what is not and why, is the committed list
// expected.txt; docs/techniques.md prints it.
//
// The data sets are read from the folder TRAILVANE_DATA. Nothing is tuned on them.
package techniques

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/schemas"
)

const (
	// days of the company's logs. What the simulator plants is on the last two.
	days = "12"

	// account and victim are the company's; he has a key, and works at that hour.
	account, victim = "123456789012", "ci-deploy"

	// after is how long the company's day goes on behind a technique: long enough for its minutes to be closed.
	after = time.Hour
)

// moment is where every technique begins, after nine and a half days: a Wednesday afternoon, the day before anything is planted.
var moment = time.Date(2026, 3, 11, 14, 10, 0, 0, time.UTC)

// A stage is what techniques are played on.
type stage struct {
	baseline []record
	learned  saved // the pipeline at the moment
	place    place
}

func newStage(t *testing.T) *stage {
	t.Helper()
	dir := t.TempDir()
	program, company := filepath.Join(dir, "trailvane"), filepath.Join(dir, "company")
	for _, args := range [][]string{
		{"go", "build", "-o", program, "github.com/trailvane/trailvane/services/trailvane"},
		{program, "simulate", company, "--days", days},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	s := &stage{baseline: read(t, filepath.Join(company, "tamarisk-cloudtrail"))}
	s.place = place{moment, account, known(t, s.baseline, victim)}
	l := newLine()
	l.feed(t, between(s.baseline, time.Time{}, moment))
	s.learned = l.save(t)
	return s
}

// play puts a technique into the company's day and returns what is told from then on.
func (s *stage) play(t *testing.T, moved []record) map[insight]bool {
	t.Helper()
	until := moment.Add(after)
	if len(moved) > 0 {
		until = moved[len(moved)-1].at.Add(after)
	}
	day := slices.Concat(between(s.baseline, moment, until), moved)
	sortByTime(day)
	l := s.learned.open(t)
	l.feed(t, day)
	l.end(t, until)

	told, open := map[insight]bool{}, map[string]bool{}
	for _, e := range l.insights {
		if e.Details.State == schemas.EndState {
			delete(open, e.SharedEventID)
			continue
		}
		open[e.SharedEventID] = true
		i := insight{short(e.Details.Type), e.Details.Object}
		if e.Details.Type == schemas.IP || e.Details.Type == schemas.AK {
			i.object = ""
		}
		told[i] = true
		t.Logf("%s %s in %s: %s", e.EventTime, i.kind, e.Region, e.Details.Trailvane.Why.Text)
	}
	if len(open) > 0 {
		t.Errorf("%d insights have no End", len(open))
	}
	return told
}

// TestTechniques: of every technique exactly what the list expects is told, and nothing of the company's day without one.
func TestTechniques(t *testing.T) {
	root := os.Getenv("TRAILVANE_DATA")
	if root == "" {
		t.Skip("SKIP: no TRAILVANE_DATA")
	}
	techniques := list(t)
	checkLabels(t, root, techniques)
	s := newStage(t)
	if told := s.play(t, nil); len(told) > 0 {
		t.Fatalf("without any technique, %v is told", slices.Collect(maps.Keys(told)))
	}
	for _, x := range techniques {
		records := read(t, filepath.Join(root, x.path))
		for _, disguise := range []bool{false, true} {
			name := x.path
			if disguise {
				name += ", in disguise"
			}
			t.Run(name, func(t *testing.T) {
				told := s.play(t, s.place.move(t, records, disguise))
				if diff := cmp.Diff(x.told(disguise), told, cmp.AllowUnexported(insight{})); diff != "" {
					t.Errorf("what is told (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// checkLabels: the list has every technique of the labelled set, with its labels where these lie beside it. The set as its authors
// publish it has none.
func checkLabels(t *testing.T, root string, techniques []technique) {
	t.Helper()
	const set = "stratus-red-team/detonation-logs/"
	listed := map[string]string{}
	for _, x := range techniques {
		if name, ok := strings.CutPrefix(x.path, set); ok {
			listed[name] = strings.Join(x.labelled, " ")
		}
	}
	files, err := os.ReadDir(filepath.Join(root, set))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if _, ok := listed[f.Name()]; !ok {
			t.Errorf("%s is not in the list", f.Name())
		}
	}

	content, err := os.ReadFile(filepath.Join(root, "stratus-red-team/labels.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var labels struct {
		Techniques map[string]struct{ InsightTypes []string }
	}
	if err := json.Unmarshal(content, &labels); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for name, l := range labels.Techniques {
		want[name+".json"] = strings.Join(l.InsightTypes, " ")
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("labels of the list (-labels.json +list):\n%s", diff)
	}
}
