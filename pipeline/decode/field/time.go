package field

import (
	"fmt"
	"time"
)

// The years that an event time may lie in. Nothing was logged before; nothing beyond is a clock's mistake of a plausible kind,
// and schemas.Minute, 32 bits wide, holds all of them.
const (
	firstYear = 2000
	lastYear  = 2999
)

// layouts are the forms of a time: that of the vendors, with or without fractions of a second, and those that tables of data
// warehouses give back for it. Without a zone it is UTC, as all that both vendors write.
var layouts = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05"}

// Time returns the time in a field, in Unix seconds.
func (r *Reader) Time(name string, v Value) int64 {
	const limit = 64 // the longest form has 35 bytes
	s := r.Required(name, v, limit)
	if s == "" {
		return 0
	}
	t, ok := parseTime(s)
	if !ok {
		r.Fail(name, fmt.Sprintf("%q is not a time", s))
		return 0
	}
	if y := t.UTC().Year(); y < firstYear || y > lastYear {
		r.Fail(name, fmt.Sprintf("%q is not in the years %d to %d", s, firstYear, lastYear))
		return 0
	}
	return t.Unix()
}

func parseTime(s string) (time.Time, bool) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
