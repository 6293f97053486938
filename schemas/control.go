package schemas

// Control records travel through the streams beside the data, so that everything that decides an output is in
// the stream.

// ControlKind is the last token of a control record's subject.
type ControlKind string

// The control records.
const (
	TickControl     ControlKind = "tick"
	EndControl      ControlKind = "end"
	SettingsControl ControlKind = "settings"
)

// A Tick moves the event time of the quiet accounts of a lane. Its time is the time at which the broker
// stored it, but no later than what the connector knows: that there was nothing unread at a time before, by the
// broker's clock. So a tick that was stored late, because a stream was full or the broker away, says no more than is
// true.
type Tick struct {
	Lane    int
	Time    Minute  // in RAW what the connector knows, zero if it leaves that to the stored time; set by the normalizer
	Account Account // the only one whose time it moves; zero for all accounts of the lane
}

// An End says that a bounded input of a lane is over. It carries no time: it closes the minutes seen, no
// more.
type End struct {
	Lane  int
	Close bool // insights that are still open get an End with reason InputEnd; otherwise they stay open
}

// Settings are what a deployment was told and its outputs depend on. They hold for the accounts of a lane
// from this record on.
type Settings struct {
	Lane     int
	Lateness Minute  // how far the watermark trails the newest event, minutes
	Learn    Minute  // learning time of an account, minutes of event time
	Budget   float64 // multiplies the alarm budgets of all types
}

// DefaultSettings are used until a Settings record comes: 15 minutes of lateness, because CloudTrail delivers
// within about 10, 24 hours of learning as both vendors document, and the budgets as they are.
func DefaultSettings() Settings { return Settings{Lateness: 15, Learn: Day, Budget: 1} }

// A DeadLetter is input that can never be processed, kept with the reason.
type DeadLetter struct {
	Stage  string
	Object string
	Offset int64  // of the record in the uncompressed object, bytes
	Size   int64  // of the whole record, bytes; -1 if unknown
	Reason string // one of a closed list, for counting: "malformed", "too_large", "no_account", …
	Error  string // for people, bounded to 1 KiB
	Raw    []byte // the first MaxDeadRaw bytes
}

// MaxDeadRaw bounds the copy of the raw record in a dead letter: 64 KiB shows any real record whole.
const MaxDeadRaw = 64 << 10
