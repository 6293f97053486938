package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/trailvane/trailvane/pipeline/memory"
	"github.com/trailvane/trailvane/schemas"
)

// outcome of one object: what was delivered and what was not.
type delivered struct {
	Times []int64  // of the records
	Dead  []string // "reason offset+size"
	Skip  Reason
}

// deliver reads one object between two others, which must not lose anything by it.
func deliver(t testing.TB, name, content string) delivered {
	t.Helper()
	good := func(at int) string { return fmt.Sprintf(`{"Records":[{"eventTime":%d}]}`, at) }
	files := objects{name: content, "0": good(1), "~": good(1 << 40)}
	p := plan(t, files, memory.NewBroker(nil).Store("ingest"))
	return deliveredBy(t, source(p, files), name)
}

// deliveredBy reads everything; the objects beside the named one must deliver theirs.
func deliveredBy(t testing.TB, s *Source, name string) delivered {
	t.Helper()
	var got delivered
	others := 0
	stats := NewProcessor()
	for _, r := range readAll(t, s, 0) {
		switch schemas.LastToken(r.Subject) {
		case "cloudtrail":
			if len(r.Body) > MaxChunk+MaxRecord {
				t.Errorf("chunk of %d bytes", len(r.Body))
			}
			var c schemas.Chunk
			if err := c.Decode(r.Body); err != nil {
				t.Fatal(err)
			}
			if len(c.Records) > 1 && len(r.Body) > MaxChunk {
				t.Errorf("chunk of %d bytes with %d records", len(r.Body), len(c.Records))
			}
			for _, raw := range c.Records {
				if c.Object != name {
					others++
					continue
				}
				at, ok := eventTime(string(raw.Body))
				if !ok {
					at = -1
				}
				got.Times = append(got.Times, at)
			}
		case "ingest":
			var d schemas.DeadLetter
			if err := d.Decode(r.Body); err != nil {
				t.Fatal(err)
			}
			if d.Object != name || d.Error == "" || len(d.Raw) > schemas.MaxDeadRaw {
				t.Errorf("dead letter %s %q with %d bytes", d.Object, d.Error, len(d.Raw))
			}
			got.Dead = append(got.Dead, fmt.Sprintf("%s %d+%d", d.Reason, d.Offset, d.Size))
		case "report":
			if err := stats.Apply(r, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	if others != 2 {
		t.Errorf("%d records of the objects beside it, want 2", others)
	}
	for skip := range stats.Stats().Skipped {
		got.Skip = skip
	}
	return got
}

// line returns n lines of records with the times from first on.
func lines(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"eventTime\":%d}\n", first+i)
	}
	return b.String()
}

func gzipped(t testing.TB, s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t testing.TB, s string) string {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(s), nil))
}

func TestBadInput(t *testing.T) {
	two := gzipped(t, lines(10, 2))
	big := `{"eventTime":11,"x":"` + strings.Repeat("y", 5<<20) + `"}`
	deepObject := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	deepArray := strings.Repeat(`[`, 10_000) + strings.Repeat("]", 10_000)
	for _, tt := range []struct {
		name, in string
		want     delivered
	}{
		{"empty file", "", delivered{Skip: Empty}},
		{"empty gzip", gzipped(t, ""), delivered{Skip: Empty}},
		{"white space", "\n\n", delivered{Skip: Empty}},
		{"empty array", "[]", delivered{Skip: Empty}},
		{"no records", `{"Records":[]}`, delivered{Skip: Empty}},
		{"text", strings.Repeat("This is no log.\n", 1000), delivered{Skip: NotALog}},
		{"other JSON", `{"name":"x","dependencies":{}}`, delivered{Skip: NotALog}},
		{"binary", "\x7fELF\x00\x01\x02\n\x00\xff\xfe", delivered{Skip: NotALog}},
		{"digest", `{"awsAccountId":"1","digestStartTime":"x","digestS3Bucket":"b"}`, delivered{Skip: Digest}},

		{"gzip", gzipped(t, lines(10, 2)), delivered{Times: []int64{10, 11}}},
		{"gzip of two members", two + gzipped(t, lines(12, 1)), delivered{Times: []int64{10, 11, 12}}},
		{"zstd", zstandard(t, lines(10, 2)), delivered{Times: []int64{10, 11}}},
		{"zstd of two frames", zstandard(t, lines(10, 1)) + zstandard(t, lines(11, 1)), delivered{Times: []int64{10, 11}}},
		{"truncated gzip", two[:len(two)-6], delivered{Times: []int64{10, 11}, Dead: []string{"truncated 34+-1"}}},
		{"gzip cut in its header", two[:5], delivered{Dead: []string{"truncated 0+-1"}}},
		{"gzip with a wrong sum", two[:len(two)-8] + "xxxx" + two[len(two)-4:],
			delivered{Times: []int64{10, 11}, Dead: []string{"corrupt 34+-1"}}},
		{"text behind gzip", two + "oops, this is text", delivered{Times: []int64{10, 11}, Dead: []string{"corrupt 34+-1"}}},
		{"truncated zstd", zstandard(t, lines(10, 50_000))[:2000], delivered{Dead: []string{"truncated 0+-1"}}},

		{"half a document", `{"Records":[{"eventTime":10},{"eventTime":11,"x"`,
			delivered{Times: []int64{10}, Dead: []string{"truncated 29+19"}}},
		{"half a record", `{"Records":[{"eventTime":10,"x"`, delivered{Dead: []string{"truncated 12+19"}}},
		{"half a container", `{"Records":[{"eventTime":10}`, delivered{Times: []int64{10}, Dead: []string{"truncated 28+-1"}}},
		{"NUL bytes behind", lines(10, 2) + strings.Repeat("\x00", 1<<20),
			delivered{Times: []int64{10, 11}, Dead: []string{"malformed 34+1048576"}}},
		{"NUL bytes within", lines(10, 1) + "{\"eventTime\":\x00\"a\x00\"}\n" + lines(12, 1),
			delivered{Times: []int64{10, 12}, Dead: []string{"malformed 17+19"}}},
		{"invalid UTF-8", "{\"eventTime\":10,\"x\":\"\xff\xfe\xc3\"}\n" + lines(11, 1), delivered{Times: []int64{10, 11}}},
		{"garbage between records", `[{"eventTime":10}, oops, {"eventTime":11}]`,
			delivered{Times: []int64{10, 11}, Dead: []string{"malformed 19+4"}}},
		{"record of 5 MB", `[{"eventTime":10},` + big + `,{"eventTime":12}]`,
			delivered{Times: []int64{10, 12}, Dead: []string{fmt.Sprintf("too_large 18+%d", len(big))}}},
		{"line of 5 MB without an end", lines(10, 1) + big[:len(big)-2] + "\n" + lines(12, 1),
			delivered{Times: []int64{10, 12}, Dead: []string{fmt.Sprintf("too_large 17+%d", len(big)-2)}}},
		{"objects 10,000 deep", `[{"eventTime":10},` + deepObject + `,{"eventTime":12}]`,
			delivered{Times: []int64{10, 12}, Dead: []string{fmt.Sprintf("too_deep 18+%d", len(deepObject))}}},
		{"arrays 10,000 deep in a record", `[{"eventTime":10},{"a":` + deepArray + `},{"eventTime":12}]`,
			delivered{Times: []int64{10, 12}, Dead: []string{fmt.Sprintf("too_deep 18+%d", len(deepArray)+6)}}},
		{"strange first records", `[{"x":1},{"y":2},{"eventTime":12}]`, delivered{Times: []int64{-1, -1, 12}}},
		{"lines of text before the records", "# one\n# two\n" + lines(10, 1),
			delivered{Times: []int64{10}, Dead: []string{"malformed 0+5", "malformed 6+5"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := deliver(t, "object", tt.in)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// A record that lost a bracket, in an array on one line of more than the size of a record.
func TestUnclosedRecord(t *testing.T) {
	const n = 60_000
	rest := strings.ReplaceAll(strings.TrimSpace(lines(12, n)), "\n", ",")
	got := deliver(t, "object", `[{"eventTime":10},{"eventTime":11,"x":[`+"\t,"+rest+"]")
	if len(got.Times) != 1+n || got.Times[0] != 10 || got.Times[1] != 12 {
		t.Errorf("%d records, want %d", len(got.Times), 1+n)
	}
	if diff := cmp.Diff([]string{"malformed 18+23"}, got.Dead); diff != "" {
		t.Error(diff)
	}
}

// A single array of 200 MB is read in bounded memory.
func TestLargeArray(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: reads 200 MB")
	}
	const n = 200_000
	one := []byte(`{"eventTime":10,"x":"` + strings.Repeat("y", 1000) + `"},`)
	files := largeObject{head: []byte("["), body: one, n: n, tail: []byte(`{"eventTime":10}]`)}
	p := plan(t, files, memory.NewBroker(nil).Store("ingest"))
	s := source(p, files)
	after, records, most := uint64(0), 0, 0
	var c schemas.Chunk
	for {
		read, err := s.Read(t.Context(), after)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		size := 0
		for _, r := range read {
			size += len(r.Body)
			after = r.Seq
			if schemas.LastToken(r.Subject) == "cloudtrail" {
				if err := c.Decode(r.Body); err != nil {
					t.Fatal(err)
				}
				records += len(c.Records)
			}
		}
		most = max(most, size)
	}
	if records != n+1 {
		t.Errorf("%d records, want %d", records, n+1)
	}
	if most > readBytes+MaxChunk {
		t.Errorf("a read returned %d bytes", most)
	}
}

// A largeObject is a Connector of one object, whose body repeats.
type largeObject struct {
	head, body, tail []byte
	n                int
}

func (largeObject) Name() string { return "large" }

func (l largeObject) List(context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		yield(Object{Name: "large", Size: int64(len(l.head) + l.n*len(l.body) + len(l.tail))}, nil)
	}
}

func (l largeObject) Open(context.Context, Object) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(l.head), &repeated{l.body, l.n, 0}, bytes.NewReader(l.tail))), nil
}

type repeated struct {
	body []byte
	n    int
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.n == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.body[r.at:])
	if r.at += n; r.at == len(r.body) {
		r.at = 0
		r.n--
	}
	return n, nil
}

// What compresses to nothing is cut where no log would be, and costs no memory.
func TestExpansion(t *testing.T) {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, lines(10, 1))
	spaces := bytes.Repeat([]byte{' '}, 1<<20)
	for range 256 {
		w.Write(spaces)
	}
	w.Close()
	got := deliver(t, "object", b.String())
	allowed := expandFloor + maxRatio*b.Len()
	want := delivered{Times: []int64{10}, Dead: []string{fmt.Sprintf("expansion %d+-1", allowed)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%d bytes (-want +got):\n%s", b.Len(), diff)
	}
}

// An object that is not what it was, between plan and reading, costs no other.
func TestChangedObjects(t *testing.T) {
	for _, tt := range []struct {
		name, planned, read string
		want                delivered
	}{
		{"shrunk", lines(10, 3), lines(10, 2), delivered{Times: []int64{10, 11}, Dead: []string{"changed 34+-1"}}},
		{"grown", lines(10, 2), lines(10, 3), delivered{Times: []int64{10, 11}}},
		{"grown while a line was written", lines(10, 2)[:30], lines(10, 3), delivered{Times: []int64{10}}},
		{"other bytes", lines(10, 2), lines(20, 2), delivered{Times: []int64{20, 21}, Dead: []string{"changed 34+-1"}}},
		{"gone", lines(10, 2), "", delivered{Dead: []string{"unreadable 0+-1"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := objects{"object": tt.planned, "0": lines(1, 1), "~": lines(99, 1)}
			p := plan(t, files, memory.NewBroker(nil).Store("ingest"))
			files["object"] = tt.read
			if tt.read == "" {
				delete(files, "object")
			}
			got := deliveredBy(t, source(p, files), "object")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Lines that break only long after their end are not scanned again and again.
func TestHostileLines(t *testing.T) {
	const n = 20_000
	line := `{"a":1,` + strings.Repeat(`"b":1,`, 300) + "\n"
	found := items(t, NewSplitter(strings.NewReader(strings.Repeat(line, n))))
	if len(found) > n/100 { // one for each scan of the size of a record
		t.Errorf("%d lines were scanned each up to the size of a record", len(found))
	}
	for _, item := range found {
		if item.Reason == "" {
			t.Errorf("a record at %d", item.Offset)
		}
	}
}
