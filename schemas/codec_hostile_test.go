package schemas

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/quick"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vmihailenco/msgpack/v5"
)

// structs names the arrays inside each message that are structures, to which later versions may append
// fields: the way to them by index, "*" being all elements of a list. The message itself is always one.
var structs = map[string][]string{
	"event_batch": {"2.*", "2.*.5.*"},
	"pane_batch":  {"2.*", "2.*.7.*"},
	"metrics":     {"9.*"},
	"finding":     {"15", "16.*", "16.*.1.*", "16.*.2.*", "17", "17.12.*", "17.16"},
	"checkpoint":  {"7.*"},
}

// edit returns v with f applied to the arrays at a path; they must exist.
func edit(t *testing.T, v any, path string, f func([]any) []any) any {
	t.Helper()
	list, ok := v.([]any)
	if !ok {
		t.Fatalf("%v is no array", v)
	}
	if path == "" {
		return f(list)
	}
	head, tail, _ := strings.Cut(path, ".")
	list = slices.Clone(list)
	if head != "*" {
		i, err := strconv.Atoi(head)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = edit(t, list[i], tail, f)
		return list
	}
	for i := range list {
		list[i] = edit(t, list[i], tail, f)
	}
	return list
}

func pack(t *testing.T, v any, compact bool) []byte {
	t.Helper()
	var out bytes.Buffer
	enc := msgpack.NewEncoder(&out)
	enc.UseCompactInts(compact)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFieldsOfLaterVersionsAreSkipped(t *testing.T) {
	later := []any{
		"text", -1, 1 << 40, 1.5, float32(1.5), true, false, nil, []byte("bytes"), strings.Repeat("long ", 100000),
		lowerID{1}, []any{1, []any{[]any{}, "x"}}, map[string]any{"a": []any{1}, "b": nil},
		make([]any, 20), make([]any, 1<<16),
	}
	for name, want := range samples() {
		for _, path := range append([]string{""}, structs[name]...) {
			v := edit(t, generic(t, want.Append(nil)), path, func(list []any) []any {
				return append(slices.Clone(list), later...)
			})
			got := fresh(want)
			if err := got.Decode(pack(t, v, true)); err != nil {
				t.Errorf("%s, fields appended to %q: %v", name, path, err)
			} else if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s, fields appended to %q (-want +got):\n%s", name, path, diff)
			}
		}
	}
}

func TestMissingFieldsAreMalformed(t *testing.T) {
	for name, m := range samples() {
		for _, path := range append([]string{""}, structs[name]...) {
			least := -1
			if name == "checkpoint" && path == "" {
				least-- // a checkpoint may be without the last one
			}
			v := edit(t, generic(t, m.Append(nil)), path, func(list []any) []any { return list[:len(list)+least] })
			if err := fresh(m).Decode(pack(t, v, true)); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s, last field of %q removed: %v, want ErrMalformed", name, path, err)
			}
		}
	}
}

func TestOtherVersionsAreRefused(t *testing.T) {
	for name, m := range samples() {
		for _, version := range []int{0, 2, 200, 1 << 20} {
			v := edit(t, generic(t, m.Append(nil)), "", func(list []any) []any { list[0] = version; return list })
			err := fresh(m).Decode(pack(t, v, true))
			told := err != nil && strings.Contains(err.Error(), strconv.Itoa(version))
			if !errors.Is(err, ErrVersion) || errors.Is(err, ErrMalformed) || !told {
				t.Errorf("%s of version %d: %v, want ErrVersion and the number", name, version, err)
			}
		}
		// A newer version may look like nothing we know behind its number.
		if err := fresh(m).Decode(pack(t, []any{2, map[string]any{}}, true)); !errors.Is(err, ErrVersion) {
			t.Errorf("%s of a version of another form: %v, want ErrVersion", name, err)
		}
	}
}

// Other writers may use the long forms of numbers.
func TestLongFormsAreRead(t *testing.T) {
	for name, want := range samples() {
		got := fresh(want)
		if err := got.Decode(pack(t, generic(t, want.Append(nil)), false)); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestEveryTruncationIsMalformed(t *testing.T) {
	for name, m := range samples() {
		body := m.Append(nil)
		for n := range body {
			if err := fresh(m).Decode(body[:n:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s cut at %d of %d: %v, want ErrMalformed", name, n, len(body), err)
			}
		}
	}
}

// No byte of a message can be spoiled so that Decode panics, or allocates more than 64 times the message: a
// list element of one byte may become a string header of 16, at three levels of nesting.
func TestDecodeBoundsItsMemory(t *testing.T) {
	huge := []string{
		"\xdd\xff\xff\xff\xff", "\xdc\xff\xff", "\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff",
		"\xdf\xff\xff\xff\xff", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "\xce\x7f\xff\xff\xff",
		"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "\xc9\xff\xff\xff\xff\x01",
	}
	for name, m := range samples() {
		body := m.Append(nil)
		for i := range body {
			for _, h := range huge {
				spoiled := slices.Concat(body[:i], []byte(h), body[i+1:])
				limit := uint64(64*len(spoiled) + 4096) // the errors
				if used := allocated(func() { _ = fresh(m).Decode(spoiled) }); used > limit {
					t.Fatalf("%s, %x at %d: allocates %d bytes, want at most %d", name, h, i, used, limit)
				}
			}
		}
	}
	// Lists that are as long as they say.
	filler := bytes.Repeat([]byte{fixArray}, 1<<20)
	for name, m := range samples() {
		for _, path := range append(structs[name], "1.*", "2.*", "2.*.4.*", "16.*", "7.*", "8", "9.*", "10") {
			list := append([]byte{codeArray32, 0, 0x0f, 0xff, 0xff}, filler...)
			v := generic(t, m.Append(nil)).([]any)
			head, _, _ := strings.Cut(path, ".")
			i, _ := strconv.Atoi(head)
			if i >= len(v) {
				continue
			}
			spoiled := appendArray(nil, len(v))
			for j := range v {
				if j == i {
					spoiled = append(spoiled, list...)
				} else {
					spoiled = append(spoiled, pack(t, v[j], true)...)
				}
			}
			if used := allocated(func() { _ = fresh(m).Decode(spoiled) }); used > uint64(64*len(spoiled)) {
				t.Errorf("%s, a long list at %d: allocates %d bytes for %d", name, i, used, len(spoiled))
			}
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// An array nested a million deep is skipped like any other value.
func TestDeepNestingCostsNoStack(t *testing.T) {
	tick := Tick{Lane: 1, Time: 2}
	body := tick.Append(nil)
	body[0]++
	body = append(body, bytes.Repeat([]byte{fixArray | 1}, 1<<20)...)
	body = append(body, codeNil)
	var got Tick
	if err := got.Decode(body); err != nil || got != tick {
		t.Errorf("Decode = %+v, %v", got, err)
	}
}

func TestIDsComeBackByteForByte(t *testing.T) {
	const lower = "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20"
	for _, test := range []struct {
		id  string
		len int
	}{
		{lower, 18},
		{strings.ToUpper(lower), 18},
		{"00000000-0000-0000-0000-000000000000", 18},
		{"ffffffff-ffff-ffff-ffff-ffffffffffff", 18},
		{"7B6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20", 38}, // mixed
		{"7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e2g", 38},
		{"7b6e1d2c_0f55-4e0e-8c39-5a1d7f3b9e20", 38},
		{"7b6e1d2c0f554e0e8c395a1d7f3b9e20", 34},
		{"", 1},
		{"EXAMPLE-9b6f-45f8-bc6b-9b41c052ebc7", 37},
		{strings.Repeat("i", 70000), 70005},
		{"408ACD94-4531-4D66-BA14-1F7248AC****", 38},
		{"\xff\x00", 3},
	} {
		b := appendID(nil, test.id)
		if len(b) != test.len {
			t.Errorf("%.40q takes %d bytes, want %d", test.id, len(b), test.len)
		}
		r := reader{b: b}
		if got := r.id(); got != test.id || r.err != nil || r.i != len(b) {
			t.Errorf("%.40q comes back as %.40q, %v", test.id, got, r.err)
		}
	}
}

func TestDecodeReusesMemory(t *testing.T) {
	for name, test := range map[string]struct {
		m   message
		max float64
	}{
		"chunk":   {bigChunk(), 0},
		"events":  {bigBatch(), 1}, // the text
		"panes":   {bigPanes(), 1},
		"metrics": {samples()["metrics"], 1},
	} {
		body := test.m.Append(nil)
		got := fresh(test.m)
		allocs := testing.AllocsPerRun(10, func() {
			if err := got.Decode(body); err != nil {
				t.Fatal(err)
			}
		})
		if allocs > test.max {
			t.Errorf("%s: %v allocations, want at most %v", name, allocs, test.max)
		}
	}
}

// Strings outlive the body and the next message; a chunk's records alias their body and nothing else's.
func TestOwnership(t *testing.T) {
	body := samples()["event_batch"].Append(nil)
	var e EventBatch
	if err := e.Decode(body); err != nil {
		t.Fatal(err)
	}
	word, id := e.Sections[0].Strings[1], e.Sections[0].Rows[0].ID
	clear(body)
	if err := e.Decode(bigBatch().Append(nil)); err != nil {
		t.Fatal(err)
	}
	if word != "ec2.amazonaws.com" || id != "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20" {
		t.Errorf("strings changed: %q, %q", word, id)
	}

	body = samples()["chunk"].Append(nil)
	var c Chunk
	if err := c.Decode(body); err != nil {
		t.Fatal(err)
	}
	first := c.Records[0].Body
	if cap(first) != len(first) {
		t.Errorf("record has room for %d bytes of the next one", cap(first)-len(first))
	}
	if len(first) == 0 || !bytes.Contains(body, first) || &first[0] != &body[bytes.Index(body, first)] {
		t.Errorf("record does not alias its body")
	}
}

func TestRandomRoundTrips(t *testing.T) {
	check := func(name string, want, got message) bool {
		if err := got.Decode(want.Append(nil)); err != nil {
			t.Errorf("%s: %v\n%+v", name, err, want)
			return false
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
			return false
		}
		return true
	}
	for name, f := range map[string]any{
		"finding":     func(f Finding) bool { return check("finding", &f, new(Finding)) },
		"checkpoint":  func(c Checkpoint) bool { return check("checkpoint", &c, new(Checkpoint)) },
		"dead letter": func(d DeadLetter) bool { return check("dead letter", &d, new(DeadLetter)) },
		"chunk":       func(c Chunk) bool { return check("chunk", &c, new(Chunk)) },
		"settings": func(s Settings) bool {
			s.Lane = int(int32(s.Lane))
			return check("settings", &s, new(Settings))
		},
	} {
		if err := quick.Check(f, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Batches into memory that is used again and again.
	random := rand.New(rand.NewPCG(1, 2))
	var events EventBatch
	var panes PaneBatch
	for range 200 {
		e, p := randomBatches(random)
		if !check("events", e, &events) || !check("panes", p, &panes) {
			return
		}
	}
}

func randomBatches(random *rand.Rand) (*EventBatch, *PaneBatch) {
	var e EventBatch
	var p PaneBatch
	for range random.IntN(4) {
		account := Account{AWS, strconv.Itoa(random.IntN(1e6))}
		words := []string{""}
		for range random.IntN(300) {
			words = append(words, strings.Repeat("w", random.IntN(300)))
		}
		word := func() uint32 { return uint32(random.IntN(len(words))) }
		flag := func() bool { return random.IntN(2) == 0 }
		s := Section{Account: account, Region: "r", Lane: random.IntN(8), Strings: words}
		pane := Pane{Account: account, Region: "r", Lane: random.IntN(8), Close: flag(), Strings: words}
		pane.Watermark = Minute(random.Int32())
		for range random.IntN(40) {
			s.Rows = append(s.Rows, EventRow{
				ID: strconv.FormatUint(random.Uint64(), 36), Time: int64(random.Uint64()), Service: word(), Name: word(),
				ErrorCode: word(), Principal: word(), AccessKey: word(), SourceIP: word(), Country: word(), UserAgent: word(),
				ASN: word(), PrincipalType: PrincipalType(random.IntN(256)), Write: flag(),
			})
			pane.Rows = append(pane.Rows, Row{
				Minute: Minute(random.Uint32()), Service: word(), Name: word(), ErrorCode: word(), Principal: word(),
				AccessKey: word(), SourceIP: word(), Country: word(), UserAgent: word(), ASN: word(),
				PrincipalType: PrincipalType(random.IntN(256)), Write: flag(), Late: flag(), Count: random.Uint32(),
				Sample: strconv.FormatUint(random.Uint64(), 36),
			})
		}
		e.Sections = append(e.Sections, s)
		p.Panes = append(p.Panes, pane)
	}
	return &e, &p
}
