package ip_test

import (
	"fmt"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/pipeline/detect/ip"
	"github.com/trailvane/trailvane/schemas"
)

// Alice works from one address for two weeks; then her key is used from another one.
func Example() {
	d := ip.New()
	feed := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "111122223333"}, Region: "eu-west-1", Lateness: 15}
	tell := func(p schemas.Pane) {
		d.Observe(&p, schemas.DefaultSettings(), func(f *schemas.Finding) {
			if f.Kind == schemas.OpenFinding {
				fmt.Println(f.Start, f.Why.Text)
			} else {
				fmt.Println(f.End, f.Why.EndReason, f.Statistics.InsightCount, "calls")
			}
		})
	}
	call := detecttest.Call{Service: "s3.amazonaws.com", Event: "ListBuckets", Principal: "alice", SourceIP: "192.0.2.10", Read: true, Count: 1}
	for day := range schemas.Minute(14) {
		call.Minute = detecttest.Epoch + day*schemas.Day + 9*schemas.Hour
		tell(feed.Pane([]detecttest.Call{call}))
	}
	call.SourceIP = "203.0.113.140"
	for m := range schemas.Minute(5) {
		call.Minute = detecttest.Epoch + 14*schemas.Day + m
		tell(feed.Pane([]detecttest.Call{call}))
	}
	tell(feed.Tick(call.Minute + schemas.Hour))
	// Output:
	// 2026-01-19T00:00:00Z 203.0.113.140 made its first request, as alice: neither the account nor alice knew anything near it; nothing as new was seen on its 5.8 active days before.
	// 2026-01-19T00:05:00Z Silence 5 calls
}
