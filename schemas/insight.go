package schemas

// State says whether an insight event begins or ends the activity.
type State string

// The states of an insight event.
const (
	StartState State = "Start"
	EndState   State = "End"
)

// An Insight is one published insight event: the superset that INSIGHTS stores as JSON. Both vendors' shapes are
// renderings of it.
type Insight struct {
	EventVersion  string         `json:"eventVersion"`  // "1"
	EventCategory string         `json:"eventCategory"` // "Insight"
	EventID       string         `json:"eventId"`
	SharedEventID string         `json:"sharedEventId"` // the same in Start and End
	EventTime     Minute         `json:"eventTime"`
	Provider      Provider       `json:"provider"`
	Region        string         `json:"region"`
	AccountID     string         `json:"recipientAccountId"`
	Details       InsightDetails `json:"insightDetails"`
}

// InsightDetails is what happened.
type InsightDetails struct {
	State       State          `json:"state"`
	Type        InsightType    `json:"insightType"`
	Object      string         `json:"insightObject"`
	EventSource string         `json:"eventSource,omitempty"`
	EventName   string         `json:"eventName,omitempty"`
	ErrorCode   string         `json:"errorCode,omitempty"`
	Context     InsightContext `json:"insightContext"`
	Trailvane   Why            `json:"trailvane"`
}

// InsightContext holds the figures.
type InsightContext struct {
	Statistics   Statistics    `json:"statistics"`
	Attributions []Attribution `json:"attributions"`
}
