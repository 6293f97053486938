package jetstream

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"

	"github.com/trailvane/trailvane/pipeline/runner"
)

// travel sends an output as far as a connection would: encoded, copied, and its body unpacked.
func travel(t *testing.T, o *runner.Output, scratch, arena *[]byte) (sent *nats.Msg, body []byte) {
	t.Helper()
	m := encode(o, "", scratch)
	sent = &nats.Msg{Subject: m.Subject, Header: m.Header, Data: bytes.Clone(m.Data)}
	body, err := unpack(sent, arena)
	if err != nil {
		t.Fatalf("unpack %d bytes on %s: %v", len(o.Body), o.Subject, err)
	}
	return sent, body
}

func repeated(n int) []byte { return bytes.Repeat([]byte(`{"eventName":"RunInstances"},`), n/29+1)[:n] }

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestLargeRawBodiesArePackedAndNothingElse(t *testing.T) {
	const packed, plain = true, false
	tests := []struct {
		name, subject string
		body          []byte
		want          bool
	}{
		{"a chunk", "raw.0.cloudtrail", repeated(256 << 10), packed},
		{"the largest", "raw.0.cloudtrail", repeated(runner.MaxBody), packed},
		{"the smallest", "raw.7.actiontrail", repeated(minPacked), packed},
		{"too small", "raw.0.cloudtrail", repeated(minPacked - 1), plain},
		{"a control record", "raw.0.end", []byte{1}, plain},
		{"nothing", "raw.0.cloudtrail", nil, plain},
		{"what does not shrink", "raw.0.cloudtrail", noise(256 << 10), plain},
		{"a dead letter", "dead.ingest", repeated(64 << 10), plain},
		{"an insight", "insights.x.aws-1.ApiCallRateInsight.1", repeated(64 << 10), plain},
	}
	var scratch, arena []byte
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			sent, body := travel(t, &runner.Output{Subject: c.subject, Body: c.body}, &scratch, &arena)
			if !bytes.Equal(body, c.body) {
				t.Errorf("%d bytes came back as other %d", len(c.body), len(body))
			}
			if got := sent.Header.Get(codingHeader) == s2Coding; got != c.want {
				t.Errorf("packed is %v, want %v", got, c.want)
			}
			if len(sent.Data) > len(c.body) || c.want && len(sent.Data) > len(c.body)/2 {
				t.Errorf("%d bytes travel as %d", len(c.body), len(sent.Data))
			}
		})
	}
}

// All bodies of one Read are valid until the next one, however often the arena grows meanwhile.
func TestBodiesOfOneReadDoNotDisturbEachOther(t *testing.T) {
	var scratch, arena []byte
	for round := range 3 {
		arena = arena[:0]
		var want, got [][]byte
		for i := range 20 {
			body := repeated(minPacked << (i % 7))
			body[0] = byte('a' + i)
			_, unpacked := travel(t, &runner.Output{Subject: "raw.0.cloudtrail", Body: body}, &scratch, &arena)
			want, got = append(want, body), append(got, unpacked)
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("round %d: body %d of %d bytes has changed", round, i, len(want[i]))
			}
			if cap(got[i]) != len(got[i]) {
				t.Errorf("body %d can be appended to, over the next one", i)
			}
		}
	}
}

func TestUnpackRefusesWhatItCannotHold(t *testing.T) {
	message := func(coding string, data []byte) *nats.Msg {
		return &nats.Msg{Header: nats.Header{codingHeader: {coding}}, Data: data}
	}
	whole := s2.Encode(nil, repeated(64<<10))
	tests := map[string]*nats.Msg{
		"another coding":   message("gzip", whole),
		"no data":          message(s2Coding, nil),
		"no block":         message(s2Coding, noise(1000)),
		"cut off":          message(s2Coding, whole[:len(whole)-1]),
		"one byte too big": message(s2Coding, s2.Encode(nil, repeated(runner.MaxBody+1))),
		"a bomb":           message(s2Coding, append(binary.AppendUvarint(nil, 1<<32-1), whole...)),
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			var arena []byte
			if body, err := unpack(m, &arena); err == nil {
				t.Errorf("unpacked %d bytes", len(body))
			}
			if cap(arena) > runner.MaxBody {
				t.Errorf("took %d bytes of memory", cap(arena))
			}
		})
	}
}

func BenchmarkPack(b *testing.B) {
	record := func(i int) string { return `{"eventID":"` + strconv.Itoa(i*7919) + `","eventName":"RunInstances"},` }
	var body []byte
	for i := 0; len(body) < 256<<10; i++ {
		body = append(body, record(i)...)
	}
	o := &runner.Output{Subject: "raw.0.cloudtrail", Body: body}
	var scratch, arena []byte
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		m := encode(o, "", &scratch)
		arena = arena[:0]
		if _, err := unpack(m, &arena); err != nil {
			b.Fatal(err)
		}
	}
}
