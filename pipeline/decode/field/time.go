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

// Time returns an RFC 3339 time, with or without fractions of a second, in Unix seconds.
func (r *Reader) Time(name string, v Value) int64 {
	const limit = 64 // the longest form has 35 bytes
	s := r.Required(name, v, limit)
	if s == "" {
		return 0
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		r.Fail(name, fmt.Sprintf("%q is not a time", s))
		return 0
	}
	if y := t.UTC().Year(); y < firstYear || y > lastYear {
		r.Fail(name, fmt.Sprintf("%q is not in the years %d to %d", s, firstYear, lastYear))
		return 0
	}
	return t.Unix()
}
