package model

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

// BenchmarkMemory reports what a series costs in memory and in state, of a hundred thousand in one partition: young ones, and
// those that have a season, who is usual, and tails.
func BenchmarkMemory(b *testing.B) {
	const series = 100000
	for name, calls := range map[string]uint32{"sparse": 1, "seasoned": 50} {
		b.Run("keys="+name, func(b *testing.B) {
			for b.Loop() {
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				m := NewMachine(Config{
					Counts: byName().Counts, ID: byName().ID, AppendKey: byName().AppendKey, Budget: 1, MaxKeys: series,
				})
				for hour := range schemas.Minute(8) {
					for i := range 100 {
						p := &schemas.Pane{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r",
							Watermark: day1 + hour*60, Strings: []string{"", "user", "aws-cli/2", "192.0.2.7", "AKIA1"}}
						for k := range series / 100 {
							p.Strings = append(p.Strings, fmt.Sprintf("service%d.example.com/DeleteThing%d", k%90, i*series/100+k))
							p.Rows = append(p.Rows, schemas.Row{Minute: day1 + hour*60 + 10, Name: uint32(len(p.Strings) - 1),
								Principal: 1, UserAgent: 2, SourceIP: 3, AccessKey: 4, Count: calls})
						}
						observe(m, p)
					}
				}
				tick := pane(day1 + 600)
				observe(m, tick)
				runtime.GC()
				runtime.ReadMemStats(&after)
				state := 0
				for _, v := range snapshot(b, m) {
					state += len(v)
				}
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/series, "heap-B/series")
				b.ReportMetric(float64(state)/series, "state-B/series")
				runtime.KeepAlive(m)
			}
		})
	}
}
