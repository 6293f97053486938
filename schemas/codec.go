package schemas

import "errors"

// ErrVersion marks a message of a schema version that this program does not know: written by a newer one.
var ErrVersion = errors.New("unknown schema version")

var errTodo = errors.New("codec is being written")

// Append appends the message's wire form to b.
func (c *Chunk) Append(b []byte) []byte { panic(errTodo) }

// Decode reads a message. The raw records alias body; memory of c is used again.
func (c *Chunk) Decode(body []byte) error { return errTodo }

// Append appends the message's wire form to b.
func (e *EventBatch) Append(b []byte) []byte { panic(errTodo) }

// Decode reads a message. No string aliases body; memory of e is used again.
func (e *EventBatch) Decode(body []byte) error { return errTodo }

// Append appends the message's wire form to b.
func (p *PaneBatch) Append(b []byte) []byte { panic(errTodo) }

// Decode reads a message. No string aliases body; memory of p is used again.
func (p *PaneBatch) Decode(body []byte) error { return errTodo }

// Append appends the message's wire form to b.
func (f *Finding) Append(b []byte) []byte { panic(errTodo) }

// Decode reads a message.
func (f *Finding) Decode(body []byte) error { return errTodo }

// Append appends the message's wire form to b.
func (t *Tick) Append(b []byte) []byte { panic(errTodo) }

// Decode reads a message.
func (t *Tick) Decode(body []byte) error { return errTodo }

// Append appends the message's wire form to b.
func (e *End) Append(b []byte) []byte { panic(errTodo) }

// Decode reads a message.
func (e *End) Decode(body []byte) error { return errTodo }

// Append appends the message's wire form to b.
func (s *Settings) Append(b []byte) []byte { panic(errTodo) }

// Decode reads a message.
func (s *Settings) Decode(body []byte) error { return errTodo }

// Append appends the message's wire form to b.
func (d *DeadLetter) Append(b []byte) []byte { panic(errTodo) }

// Decode reads a message. Raw aliases body.
func (d *DeadLetter) Decode(body []byte) error { return errTodo }

// Append appends the checkpoint's wire form to b.
func (c *Checkpoint) Append(b []byte) []byte { panic(errTodo) }

// Decode reads a checkpoint.
func (c *Checkpoint) Decode(body []byte) error { return errTodo }
