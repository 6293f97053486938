package aggregate_test

import (
	"fmt"
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
	// Ten hours of them, again and again.
	bodies := make([][]byte, 300)
	for n := range bodies {
		for i := range s.Rows {
			s.Rows[i].Time = int64(60_000_000 + 120*n + i/2)
		}
		bodies[n] = (&schemas.EventBatch{Sections: []schemas.Section{s}}).Append(nil)
	}
	var p *aggregate.Processor
	n, out := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		if n%len(bodies) == 0 {
			p = aggregate.New(0)
		}
		r := runner.Record{Subject: "events.0.eu-west-1", Body: bodies[n%len(bodies)]}
		n++
		if err := p.Apply(r, func(o runner.Output) { out += len(o.Body) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*200/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(out)/float64(b.N), "B-out/op")
}
