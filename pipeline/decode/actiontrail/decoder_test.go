package actiontrail

import (
	"fmt"
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/decode/decodetest"
	"github.com/trailvane/trailvane/pipeline/decode/field"
	"github.com/trailvane/trailvane/schemas"
)

func Example() {
	record := `{"__topic__": "actiontrail_event", "event": {"eventId": "5B7E1C0A", "eventTime": "2026-03-02T09:14:27Z",
		"serviceName": "Ecs", "eventName": "DeleteInstances", "eventRW": "Write", "acsRegion": "eu-central-1",
		"recipientAccountId": "1987654321098765",
		"userIdentity": {"type": "ram-user", "principalId": "203344556677889900", "userName": "lin"}}}`
	err := Decoder{}.Decode(record, func(e *schemas.Event) {
		fmt.Println(e.Account, e.Region, e.Service, e.Name, "write:", e.Write)
		fmt.Println(e.Principal)
	})
	fmt.Println(err)
	// Output:
	// alibaba:1987654321098765 eu-central-1 Ecs DeleteInstances write: true
	// 203344556677889900
	// <nil>
}

func TestFormat(t *testing.T)      { decodetest.Run(t, Decoder{}) }
func FuzzDecode(f *testing.F)      { decodetest.Fuzz(f, Decoder{}, checkAgainstEncodingJSON) }
func BenchmarkDecode(b *testing.B) { decodetest.Benchmark(b, Decoder{}) }

// checkAgainstEncodingJSON: what encoding/json accepts, with the right types, decodes, and to the same.
func checkAgainstEncodingJSON(t *testing.T, raw string, events []schemas.Event, err error) {
	o, ok := decodetest.Parse(raw, "eventName")
	if !ok {
		return
	}
	user, ok := o.Object("userIdentity")
	if err != nil {
		if ok && rightTypes(o, user) && rightTime(o) {
			t.Fatalf("%v, but encoding/json reads it and the types are right", err)
		}
		return
	}
	if len(events) != 1 {
		t.Fatalf("%d events in one record", len(events))
	}
	e := events[0]
	if e.Category != schemas.Management {
		return
	}
	o.Same(t, "recipientAccountId", e.Account.ID, field.AccountLimit)
	o.Same(t, "acsRegion", e.Region, field.RegionLimit)
	o.Same(t, "serviceName", e.Service, field.NameLimit)
	o.Same(t, "eventName", e.Name, field.NameLimit)
	o.Same(t, "sourceIpAddress", e.SourceIP, field.AddressLimit)
	o.SameRequest(t, "requestParameters", e.Request)
	o.Same(t, "userAgent", e.UserAgent, field.AgentLimit)
	user.Same(t, "accountId", e.CallerAccount, field.AccountLimit)
	user.Same(t, "accessKeyId", e.AccessKey, field.KeyLimit)
	if id, _ := o.Text("eventId"); id != "" && len(field.Clean(id, 1000)) <= field.IDLimit {
		o.Same(t, "eventId", e.ID, field.IDLimit)
	}
	if code, _ := o.Text("errorCode"); !field.Success(code) {
		o.Same(t, "errorCode", e.ErrorCode, field.NameLimit)
	}
}

func rightTypes(o, user decodetest.Object) bool {
	name, _ := o.Text("eventName")
	service, _ := o.Text("serviceName")
	return name != "" && service != "" &&
		o.Texts("eventId", "eventType", "eventCategory", "recipientAccountId", "acsRegion", "serviceName", "eventName",
			"eventRW", "errorCode", "errorMessage", "sourceIpAddress", "userAgent") &&
		user.Texts("type", "principalId", "accountId", "accessKeyId", "userName")
}

func rightTime(o decodetest.Object) bool {
	text, _ := o["eventTime"].(string)
	when, err := time.Parse(time.RFC3339, text)
	return err == nil && when.UTC().Year() >= 2000 && when.UTC().Year() < 3000
}
