package policychange_test

import (
	"fmt"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/pipeline/detect/policychange"
	"github.com/trailvane/trailvane/schemas"
)

// Two weeks of a role that attaches policies every morning while bob runs instances; then bob attaches one, at night and from
// elsewhere.
func Example() {
	d := policychange.New()
	feed := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "111122223333"}, Region: "eu-west-1",
		Lateness: 15}
	tell := func(p schemas.Pane) {
		d.Observe(&p, schemas.DefaultSettings(), func(f *schemas.Finding) {
			if f.Kind == schemas.OpenFinding {
				fmt.Println(f.Start, f.Why.Text)
			} else {
				fmt.Println(f.End, f.Why.EndReason, f.Statistics.InsightCount, "event")
			}
		})
	}
	policy := schemas.Traits{Sensitive: schemas.Sensitive(0).With(schemas.PolicyClass, schemas.CoreTier),
		Target: schemas.OtherTarget}
	role := detecttest.Call{Service: "iam.amazonaws.com", Event: "AttachUserPolicy",
		Principal: "arn:aws:sts::111122223333:assumed-role/terraform",
		Type:      schemas.RolePrincipal, SourceIP: "192.0.2.10", UserAgent: "Terraform/1.7", Traits: policy, Count: 40}
	bob := detecttest.Call{Service: "ec2.amazonaws.com", Event: "RunInstances", Principal: "arn:aws:iam::111122223333:user/bob",
		Type: schemas.UserPrincipal, SourceIP: "198.51.100.7", UserAgent: "aws-cli/2.15", Count: 1}
	for day := range schemas.Minute(14) {
		bob.Minute = detecttest.Epoch + day*schemas.Day + 9*schemas.Hour
		role.Minute = bob.Minute + schemas.Hour
		tell(feed.Pane([]detecttest.Call{bob, role}))
	}
	bob.Minute, bob.SourceIP = detecttest.Epoch+14*schemas.Day+192, "203.0.113.77"
	bob.Service, bob.Event, bob.Traits = role.Service, role.Event, policy
	tell(feed.Pane([]detecttest.Call{bob}))
	tell(feed.Tick(bob.Minute + 2*schemas.Hour))
	// Output:
	// 2026-01-19T03:12:00Z AttachUserPolicy is done by role terraform on 14 of 14 days (at least 82.6 %); here by bob, for the first time, from a new network, at 03:12; of the days on which somebody does such things, one in 39,601 is like this.
	// 2026-01-19T03:13:00Z Silence 1 event
}
