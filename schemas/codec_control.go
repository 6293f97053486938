package schemas

import "math"

// The small messages: control records, dead letters and checkpoints. Nothing that they decode aliases a
// message that was decoded before. The numbers of fields count the version.

const (
	tickFields = 5
	tickOldest = 3 // without the account, for all accounts of the lane
)

// Append appends the message's wire form to b.
func (t *Tick) Append(b []byte) []byte {
	b = appendArray(b, tickFields)
	b = appendUint(b, tickVersion)
	b = appendInt(b, int64(t.Lane))
	b = appendInt(b, int64(t.Time))
	b = appendString(b, string(t.Account.Provider))
	return appendString(b, t.Account.ID)
}

// Decode reads a message.
func (t *Tick) Decode(body []byte) error {
	r := reader{b: body}
	more := r.open(tickVersion, tickOldest)
	*t = Tick{Lane: r.lane(), Time: r.minute()}
	if more > 0 {
		t.Account = Account{Provider: Provider(r.string()), ID: r.string()}
		more -= tickFields - tickOldest
	}
	return r.close(more)
}

const endFields = 3

// Append appends the message's wire form to b.
func (e *End) Append(b []byte) []byte {
	b = appendArray(b, endFields)
	b = appendUint(b, endVersion)
	b = appendInt(b, int64(e.Lane))
	return appendBool(b, e.Close)
}

// Decode reads a message.
func (e *End) Decode(body []byte) error {
	r := reader{b: body}
	more := r.open(endVersion, endFields)
	*e = End{Lane: r.lane(), Close: r.bool()}
	return r.close(more)
}

const settingsFields = 5

// Append appends the message's wire form to b.
func (s *Settings) Append(b []byte) []byte {
	b = appendArray(b, settingsFields)
	b = appendUint(b, settingsVersion)
	b = appendInt(b, int64(s.Lane))
	b = appendInt(b, int64(s.Lateness))
	b = appendInt(b, int64(s.Learn))
	return appendFloat(b, s.Budget)
}

// Decode reads a message.
func (s *Settings) Decode(body []byte) error {
	r := reader{b: body}
	more := r.open(settingsVersion, settingsFields)
	*s = Settings{Lane: r.lane(), Lateness: r.minute(), Learn: r.minute(), Budget: r.float()}
	return r.close(more)
}

const deadLetterFields = 8

// Append appends the message's wire form to b.
func (d *DeadLetter) Append(b []byte) []byte {
	b = appendArray(b, deadLetterFields)
	b = appendUint(b, deadLetterVersion)
	b = appendString(b, d.Stage)
	b = appendString(b, d.Object)
	b = appendInt(b, d.Offset)
	b = appendInt(b, d.Size)
	b = appendString(b, d.Reason)
	b = appendString(b, d.Error)
	b = appendBinHeader(b, len(d.Raw))
	return append(b, d.Raw...)
}

// Decode reads a message. Raw aliases body.
func (d *DeadLetter) Decode(body []byte) error {
	r := reader{b: body}
	more := r.open(deadLetterVersion, deadLetterFields)
	*d = DeadLetter{
		Stage:  r.string(),
		Object: r.string(),
		Offset: r.int(),
		Size:   r.int(),
		Reason: r.string(),
		Error:  r.string(),
		Raw:    r.bin(),
	}
	return r.close(more)
}

const (
	checkpointFields = 11
	checkpointOldest = 10 // without the state's version, which was 0 then
	seenFields       = 3
)

// Append appends the checkpoint's wire form to b.
func (c *Checkpoint) Append(b []byte) []byte {
	b = appendArray(b, checkpointFields)
	b = appendUint(b, checkpointVersion)
	b = appendString(b, c.Stream)
	b = appendUint(b, c.Seq)
	b = appendString(b, c.Owner)
	b = appendUint(b, c.Epoch)
	b = appendUint(b, c.Generation)
	b = appendString(b, c.Constants)
	b = appendArray(b, len(c.Seen))
	for _, s := range c.Seen {
		b = appendArray(b, seenFields)
		b = appendString(b, s.Producer)
		b = appendUint(b, s.Number.Seq)
		b = appendUint(b, uint64(s.Number.Index))
	}
	b = appendUint(b, c.Keys)
	b = appendUint(b, c.Sum)
	return appendUint(b, uint64(c.Version))
}

// Decode reads a checkpoint.
func (c *Checkpoint) Decode(body []byte) error {
	r := reader{b: body}
	more := r.open(checkpointVersion, checkpointOldest)
	*c = Checkpoint{
		Stream:     r.string(),
		Seq:        r.uint(),
		Owner:      r.string(),
		Epoch:      r.uint(),
		Generation: r.uint(),
		Constants:  r.string(),
		Seen:       r.seen(),
		Keys:       r.uint(),
		Sum:        r.uint(),
	}
	if more > 0 {
		c.Version = uint32(r.between(0, math.MaxUint32))
		more--
	}
	return r.close(more)
}

func (r *reader) seen() []Seen {
	n := r.list(1 + seenFields)
	if n == 0 {
		return nil
	}
	list := make([]Seen, n)
	for i := range list {
		more := r.array(seenFields)
		list[i] = Seen{Producer: r.string(), Number: Number{Seq: r.uint(), Index: r.uint32()}}
		r.rest(more)
	}
	return list
}
