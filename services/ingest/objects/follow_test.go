package objects_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/ingest/objects"
	"github.com/trailvane/trailvane/services/ingest/objects/objectstest"
)

// delivered is the key of an object as CloudTrail delivers it.
func delivered(region string, at time.Time, n int) string {
	return fmt.Sprintf("AWSLogs/123456789012/CloudTrail/%s/%s/123456789012_CloudTrail_%[1]s_%[3]s_%04d.json",
		region, at.Format("2006/01/02"), at.Format("20060102T1504Z"), n)
}

// After the first list, what is old by its name costs a request for each region and is left out; what is new is found, also
// in new regions, and late by as much as is looked back. What comes later than that is found by a list behind a failed poll.
func TestLookBack(t *testing.T) {
	s := objectstest.New(t, "logs")
	newest := time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)
	put := func(region string, daysAgo, n int) string {
		key := delivered(region, newest.AddDate(0, 0, -daysAgo), n)
		s.Put("logs", key, "{}")
		return "s3://logs/" + key
	}
	var recent []string
	old := 0
	for _, region := range []string{"eu-west-1", "us-east-1"} {
		for day := range 60 {
			for n := range 50 {
				if key := put(region, day, n); day <= 2 {
					recent = append(recent, key)
				} else {
					old++
				}
			}
		}
	}
	s.Put("logs", "other/2020/01/01/x.json", "{}") // no layout of the vendors
	recent = append(recent, "s3://logs/other/2020/01/01/x.json")
	check := func(what string, o *objects.Objects, want []string) {
		t.Helper()
		got := names(t, o)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%.1000s", what, diff)
		}
	}
	o := connect(t, s, objects.Config{Followed: true}, "s3://logs")
	for range 2 { // the first time the plan is not stored
		if got := names(t, o); len(got) != old+len(recent) {
			t.Fatalf("first list: %d objects, want %d", len(got), old+len(recent))
		}
	}
	o.Planned()
	lists := s.Lists.Load()
	check("second list", o, recent)
	if n := s.Lists.Load() - lists; n > 4 {
		t.Errorf("%d requests for two regions, of which %d objects are old", n, old)
	}
	o.Planned()
	recent = append(recent, put("eu-west-1", 2, 99), put("ap-south-1", 0, 1), put("ap-south-1", 40, 1))
	missed := put("eu-west-1", 3, 99)
	check("late ones, and a new region", o, recent)
	got := names(t, o) // nobody has said that they are planned
	if len(got) != old+len(recent)+1 || !slices.Contains(got, missed) {
		t.Errorf("list behind a failed poll: %d objects, want %d", len(got), old+len(recent)+1)
	}
}

var errEnd = errors.New("nothing more comes")

// A prefix is followed while objects come, in order and late, and the ingest is killed again and again: every record is in RAW once
// for its readers, in the order of the plan.
func TestFollowRestart(t *testing.T) {
	s := objectstest.New(t, "logs")
	random := rand.New(rand.NewPCG(1, 2))
	at := time.Date(2026, 3, 18, 22, 0, 0, 0, time.UTC)
	var want []string
	come := func() {
		n := len(want)
		want = append(want, fmt.Sprintf(`{"eventVersion":"1.08","awsRegion":"eu-west-1","eventID":"%d","eventName":"Run"}`, n))
		late := time.Duration(random.IntN(3)) * 12 * time.Hour // within the look-back
		s.Put("logs", delivered("eu-west-1", at.Add(-late), n), `{"Records":[`+want[n]+`]}`)
		at = at.Add(time.Duration(random.IntN(120)) * time.Minute)
	}
	for range 20 {
		come()
	}
	broker := memory.NewBroker(func() time.Time { return at })
	for life := 0; ; life++ {
		if life > 500 {
			t.Fatal("does not get on")
		}
		o := connect(t, s, objects.Config{Followed: true}, "s3://logs/AWSLogs/")
		source := &killed{reads: 1 + random.IntN(4), Source: ingest.Follow(ingest.FollowConfig{
			Plan:   ingest.PlanConfig{Connector: o, Store: broker.Store("ingest"), EventTime: formats.EventTime},
			Detect: formats.Detect,
			Now:    func(context.Context) (time.Time, error) { return at, nil },
			Wait: func(context.Context) error {
				if len(want) == 80 {
					return fmt.Errorf("%w: %w", runner.ErrGap, errEnd)
				}
				come()
				return nil
			},
			Failed: func(err error) { t.Error(err) },
		})}
		err := runner.Run(t.Context(), runner.Config{
			Stage: "ingest", Partition: "0", Instance: fmt.Sprint(life), Source: source,
			Sink: broker.Sink(), Store: broker.Store("ingest"), CommitBytes: 1 + random.IntN(1000),
			New: func(uint64) runner.Processor { return ingest.NewProcessor() }, Log: slog.New(slog.DiscardHandler),
		})
		o.Close()
		if errors.Is(err, errEnd) {
			break
		}
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
	}
	got := readRaw(t, broker)
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("RAW (-objects +raw):\n%.2000s", diff)
	}
}

var errKilled = errors.New("killed")

// A killed source ends its reader without a last commit, after some reads.
type killed struct {
	*ingest.Source
	reads int
}

func (k *killed) Read(ctx context.Context, after uint64) ([]runner.Record, error) {
	if k.reads--; k.reads < 0 {
		return nil, fmt.Errorf("%w: %w", runner.ErrGap, errKilled)
	}
	records, err := k.Source.Read(ctx, after)
	return records[:min(len(records), 3)], err
}

// readRaw returns the records of a lane, as readers have them.
func readRaw(t *testing.T, broker *memory.Broker) (records []string) {
	t.Helper()
	in := broker.Source("RAW_0")
	in.Drain()
	var last schemas.Number
	for after := uint64(0); ; {
		read, err := in.Read(t.Context(), after)
		if errors.Is(err, io.EOF) {
			return records
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range read {
			after = r.Seq
			if !last.Less(r.Number) {
				continue
			}
			last = r.Number
			if schemas.LastToken(r.Subject) != "cloudtrail" {
				continue
			}
			var c schemas.Chunk
			if err := c.Decode(r.Body); err != nil {
				t.Fatal(err)
			}
			for _, raw := range c.Records {
				records = append(records, string(raw.Body))
			}
		}
	}
}
