package schemas

// Metrics is the body of one metrics message: a part of the calls per minute of an account and region in one hour. Parts of
// an hour add: most hours have one, which came when the hour was over, and what came later came in further parts. A reader
// sums all parts, dropping repeats by producer and number like everywhere.
type Metrics struct {
	Account Account
	Region  string
	Hour    Minute // the first minute of the hour
	Events  uint64 // of this part: the sum of Series and Other
	Late    uint64 // of Events: their minute was closed when they came
	Stale   uint64 // of Events: they came more than a day behind, so that no detector has seen them
	Strings []string
	Series  []Series      // the busiest first
	Other   []MinuteCount // calls that no series tells, because there were too many, or their names are too long
}

// A Series is the calls of one kind. Its strings are indices into the dictionary of the part, whose first string is "".
type Series struct {
	Service   uint32
	Name      uint32
	ErrorCode uint32 // 0 for calls that succeeded
	Write     bool
	Minutes   []MinuteCount
}

// A MinuteCount is the calls of one minute. Lists of them ascend by minute and leave out minutes without calls.
type MinuteCount struct {
	Minute uint8 // of the hour, 0 to 59
	Count  uint32
}

// HourOf returns the first minute of the UTC hour that holds the minute.
func HourOf(m Minute) Minute { return m - (m%Hour+Hour)%Hour }
