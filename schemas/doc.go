// Package schemas is the wire contract of Trailvane: every message that travels between the parts, the
// subject it travels on, and the form in which it is coded. It depends on nothing but the standard library
// and msgpack, so that any reader of the streams can use it.
//
// The journey of a record names the types in order: a [Chunk] of raw records becomes an [EventBatch] of
// normalized events, that becomes a [PaneBatch] of window contents, a detector answers with a [Finding], and
// the pairer publishes the [Insight]. [Tick], [End] and [Settings] are control records that travel the same
// way; a [DeadLetter] is what could never be processed.
//
// README.md describes every message and subject, field by field. Messages between stages are msgpack arrays
// led by a schema version; fields are only ever appended. Insights are JSON.
package schemas
