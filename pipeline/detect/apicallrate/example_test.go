package apicallrate_test

import (
	"fmt"

	"github.com/trailvane/trailvane/pipeline/detect/apicallrate"
	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// A week of two deletions every morning, then forty a minute for five minutes.
func Example() {
	d := apicallrate.New()
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
	call := detecttest.Call{Service: "s3.amazonaws.com", Event: "DeleteBucket", Principal: "alice"}
	for day := range schemas.Minute(7) {
		call.Minute, call.Count = detecttest.Epoch+day*schemas.Day+9*schemas.Hour, 2
		tell(feed.Pane([]detecttest.Call{call}))
	}
	call.Principal = "mallory"
	for m := range schemas.Minute(5) {
		call.Minute, call.Count = detecttest.Epoch+7*schemas.Day+m, 40
		tell(feed.Pane([]detecttest.Call{call}))
	}
	tell(feed.Tick(call.Minute + schemas.Hour))
	// Output:
	// 2026-01-12T00:00:00Z DeleteBucket was called 80 times in 2 minutes by mallory; normally 2.1 a day; one in 35,152 active hours is so unusual.
	// 2026-01-12T00:05:00Z Cooled 200 calls
}
