package schemas

import (
	"math"
	"testing"
	"time"
)

func TestMinuteOf(t *testing.T) {
	for _, test := range []struct {
		second int64
		want   Minute
		text   string
		day    int32
	}{
		{0, 0, "1970-01-01T00:00:00Z", 0},
		{59, 0, "1970-01-01T00:00:00Z", 0},
		{60, 1, "1970-01-01T00:01:00Z", 0},
		{-1, -1, "1969-12-31T23:59:00Z", -1},
		{-60, -1, "1969-12-31T23:59:00Z", -1},
		{-61, -2, "1969-12-31T23:58:00Z", -1},
		{1767764459, 29462740, "2026-01-07T05:40:00Z", 20460},
		{math.MaxInt64, math.MaxInt32, "6053-01-23T02:07:00Z", 1491308},
		{math.MinInt64, firstMinute, "0000-01-01T00:00:00Z", -719528},
		{time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix(), math.MaxInt32, "6053-01-23T02:07:00Z", 1491308},
	} {
		got := MinuteOf(test.second)
		if got != test.want || got.String() != test.text || got.Day() != test.day {
			t.Errorf("MinuteOf(%d) = %d, %s, day %d, want %d, %s, day %d",
				test.second, got, got, got.Day(), test.want, test.text, test.day)
		}
		var back Minute
		if err := back.UnmarshalText([]byte(test.text)); err != nil || back != test.want {
			t.Errorf("UnmarshalText(%s) = %d, %v, want %d", test.text, back, err, test.want)
		}
	}
}

func TestMinuteUnmarshalText(t *testing.T) {
	var m Minute
	if err := m.UnmarshalText([]byte("2026-01-07T06:40:00+01:00")); err != nil || m != 29462740 {
		t.Errorf("in another zone: %d, %v", m, err)
	}
	for _, text := range []string{
		"", "2026-01-07", "2026-01-07T05:40:01Z", "2026-01-07T05:40:00.5Z", "9999-12-31T23:59:00Z", "0000-01-01T00:00:00+01:00",
	} {
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("UnmarshalText(%q) = %d, want an error", text, m)
		}
	}
}

func TestAccountCompare(t *testing.T) {
	a, b, c := Account{Alibaba, "2"}, Account{AWS, "1"}, Account{AWS, "2"}
	if a.Compare(b) >= 0 || b.Compare(c) >= 0 || c.Compare(b) <= 0 || c.Compare(c) != 0 {
		t.Errorf("order of %v, %v, %v", a, b, c)
	}
	if b.String() != "aws:1" {
		t.Errorf("String() = %q", b)
	}
}

func TestNumberLess(t *testing.T) {
	for _, pair := range [][2]Number{{{1, 5}, {2, 0}}, {{2, 0}, {2, 1}}, {{}, {0, 1}}} {
		if !pair[0].Less(pair[1]) || pair[1].Less(pair[0]) || pair[0].Less(pair[0]) {
			t.Errorf("order of %v", pair)
		}
	}
}
