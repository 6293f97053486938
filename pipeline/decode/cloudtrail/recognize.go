package cloudtrail

import "github.com/trailvane/trailvane/pipeline/decode/field"

// Recognize counts the keys that CloudTrail has and ActionTrail writes otherwise.
func (Decoder) Recognize(record string) int {
	return field.Count(record, func(key string) bool {
		switch key {
		case "awsRegion", "eventID", "requestID", "sharedEventID", "sourceIPAddress", "readOnly", "managementEvent":
			return true
		}
		return false
	})
}

// EventTime reads eventTime, or @timestamp where a tool has replaced it.
func (Decoder) EventTime(record string) (int64, bool) {
	return field.PeekTime(record, "eventName", "eventTime", "@timestamp")
}
