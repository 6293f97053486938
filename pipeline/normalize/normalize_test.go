package normalize_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/normalize"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// stored is when the broker stored the chunks of these tests.
var stored = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func decoders() []decode.Decoder {
	var all []decode.Decoder
	for _, f := range formats.All() {
		all = append(all, f)
	}
	return all
}

// record returns a CloudTrail record; the pairs replace or add fields, an empty value removes one.
func record(pairs ...string) string {
	fields := []string{
		"eventVersion", `"1.09"`, "eventID", `"6f5c2b0e-6d0a-4e0e-9c5e-0f2a9c1d7b11"`, "eventTime", `"2026-03-01T11:58:00Z"`,
		"eventSource", `"ec2.amazonaws.com"`, "eventName", `"RunInstances"`, "awsRegion", `"eu-west-1"`, "readOnly", "false",
		"eventCategory", `"Management"`, "recipientAccountId", `"123456789012"`, "sourceIPAddress", `"198.51.100.7"`,
		"userAgent", `"aws-cli/2"`, "userIdentity", `{"type":"IAMUser","arn":"arn:aws:iam::123456789012:user/ann","accountId":"999999999999","accessKeyId":"AKIAEXAMPLE"}`,
	}
	for i := 0; i < len(pairs); i += 2 {
		at := -1
		for j := 0; j < len(fields); j += 2 {
			if fields[j] == pairs[i] {
				at = j
			}
		}
		if at < 0 {
			fields = append(fields, pairs[i], pairs[i+1])
			continue
		}
		fields[at+1] = pairs[i+1]
	}
	var b strings.Builder
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", fields[i], fields[i+1])
	}
	return "{" + b.String() + "}"
}

func chunk(account string, records ...string) []byte {
	c := schemas.Chunk{Object: "logs/a.json.gz", Account: account}
	offset := int64(12)
	for _, r := range records {
		c.Records = append(c.Records, schemas.RawRecord{Offset: offset, Body: []byte(r)})
		offset += int64(len(r)) + 1
	}
	return c.Append(nil)
}

type output struct {
	subject string
	batch   schemas.EventBatch
	dead    schemas.DeadLetter
}

func apply(t *testing.T, p *normalize.Processor, subject string, body []byte) []output {
	t.Helper()
	var got []output
	err := p.Apply(runner.Record{Seq: 1, Subject: subject, Time: stored, Body: body}, func(o runner.Output) {
		out := output{subject: o.Subject}
		var err error
		if strings.HasPrefix(o.Subject, "dead.") {
			err = out.dead.Decode(o.Body)
			out.dead.Raw = slices.Clone(out.dead.Raw)
		} else if !strings.HasSuffix(o.Subject, ".tick") && !strings.HasSuffix(o.Subject, ".end") &&
			!strings.HasSuffix(o.Subject, ".settings") {
			err = out.batch.Decode(o.Body)
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out)
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func processor(partitions int) *normalize.Processor {
	return normalize.New(normalize.Config{Lane: 2, Partitions: partitions, Decoders: decoders()})
}

const raw = "raw.2.cloudtrail"

func TestSectionsByAccountAndRegion(t *testing.T) {
	got := apply(t, processor(1), raw, chunk("",
		record("awsRegion", `"us-east-1"`, "eventName", `"A"`),
		record("eventName", `"B"`),
		record("awsRegion", `"us-east-1"`, "eventName", `"C"`, "recipientAccountId", `"222222222222"`),
		record("awsRegion", `"us-east-1"`, "eventName", `"D"`)))
	var words []string
	for _, o := range got {
		for _, s := range o.batch.Sections {
			if !slices.IsSorted(s.Strings) || s.Lane != 2 {
				t.Errorf("section of lane %d has dictionary %q; want lane 2, sorted", s.Lane, s.Strings)
			}
			for _, r := range s.Rows {
				words = append(words, o.subject+" "+s.Account.String()+" "+s.Region+" "+s.Strings[r.Name])
			}
		}
	}
	want := []string{
		"events.0.eu-west-1 aws:123456789012 eu-west-1 B",
		"events.0.us-east-1 aws:123456789012 us-east-1 A",
		"events.0.us-east-1 aws:123456789012 us-east-1 D",
		"events.0.us-east-1 aws:222222222222 us-east-1 C",
	}
	if d := cmp.Diff(want, words); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
}

// What an account's detectors see must not depend on the number of partitions or on who shares them.
func TestSectionsDoNotDependOnPartitions(t *testing.T) {
	var records []string
	for i := range 1500 {
		account := fmt.Sprintf(`"%012d"`, i%3)
		records = append(records, record("recipientAccountId", account, "eventID", fmt.Sprintf(`"id-%d"`, i),
			"userAgent", fmt.Sprintf(`"%s"`, strings.Repeat("x", i%300))))
	}
	sections := func(p *normalize.Processor, account string, records []string) []schemas.Section {
		var got []schemas.Section
		for _, o := range apply(t, p, raw, chunk("", records...)) {
			for _, s := range o.batch.Sections {
				if s.Account.ID == account {
					got = append(got, s)
				}
			}
		}
		return got
	}
	want := sections(processor(1), "000000000001", records)
	if len(want) != 1 || len(want[0].Rows) != 500 {
		t.Fatalf("%d sections, want one of 500 rows", len(want))
	}
	for _, partitions := range []int{2, 7, 32} {
		if d := cmp.Diff(want, sections(processor(partitions), "000000000001", records)); d != "" {
			t.Errorf("%d partitions (-1 +%d):\n%s", partitions, partitions, d)
		}
	}
	var own []string
	for i := 1; i < len(records); i += 3 {
		own = append(own, records[i])
	}
	if d := cmp.Diff(want, sections(processor(1), "000000000001", own)); d != "" {
		t.Errorf("alone (-shared +alone):\n%s", d)
	}
}

func TestSectionIsCutWhenFull(t *testing.T) {
	var records []string
	for i := range 1100 {
		records = append(records, record("eventID", fmt.Sprintf(`"id-%d"`, i)))
	}
	var rows []int
	for _, o := range apply(t, processor(1), raw, chunk("", records...)) {
		for _, s := range o.batch.Sections {
			rows = append(rows, len(s.Rows))
		}
	}
	if d := cmp.Diff([]int{512, 512, 76}, rows); d != "" {
		t.Errorf("rows of the sections (-want +got):\n%s", d)
	}
}

func TestAccountComesFromReceiverThenPathThenCaller(t *testing.T) {
	for _, c := range []struct{ path, receiver, want string }{
		{"333333333333", `"123456789012"`, "123456789012"},
		{"333333333333", "", "333333333333"},
		{"", "", "999999999999"},
	} {
		got := apply(t, processor(1), raw, chunk(c.path, record("recipientAccountId", c.receiver)))
		if len(got) != 1 || got[0].batch.Sections[0].Account.ID != c.want {
			t.Errorf("path %q, receiver %s: %+v, want account %s", c.path, c.receiver, got, c.want)
		}
	}
}

func TestEventWithoutRegionIsGlobal(t *testing.T) {
	got := apply(t, processor(1), raw, chunk("", record("awsRegion", "")))
	if len(got) != 1 || got[0].subject != "events.0.global" || got[0].batch.Sections[0].Region != schemas.GlobalRegion {
		t.Errorf("%+v, want one event of region global", got)
	}
}

func TestDeadLettersCostNoOtherEvent(t *testing.T) {
	identity := `{"type":"AWSService","invokedBy":"ec2.amazonaws.com"}`
	for name, c := range map[string]struct{ record, reason string }{
		"truncated":       {record()[:80], "malformed"},
		"no account":      {record("recipientAccountId", "", "userIdentity", identity), "no_account"},
		"year 0":          {record("eventTime", `"0000-01-01T00:00:00Z"`), "malformed"},
		"2005":            {record("eventTime", `"2005-12-31T23:59:59Z"`), "too_early"},
		"2099":            {record("eventTime", `"2099-01-01T00:00:00Z"`), "future"},
		"year 9999":       {record("eventTime", `"9999-12-31T23:59:59Z"`), "malformed"},
		"eleven min late": {record("eventTime", `"2026-03-01T12:11:00Z"`), "future"},
	} {
		t.Run(name, func(t *testing.T) {
			p := processor(1)
			got := apply(t, p, raw, chunk("", record(), c.record, record("eventID", `"other"`)))
			var rows int
			var dead []schemas.DeadLetter
			for _, o := range got {
				if strings.HasPrefix(o.subject, "dead.") {
					dead = append(dead, o.dead)
					continue
				}
				for _, s := range o.batch.Sections {
					rows += len(s.Rows)
				}
			}
			if rows != 2 || len(dead) != 1 {
				t.Fatalf("%d events, %d dead letters; want 2 and 1", rows, len(dead))
			}
			d := dead[0]
			if d.Reason != c.reason || d.Object != "logs/a.json.gz" || d.Offset != int64(12+len(record())+1) ||
				string(d.Raw) != c.record || d.Size != int64(len(c.record)) || d.Error == "" {
				t.Errorf("dead letter %+v, want reason %s with object, offset and the record", d, c.reason)
			}
			if s := p.Stats(); s.Records != 3 || s.Events != 2 || s.Dead[c.reason] != 1 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func TestOtherCategoriesAreCountedAndDropped(t *testing.T) {
	p := processor(1)
	got := apply(t, p, raw, chunk("", record("eventCategory", `"Data"`), record("eventCategory", `"NetworkActivity"`),
		record("eventCategory", `"Insight"`), record("eventCategory", "")))
	if len(got) != 1 || len(got[0].batch.Sections[0].Rows) != 1 {
		t.Errorf("%d outputs, want the one management event", len(got))
	}
	want := map[string]uint64{"data": 1, "network": 1, "insight": 1}
	if d := cmp.Diff(want, p.Stats().Dropped); d != "" {
		t.Errorf("dropped (-want +got):\n%s", d)
	}
}

func TestRegionsBeyondTheBoundAreOther(t *testing.T) {
	p := processor(1)
	for i := range schemas.MaxRegions + 5 {
		got := apply(t, p, raw, chunk("", record("awsRegion", fmt.Sprintf(`"r-%d"`, i))))
		want := fmt.Sprintf("r-%d", i)
		if i >= schemas.MaxRegions {
			want = schemas.OtherRegion
		}
		if r := got[0].batch.Sections[0].Region; r != want {
			t.Errorf("region %d became %q, want %q", i, r, want)
		}
	}
	if r := apply(t, p, raw, chunk("", record("awsRegion", `"r-3"`)))[0].batch.Sections[0].Region; r != "r-3" {
		t.Errorf("a known region became %q", r)
	}
}

func TestHostileRegionCannotForgeASubject(t *testing.T) {
	for _, region := range []string{"tick", "end", "settings", "a.b", "*", ">", " ", "日本", "x00112233445566778899aabbccddeeff"} {
		got := apply(t, processor(1), raw, chunk("", record("awsRegion", fmt.Sprintf("%q", region))))
		if len(got) != 1 {
			t.Fatalf("region %q: %d outputs", region, len(got))
		}
		if s := got[0].subject; strings.Count(s, ".") != 2 || strings.ContainsAny(s, "*> ") || !strings.HasPrefix(s, "events.0.x") {
			t.Errorf("region %q travels on %q", region, s)
		}
	}
}

// A tick that was stored late says no more than its connector knew, and one that was stored early no more than the broker knew.
func TestTickIsTheEarlierTime(t *testing.T) {
	at := schemas.MinuteOf(stored.Unix())
	for known, want := range map[schemas.Minute]schemas.Minute{0: at, at - 60: at - 60, at: at, at + 60: at} {
		body := (&schemas.Tick{Lane: 2, Time: known}).Append(nil)
		err := processor(1).Apply(runner.Record{Seq: 1, Subject: "raw.2.tick", Time: stored, Body: body}, func(o runner.Output) {
			var tick schemas.Tick
			if err := tick.Decode(o.Body); err != nil || tick.Time != want {
				t.Errorf("known %d, stored %d: tick %+v (%v), want %d", known, at, tick, err, want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTickOfAnAccountGoesToItsPartition(t *testing.T) {
	for i := range 20 {
		a := schemas.Account{Provider: schemas.AWS, ID: fmt.Sprint(100000000000 + i)}
		body := (&schemas.Tick{Account: a}).Append(nil)
		var subjects []string
		err := processor(3).Apply(runner.Record{Seq: 1, Subject: "raw.2.tick", Time: stored, Body: body}, func(o runner.Output) {
			subjects = append(subjects, o.Subject)
			var tick schemas.Tick
			if err := tick.Decode(o.Body); err != nil || tick.Account != a || tick.Lane != 2 {
				t.Errorf("tick %+v (%v), want that of %s in lane 2", tick, err, a)
			}
		})
		if want := []string{fmt.Sprintf("events.%d.tick", normalize.Partition(a, 3))}; err != nil || !slices.Equal(subjects, want) {
			t.Errorf("%s: outputs %v (%v), want %v", a, subjects, err, want)
		}
	}
}

func TestControlRecordsGoToEveryPartition(t *testing.T) {
	p := processor(3)
	for kind, body := range map[schemas.ControlKind][]byte{
		schemas.TickControl: (&schemas.Tick{}).Append(nil), schemas.EndControl: (&schemas.End{Close: true}).Append(nil),
		schemas.SettingsControl: (&schemas.Settings{Lateness: 5, Learn: 60, Budget: 2}).Append(nil),
	} {
		var subjects []string
		err := p.Apply(runner.Record{Seq: 1, Subject: "raw.2." + string(kind), Time: stored, Body: body}, func(o runner.Output) {
			subjects = append(subjects, o.Subject)
			switch kind {
			case schemas.TickControl:
				var tick schemas.Tick
				if err := tick.Decode(o.Body); err != nil || tick.Lane != 2 || tick.Time != schemas.MinuteOf(stored.Unix()) {
					t.Errorf("tick %+v (%v), want the lane and the stored time", tick, err)
				}
			case schemas.EndControl:
				var end schemas.End
				if err := end.Decode(o.Body); err != nil || end.Lane != 2 || !end.Close {
					t.Errorf("end %+v (%v), want the lane", end, err)
				}
			case schemas.SettingsControl:
				var s schemas.Settings
				if err := s.Decode(o.Body); err != nil || s.Lane != 2 || s.Budget != 2 {
					t.Errorf("settings %+v (%v), want the lane", s, err)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"events.0." + string(kind), "events.1." + string(kind), "events.2." + string(kind)}
		if d := cmp.Diff(want, subjects); d != "" {
			t.Errorf("%s (-want +got):\n%s", kind, d)
		}
	}
}

func TestRestoreKeepsRegionsAndCounts(t *testing.T) {
	p := processor(1)
	for i := range schemas.MaxRegions {
		apply(t, p, raw, chunk("", record("awsRegion", fmt.Sprintf(`"r-%d"`, i))))
	}
	restored := processor(1)
	if err := p.Snapshot(func(key string, state []byte) {
		if err := restored.Restore(key, state); err != nil {
			t.Fatal(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(p.Stats(), restored.Stats()); d != "" {
		t.Errorf("stats (-want +got):\n%s", d)
	}
	if r := apply(t, restored, raw, chunk("", record("awsRegion", `"new"`)))[0].batch.Sections[0].Region; r != schemas.OtherRegion {
		t.Errorf("a 65th region became %q", r)
	}
	if err := p.Snapshot(func(key string, _ []byte) { t.Errorf("%s is said to have changed again", key) }); err != nil {
		t.Fatal(err)
	}
}

func TestNewerMessagesStopTheStage(t *testing.T) {
	p := processor(1)
	fail := func(runner.Output) { t.Error("output") }
	if err := p.Apply(runner.Record{Subject: raw, Body: []byte{0x91, 0x7f}}, fail); !errors.Is(err, schemas.ErrVersion) {
		t.Errorf("chunk of a newer version: %v", err)
	}
	if err := p.Apply(runner.Record{Subject: "raw.2.gcp", Body: chunk("", "{}")}, fail); err == nil {
		t.Error("an unknown format was accepted")
	}
}

func BenchmarkNormalize(b *testing.B) {
	var records []string
	for i := range 200 {
		records = append(records, record("eventID", fmt.Sprintf(`"6f5c2b0e-6d0a-4e0e-9c5e-%012d"`, i),
			"eventName", fmt.Sprintf(`"Call%d"`, i%17), "requestParameters", `{"instances":"`+strings.Repeat("i-0123456789abcdef0 ", 25)+`"}`))
	}
	body := chunk("", records...)
	p := processor(2)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		err := p.Apply(runner.Record{Seq: 1, Subject: raw, Time: stored, Body: body}, func(runner.Output) {})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*200/b.Elapsed().Seconds(), "events/s")
}
