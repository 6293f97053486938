package schemas

// InsightType names one of the seven insight types, as ActionTrail spells them.
type InsightType string

// The seven types. CloudTrail has the first two.
const (
	APICallRate      InsightType = "ApiCallRateInsight"
	APIErrorRate     InsightType = "ApiErrorRateInsight"
	IP               InsightType = "IpInsight"
	AK               InsightType = "AkInsight"
	PolicyChange     InsightType = "PolicyChangeInsight"
	PasswordChange   InsightType = "PasswordChangeInsight"
	TrailConcealment InsightType = "TrailConcealmentInsight"
)

// FindingKind says what a finding does to its insight.
type FindingKind uint8

// The kinds of findings. A Reset carries only type, account-less: the detector of this generation has begun
// with an empty state, and what older generations had open must be ended.
const (
	OpenFinding FindingKind = iota + 1
	UpdateFinding
	CloseFinding
	ResetFinding
)

// EndReason says why an insight ended.
type EndReason string

// The reasons for an End.
const (
	Cooled       EndReason = "Cooled"       // the activity is normal again
	NewNormal    EndReason = "NewNormal"    // it stayed, and is the normal now
	MaxDuration  EndReason = "MaxDuration"  // it lasted 24 hours
	Silence      EndReason = "Silence"      // nothing more came
	DayEnd       EndReason = "DayEnd"       // an address is judged day by day
	Restored     EndReason = "Restored"     // the trail was switched on again
	InputEnd     EndReason = "InputEnd"     // a bounded input ended while it was open
	ModelChanged EndReason = "ModelChanged" // the detector lost or changed its model
)

// A Finding is a detector's word on one stretch of activity.
type Finding struct {
	Kind       FindingKind
	Type       InsightType
	Generation uint64 // of the detector
	Account    Account
	Region     string
	Key        string // what was judged, unique within type, account and region
	Ordinal    uint32 // counts the insights of this key, from 0
	Object     string // insightObject
	Service    string // eventSource or service name, where the type has one
	Event      string // event name, where the type has one
	ErrorCode  string // normalized code, where the type has one
	Start      Minute // first abnormal minute
	End        Minute // in a close: first minute that is no longer abnormal

	Statistics   Statistics
	Attributions []Attribution
	Why          Why
}

// Statistics compare the activity with the normal.
type Statistics struct {
	Insight          float64 // calls per minute
	Baseline         float64 // calls per minute over the seven days before the start
	InsightDuration  uint32  // minutes, at least 1
	BaselineDuration uint32  // minutes that the baseline really covers
	InsightCount     uint64  // management events inside the duration
}

// An Attribution explains an insight in one dimension: at most [MaxAttributed] values each, descending by
// average.
type Attribution struct {
	Attribute string       `json:"attribute"` // one of the names below
	Insight   []Attributed `json:"insight"`
	Baseline  []Attributed `json:"baseline,omitempty"`
}

// The dimensions of attributions, as ActionTrail names them.
const (
	UserAgentAttribute = "userAgent"
	PrincipalAttribute = "principalId" // CloudTrail: "userIdentityArn"
	APIAttribute       = "apiRelated"  // "Service/EventName"
	ErrorCodeAttribute = "errorCode"   // NoError stands for calls that succeeded
)

// NoError is the error code of success among attributions, as CloudTrail writes it.
const NoError = "null"

// An Attributed is one value of a dimension and its share of the rate.
type Attributed struct {
	Value   string  `json:"value"`
	Average float64 `json:"average"` // calls per minute
}

// MaxAttributed bounds the values of an attribution, as CloudTrail does.
const MaxAttributed = 5

// Why explains an insight in figures. All fields but Text are numbers or come from the log. A finding carries
// its floats as they are; the insight that is made of it rounds them by [Round], and so should whoever writes
// them into Text.
type Why struct {
	Detector       string    `json:"detector"`
	ModelVersion   string    `json:"modelVersion"`
	Route          string    `json:"route,omitempty"`
	Direction      string    `json:"direction,omitempty"` // "rise" or "drop"
	Log10P         float64   `json:"log10p"`
	OneIn          float64   `json:"oneIn"` // 1/p, in units of the test: active key-hours or principal-days
	Alpha          float64   `json:"alpha"`
	Tested30d      float64   `json:"tested30d"`
	BudgetPerMonth float64   `json:"budgetPerMonth"`
	ModelAgeDays   float64   `json:"modelAgeDays"`
	Confirmed      bool      `json:"confirmed"` // closed minutes confirmed an early Start
	SampleEventIDs []string  `json:"sampleEventIds,omitempty"`
	Drivers        []Driver  `json:"drivers,omitempty"`
	EndReason      EndReason `json:"endReason,omitempty"`
	Continues      string    `json:"continues,omitempty"` // sharedEventId of the insight that it continues; in a finding, its ordinal
	Text           string    `json:"text"`                // one sentence, made from the other fields only

	Rate *RateWhy `json:"rate,omitempty"` // of the types that count calls
}

// A Driver is a value that stands out in the insight.
type Driver struct {
	Dimension string  `json:"dimension"`
	Value     string  `json:"value"`
	Insight   float64 `json:"insight"`  // per minute
	Baseline  float64 `json:"baseline"` // per minute
	Lift      float64 `json:"lift"`
}

// RateWhy explains an unusual rate.
type RateWhy struct {
	WindowMinutes uint32  `json:"windowMinutes"`
	Observed      float64 `json:"observed"`      // weighted calls in the window
	Expected      float64 `json:"expected"`      // what the model expects there
	Ratio         float64 `json:"ratio"`         // observed to expected
	NormalMax     float64 `json:"normalMax"`     // what would have p = 0.001
	RatePerMinute float64 `json:"ratePerMinute"` // level of the model
	Season        float64 `json:"season"`        // factor of the hour of day
	Spread        float64 `json:"spread"`        // learned spread of the log ratio
	Blocks        float64 `json:"blocks"`        // active hours behind the tail
}
