package schemas

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Flow is the first token of a subject. Its streams have its name in capitals.
type Flow string

// The flows.
const (
	RawFlow      Flow = "raw"
	EventsFlow   Flow = "events"
	WindowsFlow  Flow = "windows"
	MetricsFlow  Flow = "metrics"
	FindingsFlow Flow = "findings"
	InsightsFlow Flow = "insights"
	DeadFlow     Flow = "dead"
)

// A Subject is a subject taken apart. What does not occur in its flow is empty. Region, Account and ID are
// tokens: they may be hashes of names that are no safe tokens, and then only the body tells the name.
type Subject struct {
	Flow    Flow
	Number  int         // lane of raw, partition of events, windows and findings
	Control ControlKind // of a control record, which has no field below
	Format  string      // of a raw chunk
	Kind    PaneKind    // of panes
	Region  string      // token; empty in a raw chunk and in a finding that concerns all regions
	Account string      // token of the account of metrics and insights, see ParseAccountToken
	Type    InsightType // of findings and insights
	ID      string      // token of an insight's event id
	Stage   string      // of a dead letter
}

// ParseSubject takes a subject apart, so that ParseSubject(s).String() == s.
func ParseSubject(s string) (Subject, error) {
	tokens := strings.Split(s, ".")
	if len(tokens) < 2 || slices.ContainsFunc(tokens, func(t string) bool { return !safeToken(t) }) {
		return Subject{}, fmt.Errorf("subject %q: not made of tokens", s)
	}
	out := Subject{Flow: Flow(tokens[0])}
	rest := tokens[1:]
	switch out.Flow {
	case RawFlow, EventsFlow, WindowsFlow, FindingsFlow:
		n, ok := parseNumber(rest[0])
		if !ok {
			return Subject{}, fmt.Errorf("subject %q: no lane or partition", s)
		}
		out.Number, rest = n, rest[1:]
	}
	control := len(rest) == 1 && isControl(rest[0])
	switch {
	case out.Flow == RawFlow && control, out.Flow == EventsFlow && control,
		out.Flow == WindowsFlow && control && rest[0] == string(SettingsControl):
		out.Control = ControlKind(rest[0])
	case out.Flow == RawFlow && len(rest) == 1:
		out.Format = rest[0]
	case out.Flow == EventsFlow && len(rest) == 1:
		out.Region = rest[0]
	case out.Flow == WindowsFlow && len(rest) == 2 && isPaneKind(rest[1]):
		out.Region, out.Kind = rest[0], PaneKind(rest[1])
	case out.Flow == MetricsFlow && len(rest) == 2:
		out.Region, out.Account = rest[0], rest[1]
	case out.Flow == FindingsFlow && len(rest) == 2 && isInsightType(rest[1]):
		out.Region, out.Type = rest[0], InsightType(rest[1])
		if out.Region == allRegions {
			out.Region = ""
		}
	case out.Flow == InsightsFlow && len(rest) == 4 && isInsightType(rest[2]):
		out.Region, out.Account, out.Type, out.ID = rest[0], rest[1], InsightType(rest[2]), rest[3]
	case out.Flow == DeadFlow && len(rest) == 1:
		out.Stage = rest[0]
	default:
		return Subject{}, fmt.Errorf("subject %q: unknown form", s)
	}
	return out, nil
}

// String puts the subject together again.
func (s Subject) String() string {
	number := string(s.Flow) + "." + strconv.Itoa(s.Number) + "."
	switch {
	case s.Control != "":
		return number + string(s.Control)
	case s.Flow == RawFlow:
		return number + s.Format
	case s.Flow == EventsFlow:
		return number + s.Region
	case s.Flow == WindowsFlow:
		return number + s.Region + "." + string(s.Kind)
	case s.Flow == MetricsFlow:
		return "metrics." + s.Region + "." + s.Account
	case s.Flow == FindingsFlow && s.Region == "":
		return number + allRegions + "." + string(s.Type)
	case s.Flow == FindingsFlow:
		return number + s.Region + "." + string(s.Type)
	case s.Flow == InsightsFlow:
		return "insights." + s.Region + "." + s.Account + "." + string(s.Type) + "." + s.ID
	}
	return "dead." + s.Stage
}

// ParseAccountToken returns the account of a token made by [Account.Token], and false if the token is a hash.
func ParseAccountToken(token string) (Account, bool) {
	provider, id, ok := strings.Cut(token, "-")
	a := Account{Provider: Provider(provider), ID: id}
	return a, ok && (a.Provider == AWS || a.Provider == Alibaba) && a.Token() == token
}

// InsightTypes lists the seven types in their fixed order.
func InsightTypes() []InsightType {
	return []InsightType{APICallRate, APIErrorRate, IP, AK, PolicyChange, PasswordChange, TrailConcealment}
}

func isInsightType(s string) bool { return slices.Contains(InsightTypes(), InsightType(s)) }

func isPaneKind(s string) bool {
	switch PaneKind(s) {
	case CountsPane, TickPane, EndPane:
		return true
	}
	return false
}

func isControl(s string) bool {
	switch ControlKind(s) {
	case TickControl, EndControl, SettingsControl:
		return true
	}
	return false
}

// parseNumber reads a lane or partition in the one form in which it is written.
func parseNumber(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 8)
	return int(n), err == nil && strconv.FormatUint(n, 10) == s
}
