package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// record is a CloudTrail record of the i-th second of a morning, with some fields otherwise: name, value, name, value, … The
// values are JSON.
func record(i int, with ...string) string {
	fields := []string{
		"eventVersion", `"1.08"`,
		"userIdentity", `{"type":"IAMUser","principalId":"AIDAEXAMPLE","arn":"arn:aws:iam::123456789012:user/ana",` +
			`"accountId":"123456789012","userName":"ana","accessKeyId":"AKIAEXAMPLE"}`,
		"eventTime", quoted(time.Date(2026, 3, 2, 10, 0, i, 0, time.UTC).Format(time.RFC3339)),
		"eventSource", `"ec2.amazonaws.com"`, "eventName", `"RunInstances"`, "awsRegion", `"eu-central-1"`,
		"sourceIPAddress", `"198.51.100.7"`, "userAgent", `"aws-cli/2"`, "errorCode", `""`, "requestParameters", "null",
		"eventID", fmt.Sprintf(`"00000000-0000-4000-8000-%012d"`, i), "readOnly", "false", "eventType", `"AwsApiCall"`,
		"managementEvent", "true", "recipientAccountId", `"123456789012"`, "eventCategory", `"Management"`,
	}
	for w := 0; w < len(with); w += 2 {
		at := 0
		for at < len(fields) && fields[at] != with[w] {
			at += 2
		}
		fields = append(fields[:at:at], append([]string{with[w], with[w+1]}, fields[min(at+2, len(fields)):]...)...)
	}
	var b strings.Builder
	for f := 0; f < len(fields); f += 2 {
		fmt.Fprintf(&b, ",%q:%s", fields[f], fields[f+1])
	}
	return "{" + b.String()[1:] + "}"
}

// quoted is a JSON string.
func quoted(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// lines are n records from the i-th on, one a line.
func lines(i, n int) string {
	var b strings.Builder
	for ; n > 0; i, n = i+1, n-1 {
		b.WriteString(record(i) + "\n")
	}
	return b.String()
}

// array are n records as they are delivered.
func array(i, n int) string {
	return `{"Records":[` + strings.ReplaceAll(strings.TrimSpace(lines(i, n)), "\n", ",") + "]}"
}

func gzipped(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// each is a record for each value of a field, JSON, all of different seconds.
func each(field string, values ...string) string {
	var b strings.Builder
	for i, v := range values {
		b.WriteString(record(600+i, field, v) + "\n")
	}
	return b.String()
}

func write(t *testing.T, folder, name, content string) {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// beside is the number of events in the files beside a bad one.
const beside = 10

// Whatever is wrong with a file, the program says what and where, ends well, and counts every event that is not wrong: in
// that file, and in those before and after it.
func TestBadInput(t *testing.T) {
	// Two records, the bad thing, and three records.
	among := func(bad string) string { return lines(100, 2) + bad + "\n" + lines(102, 3) }
	at := strconv.Itoa(len(lines(100, 2)))
	at = at[:1] + "," + at[1:]
	const good = 5

	compressed := gzipped(t, lines(100, 50))
	noise := make([]byte, 100_000) // of a fixed kind, so that the test is the same each time
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		noise[i] = byte(x)
	}
	hostile := []string{
		`"../../etc"`, `"eu.central.1"`, `"*"`, `">"`, `"a b"`, `"\u001b[31mred"`, quoted(strings.Repeat("x", 1000)), `"\n"`,
		`"eu-central-1\u202e"`,
	}
	for _, c := range []struct {
		name, file, content string
		events              int // in the file
		dead                bool
		says                []string
	}{
		{"truncated gzip", "bad.json.gz", compressed[:len(compressed)-9], 50, true, []string{"1 truncated", "bad.json.gz at byte "}},
		{"gzip truncated in its header", "bad.json.gz", compressed[:5], 0, true, []string{"1 truncated", "bad.json.gz at byte 0: "}},
		{"corrupt gzip", "bad.json.gz", compressed[:len(compressed)-6] + "xxxxxx", 50, true, []string{"1 corrupt", "bad.json.gz at byte "}},
		{"half a document", "bad.json", array(100, 10)[:len(array(100, 10))-400], 9, true, []string{"1 truncated", "bad.json at byte 5,"}},
		{"a record of 5 MB", "bad.json", among(record(0, "x", quoted(strings.Repeat("y", 5<<20)))), good,
			true, []string{"1 too large", "bad.json at byte " + at + ": too_large: record longer than 768 KiB"}},
		{"nesting 10,000 deep", "bad.json", among(record(0, "x", strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000))), good,
			true, []string{"1 too deep", "bad.json at byte " + at + ": too_deep: "}},
		{"NUL bytes", "bad.json", among(record(0, "userAgent", "\"a\x00b\"")), good,
			true, []string{"1 malformed", "bad.json at byte " + at + ": malformed: "}},
		{"a file of NUL bytes", "bad.json", strings.Repeat("\x00", 4096), 0, false, []string{"1 not a log", "not a log: "}},
		{"invalid UTF-8", "bad.json", among(record(200, "userAgent", "\"\xff\xfe\"", "awsRegion", "\"\xff\"")), good + 1, false, nil},
		{"a broken record in an array", "bad.json",
			`{"Records":[` + record(100) + "," + record(0)[:300] + "," + record(101) + "]}", 2, true, []string{"1 malformed", "bad.json at byte "}},
		{"year 0", "bad.json", among(each("eventTime", `"0000-01-01T00:00:00Z"`)), good,
			true, []string{"1 malformed", "bad.json at byte " + at, `eventTime "0000-01-01T00:00:00Z"`}},
		{"year 2099", "bad.json", among(each("eventTime", `"2099-01-01T00:00:00Z"`)), good,
			true, []string{"1 future", "bad.json at byte " + at, "event time 2099-01-01T00:00:00Z"}},
		{"year 9999", "bad.json", among(each("eventTime", `"9999-12-31T23:59:59Z"`)), good,
			true, []string{"1 malformed", "bad.json at byte " + at, `eventTime "9999-12-31T23:59:59Z"`}},
		{"no time", "bad.json", among(each("eventTime", `""`, `"yesterday"`, "null")), good, true, []string{"3 malformed"}},
		{"hostile regions", "bad.json", among(each("awsRegion", hostile...)), good + len(hostile), false, nil},
		{"hostile accounts", "bad.json", among(each("recipientAccountId", hostile...)), good + len(hostile), false, nil},
		{"hostile names", "bad.json", among(each("eventName", hostile...)), good + len(hostile), false, nil},
		{"hostile services", "bad.json", among(each("eventSource", hostile...)), good + len(hostile), false, nil},
		{"an empty file", "bad.json", "", 0, false, []string{"skipped       1 file: 1 empty"}},
		{"an empty gzip", "bad.json.gz", gzipped(t, ""), 0, false, []string{"skipped       1 file: 1 empty"}},
		{"no records", "bad.json", `{"Records":[]}`, 0, false, []string{"skipped       1 file: 1 empty"}},
		{"text", "notes.txt", "nothing to see\n", 0, false, []string{"skipped       1 file: 1 not a log", "/notes.txt"}},
		{"JSON that is no log", "app.json", `{"name":"x"}`, 0, false, []string{"1 not a log", "/app.json"}},
		{"noise", "noise", string(noise), 0, false, []string{"1 not a log", "/noise"}},
		{"noise that is named like a log", "noise.json.gz", string(noise), 0, false, []string{"1 not a log", "/noise.json.gz"}},
		{"noise between records", "bad.json", among(string(noise)), good, true, []string{"malformed", "bad.json at byte " + at}},
		{"Windows line ends and a byte order mark", "good.json",
			"\ufeff" + strings.ReplaceAll(lines(100, 10), "\n", "\r\n"), 10, false, nil},
		{"one document after the other", "good.json", array(100, 5) + array(105, 5) + "\n" + array(110, 5),
			15, false, nil},
		{"twice the same", "again.json", array(0, 5), 0, false, []string{"dropped       5 duplicates"}},
		{"a name for terminals", "\x1b[31mred\u202e.json", "{", 0, true, []string{`/\x1b[31mred\u202e.json at byte 0: truncated`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			logs := t.TempDir()
			write(t, logs, "a.json", array(0, 5))
			write(t, logs, "~.json", array(5, 5))
			write(t, logs, c.file, c.content)
			r := analyze(t, logs)
			if got, want := line(t, r.err, "events"), fmt.Sprint(beside+c.events); !strings.HasPrefix(got, want+",") {
				t.Errorf("events: %s, want %s", got, want)
			}
			for _, s := range c.says {
				if !strings.Contains(r.err, s) {
					t.Errorf("it does not say %q", s)
				}
			}
			if dead := strings.Contains(r.err, "dead letters"); dead != c.dead {
				t.Errorf("there are dead letters: %v, want %v", dead, c.dead)
			}
			harmless(t, r.err)
			if t.Failed() {
				t.Logf("%s", r.err)
			}
		})
	}
}

// Every field with a value of every other kind: a dead letter or an event, never less than one of both.
func TestWrongTypes(t *testing.T) {
	var b strings.Builder
	n := 0
	for f := range strings.SplitSeq("eventVersion userIdentity eventTime eventSource eventName awsRegion sourceIPAddress userAgent "+
		"errorCode requestParameters eventID readOnly eventType managementEvent recipientAccountId eventCategory", " ") {
		for _, v := range []string{"1", "-1e999", `"x"`, `""`, "[1]", "[]", `{"a":1}`, "{}", "true", "null"} {
			id := fmt.Sprintf(`"00000000-0000-4000-9000-%012d"`, n)
			b.WriteString(record(100+n%100, "eventID", id, f, v) + "\n")
			n++
		}
	}
	logs := t.TempDir()
	write(t, logs, "a.json", array(0, 5))
	write(t, logs, "bad.json", b.String())
	write(t, logs, "~.json", array(5, 5))
	r := analyze(t, logs)
	sum := number(t, r.err, `(?m)^events +([0-9,]+)`) + number(t, r.err, `(?m)^dead letters +([0-9,]+)`)
	dropped := regexp.MustCompile(`([0-9,]+) (?:\w+ events?|duplicates?|stale)\b`)
	for _, m := range dropped.FindAllStringSubmatch(line(t, r.err, "dropped"), -1) {
		sum += atoi(t, m[1])
	}
	if want := n + beside; sum != want {
		t.Errorf("%d events, dead letters and dropped ones, want %d\n%s", sum, want, r.err)
	}
	harmless(t, r.err)
}

func number(t *testing.T, text, pattern string) int {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in\n%s", pattern, text)
	}
	return atoi(t, m[1])
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.ReplaceAll(s, ",", ""))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// harmless checks that a text has no byte that a terminal would obey, nor a character that hides or turns what is shown.
func harmless(t *testing.T, text string) {
	t.Helper()
	for i, r := range text {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e ||
			r >= 0x2066 && r <= 0x2069 || r == 0xfeff || r == utf8.RuneError && text[i] != "\ufffd"[0] {
			t.Errorf("%U is printed raw: %q", r, text[max(0, i-40):min(len(text), i+40)])
			return
		}
	}
}

// Whoever can make calls can write into an audit log. What they write is shown, escaped, and obeyed by nothing.
func TestTerminalSafety(t *testing.T) {
	const hostile = "\x1b[2J\x1b]0;pwned\x07evil\u202eexe.nohtyp\u200b\u2066\r\n2026-03-02 ALL IS WELL\x00\u009b31m"
	identity := `{"type":"IAMUser","principalId":` + quoted(hostile) + `,"arn":` + quoted("arn:aws:iam::123456789012:user/"+hostile) +
		`,"accountId":"123456789012","userName":` + quoted(hostile) + `,"accessKeyId":` + quoted(hostile) + `}`
	var b strings.Builder
	call := func(second int, name string) {
		b.WriteString(record(second, "userIdentity", identity, "eventName", quoted(name), "eventSource", quoted(hostile), "awsRegion",
			quoted(hostile), "sourceIPAddress", quoted(hostile), "userAgent", quoted(hostile), "errorCode", quoted(hostile)) + "\n")
	}
	const hour = 3600
	for i := range 2 * 60 { // two quiet hours
		call(i*60, "List"+hostile)
	}
	for i := range 600 {
		call(2*hour+i, "Delete"+hostile)
	}
	for i := range 15 { // not enough for an insight
		call(2*hour+1500+i, "Put"+hostile)
	}
	call(6*hour, "List"+hostile)
	b.WriteString(strings.Replace(record(0), `"RunInstances"`, quoted(hostile)+"\x00", 1) + "\n")
	logs := t.TempDir()
	write(t, logs, "logs\x1b[2J\u202e.json", b.String())
	write(t, logs, "notes\x1b[2J\n.txt", hostile)

	store := filepath.Join(t.TempDir(), "store")
	args := func(more ...string) []string {
		return append([]string{"analyze", "--learn", "1h", "--near-misses", "--types", "apicallrate,apierrorrate", "--store", store}, append(more, logs)...)
	}
	table := run(t, nil, args("--output", "table")...)
	if table.code != 0 || !strings.Contains(table.out, "ApiCallRate Delete") ||
		!strings.Contains(table.out, "ApiErrorRate Delete") {
		t.Fatalf("exit %d, no insight about the call:\n%s\n%s", table.code, table.out, table.err)
	}
	harmless(t, table.out)
	harmless(t, table.err)
	for l := range strings.Lines(table.out) { // every line is one that the table has made, not one that a name has begun
		if !strings.HasPrefix(l, "  ") && !strings.HasPrefix(l, "┌ ") && !strings.HasPrefix(l, "│ ") && !strings.HasPrefix(l, "└ ") ||
			strings.HasPrefix(strings.TrimLeft(l, " ┌│└"), "2026-03-02 ALL") {
			t.Errorf("the table has the line %q:\n%s", l, table.out)
		}
	}
	for _, shape := range []string{"native", "cloudtrail", "actiontrail"} {
		r := run(t, nil, args("--output", "ndjson", "--shape", shape)...)
		if r.code != 0 || strings.Count(r.out, "\n") != 4 {
			t.Errorf("%s: exit %d, want two Starts and two Ends on a line each:\n%s", shape, r.code, r.out)
		}
		for l := range strings.Lines(r.out) {
			if !json.Valid([]byte(l)) {
				t.Errorf("%s: this is not JSON: %q", shape, l)
			}
			if i := strings.IndexFunc(strings.TrimSuffix(l, "\n"), func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }); i >= 0 {
				t.Errorf("%s: %q is in it raw", shape, l[i])
			}
		}
	}
}

// What cannot be read at all is named, and costs nothing else.
func TestUnreadable(t *testing.T) {
	logs := t.TempDir()
	write(t, logs, "a.json", array(0, 5))
	write(t, logs, "folder/~.json", array(5, 5))
	for name, target := range map[string]string{"broken.json": "nowhere", "self.json": "self.json", "folder/up": ".."} {
		if err := os.Symlink(target, filepath.Join(logs, name)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"2 unreadable", "broken.json at byte 0: unreadable: ", "self.json at byte 0: unreadable: "}
	if os.Getuid() != 0 { // who may read everything
		write(t, logs, "secret.json", array(20, 5))
		write(t, logs, "secrets/x.json", array(20, 5))
		for _, name := range []string{"secret.json", "secrets"} {
			if err := os.Chmod(filepath.Join(logs, name), 0); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { _ = os.Chmod(filepath.Join(logs, "secrets"), 0o700) })
		want[0] = "4 unreadable"
	}
	r := analyze(t, logs)
	if got := line(t, r.err, "events"); !strings.HasPrefix(got, "10,") {
		t.Errorf("events: %s, want 10", got)
	}
	for _, s := range want {
		if !strings.Contains(r.err, s) {
			t.Errorf("it does not say %q:\n%s", s, r.err)
		}
	}
}

// A file that is written to while it is read gives what was there when the reading began; the rest comes with the next run.
// No line is lost or read twice, wherever the cut is.
func TestGrowingFile(t *testing.T) {
	logs := t.TempDir()
	const first, pieces = 200, 300
	write(t, logs, "growing.json", lines(0, first))
	write(t, logs, "other.json", array(first, 10))
	f, err := os.OpenFile(filepath.Join(logs, "growing.json"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	written := make(chan error, 1)
	go func() { // in pieces that are no lines
		rest := lines(first+10, pieces)
		size := len(rest)/pieces + 7
		tick := time.NewTicker(2 * time.Millisecond) // so that it takes as long as some runs of the program
		defer tick.Stop()
		for len(rest) > 0 {
			n := min(size, len(rest))
			if _, err := f.WriteString(rest[:n]); err != nil {
				written <- err
				return
			}
			rest = rest[n:]
			<-tick.C
		}
		written <- nil
	}()
	store := filepath.Join(t.TempDir(), "store")
	args := []string{"--partitions", "1", "--store", store, logs}
	last := 0
	for runs, growing := 0, true; growing; runs++ {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			growing = false // one run is behind the last write
		default:
		}
		r := analyze(t, args...)
		n := number(t, r.err, `(?m)^events +([0-9,]+)`)
		// A run that begins between two pieces sees a file that ends within a record, and cannot know that it will grow.
		if n < last || n < first+10 || strings.Contains(strings.ReplaceAll(r.err, "truncated", ""), "malformed") ||
			strings.Contains(r.err, "dropped") {
			t.Fatalf("run %d: %d events, %d before\n%s", runs, n, last, r.err)
		}
		last = n
	}
	if want := first + 10 + pieces; last != want {
		t.Errorf("%d events in the end, want %d", last, want)
	}
}
