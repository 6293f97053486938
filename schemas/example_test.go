package schemas_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/trailvane/trailvane/schemas"
)

// A batch as it travels on an events subject: strings stand once in the dictionary of their section, rows hold their
// indices.
func ExampleEventBatch() {
	batch := schemas.EventBatch{Sections: []schemas.Section{{
		Account: schemas.Account{Provider: schemas.AWS, ID: "123456789012"},
		Region:  "eu-central-1",
		Strings: []string{"", "ec2.amazonaws.com", "TerminateInstances", "arn:aws:iam::123456789012:user/mallory"},
		Rows: []schemas.EventRow{
			{ID: "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20", Time: 1767764412, Service: 1, Name: 2, Principal: 3, Write: true},
			{ID: "0a8a8a9e-6f33-4d53-8a06-6b0f4a1d2c3b", Time: 1767764413, Service: 1, Name: 2, Principal: 3, Write: true},
		},
	}}}
	body := batch.Append(nil)
	fmt.Println(schemas.EventsSubject(5, batch.Sections[0].Region), len(body), "bytes")

	var got schemas.EventBatch // keep it: the next Decode uses its memory again
	if err := got.Decode(body); err != nil {
		panic(err)
	}
	for _, section := range got.Sections {
		for _, row := range section.Rows {
			fmt.Println(section.Account, schemas.MinuteOf(row.Time), section.Strings[row.Name])
		}
	}
	// Output:
	// events.5.eu-central-1 183 bytes
	// aws:123456789012 2026-01-07T05:40:00Z TerminateInstances
	// aws:123456789012 2026-01-07T05:40:00Z TerminateInstances
}

// A reader stops at a message of a newer version and drops one that is malformed.
func ExampleTick_Decode() {
	for _, body := range []string{"\x93\x01\x03\x0c", "\x93\x02\x03\x0c", "\x93\x01\x03"} {
		var tick schemas.Tick
		switch err := tick.Decode([]byte(body)); {
		case errors.Is(err, schemas.ErrVersion):
			fmt.Println("stop:", err)
		case err != nil:
			fmt.Println("drop:", err)
		default:
			fmt.Println("lane", tick.Lane, "is at", tick.Time)
		}
	}
	// Output:
	// lane 3 is at 1970-01-01T00:12:00Z
	// stop: unknown schema version 2, this program knows 1
	// drop: malformed message: byte 3: truncated
}

// Readers show an insight in the shape of the account's own cloud.
func ExampleInsight_Render() {
	insight := schemas.Insight{
		EventVersion:  schemas.InsightVersion,
		EventCategory: schemas.InsightEventCategory,
		EventID:       "c2a97b10-93f4-4e0a-a0b8-6d2f0f8e7744",
		SharedEventID: "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20",
		EventTime:     29462740,
		Provider:      schemas.AWS,
		Region:        "eu-central-1",
		AccountID:     "123456789012",
		Details: schemas.InsightDetails{
			State:       schemas.StartState,
			Type:        schemas.APICallRate,
			Object:      "TerminateInstances",
			EventSource: "ec2.amazonaws.com",
			EventName:   "TerminateInstances",
			Context: schemas.InsightContext{
				Statistics: schemas.Statistics{
					Insight: 12, Baseline: 1.0 / 2500, InsightDuration: 1, BaselineDuration: 10080, InsightCount: 12,
				},
				Attributions: []schemas.Attribution{{
					Attribute: schemas.PrincipalAttribute,
					Insight:   []schemas.Attributed{{Value: "arn:aws:iam::123456789012:user/mallory", Average: 12}},
				}},
			},
		},
	}
	var out bytes.Buffer
	if err := json.Indent(&out, insight.Render(schemas.OwnShape, true), "", "  "); err != nil {
		panic(err)
	}
	fmt.Println(out.String())
	// Output:
	// {
	//   "eventVersion": "1.09",
	//   "eventTime": "2026-01-07T05:40:00Z",
	//   "awsRegion": "eu-central-1",
	//   "eventID": "c2a97b10-93f4-4e0a-a0b8-6d2f0f8e7744",
	//   "eventType": "AwsCloudTrailInsight",
	//   "recipientAccountId": "123456789012",
	//   "sharedEventID": "7b6e1d2c-0f55-4e0e-8c39-5a1d7f3b9e20",
	//   "insightDetails": {
	//     "state": "Start",
	//     "eventSource": "ec2.amazonaws.com",
	//     "eventName": "TerminateInstances",
	//     "insightType": "ApiCallRateInsight",
	//     "insightContext": {
	//       "statistics": {
	//         "baseline": {
	//           "average": 0.0004
	//         },
	//         "insight": {
	//           "average": 12
	//         },
	//         "insightDuration": 1,
	//         "baselineDuration": 10080
	//       },
	//       "attributions": [
	//         {
	//           "attribute": "userIdentityArn",
	//           "insight": [
	//             {
	//               "value": "arn:aws:iam::123456789012:user/mallory",
	//               "average": 12
	//             }
	//           ],
	//           "baseline": []
	//         }
	//       ]
	//     }
	//   },
	//   "eventCategory": "Insight"
	// }
}
