package schemas

import (
	"fmt"
	"testing"
)

// bigBatch is a batch as the normalizer makes it: sections of 512 rows with about 100 words.
func bigBatch() *EventBatch {
	var e EventBatch
	for s := range 8 {
		account := Account{AWS, fmt.Sprintf("12345678901%d", s)}
		sec := Section{Account: account, Region: "eu-central-1", Lane: 3, Strings: []string{""}}
		for i := range 160 {
			sec.Strings = append(sec.Strings, fmt.Sprintf("word number %d of the dictionary", i))
		}
		for i := range uint32(MaxSectionRows) {
			sec.Rows = append(sec.Rows, EventRow{
				ID: fmt.Sprintf("%08x-0f55-4e0e-8c39-5a1d7f3b9e20", i), Time: 1767764400 + int64(i/3), Service: 1 + i%20,
				Name: 21 + i%60, ErrorCode: i % 7, Principal: 81 + i%40, AccessKey: 121 + i%8, SourceIP: 130 + i%20,
				Country: 3, UserAgent: 150 + i%8, ASN: 9, PrincipalType: RolePrincipal, Write: i%2 == 0,
			})
		}
		e.Sections = append(e.Sections, sec)
	}
	return &e
}

func bigPanes() *PaneBatch {
	var p PaneBatch
	for _, s := range bigBatch().Sections {
		pane := Pane{Account: s.Account, Region: s.Region, Lane: s.Lane, Strings: s.Strings}
		pane.Watermark = MinuteOf(s.Rows[0].Time) - 15
		for _, r := range s.Rows {
			pane.Rows = append(pane.Rows, Row{
				Minute: MinuteOf(r.Time), Service: r.Service, Name: r.Name, ErrorCode: r.ErrorCode, Principal: r.Principal,
				AccessKey: r.AccessKey, SourceIP: r.SourceIP, Country: r.Country, UserAgent: r.UserAgent, ASN: r.ASN,
				PrincipalType: r.PrincipalType, Write: r.Write, Count: 3, Sample: r.ID,
			})
		}
		p.Panes = append(p.Panes, pane)
	}
	return &p
}

func bigChunk() *Chunk {
	c := Chunk{Object: "AWSLogs/123456789012/CloudTrail/eu-central-1/2026/01/07/x.json.gz", Account: "123456789012"}
	body := make([]byte, 1200)
	for i := range int64(200) {
		c.Records = append(c.Records, RawRecord{Offset: 12 + 1201*i, Body: body})
	}
	return &c
}

func BenchmarkCodec(b *testing.B) {
	for _, bench := range []struct {
		name string
		m    message
		rows int
	}{
		{"chunk", bigChunk(), 200},
		{"events", bigBatch(), 8 * MaxSectionRows},
		{"panes", bigPanes(), 8 * MaxSectionRows},
		{"finding", samples()["finding"], 1},
	} {
		body := bench.m.Append(nil)
		rows := func(b *testing.B) {
			b.ReportMetric(float64(b.N*bench.rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(len(body))/float64(bench.rows), "B/row")
		}
		b.Run("message="+bench.name+"/do=append", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			var out []byte
			for b.Loop() {
				out = bench.m.Append(out[:0])
			}
			rows(b)
		})
		b.Run("message="+bench.name+"/do=decode", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			got := fresh(bench.m)
			for b.Loop() {
				if err := got.Decode(body); err != nil {
					b.Fatal(err)
				}
			}
			rows(b)
		})
	}
}
