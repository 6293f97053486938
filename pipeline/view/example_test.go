package view_test

import (
	"fmt"

	"github.com/trailvane/trailvane/pipeline/view"
	"github.com/trailvane/trailvane/schemas"
)

// A new address, then a deletion from it in another region: the second insight belongs to the incident of the first.
func Example() {
	address := schemas.Insight{
		SharedEventID: "a", EventTime: 1000, Provider: schemas.AWS, AccountID: "123456789012", Region: "us-east-1",
		Details: schemas.InsightDetails{State: schemas.StartState, Type: schemas.IP, Object: "203.0.113.66"},
	}
	address.Details.Trailvane.Why = schemas.Why{Log10P: -5}

	deletion := schemas.Insight{
		SharedEventID: "b", EventTime: 1003, Provider: schemas.AWS, AccountID: "123456789012", Region: "eu-central-1",
		Details: schemas.InsightDetails{
			State: schemas.StartState, Type: schemas.APICallRate, Object: "TerminateInstances",
			EventSource: "ec2.amazonaws.com", EventName: "TerminateInstances",
		},
	}
	deletion.Details.Trailvane.Why = schemas.Why{
		Log10P:  -9,
		Rate:    &schemas.RateWhy{Ratio: 500},
		Drivers: []schemas.Driver{{Dimension: "sourceIPAddress", Value: "203.0.113.66", Insight: 22}},
	}

	r := view.NewReader()
	r.Add(&address)
	fmt.Println(r.View(&address))
	r.Add(&deletion)
	fmt.Println(r.View(&address)) // another type in its incident: ten points more
	fmt.Println(r.View(&deletion))
	// Output:
	// {low 16 a []}
	// {low 26 a []}
	// {critical 90 a []}
}
