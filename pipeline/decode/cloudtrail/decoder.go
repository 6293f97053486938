// Package cloudtrail decodes the records of AWS CloudTrail: of trails, and of tools that keep a record's own keys.
//
// A record without eventName that carries another record, see [field.Wraps], is that record. Keys are taken by their exact
// spelling; others are ignored, so an access key under "accesskeyid" is no access key. Of equal keys the last one counts.
//
// Category: eventCategory; without it, an Insights record by its eventType, a data event by managementEvent false, and
// everything else, old versions above all, is a management event. Events of other categories are dropped by those who
// count, so only category, account, region, service and name are filled, and nothing is demanded of them.
//
// Write: readOnly; without it (versions up to 1.05) the verb of the name, see package catalog.
//
// Failure: errorCode; for sign-ins, which fail without one, the answer "Failure" in responseElements, with a code made of
// errorMessage: "Failed authentication" is FailedAuthentication.
package cloudtrail

import (
	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/decode/field"
	"github.com/trailvane/trailvane/schemas"
)

// Decoder is the [decode.Decoder] of the format.
type Decoder struct{}

// Format returns "cloudtrail".
func (Decoder) Format() string { return "cloudtrail" }

// Decode emits the one event in the record. See [decode.Decoder].
func (Decoder) Decode(raw string, emit func(*schemas.Event)) error {
	var r record
	if err := field.Each(field.Open(raw), r.visit); err != nil {
		return err
	}
	if inner, ok := field.Wrapped(r.wrapped); ok && !r.name.Present() {
		r = record{}
		if err := field.Each(inner, r.visit); err != nil {
			return err
		}
	}
	event, err := r.event(raw)
	if err != nil {
		return err
	}
	emit(&event)
	return nil
}

// A record holds the fields that matter, as they stand in the JSON.
type record struct {
	id, time, timestamp                field.Value
	kind, category, management         field.Value
	account, region                    field.Value
	service, name, readOnly            field.Value
	errorCode, errorMessage, response  field.Value
	sourceIP, userAgent, user, wrapped field.Value
	request, additional, fromConsole   field.Value
}

func (r *record) visit(key string, v field.Value) {
	switch key {
	case "eventID":
		r.id = v
	case "eventTime":
		r.time = v
	case "@timestamp":
		r.timestamp = v
	case "eventType":
		r.kind = v
	case "eventCategory":
		r.category = v
	case "managementEvent":
		r.management = v
	case "recipientAccountId":
		r.account = v
	case "awsRegion":
		r.region = v
	case "eventSource":
		r.service = v
	case "eventName":
		r.name = v
	case "readOnly":
		r.readOnly = v
	case "errorCode":
		r.errorCode = v
	case "errorMessage":
		r.errorMessage = v
	case "responseElements":
		r.response = v
	case "sourceIPAddress":
		r.sourceIP = v
	case "userAgent":
		r.userAgent = v
	case "userIdentity":
		r.user = v
	case "requestParameters":
		r.request = v
	case "additionalEventData":
		r.additional = v
	case "sessionCredentialFromConsole":
		r.fromConsole = v
	default:
		if field.Wraps(key, v) {
			r.wrapped = v
		}
	}
}

func (r *record) event(raw string) (schemas.Event, error) {
	var f field.Reader
	e := schemas.Event{
		Category: r.categoryOf(&f),
		Account:  schemas.Account{Provider: schemas.AWS, ID: f.Text("recipientAccountId", r.account, field.AccountLimit)},
		Region:   f.Text("awsRegion", r.region, field.RegionLimit),
		Service:  f.Text("eventSource", r.service, field.NameLimit),
		Name:     f.Text("eventName", r.name, field.NameLimit),
	}
	if e.Category != schemas.Management {
		return e, nil
	}
	f.Demand("eventName", e.Name)
	f.Demand("eventSource", e.Service)
	e.ID = f.ID("eventID", r.id, raw)
	e.Time = r.timeOf(&f)
	e.ErrorCode = r.errorOf(&f, e.Name)
	e.Write = r.writes(&f, &e)
	e.SourceIP = f.Text("sourceIPAddress", r.sourceIP, field.AddressLimit)
	e.UserAgent = f.Text("userAgent", r.userAgent, field.AgentLimit)
	var who identity
	f.Each("userIdentity", r.user, who.visit)
	who.fill(&f, &e)
	e.Auth = r.authOf(&e, who.session)
	if json, ok := r.request.Object(); ok {
		e.Request = json
	}
	return e, f.Err()
}

func (r *record) categoryOf(f *field.Reader) schemas.Category {
	switch f.Text("eventCategory", r.category, field.NameLimit) {
	case "":
	case "Management":
		return schemas.Management
	case "NetworkActivity":
		return schemas.NetworkActivity
	case "Insight":
		return schemas.InsightCategory
	default: // "Data", and what AWS may add: none of it are management events
		return schemas.Data
	}
	if f.Text("eventType", r.kind, field.NameLimit) == "AwsCloudTrailInsight" {
		return schemas.InsightCategory
	}
	if management, known := f.Flag("managementEvent", r.management); known && !management {
		return schemas.Data
	}
	return schemas.Management
}

// timeOf falls back on the time of tools that keep the record's keys but replace eventTime.
func (r *record) timeOf(f *field.Reader) int64 {
	if !r.time.Present() && r.timestamp.Present() {
		return f.Time("@timestamp", r.timestamp)
	}
	return f.Time("eventTime", r.time)
}

func (r *record) writes(f *field.Reader, e *schemas.Event) bool {
	if readOnly, known := f.Flag("readOnly", r.readOnly); known {
		return !readOnly
	}
	return catalog.Writes(e.Service, e.Name)
}

// errorOf returns the error code. A sign-in answers {"<eventName>": "Failure"} and has a message at most.
func (r *record) errorOf(f *field.Reader, name string) string {
	if code := f.Failed("errorCode", r.errorCode); code != "" {
		return code
	}
	// Other answers are free objects, often large: they are not looked into.
	if f.Text("eventType", r.kind, field.NameLimit) != "AwsConsoleSignIn" && name != "ConsoleLogin" {
		return ""
	}
	message := f.Text("errorMessage", r.errorMessage, field.NameLimit)
	var answer string
	f.Each("responseElements", r.response, func(key string, v field.Value) {
		if key == name {
			answer = f.Text("responseElements."+name, v, field.NameLimit)
		}
	})
	if answer == "Failure" || answer == "" && !field.Success(message) {
		return field.CodeOf(message, name+"Failure")
	}
	return ""
}
