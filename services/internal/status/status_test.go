package status_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/aggregator"
	"github.com/trailvane/trailvane/services/detector"
	"github.com/trailvane/trailvane/services/ingest"
	"github.com/trailvane/trailvane/services/internal/broker"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/stages"
	"github.com/trailvane/trailvane/services/internal/status"
	"github.com/trailvane/trailvane/services/normalizer"
	"github.com/trailvane/trailvane/services/pairer"
)

const lanes, partitions = 3, 2

// world is a deployment on a server of its own, and what runs on it.
type world struct {
	*service.Deployment
	t *testing.T
}

func start(t *testing.T) *world {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{Dir: jetstreamtest.Dir(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(js.Conn().Close)
	id := jetstream.Identity{Lanes: lanes, Partitions: partitions, Lateness: 15, Learn: 24 * 60, Budget: 1}
	return &world{Deployment: &service.Deployment{JS: js, Identity: id, Instance: "one", Log: slog.New(slog.DiscardHandler)}, t: t}
}

func (w *world) deploy() {
	w.t.Helper()
	topology := jetstream.DefaultTopology(w.Identity, stages.Names()...)
	topology.Readers = stages.Reads()
	topology.Trim = false
	if err := jetstream.Deploy(w.t.Context(), w.JS, topology); err != nil {
		w.t.Fatal(err)
	}
}

// run runs an instance until what is returned is called.
func (w *world) run(d *service.Deployment, works ...service.Work) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	instance := service.NewInstance(d, works...)
	done := make(chan error, 1)
	go func() { done <- instance.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// as is the deployment as an instance sees it.
func (w *world) as(name string) *service.Deployment {
	d := *w.Deployment
	d.Instance, d.Version = name, "1"
	return &d
}

// put writes to RAW as a connector does.
func (w *world) put(lane int, kind string, number uint64, body []byte) {
	w.t.Helper()
	sink, err := jetstream.NewSink(w.JS)
	if err != nil {
		w.t.Fatal(err)
	}
	defer sink.Close()
	_, err = sink.Put(w.t.Context(), runner.Output{
		Subject: schemas.RawSubject(lane, kind), Body: body,
		Producer: runner.Producer("ingest", fmt.Sprint(lane), "", 0), Number: schemas.Number{Seq: number},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func chunk(records ...string) []byte {
	c := schemas.Chunk{Object: "logs.json"}
	for i, r := range records {
		c.Records = append(c.Records, schemas.RawRecord{Offset: int64(i), Body: []byte(r)})
	}
	return c.Append(nil)
}

func record(account, region string, at time.Time) string {
	return fmt.Sprintf(`{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::%[1]s:user/ann","accountId":%[1]q,`+
		`"userName":"ann"},"eventTime":%[2]q,"eventSource":"ec2.amazonaws.com","eventName":"StopInstances","awsRegion":%[3]q,`+
		`"sourceIPAddress":"192.0.2.1","eventID":"%[1]s-%[3]s-%[2]s","eventType":"AwsApiCall","recipientAccountId":%[1]q,`+
		`"managementEvent":true,"readOnly":false}`, account, at.UTC().Format(time.RFC3339), region)
}

func (w *world) read(after time.Duration, o status.Options) *status.Status {
	w.t.Helper()
	s, err := status.Read(w.t.Context(), w.JS, time.Now().Add(after), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// wait reads until something holds.
func (w *world) wait(what string, holds func(*status.Status) bool) *status.Status {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		s := w.read(0, status.Options{})
		if holds(s) {
			return s
		}
		if time.Now().After(deadline) {
			text, _ := json.MarshalIndent(s, "", " ")
			w.t.Fatalf("%s: not within 30 s: %s", what, text)
		}
	}
}

// works are all stages between ingest and pairer.
func works(d *service.Deployment) []service.Work {
	all := []service.Work{normalizer.Work(d, catalog.Default(), nil), aggregator.Work(d)}
	return append(all, detector.Works(d, stages.Types()...)...)
}

func settled(s *status.Status) bool {
	for _, st := range s.Stages {
		for _, p := range st.Partitions {
			if st.Name != "ingest" && st.Name != "pairer" && (p.Epoch == 0 || p.Lag > 0) {
				return false
			}
		}
	}
	return true
}

func kindsOf(s *status.Status) []status.Kind {
	var kinds []status.Kind
	for _, p := range s.Problems {
		kinds = append(kinds, p.Kind)
	}
	return kinds
}

func TestNothingIsDeployed(t *testing.T) {
	s := start(t).read(0, status.Options{})
	if s.Healthy || !slices.Equal(kindsOf(s), []status.Kind{status.NoDeployment}) || !strings.HasPrefix(s.Headline, "nothing here") {
		t.Errorf("got %+v", s)
	}
}

// One lane is over, one is silent, one is not used; a record was refused; nobody runs the pairer. Status says that and nothing else.
func TestTrouble(t *testing.T) {
	w := start(t)
	w.deploy()
	now := time.Now()
	w.put(0, "cloudtrail", 1, chunk(
		record("111111111111", "eu-west-1", now.Add(-3*time.Hour)), record("111111111111", "us-east-1", now.Add(-30*time.Hour)),
		record("222222222222", "eu-west-1", now.Add(-40*time.Hour)), record("111111111111", "eu-west-1", now.Add(-time.Minute)),
	))
	end := schemas.End{}
	w.put(0, string(schemas.EndControl), 2, end.Append(nil))
	w.put(1, "cloudtrail", 1, chunk(record("333333333333", "eu-west-1", now.Add(-time.Minute)), `{"eventVersion":`))
	tick := schemas.Tick{}
	w.put(1, string(schemas.TickControl), 2, tick.Append(nil))

	one := w.as("one")
	w.run(one, works(one)...)
	w.wait("all is read", settled)

	s := w.read(11*time.Minute, status.Options{})
	if want := []status.Kind{status.Stopped, status.SilentLane, status.DeadLetters}; !slices.Equal(kindsOf(s), want) || s.Healthy {
		t.Errorf("got problems %+v, want %v", s.Problems, want)
	}
	headline := "needs attention: nobody works on pairer, "
	if !strings.HasPrefix(s.Headline, headline) ||
		!strings.HasSuffix(s.Headline, " wait; lane 1 is silent: its connector has put nothing for 11 min; 1 record was refused within a day") {
		t.Errorf("got headline %q", s.Headline)
	}
	var states []status.LaneState
	for _, l := range s.Lanes {
		states = append(states, l.State)
	}
	if want := []status.LaneState{status.Ended, status.Silent, status.Unused}; !slices.Equal(states, want) {
		t.Errorf("got lanes %+v, want %v", s.Lanes, want)
	}
	if l := s.Lanes[1]; l.LastTick.IsZero() || l.LastChunk.IsZero() || l.LastTick.Before(l.LastChunk) || !l.LastRecord.Equal(l.LastTick) {
		t.Errorf("got lane %+v", l)
	}
	if s.Dead.Total != 1 || s.Dead.ByStage["normalizer"] != 1 || s.Dead.ByReason["malformed"] != 1 {
		t.Errorf("got dead letters %+v", s.Dead)
	}
	if a := s.Accounts; a.Total != 3 || a.Learning != 2 || a.Silent != 1 || len(a.Quiet) != 1 || a.Quiet[0].Account != "222222222222" {
		t.Errorf("got accounts %+v", a)
	}
	var learning []string
	for _, l := range s.Accounts.Least {
		learning = append(learning, fmt.Sprint(l.Account, " ", l.Seen, "/", l.Needed))
	}
	if want := []string{"222222222222 1/1440", "333333333333 1/1440"}; !slices.Equal(learning, want) {
		t.Errorf("got learning %v, want %v", learning, want)
	}
	marks := s.Watermarks
	if marks.Total != 4 || marks.Idle != 2 || len(marks.Behind) != 2 {
		t.Errorf("got watermarks %+v", marks)
	}
	if all := w.read(0, status.Options{All: true}).Watermarks.Behind; len(all) != 4 || all[0].Account != "222222222222" || !all[0].Idle {
		t.Errorf("got all watermarks %+v", all)
	}
	for _, st := range s.Stages {
		for _, p := range st.Partitions {
			want := status.Running
			if st.Name == "ingest" || st.Name == "pairer" {
				want = status.Never
			}
			if p.State != want || want == status.Running && (p.Owner != "one" || p.Committed.IsZero()) {
				t.Errorf("%s: got %+v, want %s", st.Name, p, want)
			}
		}
	}
}

// A stream that is trimmed still knows when its last record came.
func TestALaneAfterTrimming(t *testing.T) {
	w := start(t)
	w.deploy()
	w.put(0, "cloudtrail", 1, chunk(record("111111111111", "eu-west-1", time.Now().Add(-time.Minute))))
	one := w.as("one")
	w.run(one, works(one)...)
	before := w.wait("all is read", settled)
	raw, err := w.JS.Stream(t.Context(), jetstream.RawStream(0))
	if err == nil {
		err = raw.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	l := w.read(11*time.Minute, status.Options{}).Lanes[0]
	if l.State != status.Silent || !l.LastRecord.Equal(before.Lanes[0].LastRecord) || !l.LastChunk.IsZero() {
		t.Errorf("got lane %+v, want one that is silent since %v", l, before.Lanes[0].LastRecord)
	}
}

// Of a bounded input it is known that it is over, also when its last record is gone.
func TestABoundedLaneAfterTrimming(t *testing.T) {
	w := start(t)
	w.deploy()
	logs := t.TempDir()
	for i, account := range []string{"111111111111", "222222222222"} { // two objects, so that the last is not the only one
		line := []byte(record(account, "eu-west-1", time.Now().Add(-time.Minute)) + "\n")
		if err := os.WriteFile(filepath.Join(logs, fmt.Sprint(i, ".json")), line, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := *w.Deployment
	d.Identity.Lanes = 1 // a bounded input has one
	lane, err := ingest.Open(t.Context(), &d, ingest.Config{Paths: []string{logs}, Remember: true, Dir: t.TempDir(), End: new(schemas.End)})
	if err != nil {
		t.Fatal(err)
	}
	defer lane.Close()
	if s := w.read(11*time.Minute, status.Options{}); s.Lanes[0].State == status.Ended {
		t.Errorf("got lane %+v before it was read", s.Lanes[0])
	}
	if err := lane.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	one := w.as("one")
	w.run(one, works(one)...)
	w.wait("all is read", settled)
	if l := w.read(11*time.Minute, status.Options{}).Lanes[0]; l.State != status.Ended {
		t.Errorf("got lane %+v", l)
	}
	raw, err := w.JS.Stream(t.Context(), jetstream.RawStream(0))
	if err == nil {
		err = raw.Purge(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if s := w.read(11*time.Minute, status.Options{}); s.Lanes[0].State != status.Ended || slices.Contains(kindsOf(s), status.SilentLane) {
		t.Errorf("trimmed: got lane %+v, problems %v", s.Lanes[0], s.Problems)
	}
}

// broken is a partition at which a person must look.
type broken struct{ service.Part }

func (broken) Run(context.Context) error {
	return fmt.Errorf("aggregator 1: %w: bad \x1b[2J", runner.ErrCorrupt)
}

// With everything running it is healthy. A partition that has halted is told with its reason; when the instance has gone, nobody
// works on anything; and a type that was given up need not be worked on.
func TestHealthAndOwners(t *testing.T) {
	w := start(t)
	w.deploy()
	w.put(0, "cloudtrail", 1, chunk(record("111111111111", "eu-west-1", time.Now().Add(-time.Minute))))
	one := w.as("one")
	stop := w.run(one, append(works(one), pairer.Work(one))...)
	s := w.wait("healthy, everything committed", func(s *status.Status) bool {
		return s.Healthy && s.Headline == "healthy: 1 account (1 still learning), everything is read and committed"
	})
	if len(s.Instances) != 1 || s.Instances[0].ID != "one" || s.Instances[0].Version != "1" {
		t.Errorf("got instances %+v", s.Instances)
	}
	stop()

	s = w.read(0, status.Options{})
	if n := len(s.Problems); n != 10 || s.Problems[0].Text != "nobody works on normalizer" || len(s.Instances) != 0 { // three stages and seven types
		t.Errorf("got %d problems %+v", n, s.Problems)
	}
	if err := jetstream.DisableReader(t.Context(), w.JS, detector.Bucket(schemas.AK)); err != nil {
		t.Fatal(err)
	}
	if n := len(w.read(0, status.Options{}).Problems); n != 9 {
		t.Errorf("got %d problems when a type is given up, want 9", n)
	}

	two := w.as("two")
	all := append(works(two), pairer.Work(two))
	open := all[1].Open
	all[1].Open = func(ctx context.Context, p int) (service.Part, error) {
		part, err := open(ctx, p)
		if err == nil && p == 1 {
			return broken{part}, nil
		}
		return part, err
	}
	w.run(two, all...)
	s = w.wait("only one is halted", func(s *status.Status) bool {
		return len(s.Problems) == 1 && s.Problems[0].Kind == status.Halted
	})
	if want := "needs attention: aggregator 1 has halted: "; !strings.HasPrefix(s.Headline, want) || !strings.Contains(s.Headline, "does not match its digest") {
		t.Errorf("got %q, want %q", s.Headline, want)
	}
}

// Looking claims nothing, writes nothing, and leaves no consumer behind.
func TestLookingDisturbsNothing(t *testing.T) {
	w := start(t)
	w.deploy()
	w.put(0, "cloudtrail", 1, chunk(record("111111111111", "eu-west-1", time.Now().Add(-time.Minute)), "{"))
	one := w.as("one")
	stop := w.run(one, works(one)...)
	w.wait("all is read", settled)
	stop()
	before, err := jetstream.Contents(t.Context(), w.JS)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.read(0, status.Options{All: true})
	}
	after, err := jetstream.Contents(t.Context(), w.JS)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what streams hold has changed (-before +after):\n%s", diff)
	}
	for deadline := time.Now().Add(10 * time.Second); ; { // a consumer is deleted without waiting for an answer
		left := 0
		for name := range after {
			s, err := w.JS.Stream(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			left += s.CachedInfo().State.Consumers
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d consumers are left", left)
		}
	}
}

// The names of stages here are those of the services.
func TestStages(t *testing.T) {
	w := start(t)
	w.deploy()
	var names []string
	for _, s := range w.read(0, status.Options{}).Stages {
		names = append(names, s.Name)
	}
	want := stages.Names()
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("got stages %v, want %v", names, want)
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// Programs read the JSON: its fields stay. A new one is added to the file by -update, and to docs/operations.md.
func TestFields(t *testing.T) {
	var lines []string
	fields(reflect.TypeFor[status.Status](), "", &lines)
	got := strings.Join(lines, "\n") + "\n"
	const file = "testdata/fields.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	docs, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	top := map[string]bool{}
	for _, l := range lines {
		name, _, _ := strings.Cut(strings.TrimLeft(l, " "), " ")
		top[strings.TrimSuffix(name, "[]")] = true
	}
	for _, name := range slices.Sorted(maps.Keys(top)) {
		if !strings.Contains(string(docs), "`"+name[strings.LastIndexByte(name, '.')+1:]+"`") {
			t.Errorf("docs/operations.md does not name the field %s", name)
		}
	}
}

// fields lists the fields of a type as JSON has them, with their types.
func fields(t reflect.Type, prefix string, lines *[]string) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		kind := f.Type
		for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
			if kind.Kind() == reflect.Slice {
				name += "[]"
			}
			kind = kind.Elem()
		}
		*lines = append(*lines, prefix+name+" "+kind.String())
		if kind.Kind() == reflect.Struct && strings.HasPrefix(kind.String(), "status.") {
			fields(kind, prefix+name+".", lines)
		}
	}
}
