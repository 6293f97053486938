// Package formats knows all input formats: those that have a folder below pipeline/decode. The list is generated; a new
// format is a new folder (make new-format) and nothing else.
package formats

//go:generate go run generate.go

import (
	"github.com/trailvane/trailvane/pipeline/decode"
)

// A Format is what a folder provides: a decoder, and how to tell its records from others'.
type Format interface {
	decode.Decoder

	// Recognize returns how many of the record's keys only this format has, looking into a record that wraps one.
	// Zero: surely none of ours. It reads the record once.
	Recognize(record string) int

	// EventTime returns the time of a record in Unix seconds, and whether it has one that can be read, without decoding
	// the rest. It serves to order objects, so it accepts what Decode accepts, wrapped records included.
	EventTime(record string) (int64, bool)
}

// All returns the formats, in the order of their tokens.
func All() []Format { return list }

// ByName returns the format with that token, which is the last one of a raw subject.
func ByName(format string) (Format, bool) {
	for _, f := range list {
		if f.Format() == format {
			return f, true
		}
	}
	return nil, false
}

// Detect returns the token of the format that a record is in, by its content. Not ok: no format knows any of its keys, or
// two know equally many.
func Detect(record string) (format string, ok bool) {
	best := 0
	for _, f := range list {
		switch n := f.Recognize(record); {
		case n > best:
			best, format, ok = n, f.Format(), true
		case n == best && n > 0:
			ok = false
		}
	}
	if !ok {
		return "", false
	}
	return format, true
}

// EventTime returns the time of a record of any format, see [Format]. Not ok: its format is unknown, or it has no time.
func EventTime(record string) (unix int64, ok bool) {
	name, ok := Detect(record)
	if !ok {
		return 0, false
	}
	f, _ := ByName(name)
	return f.EventTime(record)
}
