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
	OneIn          float64   `json:"oneIn"` // 1/p, of hours with such calls of a key, or days on which somebody does such things
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

	Rate     *RateWhy     `json:"rate,omitempty"`     // of the types that count calls
	Address  *AddressWhy  `json:"address,omitempty"`  // of IpInsight
	Operator *OperatorWhy `json:"operator,omitempty"` // of the types about operators
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

	ErrorRatio         float64 `json:"errorRatio,omitempty"`         // share of calls that failed so, of error rates
	ErrorRatioBaseline float64 `json:"errorRatioBaseline,omitempty"` // normally
	Breadth            uint32  `json:"breadth,omitempty"`            // distinct calls of the hour, where they are counted
	BreadthExpected    float64 `json:"breadthExpected,omitempty"`    // normally
	DormantDays        uint32  `json:"dormantDays,omitempty"`        // of a key that was not used for so long
}

// AddressWhy explains a suspicious address. Known prefixes are told in words: "the address itself", "its /24", "its network
// (AS64500)", "its country", "nothing".
type AddressWhy struct {
	AccountKnew   string     `json:"accountKnew"`   // the nearest thing that the account had seen before
	PrincipalKnew string     `json:"principalKnew"` // that the principal had been seen with
	PrincipalDays float64    `json:"principalDays"` // active days of the principal, decayed
	NoveltyDays   float64    `json:"noveltyDays"`   // days with something as new, of whom backOff names
	BackOff       string     `json:"backOff"`       // whose habits decided: "principal", "kind", "account", "shipped"
	Modifiers     []Modifier `json:"modifiers,omitempty"`
	ASN           string     `json:"asn,omitempty"`
	Country       string     `json:"country,omitempty"`
	More          uint64     `json:"more,omitempty"` // further new addresses of the day that this insight stands for
}

// A Modifier is a circumstance that makes a finding more or less likely to be an attack.
type Modifier struct {
	Name  string  `json:"name"`
	Ratio float64 `json:"ratio"` // likelihood ratio: above 1 for an attack, below 1 against it
}

// OperatorWhy explains an abnormal operator.
type OperatorWhy struct {
	Class        string     `json:"class"`     // "policy", "password" or "trail"
	Operation    string     `json:"operation"` // the most surprising call, "Service/EventName"
	Tier         string     `json:"tier"`      // of that call, "core" or "adjacent"
	Target       string     `json:"target,omitempty"`
	FirstTime    bool       `json:"firstTime"` // the operator never did such a thing before
	Hazard       float64    `json:"hazard"`    // how often somebody does it for the first time
	Surprise     float64    `json:"surprise"`  // score, nats
	HabitualDays uint32     `json:"habitualDays"`
	Denied       uint64     `json:"denied,omitempty"` // of the calls: attempts that failed
	Surprises    []Surprise `json:"surprises,omitempty"`
	Rules        []Rule     `json:"rules,omitempty"`
}

// A Surprise is one attribute of a call and how unlikely it is of this operator.
type Surprise struct {
	Attribute string  `json:"attribute"`
	Value     string  `json:"value"`
	Nats      float64 `json:"nats"` // -ln of its probability
}

// A Rule is an association that the call breaks.
type Rule struct {
	Text  string  `json:"text"`
	Hits  uint32  `json:"hits"`  // operator-days that kept it
	Days  uint32  `json:"days"`  // operator-days that it speaks of
	Lower float64 `json:"lower"` // lower bound of its confidence
}
