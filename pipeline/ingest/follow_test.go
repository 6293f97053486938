package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// folder is a Connector of files that change.
type folder struct {
	files  map[string]file
	clock  int64
	broken error // of the next lists
	opened []string
}

type file struct {
	content  string
	modified int64
	settled  bool
	stored   int64
}

func newFolder() *folder { return &folder{files: make(map[string]file)} }

func (f *folder) write(name, content string) {
	f.clock++
	f.files[name] = file{content: content, modified: f.clock}
}

func (f *folder) add(name, content string) { f.write(name, f.files[name].content+content) }

func (f *folder) rename(from, to string) {
	f.files[to] = f.files[from]
	delete(f.files, from)
}

func (f *folder) settle(name string) {
	file := f.files[name]
	file.settled = true
	f.files[name] = file
}

func (f *folder) Name() string { return "test" }

func (f *folder) List(context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		if f.broken != nil {
			yield(Object{}, f.broken)
			return
		}
		for _, name := range slices.Sorted(maps.Keys(f.files)) {
			file := f.files[name]
			o := Object{Name: name, Size: int64(len(file.content)), Modified: file.modified, Settled: file.settled, Stored: file.stored}
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (f *folder) Open(ctx context.Context, o Object) (io.ReadCloser, error) {
	f.opened = append(f.opened, o.Name)
	file, ok := f.files[o.Name]
	if !ok || f.broken != nil {
		return nil, fmt.Errorf("%w: %s is gone", ErrUnreadable, o.Name)
	}
	return twice{strings.NewReader(file.content)}, nil
}

// twice is a file that can be read twice.
type twice struct{ *strings.Reader }

func (twice) Close() error { return nil }

// A follow is a source that follows a folder. Instead of waiting, a read ends with errWait.
type follow struct {
	*Source
	folder *folder
	now    time.Time
	waits  int // that return at once
	failed []string
	after  uint64
}

var errWait = errors.New("waits")

func newFollow(f *folder, store runner.Store, change ...func(*FollowConfig)) *follow {
	settings := schemas.DefaultSettings()
	l := &follow{folder: f, now: time.Unix(1_000_000*60, 0)}
	c := FollowConfig{
		Plan:   PlanConfig{Connector: f, Store: store, Settings: &settings, EventTime: eventTime},
		Detect: detect,
		Now:    func(context.Context) (time.Time, error) { return l.now, nil },
		Wait: func(context.Context) error {
			if l.waits == 0 {
				return errWait
			}
			l.waits--
			return nil
		},
		Failed: func(err error) { l.failed = append(l.failed, err.Error()) },
	}
	for _, change := range change {
		change(&c)
	}
	l.Source = Follow(c)
	return l
}

// next returns what one more poll brings, as lines for people: times of the events, and control records.
func (l *follow) next(t *testing.T) []string {
	t.Helper()
	return told(t, l.records(t))
}

// records returns what one more poll brings.
func (l *follow) records(t *testing.T) []runner.Record {
	t.Helper()
	var all []runner.Record
	if l.began { // the first read polls anyway
		l.waits = 1
	}
	for {
		records, err := l.Read(t.Context(), l.after)
		if errors.Is(err, errWait) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Prev != l.after || r.Seq <= l.after {
				t.Fatalf("record %x follows %x, want %x", r.Seq, r.Prev, l.after)
			}
			l.after = r.Seq
			all = append(all, r)
		}
	}
}

func told(t *testing.T, records []runner.Record) []string {
	t.Helper()
	var lines []string
	for _, r := range records {
		switch kind := schemas.LastToken(r.Subject); kind {
		case "report":
		case "cloudtrail":
			var c schemas.Chunk
			if err := c.Decode(r.Body); err != nil {
				t.Fatal(err)
			}
			line := c.Object
			for _, raw := range c.Records {
				at, _ := eventTime(string(raw.Body))
				line += fmt.Sprintf(" %d", at)
			}
			lines = append(lines, line)
		case "tick":
			var tick schemas.Tick
			if err := tick.Decode(r.Body); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("tick %d", tick.Time-1_000_000))
		case "ingest":
			var d schemas.DeadLetter
			if err := d.Decode(r.Body); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, fmt.Sprintf("dead %s %s", d.Object, d.Reason))
		default:
			lines = append(lines, kind)
		}
	}
	return lines
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// What is there at first goes in the order of its time; later polls bring what is new; ticks come behind it, once a minute.
func TestFollow(t *testing.T) {
	f := newFolder()
	l := newFollow(f, memory.NewBroker(nil).Store("ingest"))
	want(t, "an empty lane has its settings, and no ticks", l.next(t), "settings")
	l.now = l.now.Add(time.Minute)
	want(t, "empty still", l.next(t))
	f.write("b", lines(10, 1))
	f.write("a", lines(20, 1))
	want(t, "history", l.next(t), "b 10", "a 20", "tick 1")
	want(t, "the same minute", l.next(t))
	l.now = l.now.Add(time.Minute)
	want(t, "a minute later", l.next(t), "tick 2")
	l.now = l.now.Add(time.Minute)
	want(t, "and later", l.next(t), "tick 3")
	f.write("c", lines(5, 1))
	f.add("a", lines(21, 2))
	l.now = l.now.Add(time.Minute)
	want(t, "new and grown", l.next(t), "c 5", "a 21 22", "tick 4")
	if got := l.plan.Len(); got != 7 {
		t.Errorf("%d places, want settings, b, a, ticks, c, a, ticks: %v", got, names(l.plan))
	}
	f.opened = nil
	l.now = l.now.Add(time.Minute)
	want(t, "nothing", l.next(t), "tick 5")
	if len(f.opened) > 0 {
		t.Errorf("opened %v, which have not changed", f.opened)
	}
	if len(l.failed) > 0 {
		t.Error(l.failed)
	}
}

// While polls fail, time stands still.
func TestFollowFails(t *testing.T) {
	f := newFolder()
	l := newFollow(f, memory.NewBroker(nil).Store("ingest"))
	f.write("a", lines(1, 1))
	want(t, "at first", l.next(t), "settings", "a 1", "tick 0")
	f.broken = errors.New("out of reach")
	l.now = l.now.Add(time.Hour)
	want(t, "out of reach", l.next(t))
	if len(l.failed) != 1 {
		t.Errorf("failed %q", l.failed)
	}
	f.broken = nil
	f.write("b", lines(2, 1))
	want(t, "back", l.next(t), "b 2", "tick 60")
}

// What is incomplete is read up to its last whole record, or left as long as somebody may complete it.
func TestFollowIncomplete(t *testing.T) {
	f := newFolder()
	l := newFollow(f, memory.NewBroker(nil).Store("ingest"))
	packed := compress(t, recordsOf(2))
	f.write("lines", lines(1, 2)+`{"eventTi`)
	f.write("half", `{"eventTi`)
	f.write("packed", packed[:len(packed)-9])
	f.write("array", `{"Records":[{"eventTime":7},`)
	want(t, "at first", l.next(t), "settings", "lines 1 2", "tick 0")
	want(t, "unchanged", l.next(t))
	f.add("lines", `me":3}`)
	f.add("half", `me":4}`+"\n")
	f.add("packed", packed[len(packed)-9:])
	f.add("array", `{"eventTime":8}]}`)
	got := l.next(t)
	slices.Sort(got)
	want(t, "complete", got, "array 7 8", "half 4", "lines 3", "packed 1714637500 1714637501")

	f.add("lines", "\n"+`{"eventTime":5}`+"\n"+`{"eventTi`)
	want(t, "half again", l.next(t), "lines 5")
	f.settle("lines")
	want(t, "for ever", l.next(t), "dead lines truncated")
	f.add("lines", `me":6}`)
	want(t, "but then", l.next(t), "lines 6")
}

// A rotated file is known by its content.
func TestFollowRotation(t *testing.T) {
	f := newFolder()
	store := memory.NewBroker(nil).Store("ingest")
	l := newFollow(f, store)
	f.write("dir/log", lines(10, 2))
	want(t, "at first", l.next(t), "settings", "dir/log 10 11", "tick 0")
	f.add("dir/log", lines(12, 1))
	f.rename("dir/log", "dir/log.1")
	f.write("dir/log", lines(13, 1))
	want(t, "grown, then rotated", l.next(t), "dir/log.1 12", "dir/log 13")
	f.rename("dir/log.1", "dir/log.2")
	f.rename("dir/log", "dir/log.1")
	want(t, "rotated", l.next(t))
	f.write("dir/log", lines(14, 1))
	want(t, "the next one", l.next(t), "dir/log 14")
	f.write("dir/copy", f.files["dir/log"].content)
	f.write("dir/log", lines(15, 1))
	want(t, "copied, then truncated", l.next(t), "dir/log 15")

	// Whoever has to read again what was rotated meanwhile finds it.
	again := newFollow(f, store)
	got := again.next(t)
	want(t, "from the start", got, "settings", "dir/log 10 11", "dir/log.1 12", "dir/log 13", "dir/log 14", "dir/log 15", "tick 0")
	want(t, "nobody has complained", append(l.failed, again.failed...))
}

// What cannot be opened may have been renamed, or be out of reach for a while.
func TestFollowOutOfReach(t *testing.T) {
	f := newFolder()
	store := memory.NewBroker(nil).Store("ingest")
	f.write("1", lines(1, 1))
	f.write("2", lines(2, 1))
	f.write("3", lines(3, 1))
	l := newFollow(f, store)
	if _, err := l.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.poll(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.jump(0)
	f.rename("2", "4")
	delete(f.files, "3")
	f.broken = errors.New("out of reach")
	if _, err := l.Read(t.Context(), 0); err != nil { // the settings
		t.Fatal(err)
	}
	l.after = l.pos
	if r, err := l.Read(t.Context(), l.after); err == nil || !strings.Contains(err.Error(), "out of reach") {
		t.Fatalf("got %v, %v", told(t, r), err)
	}
	f.broken = nil
	l.waits = 0
	var got []string
	for {
		records, err := l.Read(t.Context(), l.after)
		if errors.Is(err, errWait) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, told(t, records)...)
		l.after = records[len(records)-1].Seq
	}
	want(t, "back", got, "1 1", "2 2", "dead 3 unreadable", "tick 0")
}

// Two sources that extend one plan, one of them without knowing that it lost the lane, read the same.
func TestFollowZombie(t *testing.T) {
	f := newFolder()
	broker := memory.NewBroker(nil)
	zombie, owner := newFollow(f, broker.Store("ingest")), newFollow(f, broker.Store("ingest"))
	f.write("a", lines(1, 1))
	seen := make(map[uint64][]byte)
	read := func(l *follow) {
		t.Helper()
		for _, r := range l.records(t) {
			if was, ok := seen[r.Seq]; ok && !bytes.Equal(was, r.Body) {
				t.Errorf("record %d.%d is %q, was %q", r.Seq>>offsetBits, r.Seq&lastOffset, r.Body, was)
			}
			seen[r.Seq] = r.Body
		}
	}
	read(zombie)
	for i := range 20 {
		f.write(fmt.Sprint("b", i), lines(10+i, 1))
		f.add("a", lines(40+i, 1))
		zombie.now, owner.now = zombie.now.Add(time.Minute), owner.now.Add(time.Hour)
		if i%3 != 0 {
			read(owner)
		}
		f.write(fmt.Sprint("c", i), lines(100+i, 1))
		if i%2 == 0 {
			read(zombie)
		}
	}
	read(owner)
	fresh := newFollow(f, broker.Store("ingest"))
	times := make(map[string]int)
	for _, line := range fresh.next(t) {
		words := strings.Fields(line)
		for _, w := range words[1:] {
			times[words[0]+" "+w]++
		}
	}
	for i := range 20 {
		for _, event := range []string{fmt.Sprint("b", i, " ", 10+i), fmt.Sprint("c", i, " ", 100+i), fmt.Sprint("a ", 40+i)} {
			if times[event] != 1 {
				t.Errorf("%s comes %d times", event, times[event])
			}
		}
	}
}

// A plan has an id of its own for ever, which begins with the first look. One that is made again has another, so that its records
// are not taken for repeats of those that had their numbers before.
func TestPlanIdentity(t *testing.T) {
	f := newFolder()
	f.write("a", lines(1, 1))
	made := 0
	identity := func(c *FollowConfig) {
		c.Plan.Identity = func() string { made++; return fmt.Sprint("made", made) }
	}
	store := memory.NewBroker(nil).Store("ingest")
	id := func(l *follow) string {
		t.Helper()
		info, err := l.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.ID
	}
	first, second := newFollow(f, store, identity), newFollow(f, store, identity)
	want(t, "ids", []string{id(first), id(second)}, "plan-0.made1", "plan-0.made1")
	want(t, "read", first.next(t), "settings", "a 1", "tick 0")
	want(t, "ids", []string{id(first), id(second), id(newFollow(f, store, identity))}, "plan-0.made1", "plan-0.made1", "plan-0.made1")

	// The stored plan is removed under a source that has begun.
	first.Source.follow.Plan.Store = memory.NewBroker(nil).Store("ingest")
	f.write("b", lines(2, 1))
	first.waits = 3
	if records, err := first.Read(t.Context(), first.after); !errors.Is(err, runner.ErrGap) {
		t.Errorf("%d records of a plan that was removed, %v", len(records), err)
	}
	want(t, "another id", []string{id(first)}, "plan-0.made2")
}

// A source that is closed while it reads an object leaves it, and reads on elsewhere.
func TestClose(t *testing.T) {
	f := newFolder()
	open := 0
	l := newFollow(f, memory.NewBroker(nil).Store("ingest"), func(c *FollowConfig) { c.Plan.Connector = counted{f, &open} })
	f.write("a", lines(1, 200_000))
	f.settle("a")
	records, err := l.Read(t.Context(), 0)
	if err != nil || open != 1 {
		t.Fatalf("%d records, %d objects are open, %v", len(records), open, err)
	}
	after := records[len(records)-1].Seq
	l.Close()
	if open != 0 {
		t.Errorf("%d objects are open", open)
	}
	if records, err = l.Read(t.Context(), after); err != nil || records[0].Prev != after {
		t.Errorf("%d records, %v", len(records), err)
	}
	l.Close()
	if open != 0 {
		t.Errorf("%d objects are open", open)
	}
}

// counted counts the objects that are open.
type counted struct {
	*folder
	n *int
}

func (o counted) Open(ctx context.Context, object Object) (io.ReadCloser, error) {
	r, err := o.folder.Open(ctx, object)
	if err != nil {
		return nil, err
	}
	*o.n++
	return &openFile{ReadCloser: r, n: o.n}, nil
}

type openFile struct {
	io.ReadCloser
	n *int
}

func (o *openFile) Close() error {
	*o.n--
	return o.ReadCloser.Close()
}
