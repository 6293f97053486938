package schemas

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A Provider is the cloud that wrote an event. It is part of an account's identity: account numbers of two
// clouds may be equal.
type Provider string

// The providers that Trailvane reads.
const (
	AWS     Provider = "aws"
	Alibaba Provider = "alibaba"
)

// An Account is one cloud account: the unit of learning, of order and of ownership.
type Account struct {
	Provider Provider
	ID       string
}

// String returns the account as people and state keys write it, "aws:123456789012".
func (a Account) String() string { return string(a.Provider) + ":" + a.ID }

// Compare orders accounts by provider, then id.
func (a Account) Compare(b Account) int {
	if c := strings.Compare(string(a.Provider), string(b.Provider)); c != 0 {
		return c
	}
	return strings.Compare(a.ID, b.ID)
}

// A Minute is a whole UTC minute, counted from the Unix epoch. All windows, watermarks and insight times are
// minutes.
type Minute int32

// Lengths of time in minutes.
const (
	Hour Minute = 60
	Day  Minute = 24 * Hour
)

// The first and the last minute that can be told: the beginning of the year 0, before which times have no
// form in JSON, and some day of the year 6053. A log may claim any year.
const (
	firstMinute = -1036120320
	lastMinute  = math.MaxInt32
)

// MinuteOf returns the minute that holds the Unix second, rounding down also before 1970; for times beyond
// all minutes the first or last one.
func MinuteOf(unixSecond int64) Minute {
	m := unixSecond / 60
	if unixSecond%60 < 0 {
		m--
	}
	return Minute(max(firstMinute, min(m, lastMinute)))
}

// Time returns the start of the minute.
func (m Minute) Time() time.Time { return time.Unix(int64(m)*60, 0).UTC() }

// String returns the minute as the vendors write it, "2026-01-07T05:40:00Z".
func (m Minute) String() string { return m.Time().Format(time.RFC3339) }

// MarshalText writes the form of String.
func (m Minute) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the form of String, in any zone. It accepts whole minutes only.
func (m *Minute) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return fmt.Errorf("minute: %w", err)
	}
	v := MinuteOf(t.Unix())
	if !v.Time().Equal(t) {
		return fmt.Errorf("minute: %s is not a whole minute of the years 0 to 6053", text)
	}
	*m = v
	return nil
}

// Day returns the number of the UTC day that holds the minute, counted from the Unix epoch.
func (m Minute) Day() int32 {
	d := int32(m / Day)
	if m%Day < 0 {
		d--
	}
	return d
}
