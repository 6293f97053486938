package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

// aws is the folder of the AWS account's logs in the company.
const aws = "tamarisk-cloudtrail/AWSLogs/123456789012/CloudTrail"

func TestEverythingIsRead(t *testing.T) {
	r := analyze(t, company)
	written := regexp.MustCompile(`wrote (\d+) events`).FindStringSubmatch(truth)
	events := strings.Split(line(t, r.err, "events"), ", ")[0]
	dropped := strings.Split(line(t, r.err, "dropped"), " duplicates")[0]
	if written == nil || atoi(t, events)+atoi(t, dropped) != atoi(t, written[1]) {
		t.Errorf("%s events and %s duplicates of %v that were written", events, dropped, written)
	}
	if d := cmp.Diff(those(t, every), inWords(r.out)); d != "" {
		t.Errorf("insights (-native +own shape):\n%s", d)
	}
}

func TestPartitionsDoNotMatter(t *testing.T) {
	want := analyze(t, "--partitions", "1", "--shape", "native", company).out
	for _, n := range []string{"2", "7"} {
		if got := analyze(t, "--partitions", n, "--shape", "native", company).out; got != want {
			t.Errorf("%s partitions: the insights differ from those of one\n got %s\nwant %s", n, got, want)
		}
	}
}

func TestStoreGoesOn(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	first := analyze(t, "--store", store, filepath.Join(company, aws))
	if d := cmp.Diff(those(t, is("provider", "aws")), inWords(first.out)); d != "" {
		t.Errorf("AWS only (-of both +found):\n%s", d)
	}
	both := analyze(t, "--store", store, company)
	if d := cmp.Diff(those(t, every), inWords(both.out)); d != "" {
		t.Errorf("both (-without a store +found):\n%s", d)
	}
	if again := analyze(t, "--store", store, company); again.out != both.out {
		t.Errorf("a third run without anything new prints\n%s\nwant\n%s", again.out, both.out)
	}
	own := filepath.Join(t.TempDir(), "operations.txt")
	if err := os.WriteFile(own, []byte("policy none iam.amazonaws.com CreateUser\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := analyze(t, "--store", store, "--catalogue", own, company); r.out != both.out { // it holds from the next record on
		t.Errorf("with another catalogue and nothing new it prints\n%s\nwant\n%s", r.out, both.out)
	}
	if r := run(t, nil, "analyze", "--store", store, "--budget", "2", company); r.code != 1 || !strings.Contains(r.err, "budget is 1, not 2") {
		t.Errorf("another budget: exit %d, %s", r.code, r.err)
	}
}

// The public data sets are read whole. What is in them stands beside the sets.
func TestRealSets(t *testing.T) {
	data := os.Getenv("TRAILVANE_DATA")
	if data == "" {
		t.Skip("SKIP: no TRAILVANE_DATA")
	}
	for _, set := range []struct{ path, events string }{
		{"stratus-red-team", "310,"},
		{"invictus-aws_dataset", "2,900,"},
		{"alibaba-actiontrail-samples/actiontrail_events.jsonl", "6,"},
	} {
		t.Run(set.path, func(t *testing.T) {
			r := analyze(t, filepath.Join(data, set.path))
			if got := line(t, r.err, "events"); !strings.HasPrefix(got, set.events) {
				t.Errorf("events: %s, want %s", got, set.events)
			}
			if strings.Contains(r.err, "dead letters") {
				t.Errorf("there are dead letters:\n%s", r.err)
			}
		})
	}
}

// Records are found, and their format, in all that people and tools put around them.
func TestWrappings(t *testing.T) {
	r := analyze(t, "../../pipeline/decode/formats/testdata/objects")
	if got := line(t, r.err, "events"); !strings.HasPrefix(got, "23,") {
		t.Errorf("events: %s, want 23", got)
	}
	if strings.Contains(r.err, "dead letters") {
		t.Errorf("there are dead letters:\n%s", r.err)
	}
}

func TestStandardInput(t *testing.T) {
	var all bytes.Buffer
	files, err := filepath.Glob(filepath.Join(company, aws, "eu-central-1/2026/03/*/*.json.gz"))
	if err != nil || len(files) < 100 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files { // gzip members one after the other are one gzip stream
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	r := run(t, &all, "analyze", "--output", "ndjson", "-")
	want, words := inWords(analyze(t, filepath.Join(company, aws, "eu-central-1")).out), inWords(r.out)
	slices.Sort(want)
	slices.Sort(words) // what comes on standard input is told as it comes
	if d := cmp.Diff(want, words); r.code != 0 || d != "" || len(want) == 0 {
		t.Errorf("exit %d, insights (-of the files +found):\n%s\n%s", r.code, d, r.err)
	}
}

// Records that come one a line on standard input are analyzed as they come: the Start of what is going on is printed while
// nobody has ended the input, and in the end it says what a file would.
func TestStandardInputAsItComes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(company, aws, "eu-central-1/2026/03/*/*.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	var before, after strings.Builder // half past three, when the deletions are over
	for _, f := range files {
		for _, record := range gjson.Get(gunzip(t, f), "Records").Array() {
			to := &before
			if record.Get("eventTime").String() >= "2026-03-11T03:30" {
				to = &after
			}
			to.WriteString(record.Raw + "\n")
		}
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r := prepare(t, "analyze", "--output", "ndjson", "-")
	r.Stdin, r.Stdout = stdin, stdout
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	stdout.Close()
	if _, err := in.WriteString(before.String()); err != nil {
		t.Fatal(err)
	}
	printed := bufio.NewReader(out)
	start := ""
	for !strings.HasSuffix(strings.Join(inWords(start), "\n"), "ApiCallRateInsight TerminateInstances Start") {
		line, err := printed.ReadString('\n') // the test ends by itself if it never comes
		if err != nil {
			t.Fatal(err)
		}
		start += line
	}
	if _, err := in.WriteString(after.String()); err != nil {
		t.Fatal(err)
	}
	in.Close()
	rest, err := io.ReadAll(printed)
	if err != nil {
		t.Fatal(err)
	}
	got := r.end(t)
	want, words := inWords(analyze(t, filepath.Join(company, aws, "eu-central-1")).out), inWords(start+string(rest))
	slices.Sort(want)
	slices.Sort(words)
	if d := cmp.Diff(want, words); got.code != 0 || d != "" {
		t.Errorf("exit %d, in all (-of the files +printed):\n%s\n%s", got.code, d, got.err)
	}
	if read, n := line(t, got.err, "read"), strings.Count(before.String()+after.String(), "\n"); !strings.Contains(read, " "+count(n)+" records") {
		t.Errorf("read %s, want %d records, one a line", read, n)
	}
}

// count writes a number as the summary does.
func count(n int) string { return fmt.Sprintf("%d,%03d", n/1000, n%1000) }

func gunzip(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestShown(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	analyze(t, "--store", store, company)
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"--types", "apicallrate"}, those(t, is("insightDetails.insightType", "ApiCallRateInsight"))},
		{[]string{"--account", "123456789012"}, those(t, is("provider", "aws"))},
		{[]string{"--region", "ap-southeast-1"}, those(t, is("region", "ap-southeast-1"))},
		{[]string{"--from", "2026-03-11T00:00:00Z"}, those(t, from("2026-03-11"))},
		{[]string{"--from", "2026-03-11"}, those(t, from("2026-03-11"))},
		{[]string{"--to", "2026-03-10T20:21:00Z"}, those(t, not(from("2026-03-10T20:21")))},
		{[]string{"--min-severity", "critical"}, those(t, severe("critical"))},
		{[]string{"--min-severity", "high"}, those(t, severe("high", "critical"))},
		{[]string{"--region", "nowhere"}, nil},
		{[]string{"--shape", "native"}, those(t, every)},
		{[]string{"--shape", "actiontrail"}, those(t, every)},
		{[]string{"--shape", "cloudtrail", "--strict-shape"}, those(t, every)},
	} {
		r := analyze(t, append(c.args, "--store", store, company)...)
		if d := cmp.Diff(c.want, inWords(r.out)); d != "" {
			t.Errorf("%s (-want +got):\n%s", strings.Join(c.args, " "), d)
		}
		if strict := strings.Contains(r.out, `"trailvane"`); strict == (len(c.args) == 3) && c.want != nil {
			t.Errorf("%s: Trailvane's own fields are there: %v", strings.Join(c.args, " "), strict)
		}
	}
	r := run(t, nil, "analyze", "--output", "table", "--store", store, company)
	if !strings.Contains(r.out, "TerminateInstances") || !strings.Contains(r.out, "SEVERITY  WHEN") {
		t.Errorf("table:\n%s", r.out)
	}
}

// from chooses what happened at a time or later.
func from(at string) func(gjson.Result) bool {
	return func(e gjson.Result) bool { return e.Get("eventTime").String() >= at }
}

func not(chosen func(gjson.Result) bool) func(gjson.Result) bool {
	return func(e gjson.Result) bool { return !chosen(e) }
}

// severe chooses both events of the insights of which one is so severe.
func severe(names ...string) func(gjson.Result) bool {
	return func(e gjson.Result) bool {
		return slices.ContainsFunc(everything, func(o gjson.Result) bool {
			return o.Get("sharedEventId").String() == e.Get("sharedEventId").String() &&
				slices.Contains(names, o.Get("insightDetails.trailvane.severity").String())
		})
	}
}

func TestExitCodes(t *testing.T) {
	empty := t.TempDir()
	junk := t.TempDir()
	if err := os.WriteFile(filepath.Join(junk, "notes.txt"), []byte("nothing to see"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "operations.txt")
	if err := os.WriteFile(wrong, []byte("# ours\npolicy certain iam.amazonaws.com CreateUser\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	quiet := filepath.Join(company, aws, "eu-central-1/2026/03/02")
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 0, ""},
		{[]string{"version"}, 0, ""},
		{[]string{"analyze", "--help"}, 0, ""},
		{[]string{"analyze"}, 2, "path"},
		{[]string{"unknown"}, 2, "unknown"},
		{[]string{"help"}, 0, ""},
		{[]string{"help", "analyze"}, 0, ""},
		{[]string{"--version"}, 0, ""},
		{[]string{"analyze", "--form", empty}, 2, "Run 'trailvane analyze --help'"},
		{[]string{"analyze", "--format", "gcp", empty}, 2, "format"},
		{[]string{"analyze", "--types", "Gcp", empty}, 2, "no such type; there is "},
		{[]string{"analyze", "--lateness", "2h", empty}, 2, "0 to 1h"},
		{[]string{"analyze", "--learn=-1h", empty}, 2, "learn"},
		{[]string{"analyze", "--budget", "0", empty}, 2, "budget"},
		{[]string{"analyze", "--partitions", "33", empty}, 2, "1 to 32"},
		{[]string{"analyze", "--catalogue", wrong, empty}, 2, `operations.txt: line 2: unknown tier "certain"`},
		{[]string{"analyze", "--catalogue", wrong + ".missing", empty}, 2, "operations.txt.missing: no such file"},
		{[]string{"analyze", "--catalogue", empty, empty}, 2, "is a directory"},
		{[]string{"analyze", "--from", "yesterday", empty}, 2, `"yesterday" is no time such as 2026-03-01`},
		{[]string{"analyze", "--from", "2026-03-02", "--to", "2026-03-01", empty}, 2, "is not after"},
		{[]string{"analyze", filepath.Join(empty, "missing")}, 1, "trailvane: " + filepath.Join(empty, "missing") + ": no such file"},
		{[]string{"analyze", "--store", junk, quiet}, 1, "holds other files and is no store"},
		{[]string{"serve", "--store", junk, quiet}, 1, "holds other files and is no store"},
		{[]string{"analyze", filepath.Join(empty, "*.json")}, 1, "*.json"},
		{[]string{"analyze", "-"}, 1, "no logs found in standard input"},
		{[]string{"analyze", empty}, 1, "no logs found"},
		{[]string{"analyze", junk}, 1, "no logs found"},
		{[]string{"analyze", "--exit-code", quiet}, 0, "No insights"},
		{[]string{"analyze", "--exit-code", "--learn", "1h", company}, 10, ""},
		{[]string{"analyze", "--exit-code", "--region", "nowhere", company}, 0, "None of the"},
		{[]string{"analyze", "--min-severity", "severe", empty}, 2, "low"},
		{[]string{"analyze", "--format", "actiontrail", quiet}, 1, "is --format right?"},
		{[]string{"simulate", junk}, 2, "not empty"},
	} {
		r := run(t, nil, c.args...)
		if r.code != c.code || !strings.Contains(r.err, c.says) {
			t.Errorf("trailvane %s: exit %d, want %d and %q in\n%s", strings.Join(c.args, " "), r.code, c.code, c.says, r.err)
		}
	}
}

// A folder with a day of logs or less says that it was too short to learn from.
func TestNothingFoundSaysWhy(t *testing.T) {
	r := analyze(t, filepath.Join(company, aws, "eu-central-1/2026/03/02"))
	if !strings.Contains(r.err, "of 24 hours seen") {
		t.Errorf("it does not say that it was still learning:\n%s", r.err)
	}
}

// Near misses are chosen as insights are.
func TestNearMissesShown(t *testing.T) {
	r := analyze(t, "--near-misses", "--region", "eu-central-1", "--from", "2026-03-11", company)
	_, misses, found := strings.Cut(r.err, "What came nearest")
	if !found || !strings.Contains(misses, "\n  2026-03-11 ") || strings.Contains(misses, "\n  2026-03-0") ||
		strings.Contains(misses, "ap-southeast-1") {
		t.Errorf("want those in eu-central-1 on 2026-03-11:\n%s", r.err)
	}
}

// Days that come later continue what the store has learned. The insights are those of one run; only figures may differ in
// their last digits, because the end of the first run closes the minutes that it has seen, and what comes for them is late.
func TestLaterDaysGoOn(t *testing.T) {
	dir := t.TempDir()
	logs := filepath.Join(dir, "logs")
	late := func(path string) bool {
		day := filepath.Base(filepath.Dir(path))
		return day >= "08" && len(day) == 2 // also the 12th, on which the last events are delivered
	}
	copyLogs := func(take func(path string) bool) {
		t.Helper()
		err := filepath.WalkDir(company, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !take(path) {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			to := filepath.Join(logs, strings.TrimPrefix(path, company))
			return errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, b, 0o600))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	args := func(store string) []string {
		return []string{"--shape", "native", "--store", filepath.Join(dir, store), logs}
	}
	copyLogs(func(path string) bool { return !late(path) })
	if d := cmp.Diff(those(t, not(from("2026-03-08"))), inWords(analyze(t, args("parts")...).out)); d != "" {
		t.Errorf("insights of the first days (-of all days +found):\n%s", d)
	}
	copyLogs(late)
	if d := cmp.Diff(those(t, every), inWords(analyze(t, args("parts")...).out)); d != "" {
		t.Errorf("insights (-of one run +found):\n%s", d)
	}
}
