// Package decode is the contract of the input formats. Each lives in a folder of its own below this one; the kit in
// decodetest holds all of them to the same promises.
package decode

import (
	"errors"

	"github.com/trailvane/trailvane/schemas"
)

// ErrMalformed marks a record that can never be decoded. It becomes a dead letter; it is not tried again.
var ErrMalformed = errors.New("malformed record")

// A Decoder reads one input format. It keeps no state between records, so one value may be used from many goroutines.
type Decoder interface {
	// Format is the token of the format in raw subjects: "cloudtrail", "actiontrail".
	Format() string

	// Decode emits the events in a raw record, mostly one, in their order. The event that emit gets, and its strings, may
	// alias raw and the decoder's memory: they are valid until emit returns, the strings as long as raw is kept. An error
	// wraps ErrMalformed and says which field is wrong; nothing was emitted then.
	Decode(raw string, emit func(*schemas.Event)) error
}
