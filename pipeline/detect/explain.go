package detect

import (
	"cmp"

	"github.com/trailvane/trailvane/schemas"
)

// An Explainer is a detector that can also say what it did not report, for people who ask why nothing was found. What it
// says is part of its state, so that it is the same after a restart.
type Explainer interface {
	Detector

	// NearMisses returns what came closest to the line without crossing it, closest first, at most [MaxNearMisses].
	NearMisses() []NearMiss

	// Learning returns the accounts that are still learning, in order of account.
	Learning() []Learning
}

// MaxNearMisses bounds what a detector remembers for [Explainer].
const MaxNearMisses = 20

// A NearMiss is activity that was nearly unusual enough.
type NearMiss struct {
	Type    schemas.InsightType
	Account schemas.Account
	Region  string
	Object  string         // what insightObject would have been
	At      schemas.Minute // of the highest score
	Count   uint64         // events in the window that scored highest
	Log10P  float64        // of the score
	Line    float64        // log10 of the p that would have been unusual
	Text    string         // one sentence: what was seen, what is normal, and which condition was not met
}

// Compare orders near misses by how far they were from the line, the nearest first.
func (m NearMiss) Compare(n NearMiss) int { return cmp.Compare(m.Log10P-m.Line, n.Log10P-n.Line) }

// Learning is how far an account has come.
type Learning struct {
	Type    schemas.InsightType
	Account schemas.Account
	Seen    schemas.Minute // minutes of event time since its first event
	Needed  schemas.Minute
}
