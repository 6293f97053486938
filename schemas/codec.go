package schemas

import "errors"

// How the messages are coded. Each is a msgpack array that is led by its schema version. A field is only ever
// appended, at the end of the message's own array or of one inside it; readers skip what they do not know, so
// this leaves the version as it is. A change that an old reader would misread takes the next version, and an
// old reader then answers ErrVersion.
//
// Append writes the shortest forms in a fixed order: equal messages give equal bytes. Decode checks
// everything that it reads, never panics and allocates at most a small multiple of the body's size. After an
// error the message holds nothing of use.

// ErrVersion marks a message of a schema version that this program does not know: written by a newer one. The
// reader must stop, not skip: a newer program can still read it.
var ErrVersion = errors.New("unknown schema version")

// ErrMalformed marks bytes that are not the message they should be, and never will be.
var ErrMalformed = errors.New("malformed message")

// The schema versions of the messages.
const (
	chunkVersion      = 1
	eventBatchVersion = 1
	paneBatchVersion  = 1
	metricsVersion    = 1
	findingVersion    = 1
	tickVersion       = 1
	endVersion        = 1
	settingsVersion   = 1
	deadLetterVersion = 1
	checkpointVersion = 1
)
