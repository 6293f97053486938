package aggregate_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// One message as it comes from a chunk: 200 events of an account and region within two minutes, a third of them equal.
func BenchmarkAggregate(b *testing.B) {
	s := schemas.Section{Account: account, Region: "eu-west-1", Strings: []string{""}}
	for i := range 60 {
		s.Strings = append(s.Strings, fmt.Sprintf("string-%02d-of-the-dictionary", i))
	}
	for i := range 200 {
		s.Rows = append(s.Rows, schemas.EventRow{
			Service: uint32(1 + i%5), Name: uint32(6 + i*7%20), Principal: uint32(30 + i*13%20), UserAgent: uint32(50 + i%10),
			SourceIP: uint32(30 + i*13%20), AccessKey: uint32(30 + i*13%20), Write: i%3 == 0,
			ID: fmt.Sprintf("00000000-6d0a-4e0e-9c5e-%012d", i),
		})
	}
	batch := schemas.EventBatch{Sections: []schemas.Section{s}}
	p := aggregate.New(0)
	at, out := int64(60_000_000), 0
	var body []byte
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range s.Rows {
			s.Rows[i].Time = at + int64(i/2)
		}
		body = batch.Append(slices.Clip(body[:0]))
		at += 120
		b.StartTimer()
		err := p.Apply(runner.Record{Subject: "events.0.eu-west-1", Body: body}, func(o runner.Output) { out += len(o.Body) })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*200/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(out)/float64(b.N), "B-out/op")
}
