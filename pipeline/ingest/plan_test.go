package ingest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// names lists the entries of a plan for people.
func names(p *Plan) []string {
	var all []string
	for _, e := range p.entries {
		switch {
		case e.Control != "":
			all = append(all, string(e.Control))
		case e.From > 0:
			all = append(all, fmt.Sprintf("%s from %d", e.Name, e.From))
		default:
			all = append(all, e.Name)
		}
	}
	return all
}

// Objects go in the order of their time, merged over regions and days, whatever tells it.
func TestPlanOrder(t *testing.T) {
	const path = "AWSLogs/111122223333/CloudTrail/"
	files := objects{
		path + "us-east-1/1970/01/03/111122223333_CloudTrail_us-east-1_19700103T0000Z_a.json": "",
		path + "eu-west-1/1970/01/02/111122223333_CloudTrail_eu-west-1_19700102T0005Z_b.json": "",
		path + "us-east-1/1970/01/02/111122223333_CloudTrail_us-east-1_19700102T0000Z_c.json": "",
		path + "eu-west-1/1970/01/02/111122223333_CloudTrail_eu-west-1_19700102T0000Z_d.json": "",
		"between.json.gz": compress(t, `{"Records":[{"x":1},{"eventTime":86401}]}`),
		"first.jsonl":     lines(5, 2),
		"text":            "no log",
		"empty":           "",
	}
	want := []string{
		"settings",
		"first.jsonl",
		path + "eu-west-1/1970/01/02/111122223333_CloudTrail_eu-west-1_19700102T0000Z_d.json",
		path + "us-east-1/1970/01/02/111122223333_CloudTrail_us-east-1_19700102T0000Z_c.json",
		"between.json.gz",
		path + "eu-west-1/1970/01/02/111122223333_CloudTrail_eu-west-1_19700102T0005Z_b.json",
		path + "us-east-1/1970/01/03/111122223333_CloudTrail_us-east-1_19700103T0000Z_a.json",
		"empty", "text",
		"end",
	}
	rapid.Check(t, func(rt *rapid.T) {
		order := rapid.Permutation(slices.Sorted(func(yield func(string) bool) {
			for name := range files {
				if !yield(name) {
					return
				}
			}
		})).Draw(rt, "order")
		p := plan(t, listed{files, order}, memory.NewBroker(nil).Store("ingest"))
		if diff := cmp.Diff(want, names(p)); diff != "" {
			rt.Fatalf("-want +got:\n%s", diff)
		}
	})
}

// listed lists objects in an order.
type listed struct {
	objects
	order []string
}

func (l listed) List(context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for _, name := range l.order {
			if !yield(Object{Name: name, Size: int64(len(l.objects[name]))}, nil) {
				return
			}
		}
	}
}

// Objects are known by name, size and content; only new and grown ones are appended.
func TestPlanAgain(t *testing.T) {
	store := memory.NewBroker(nil).Store("ingest")
	files := objects{"1": lines(1, 2), "2": compress(t, lines(10, 2)), "3": lines(20, 2) + `{"eventTime"`, "4": lines(30, 1)}
	first := []string{"settings", "1", "2", "3", "4", "end"}
	check := func(name string, c Connector, found Found, more ...string) *Plan {
		t.Helper()
		p := plan(t, c, store)
		if diff := cmp.Diff(append(slices.Clone(first), more...), names(p)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if p.Found() != found {
			t.Errorf("%s: found %+v, want %+v", name, p.Found(), found)
		}
		first = names(p)
		return p
	}
	check("at first", files, Found{New: 4})
	check("nothing new", files, Found{Known: 4})
	files["5"] = lines(2, 1)
	files["1"] += lines(3, 1)
	files["2"] += compress(t, lines(12, 1))
	files["3"] += `:22}` + "\n"
	files["4"] = "x" + files["4"]
	check("new and grown", files, Found{New: 2, Grown: 3}, "1 from 31", "5", "2 from 33", "3 from 33", "4", "end")
	delete(files, "5")
	check("one is gone", files, Found{Known: 4})
	p := check("unreadable", failing{files}, Found{New: 1, Known: 4}, "sub", "end")
	check("unreadable still", failing{files}, Found{Known: 5})

	var times []int64
	s := source(p, files)
	for _, r := range readAll(t, s, 0) {
		if schemas.LastToken(r.Subject) != "cloudtrail" {
			continue
		}
		var c schemas.Chunk
		if err := c.Decode(r.Body); err != nil {
			t.Fatal(err)
		}
		for _, raw := range c.Records {
			at, _ := eventTime(string(raw.Body))
			times = append(times, at)
		}
	}
	// What has grown is delivered once, the old part before the new one; what was replaced as it is now.
	want := []int64{1, 2, 10, 11, 20, 21, 3, 12, 22, 30}
	if diff := cmp.Diff(want, times); diff != "" {
		t.Errorf("delivered (-want +got):\n%s", diff)
	}
}

// failing has a folder that cannot be listed.
type failing struct{ objects }

func (f failing) List(ctx context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		if !yield(Object{Name: "sub"}, errors.New("permission denied")) {
			return
		}
		for o, err := range f.objects.List(ctx) {
			if !yield(o, err) {
				return
			}
		}
	}
}

func TestPlanSettings(t *testing.T) {
	store := memory.NewBroker(nil).Store("ingest")
	files := objects{"1": lines(1, 1)}
	settings := schemas.DefaultSettings()
	make := func(end *schemas.End) []string {
		p, err := MakePlan(t.Context(), PlanConfig{Connector: files, Store: store, Settings: &settings, End: end, Remember: true})
		if err != nil {
			t.Fatal(err)
		}
		return names(p)
	}
	want := []string{"settings", "1", "end"}
	for range 2 {
		if diff := cmp.Diff(want, make(&schemas.End{})); diff != "" {
			t.Fatal(diff)
		}
	}
	settings.Budget = 2
	want = append(want, "settings", "end")
	for range 2 {
		if diff := cmp.Diff(want, make(&schemas.End{})); diff != "" {
			t.Fatal(diff)
		}
	}
	want = append(want, "end")
	if diff := cmp.Diff(want, make(&schemas.End{Close: true})); diff != "" {
		t.Fatal(diff)
	}
}

// A plan of many pages is committed in pieces, and goes on wherever that was interrupted.
func TestPlanPages(t *testing.T) {
	files := objects{}
	for i := range 9_000 {
		files[fmt.Sprintf("%s/%06d", strings.Repeat("long", i%40), i)] = ""
	}
	whole := names(plan(t, files, memory.NewBroker(nil).Store("ingest")))
	if len(whole) != 9_002 {
		t.Fatalf("%d entries", len(whole))
	}
	for stop := range 2 {
		broker := memory.NewBroker(nil)
		settings := schemas.DefaultSettings()
		c := PlanConfig{
			Connector: files, Settings: &settings, End: &schemas.End{}, EventTime: eventTime, Remember: true,
			Store: &interrupted{broker.Store("ingest"), stop},
		}
		if _, err := MakePlan(t.Context(), c); !errors.Is(err, errStop) {
			t.Fatalf("stopped before commit %d: got %v", stop, err)
		}
		again := plan(t, files, broker.Store("ingest"))
		if diff := cmp.Diff(whole, names(again)); diff != "" {
			t.Errorf("stopped before commit %d (-want +got):\n%s", stop, diff)
		}
		loaded := &Plan{}
		if err := loaded.load(t.Context(), broker.Store("ingest")); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(again.entries, loaded.entries); diff != "" {
			t.Errorf("loaded (-want +got):\n%s", diff)
		}
		if n := max(len(whole)/pageEntries, 1); int(loaded.pages.checkpoint.Keys) > 2*n {
			t.Errorf("%d pages", loaded.pages.checkpoint.Keys)
		}
	}
}

// interrupted fails from the nth commit on.
type interrupted struct {
	runner.Store
	n int
}

func (i *interrupted) Commit(ctx context.Context, partition string, c schemas.Checkpoint, changed map[string][]byte) error {
	if i.n--; i.n < 0 {
		return errStop
	}
	return i.Store.Commit(ctx, partition, c, changed)
}

func FuzzDecodePage(f *testing.F) {
	e := Entry{Object: Object{Name: "name", Size: 3, Tag: "tag", Modified: 9}, Account: "1", Time: 5, From: 7, Skip: Digest, Body: []byte("x"), Was: 2}
	f.Add(e.append([]byte{pageVersion}))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := decodePage(nil, b)
		if err != nil {
			return
		}
		again := []byte{pageVersion}
		for i := range entries {
			again = entries[i].append(again)
		}
		got, err := decodePage(nil, again)
		if diff := cmp.Diff(entries, got); diff != "" || err != nil {
			t.Errorf("%v: %s", err, diff)
		}
	})
}
