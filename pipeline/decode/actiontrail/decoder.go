// Package actiontrail decodes the records of Alibaba Cloud ActionTrail: of trails to OSS, of Log Service (SLS) and of
// EventBridge, which wrap them.
//
// A record without eventName that carries another record, see [field.Wraps], is that record. Keys are taken by their exact
// spelling; others are ignored. Of equal keys the last one counts. eventVersion, a number here and text there, is not used.
//
// Category: eventCategory; without it an Insights record by its eventType, and everything else is a management event, as
// sign-ins and OSS calls of 2021 are. Events of other categories are dropped by those who count, so only category, account,
// region, service and name are filled, and nothing is demanded of them.
//
// Write: eventRW; without it the verb of the name, see package catalog.
//
// Failure: errorCode; for sign-ins also an errorMessage, unless it says "success", which sign-ins that succeed may carry.
package actiontrail

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/decode/field"
	"github.com/trailvane/trailvane/schemas"
)

// Decoder is the [decode.Decoder] of the format.
type Decoder struct{}

// Format returns "actiontrail".
func (Decoder) Format() string { return "actiontrail" }

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
	id, time                           field.Value
	kind, category                     field.Value
	account, region                    field.Value
	service, name, rw                  field.Value
	errorCode, errorMessage            field.Value
	sourceIP, userAgent, user, wrapped field.Value
	request, requestText, additional   field.Value
}

func (r *record) visit(key string, v field.Value) {
	switch key {
	case "eventId":
		r.id = v
	case "eventTime":
		r.time = v
	case "eventType":
		r.kind = v
	case "eventCategory":
		r.category = v
	case "recipientAccountId":
		r.account = v
	case "acsRegion":
		r.region = v
	case "serviceName":
		r.service = v
	case "eventName":
		r.name = v
	case "eventRW":
		r.rw = v
	case "errorCode":
		r.errorCode = v
	case "errorMessage":
		r.errorMessage = v
	case "sourceIpAddress":
		r.sourceIP = v
	case "userAgent":
		r.userAgent = v
	case "userIdentity":
		r.user = v
	case "requestParameters":
		r.request = v
	case "requestParameterJson":
		r.requestText = v
	case "additionalEventData":
		r.additional = v
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
		Account:  schemas.Account{Provider: schemas.Alibaba, ID: f.Text("recipientAccountId", r.account, field.AccountLimit)},
		Region:   f.Text("acsRegion", r.region, field.RegionLimit),
		Service:  f.Text("serviceName", r.service, field.NameLimit),
		Name:     f.Text("eventName", r.name, field.NameLimit),
	}
	if e.Category != schemas.Management {
		return e, nil
	}
	f.Demand("eventName", e.Name)
	f.Demand("serviceName", e.Service)
	e.ID = f.ID("eventId", r.id, raw)
	e.Time = f.Time("eventTime", r.time)
	e.ErrorCode = r.errorOf(&f, e.Name)
	e.Write = r.writes(&f, &e)
	e.SourceIP = f.Text("sourceIpAddress", r.sourceIP, field.AddressLimit)
	e.UserAgent = f.Text("userAgent", r.userAgent, field.AgentLimit)
	var who identity
	f.Each("userIdentity", r.user, who.visit)
	who.fill(&f, &e)
	e.Auth = r.authOf(&e, who.session)
	e.Request = r.requestOf()
	return e, f.Err()
}

func (r *record) categoryOf(f *field.Reader) schemas.Category {
	switch f.Text("eventCategory", r.category, field.NameLimit) {
	case "":
	case "Management":
		return schemas.Management
	case "Insight":
		return schemas.InsightCategory
	default: // "Data", and what may be added: none of it are management events
		return schemas.Data
	}
	if f.Text("eventType", r.kind, field.NameLimit) == "ActionTrailInsight" {
		return schemas.InsightCategory
	}
	return schemas.Management
}

func (r *record) writes(f *field.Reader, e *schemas.Event) bool {
	switch rw := f.Text("eventRW", r.rw, field.NameLimit); {
	case strings.EqualFold(rw, "Write"):
		return true
	case strings.EqualFold(rw, "Read"):
		return false
	}
	return catalog.Writes(e.Service, e.Name)
}

func (r *record) errorOf(f *field.Reader, name string) string {
	if code := f.Failed("errorCode", r.errorCode); code != "" {
		return code
	}
	const signIn = "ConsoleSignin"
	if name != signIn && f.Text("eventType", r.kind, field.NameLimit) != signIn {
		return ""
	}
	if message := f.Text("errorMessage", r.errorMessage, field.NameLimit); !field.Success(message) {
		return field.CodeOf(message, name+"Failure")
	}
	return ""
}
