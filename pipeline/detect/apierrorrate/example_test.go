package apierrorrate_test

import (
	"fmt"

	"github.com/trailvane/trailvane/pipeline/detect/apierrorrate"
	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// A week in which an application reads secrets and one read in fifty fails, then somebody who may not read them tries.
func Example() {
	d := apierrorrate.New()
	feed := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "111122223333"}, Region: "eu-west-1", Lateness: 15}
	tell := func(p schemas.Pane) {
		d.Observe(&p, schemas.DefaultSettings(), func(f *schemas.Finding) {
			if f.Kind == schemas.OpenFinding {
				fmt.Println(f.Start, f.Why.Text)
			} else {
				fmt.Println(f.End, f.Why.EndReason, f.Statistics.InsightCount, "failures")
			}
		})
	}
	read := detecttest.Call{Service: "secretsmanager.amazonaws.com", Event: "GetSecretValue", Principal: "app", Read: true}
	failed := read
	failed.Error = "AccessDeniedException"
	for hour := range schemas.Minute(7 * 24) {
		read.Minute, read.Count = detecttest.Epoch+hour*schemas.Hour, 49
		failed.Minute, failed.Count = read.Minute, 1
		tell(feed.Pane([]detecttest.Call{read, failed}))
	}
	failed.Principal = "mallory"
	for m := range schemas.Minute(5) {
		failed.Minute, failed.Count = detecttest.Epoch+7*schemas.Day+m, 40
		tell(feed.Pane([]detecttest.Call{failed}))
	}
	tell(feed.Tick(failed.Minute + schemas.Hour))
	// Output:
	// 2026-01-12T00:00:00Z GetSecretValue was denied with AccessDeniedException 40 times in 1 minute by mallory, 59 % of the calls; normally 1 an hour, 2 % of the calls; one in 950 million active hours is so unusual.
	// 2026-01-12T00:05:00Z Cooled 200 failures
}
