package schemas

import "strings"

// A Number orders all outputs of a producer: the sequence of the input record that caused it, then its place
// among that record's outputs. A reader keeps the highest number of each producer and drops what is not
// higher.
type Number struct {
	Seq   uint64
	Index uint32
}

// Less reports whether n comes before m.
func (n Number) Less(m Number) bool {
	return n.Seq < m.Seq || n.Seq == m.Seq && n.Index < m.Index
}

// A Checkpoint is the position of one partition of a stage, its owner and a digest of its state. It is saved
// together with the state, in one atomic batch, and is the only record of progress.
type Checkpoint struct {
	Stream     string // identity of the input stream: its creation time
	Seq        uint64 // last input record that the state contains
	Owner      string // instance that may commit; empty if it gave the partition up
	Epoch      uint64 // grows with every change of owner
	Generation uint64 // input sequence at which the state began empty; part of the producer's name
	Constants  string // version of all constants that decide outputs
	Seen       []Seen // highest number per producer of the input, sorted by producer
	Keys       uint64 // digest of the state: number of keys
	Sum        uint64 // digest of the state: sum of the hashes of key and value
	Version    uint32 // newest format in which a key of the state may be
}

// Seen is the highest output number that was read from a producer.
type Seen struct {
	Producer string
	Number   Number
}

// Compare orders by producer.
func (s Seen) Compare(producer string) int { return strings.Compare(s.Producer, producer) }
