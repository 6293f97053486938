package actiontrail

import "github.com/trailvane/trailvane/pipeline/decode/field"

// Recognize counts the keys that ActionTrail has and CloudTrail writes otherwise.
func (Decoder) Recognize(record string) int {
	return field.Count(record, func(key string) bool {
		switch key {
		case "acsRegion", "eventId", "requestId", "sharedEventId", "sourceIpAddress", "eventRW", "serviceName":
			return true
		}
		return false
	})
}

// EventTime reads eventTime.
func (Decoder) EventTime(record string) (int64, bool) {
	return field.PeekTime(record, "eventName", "eventTime", "")
}
