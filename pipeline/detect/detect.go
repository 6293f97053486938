// Package detect is the contract of the detectors: one folder below this one for each insight type. A detector judges the
// panes of one partition in stream order and answers with findings. The kit in detecttest holds all of them to the same
// promises, and detectors never import each other.
package detect

import "github.com/trailvane/trailvane/schemas"

// A Detector judges the panes of one partition. It is deterministic: the same panes give the same findings, anywhere, at
// any time; so it holds no clock, goroutine or connection. Its state is per account: what it finds in one account does not
// depend on who else is in the partition.
type Detector interface {
	// Type is the insight type that it finds.
	Type() schemas.InsightType

	// Constants names the version of the constants that its findings depend on. It is kept with the state: state that was
	// made with others means something else.
	Constants() string

	// Observe scores a pane at once, and folds a minute into its models when the pane's watermark passes it. Settings are
	// those of the lane that feeds the account. Findings are emitted sorted by start minute, then key; the detector sets
	// everything but Type, Generation, Account and Region. A tick or end pane is one without rows.
	Observe(p *schemas.Pane, s schemas.Settings, emit func(*schemas.Finding))

	// Snapshot calls changed for every state key that has changed since the last call; the state is the caller's.
	Snapshot(changed func(key string, state []byte)) error

	// Restore gives a key back. Restore(Snapshot()) changes nothing. An error means that state is corrupt or newer.
	Restore(key string, state []byte) error
}
