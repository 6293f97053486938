package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// State says whether an insight event begins or ends the activity.
type State string

// The states of an insight event.
const (
	StartState State = "Start"
	EndState   State = "End"
)

// What every insight event has in common.
const (
	InsightVersion       = "1"       // eventVersion
	InsightEventCategory = "Insight" // eventCategory
)

// An Insight is one published insight event: the superset that INSIGHTS stores as JSON. Both vendors' shapes
// are renderings of it, see [Insight.Render].
type Insight struct {
	EventVersion  string         `json:"eventVersion"`  // InsightVersion
	EventCategory string         `json:"eventCategory"` // InsightEventCategory
	EventID       string         `json:"eventId"`
	SharedEventID string         `json:"sharedEventId"` // the same in Start and End
	EventTime     Minute         `json:"eventTime"`     // Start: first abnormal minute; End: first that is no longer
	Provider      Provider       `json:"provider"`
	Region        string         `json:"region"`
	AccountID     string         `json:"recipientAccountId"`
	Details       InsightDetails `json:"insightDetails"`
}

// InsightDetails is what happened.
type InsightDetails struct {
	State       State            `json:"state"`
	Type        InsightType      `json:"insightType"`
	Object      string           `json:"insightObject"`
	EventSource string           `json:"eventSource,omitempty"` // where the type has one
	EventName   string           `json:"eventName,omitempty"`   // where the type has one
	ErrorCode   string           `json:"errorCode,omitempty"`   // where the type has one
	Context     InsightContext   `json:"insightContext"`
	Trailvane   TrailvaneDetails `json:"trailvane,omitzero"`
}

// InsightContext holds the figures.
type InsightContext struct {
	Statistics   Statistics    `json:"statistics"`
	Attributions []Attribution `json:"attributions"`
}

// TrailvaneDetails are the fields that no vendor has. Strict renderings leave them out. Why is part of the insight; the
// others are views, which whoever reads insights computes from all that he sees of an account: INSIGHTS never stores them.
type TrailvaneDetails struct {
	Why        Why      `json:"why"`
	Severity   string   `json:"severity,omitempty"` // "low", "medium", "high" or "critical"
	Score      int      `json:"score,omitempty"`    // behind the severity, 0 to 110
	IncidentID string   `json:"incidentId,omitempty"`
	Linked     []string `json:"linked,omitempty"` // incidents that this one was found to continue
}

// Account returns the account whose activity it is.
func (i *Insight) Account() Account { return Account{Provider: i.Provider, ID: i.AccountID} }

// Append appends the insight as the one line of JSON that INSIGHTS stores, without a line end. Equal insights
// give equal bytes: fields stand in the order of the type, floats are rounded by [Round], and each
// attribution is cut to its first [MaxAttributed] values. A list that JSON readers index is never null.
func (i *Insight) Append(b []byte) []byte { return appendJSON(b, i.canonical()) }

// Decode reads what Append wrote, also when a newer program added fields.
func (i *Insight) Decode(body []byte) error {
	*i = Insight{}
	if err := json.Unmarshal(body, i); err != nil {
		return fmt.Errorf("%w: insight: %w", ErrMalformed, err)
	}
	if i.EventCategory != InsightEventCategory {
		return fmt.Errorf("%w: insight: eventCategory %q", ErrMalformed, i.EventCategory)
	}
	if i.EventVersion != InsightVersion {
		return fmt.Errorf("%w %q of an insight, this program knows %s", ErrVersion, i.EventVersion, InsightVersion)
	}
	return nil
}

// canonical returns a copy in the form that is written.
func (i *Insight) canonical() *Insight {
	c := *i
	d := &c.Details
	s := &d.Context.Statistics
	s.Insight, s.Baseline = Round(s.Insight), Round(s.Baseline)
	d.Context.Attributions = make([]Attribution, len(i.Details.Context.Attributions))
	for j, a := range i.Details.Context.Attributions {
		d.Context.Attributions[j] = Attribution{
			Attribute: a.Attribute,
			Insight:   canonicalValues(a.Attribute, a.Insight),
			Baseline:  canonicalValues(a.Attribute, a.Baseline),
		}
	}
	d.Trailvane.Why = d.Trailvane.Why.rounded()
	return &c
}

func canonicalValues(attribute string, list []Attributed) []Attributed {
	list = slices.Clone(list[:min(len(list), MaxAttributed)])
	if list == nil {
		list = []Attributed{}
	}
	for j := range list {
		v := &list[j]
		v.Average = Round(v.Average)
		if attribute == ErrorCodeAttribute && v.Value == "" {
			v.Value = NoError
		}
	}
	return list
}

func (w Why) rounded() Why {
	for _, f := range []*float64{&w.Log10P, &w.OneIn, &w.Alpha, &w.Tested30d, &w.BudgetPerMonth, &w.ModelAgeDays} {
		*f = Round(*f)
	}
	w.Drivers = slices.Clone(w.Drivers)
	for j := range w.Drivers {
		d := &w.Drivers[j]
		d.Insight, d.Baseline, d.Lift = Round(d.Insight), Round(d.Baseline), Round(d.Lift)
	}
	if w.Rate != nil {
		r := *w.Rate
		for _, f := range []*float64{&r.Observed, &r.Expected, &r.Ratio, &r.NormalMax, &r.RatePerMinute, &r.Season,
			&r.Spread, &r.Blocks, &r.ErrorRatio, &r.ErrorRatioBaseline, &r.BreadthExpected} {
			*f = Round(*f)
		}
		w.Rate = &r
	}
	if w.Address != nil {
		a := *w.Address
		a.PrincipalDays, a.NoveltyDays = Round(a.PrincipalDays), Round(a.NoveltyDays)
		a.Modifiers = slices.Clone(a.Modifiers)
		for j := range a.Modifiers {
			a.Modifiers[j].Ratio = Round(a.Modifiers[j].Ratio)
		}
		w.Address = &a
	}
	if w.Operator != nil {
		o := *w.Operator
		o.Hazard, o.Surprise = Round(o.Hazard), Round(o.Surprise)
		o.Surprises, o.Rules = slices.Clone(o.Surprises), slices.Clone(o.Rules)
		for j := range o.Surprises {
			o.Surprises[j].Nats = Round(o.Surprises[j].Nats)
		}
		for j := range o.Rules {
			o.Rules[j].Lower = Round(o.Rules[j].Lower)
		}
		w.Operator = &o
	}
	return w
}

// Round returns the float nearest to x written with six significant digits, halves to even, on every machine
// the same; so all of an insight's floats are printed. What is no number becomes 0, and infinity the largest
// number of six digits, because JSON has neither.
func Round(x float64) float64 {
	const largest = 1.79769e308
	switch {
	case x != x:
		return 0
	case x > largest:
		return largest
	case x < -largest:
		return -largest
	case x == math.Trunc(x) && math.Abs(x) < 1e6:
		return x + 0 // an integer of six digits; never the negative zero
	}
	var text [32]byte
	r, err := strconv.ParseFloat(string(strconv.AppendFloat(text[:0], x, 'g', 6, 64)), 64)
	if err != nil {
		panic(err) // a number of six digits within the range is a float
	}
	return r
}

// statisticsJSON is ActionTrail's form of Statistics.
type statisticsJSON struct {
	Insight          average `json:"insight"`
	Baseline         average `json:"baseline"`
	InsightDuration  uint32  `json:"insightDuration"`
	BaselineDuration uint32  `json:"baselineDuration"`
	InsightCount     uint64  `json:"insightCount"`
}

type average struct {
	Average float64 `json:"average"`
}

// MarshalJSON writes the vendors' form, {"insight":{"average":…},"baseline":{"average":…},…}.
func (s Statistics) MarshalJSON() ([]byte, error) {
	return json.Marshal(statisticsJSON{
		Insight:          average{s.Insight},
		Baseline:         average{s.Baseline},
		InsightDuration:  s.InsightDuration,
		BaselineDuration: s.BaselineDuration,
		InsightCount:     s.InsightCount,
	})
}

// UnmarshalJSON reads the vendors' form.
func (s *Statistics) UnmarshalJSON(b []byte) error {
	var j statisticsJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = Statistics{
		Insight:          j.Insight.Average,
		Baseline:         j.Baseline.Average,
		InsightDuration:  j.InsightDuration,
		BaselineDuration: j.BaselineDuration,
		InsightCount:     j.InsightCount,
	}
	return nil
}

// appendJSON appends v as one line of JSON, with "<", ">" and "&" as they are.
func appendJSON(b []byte, v any) []byte {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // our own types, and all floats are finite
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
