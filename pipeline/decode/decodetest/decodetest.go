// Package decodetest holds every input format to the promises of [decode.Decoder]. A format's test is three functions:
//
//	func TestFormat(t *testing.T)      { decodetest.Run(t, Decoder{}) }
//	func FuzzDecode(f *testing.F)      { decodetest.Fuzz(f, Decoder{}, nil) }
//	func BenchmarkDecode(b *testing.B) { decodetest.Benchmark(b, Decoder{}) }
//
// Its samples are testdata/*.json: one raw record each, to the byte, of our own making. Beside each stands what it decodes
// to, *.golden.json; go test -update writes those, and whoever commits them has read the difference. The sample typical.json
// has to be there: a record as the vendor writes most of them, which is measured.
package decodetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/trailvane/trailvane/pipeline/decode"
	"github.com/trailvane/trailvane/schemas"
)

var update = flag.Bool("update", false, "write the golden files")

// typical is the sample that is measured.
const typical = "typical.json"

// Run runs the whole kit on the samples in testdata.
func Run(t *testing.T, d decode.Decoder) {
	names, samples := load(t)
	for i, name := range names {
		raw := samples[i]
		t.Run(name, func(t *testing.T) {
			testGolden(t, d, strings.TrimSuffix(name, ".json"), raw)
			testTruncated(t, d, raw)
			testFlipped(t, d, raw)
		})
	}
	t.Run("no state", func(t *testing.T) { testNoState(t, d, samples) })
	t.Run("as JSON text", func(t *testing.T) { testAsText(t, d) })
	t.Run("hostile values", func(t *testing.T) { testHostile(t, d) })
	t.Run("not records", func(t *testing.T) { testNotRecords(t, d) })
	t.Run("allocations", func(t *testing.T) { testAllocations(t, d) })
}

// Fuzz decodes whatever the fuzzer finds, starting from the samples, and demands the promises of it. Check, if there is one,
// gets every outcome to compare it with another reading of the same record.
func Fuzz(f *testing.F, d decode.Decoder, check func(t *testing.T, raw string, events []schemas.Event, err error)) {
	_, samples := load(f)
	for _, raw := range samples {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		events, err := Decode(t, d, raw)
		if check != nil {
			check(t, raw, events, err)
		}
	})
}

// Benchmark decodes the typical sample.
func Benchmark(b *testing.B, d decode.Decoder) {
	raw := readTypical(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(raw, func(*schemas.Event) {}); err != nil {
			b.Fatal(err)
		}
	}
}

// Decode decodes one record, fails the test if a promise is broken, and returns copies of the events.
func Decode(t testing.TB, d decode.Decoder, raw string) ([]schemas.Event, error) {
	t.Helper()
	var events []schemas.Event
	err := d.Decode(raw, func(e *schemas.Event) { events = append(events, *e) })
	if err != nil {
		if !errors.Is(err, decode.ErrMalformed) {
			t.Errorf("error %q does not wrap ErrMalformed\nrecord: %.2000q", err, raw)
		}
		if text := err.Error(); len(text) > 1000 || !utf8.ValidString(text) {
			t.Errorf("error of %d bytes is no message: %.1000q", len(text), text)
		}
		if len(events) > 0 {
			t.Errorf("%d events came before the error %q\nrecord: %.2000q", len(events), err, raw)
		}
		return nil, err
	}
	for i := range events {
		checkEvent(t, raw, &events[i])
	}
	return events, nil
}

// checkEvent demands that whatever the record was, the event is safe for everything downstream.
func checkEvent(t testing.TB, raw string, e *schemas.Event) {
	t.Helper()
	const longest = 640 // of any string, see field.PrincipalLimit
	for name, s := range map[string]string{
		"ID": e.ID, "Account.ID": e.Account.ID, "CallerAccount": e.CallerAccount, "Region": e.Region, "Service": e.Service,
		"Name": e.Name, "ErrorCode": e.ErrorCode, "Principal": e.Principal, "CallerName": e.CallerName,
		"AccessKey": e.AccessKey, "SourceIP": e.SourceIP, "UserAgent": e.UserAgent,
	} {
		if len(s) > longest || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%s is %.1000q, which is longer than %d bytes, not UTF-8 or has control characters\nrecord: %.2000q",
				name, s, longest, raw)
		}
	}
	if e.Auth > schemas.ConsoleMFAAuth {
		t.Errorf("auth is %d, which is none\nrecord: %.2000q", e.Auth, raw)
	}
	if r := e.Request; len(r) > len(raw) || r != "" && r[0] != '{' {
		t.Errorf("request is no object of the record: %.1000q\nrecord: %.2000q", r, raw)
	}
	if e.Account.Provider == "" {
		t.Errorf("no provider\nrecord: %.2000q", raw)
	}
	if e.Category != schemas.Management {
		return
	}
	if e.ID == "" || e.Name == "" || e.Service == "" {
		t.Errorf("a management event has ID %q, service %q, name %q\nrecord: %.2000q", e.ID, e.Service, e.Name, raw)
	}
	if m := schemas.MinuteOf(e.Time); m.Time().Unix() > e.Time || e.Time-m.Time().Unix() >= 60 {
		t.Errorf("time %d is not in any minute\nrecord: %.2000q", e.Time, raw)
	}
}

func testGolden(t *testing.T, d decode.Decoder, name, raw string) {
	var got view
	events, err := Decode(t, d, raw)
	if err != nil {
		got.Error = err.Error()
	}
	for i := range events {
		got.Events = append(got.Events, viewOf(&events[i]))
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(got); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name+".golden.json")
	if *update {
		if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

// testTruncated cuts the record at every byte: half a record never counts as a whole one.
func testTruncated(t *testing.T, d decode.Decoder, raw string) {
	whole := strings.TrimRight(raw, " \t\r\n")
	for n := range len(whole) {
		if events, err := Decode(t, d, whole[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes decode to %d events", n, len(whole), len(events))
		}
	}
}

// testFlipped flips every bit: the promises hold for what comes of it.
func testFlipped(t *testing.T, d decode.Decoder, raw string) {
	flipped := []byte(raw)
	for i := range flipped {
		for bit := range 8 {
			flipped[i] ^= 1 << bit
			Decode(t, d, string(flipped))
			flipped[i] ^= 1 << bit
		}
		if t.Failed() {
			t.Fatalf("with a bit of byte %d flipped", i)
		}
	}
}

// testAsText decodes a JSON record that is written as JSON text, as ingest finds it where a tool has taken it out of another
// record: it is the same record.
func testAsText(t *testing.T, d decode.Decoder) {
	raw := readTypical(t)
	if !json.Valid([]byte(raw)) {
		return // not a JSON format
	}
	quoted, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	want, err := Decode(t, d, raw)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(t, d, string(quoted))
	if diff := cmp.Diff(text(t, want), text(t, got)); err != nil || diff != "" {
		t.Errorf("as text it decodes to something else (%v, -record +text):\n%s", err, diff)
	}
}

// testNoState decodes the samples forwards and backwards: neither the order nor what was decoded since changes an event.
func testNoState(t *testing.T, d decode.Decoder, samples []string) {
	first := make([][]schemas.Event, len(samples))
	texts := make([]string, len(samples)) // as they were then
	for i, raw := range samples {
		first[i], _ = Decode(t, d, raw)
		texts[i] = text(t, first[i])
	}
	for i, raw := range slices.Backward(samples) {
		again, _ := Decode(t, d, raw)
		if diff := cmp.Diff(texts[i], text(t, again)); diff != "" {
			t.Errorf("sample %d decodes to something else the second time:\n%s", i, diff)
		}
	}
	for i := range samples {
		if now := text(t, first[i]); now != texts[i] {
			t.Errorf("sample %d: strings of its events changed while other records were decoded:\n%s", i, cmp.Diff(texts[i], now))
		}
	}
}

// testAllocations: one allocation, the event, for a typical record. Escapes in a string that is kept cost one more.
func testAllocations(t *testing.T, d decode.Decoder) {
	raw := readTypical(t)
	if n := testing.AllocsPerRun(100, func() { _ = d.Decode(raw, func(*schemas.Event) {}) }); n > 1 {
		t.Errorf("%v allocations for %s, want 1 at most", n, typical)
	}
}

func load(t testing.TB) (names, samples []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json") // sorted
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".golden.json") {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names, samples = append(names, filepath.Base(file)), append(samples, string(raw))
	}
	if !slices.Contains(names, typical) {
		t.Fatalf("testdata has no %s", typical)
	}
	return names, samples
}

func readTypical(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", typical))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func text(t *testing.T, events []schemas.Event) string {
	t.Helper()
	b, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A view is what a golden file shows: names instead of numbers, and nothing that is empty.
type view struct {
	Error  string      `json:"error,omitempty"`
	Events []eventView `json:"events,omitempty"`
}

type eventView struct {
	ID            string `json:"id,omitempty"`
	Time          string `json:"time,omitempty"`
	Account       string `json:"account"`
	CallerAccount string `json:"callerAccount,omitempty"`
	Region        string `json:"region,omitempty"`
	Category      string `json:"category"`
	Service       string `json:"service,omitempty"`
	Name          string `json:"name,omitempty"`
	ErrorCode     string `json:"errorCode,omitempty"`
	Write         bool   `json:"write"`
	Principal     string `json:"principal,omitempty"`
	PrincipalType string `json:"principalType,omitempty"`
	CallerName    string `json:"callerName,omitempty"`
	AccessKey     string `json:"accessKey,omitempty"`
	SourceIP      string `json:"sourceIP,omitempty"`
	UserAgent     string `json:"userAgent,omitempty"`
	Auth          string `json:"auth,omitempty"`
	Request       string `json:"request,omitempty"`
}

func viewOf(e *schemas.Event) eventView {
	v := eventView{
		ID: e.ID, Account: e.Account.String(), CallerAccount: e.CallerAccount, Region: e.Region,
		Category: [...]string{"management", "data", "insight", "network activity"}[e.Category],
		Service:  e.Service, Name: e.Name, ErrorCode: e.ErrorCode, Write: e.Write, Principal: e.Principal,
		PrincipalType: [...]string{"", "root", "user", "role", "federated", "service"}[e.PrincipalType],
		CallerName:    e.CallerName, AccessKey: e.AccessKey, SourceIP: e.SourceIP, UserAgent: e.UserAgent, Request: e.Request,
	}
	if e.Auth != schemas.UnknownAuth {
		v.Auth = e.Auth.String()
	}
	if e.Time != 0 {
		v.Time = time.Unix(e.Time, 0).UTC().Format(time.RFC3339)
	}
	return v
}
