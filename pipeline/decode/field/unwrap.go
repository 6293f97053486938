package field

import "strings"

// Wraps says whether a field may carry the whole record, as an object or as JSON text. A decoder looks into the last such field
// when the record itself does not name a call. These wrappings are known:
//
//	event            {"__topic__": …, "event": "<JSON>"} of Log Service, {"source": …, "event": {…}} of samples
//	data             {"specversion": "1.0", "data": {…}}, the CloudEvents of Alibaba Cloud EventBridge
//	detail           {"detail-type": …, "detail": {…}} of Amazon EventBridge
//	_raw             {"_time": …, "_raw": "<JSON>"}, exports of Splunk and of tools that imitate it
//	CloudTrailEvent  {"EventId": …, "CloudTrailEvent": "<JSON>"}, the answers of aws cloudtrail lookup-events
func Wraps(key string, v Value) bool {
	switch key {
	case "event", "data", "detail", "_raw", "CloudTrailEvent":
	default:
		return false
	}
	if v.kind == text {
		i := skipSpace(v.json, 1)
		return v.json[i] == '{' // there is a quote at the end
	}
	return v.kind == object
}

// Wrapped returns the JSON of a record that travels inside another, and whether v holds one. A record in a record in a
// record is not unwrapped: nobody writes that, and one step needs no bound.
func Wrapped(v Value) (json string, ok bool) {
	if json, ok = v.Object(); ok {
		return json, true
	}
	return v.Unquote()
}

// Open returns the JSON object that a raw record is: the record itself, or what it says if it is JSON text, as records are
// that tools have taken out of another's field: "{\"eventVersion\": …}".
func Open(raw string) string {
	if strings.HasPrefix(raw, `"`) {
		if end := endOfString(raw, 1); end > 0 && skipSpace(raw, end) == len(raw) {
			if s, ok := (Value{text, raw[:end]}).Unquote(); ok {
				return s
			}
		}
	}
	return raw
}
