package cloudtrail

import (
	"fmt"
	"testing"
	"time"

	"github.com/trailvane/trailvane/pipeline/decode/decodetest"
	"github.com/trailvane/trailvane/pipeline/decode/field"
	"github.com/trailvane/trailvane/schemas"
)

func Example() {
	record := `{"eventID": "7d9a3c10", "eventTime": "2026-03-02T09:14:27Z", "eventSource": "ec2.amazonaws.com",
		"eventName": "TerminateInstances", "awsRegion": "eu-central-1", "recipientAccountId": "210987654321",
		"userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::210987654321:assumed-role/Deployer/build-1874"}}`
	err := Decoder{}.Decode(record, func(e *schemas.Event) {
		fmt.Println(e.Account, e.Region, e.Service, e.Name, "write:", e.Write)
		fmt.Println(e.Principal)
	})
	fmt.Println(err)
	// Output:
	// aws:210987654321 eu-central-1 ec2.amazonaws.com TerminateInstances write: true
	// arn:aws:sts::210987654321:assumed-role/Deployer
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
	o.Same(t, "awsRegion", e.Region, field.RegionLimit)
	o.Same(t, "eventSource", e.Service, field.NameLimit)
	o.Same(t, "eventName", e.Name, field.NameLimit)
	o.Same(t, "sourceIPAddress", e.SourceIP, field.AddressLimit)
	o.SameRequest(t, "requestParameters", e.Request)
	o.Same(t, "userAgent", e.UserAgent, field.AgentLimit)
	user.Same(t, "accountId", e.CallerAccount, field.AccountLimit)
	user.Same(t, "accessKeyId", e.AccessKey, field.KeyLimit)
	if id, _ := o.Text("eventID"); id != "" && len(field.Clean(id, 1000)) <= field.IDLimit {
		o.Same(t, "eventID", e.ID, field.IDLimit)
	}
	if readOnly, ok := o["readOnly"].(bool); ok && readOnly == e.Write {
		t.Errorf("write is %v, readOnly is %v", e.Write, readOnly)
	}
	if code, _ := o.Text("errorCode"); !field.Success(code) {
		o.Same(t, "errorCode", e.ErrorCode, field.NameLimit)
	}
}

func rightTypes(o, user decodetest.Object) bool {
	response, ok1 := o.Object("responseElements")
	session, ok2 := user.Object("sessionContext")
	issuer, ok3 := session.Object("sessionIssuer")
	web, ok4 := session.Object("webIdFederationData")
	behalf, ok5 := user.Object("onBehalfOf")
	name, _ := o.Text("eventName")
	service, _ := o.Text("eventSource")
	return ok1 && ok2 && ok3 && ok4 && ok5 && name != "" && service != "" &&
		o.Texts("eventID", "eventType", "eventCategory", "recipientAccountId", "awsRegion", "eventSource", "eventName",
			"errorCode", "errorMessage", "sourceIPAddress", "userAgent") && o.Flag("readOnly") && o.Flag("managementEvent") &&
		user.Texts("type", "arn", "principalId", "accountId", "accessKeyId", "userName", "invokedBy") &&
		session.Texts("sourceIdentity") && issuer.Texts("arn") && web.Texts("federatedProvider") &&
		behalf.Texts("userId") && response.Texts(name)
}

func rightTime(o decodetest.Object) bool {
	key := "eventTime"
	if o[key] == nil {
		key = "@timestamp"
	}
	text, _ := o[key].(string)
	when, err := time.Parse(time.RFC3339, text)
	return err == nil && when.UTC().Year() >= 2000 && when.UTC().Year() < 3000
}
