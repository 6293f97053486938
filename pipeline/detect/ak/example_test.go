package ak_test

import (
	"fmt"

	"github.com/trailvane/trailvane/pipeline/detect/ak"
	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// A week of two calls an hour, then somebody tries with the same key what it may do: one call each on forty APIs.
func Example() {
	d := ak.New()
	feed := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "111122223333"}, Region: "eu-west-1", Lateness: 15}
	tell := func(p schemas.Pane) {
		d.Observe(&p, schemas.DefaultSettings(), func(f *schemas.Finding) {
			if f.Kind == schemas.OpenFinding {
				fmt.Println(f.Start, f.Why.Text)
			} else {
				fmt.Println(f.End, f.Why.EndReason, "after", f.Why.Rate.Breadth, "different calls")
			}
		})
	}
	call := detecttest.Call{Service: "s3.amazonaws.com", Principal: "backup", AccessKey: "AKIABACKUPEXAMPLE", SourceIP: "192.0.2.1", Count: 1}
	for m := schemas.Minute(0); m < 7*schemas.Day; m += 30 {
		call.Minute, call.Event = detecttest.Epoch+m, []string{"PutBucketTagging", "CopyObject"}[m/30%2]
		tell(feed.Pane([]detecttest.Call{call}))
	}
	call.SourceIP = "203.0.113.66"
	for m := range schemas.Minute(10) {
		var calls []detecttest.Call
		for i := range schemas.Minute(4) {
			call.Minute, call.Event = detecttest.Epoch+7*schemas.Day+m, fmt.Sprint("CreateThing", 4*m+i)
			calls = append(calls, call)
		}
		tell(feed.Pane(calls))
	}
	tell(feed.Tick(call.Minute + schemas.Hour))
	// Output:
	// 2026-01-12T00:01:00Z Access key AKIABACKUPEXAMPLE made 8 write calls in 2 minutes from 203.0.113.66, 10 different ones in that clock hour; normally 2 an hour, 2 different ones in an hour of work; one in 183,735 active hours is so unusual.
	// 2026-01-12T00:10:00Z Cooled after 38 different calls
}
