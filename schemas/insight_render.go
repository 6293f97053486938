package schemas

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Shape is one of the forms in which an insight event is shown.
type Shape string

// The shapes.
const (
	OwnShape         Shape = ""            // the one of the account's own cloud
	NativeShape      Shape = "native"      // the superset, as INSIGHTS stores it
	ActionTrailShape Shape = "actiontrail" // as Alibaba Cloud ActionTrail delivers it
	CloudTrailShape  Shape = "cloudtrail"  // as AWS CloudTrail delivers it
)

// Shapes lists the shapes that have a name.
func Shapes() []Shape { return []Shape{NativeShape, ActionTrailShape, CloudTrailShape} }

// ParseShape returns the shape of a name; the empty name is [OwnShape].
func ParseShape(name string) (Shape, error) {
	if s := Shape(name); s == OwnShape || slices.Contains(Shapes(), s) {
		return s, nil
	}
	return "", fmt.Errorf("unknown shape %q, want one of %v", name, Shapes())
}

// Render returns the insight as one line of JSON in a shape, without a line end. Fields that the shape has no
// place for, and Trailvane's own, stand in insightDetails.trailvane, which strict leaves out. Equal insights
// give equal bytes.
//
// In CloudTrail's shape the five types that CloudTrail lacks keep their names and carry insightObject, and so
// does a rate insight that is not about a single call.
func (i *Insight) Render(s Shape, strict bool) []byte {
	c := i.canonical()
	if s == OwnShape {
		s = CloudTrailShape
		if i.Provider == Alibaba {
			s = ActionTrailShape
		}
	}
	switch s {
	case NativeShape:
		if strict {
			c.Details.Trailvane = TrailvaneDetails{}
		}
		return appendJSON(nil, c)
	case ActionTrailShape:
		return appendJSON(nil, c.actionTrail(strict))
	case CloudTrailShape:
		return appendJSON(nil, c.cloudTrail(strict))
	}
	panic(fmt.Sprintf("shape %q", s)) // names from outside go through ParseShape
}

type actionTrailInsight struct {
	EventVersion  string             `json:"eventVersion"`
	EventType     string             `json:"eventType"`
	EventCategory string             `json:"eventCategory"`
	EventID       string             `json:"eventId"`
	SharedEventID string             `json:"sharedEventId"`
	EventTime     Minute             `json:"eventTime"`
	Region        string             `json:"acsRegion"`
	AccountID     string             `json:"recipientAccountId"`
	Details       actionTrailDetails `json:"insightDetails"`
}

type actionTrailDetails struct {
	State     State                 `json:"state"`
	Type      InsightType           `json:"insightType"`
	Object    string                `json:"insightObject"`
	Context   InsightContext        `json:"insightContext"`
	Trailvane *actionTrailTrailvane `json:"trailvane,omitempty"`
}

// actionTrailTrailvane also keeps what ActionTrail tells by insightObject alone.
type actionTrailTrailvane struct {
	EventSource string `json:"eventSource,omitempty"`
	EventName   string `json:"eventName,omitempty"`
	ErrorCode   string `json:"errorCode,omitempty"`
	TrailvaneDetails
}

func (i *Insight) actionTrail(strict bool) actionTrailInsight {
	d := &i.Details
	out := actionTrailInsight{
		EventVersion:  i.EventVersion,
		EventType:     "ActionTrailInsight",
		EventCategory: i.EventCategory,
		EventID:       strings.ToUpper(i.EventID),
		SharedEventID: strings.ToUpper(i.SharedEventID),
		EventTime:     i.EventTime,
		Region:        i.Region,
		AccountID:     i.AccountID,
		Details: actionTrailDetails{
			State:   d.State,
			Type:    d.Type,
			Object:  d.Object,
			Context: d.Context,
		},
	}
	if !strict {
		own := &actionTrailTrailvane{d.EventSource, d.EventName, d.ErrorCode, d.Trailvane}
		own.recase(strings.ToUpper)
		out.Details.Trailvane = own
	}
	return out
}

// cloudTrailVersion is the newest version of insight records that was seen.
const cloudTrailVersion = "1.09"

type cloudTrailInsight struct {
	EventVersion  string            `json:"eventVersion"`
	EventTime     Minute            `json:"eventTime"`
	Region        string            `json:"awsRegion"`
	EventID       string            `json:"eventID"`
	EventType     string            `json:"eventType"`
	AccountID     string            `json:"recipientAccountId"`
	SharedEventID string            `json:"sharedEventID"`
	Details       cloudTrailDetails `json:"insightDetails"`
	EventCategory string            `json:"eventCategory"`
}

type cloudTrailDetails struct {
	State       State                `json:"state"`
	EventSource string               `json:"eventSource,omitempty"`
	EventName   string               `json:"eventName,omitempty"`
	Type        InsightType          `json:"insightType"`
	ErrorCode   string               `json:"errorCode,omitempty"`
	Object      string               `json:"insightObject,omitempty"`
	Context     cloudTrailContext    `json:"insightContext"`
	Trailvane   *cloudTrailTrailvane `json:"trailvane,omitempty"`
}

type cloudTrailContext struct {
	Statistics   cloudTrailStatistics    `json:"statistics"`
	Attributions []cloudTrailAttribution `json:"attributions"`
}

type cloudTrailStatistics struct {
	Baseline         average `json:"baseline"`
	Insight          average `json:"insight"`
	InsightDuration  uint32  `json:"insightDuration"`
	BaselineDuration uint32  `json:"baselineDuration"`
}

type cloudTrailAttribution struct {
	Attribute string       `json:"attribute"`
	Insight   []Attributed `json:"insight"`
	Baseline  []Attributed `json:"baseline"` // present also when it is empty
}

// cloudTrailTrailvane also keeps what CloudTrail does not count.
type cloudTrailTrailvane struct {
	InsightCount uint64 `json:"insightCount"`
	TrailvaneDetails
}

func (i *Insight) cloudTrail(strict bool) cloudTrailInsight {
	d, stats := &i.Details, &i.Details.Context.Statistics
	out := cloudTrailInsight{
		EventVersion:  cloudTrailVersion,
		EventTime:     i.EventTime,
		Region:        i.Region,
		EventID:       strings.ToLower(i.EventID),
		EventType:     "AwsCloudTrailInsight",
		AccountID:     i.AccountID,
		SharedEventID: strings.ToLower(i.SharedEventID),
		EventCategory: i.EventCategory,
		Details: cloudTrailDetails{
			State:       d.State,
			EventSource: d.EventSource,
			EventName:   d.EventName,
			Type:        d.Type,
			ErrorCode:   d.ErrorCode,
			Context: cloudTrailContext{
				Statistics: cloudTrailStatistics{
					Baseline:         average{stats.Baseline},
					Insight:          average{stats.Insight},
					InsightDuration:  stats.InsightDuration,
					BaselineDuration: stats.BaselineDuration,
				},
				Attributions: []cloudTrailAttribution{},
			},
		},
	}
	rate := d.Type == APICallRate || d.Type == APIErrorRate
	if !rate || d.EventSource == "" || d.EventName == "" {
		out.Details.Object = d.Object
	}
	for _, a := range d.Context.Attributions {
		switch {
		case a.Attribute == PrincipalAttribute:
			a.Attribute = "userIdentityArn"
		case a.Attribute == ErrorCodeAttribute && d.Type == APIErrorRate && d.ErrorCode != "":
			continue // CloudTrail says it in insightDetails.errorCode
		}
		out.Details.Context.Attributions = append(out.Details.Context.Attributions, cloudTrailAttribution(a))
	}
	slices.SortStableFunc(out.Details.Context.Attributions, func(a, b cloudTrailAttribution) int {
		return cmp.Compare(cloudTrailRank(a.Attribute), cloudTrailRank(b.Attribute))
	})
	if !strict {
		own := &cloudTrailTrailvane{stats.InsightCount, d.Trailvane}
		own.recase(strings.ToLower)
		out.Details.Trailvane = own
	}
	return out
}

// recase writes the ids of other insights as the shape writes ids, so that they can be looked up.
func (t *TrailvaneDetails) recase(as func(string) string) {
	t.Why.Continues, t.IncidentID = as(t.Why.Continues), as(t.IncidentID)
	t.Linked = slices.Clone(t.Linked)
	for i := range t.Linked {
		t.Linked[i] = as(t.Linked[i])
	}
}

// cloudTrailRank is the place of a dimension in CloudTrail's own records.
func cloudTrailRank(attribute string) int {
	switch attribute {
	case "userIdentityArn":
		return 0
	case UserAgentAttribute:
		return 1
	case ErrorCodeAttribute:
		return 2
	}
	return 3
}
