package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Subjects and streams. Everything that comes from a log and becomes part of a subject or key goes through
// [Token].
//
//	raw.<lane>.<format>                         RAW_<lane>
//	raw.<lane>.tick|end|settings
//	events.<partition>.<region>                 EVENTS_<partition>
//	events.<partition>.tick|end|settings
//	windows.<partition>.<region>.<kind>         WINDOWS_<partition>
//	windows.<partition>.settings
//	metrics.<region>.<account>                  METRICS
//	findings.<partition>.<region>.<type>        FINDINGS_<partition>
//	insights.<region>.<account>.<type>.<id>     INSIGHTS
//	dead.<stage>                                DEAD
//
// A region named like a control record ("tick") becomes a hash, so that no log can forge one. [ParseSubject]
// takes all of them apart.

// GlobalRegion stands for the missing region of an event: old records of global services (RAM, IAM) name none. They are
// events all the same, and no path may decide where they happened.
const GlobalRegion = "global"

// OtherRegion stands for the regions of an account beyond the first [MaxRegions].
const OtherRegion = "other"

// allRegions is the token of findings that concern every region. No log can claim it.
const allRegions = "all"

// MaxRegions bounds the regions of one account: more than any cloud has, few enough that hostile names cost
// nothing.
const MaxRegions = 64

// Token returns s if it is safe in a subject and a key, [A-Za-z0-9_-]{1,64}, and not a reserved word;
// otherwise "x" and 128 bits of its SHA-256 in hexadecimal. It is stable for ever.
func Token(s string) string {
	if safeToken(s) && !reserved(s) {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "x" + hex.EncodeToString(sum[:16])
}

func safeToken(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' {
			continue
		}
		return false
	}
	return true
}

// reserved words, and whatever looks like a hash of ours, so that no log can claim another name's token.
func reserved(s string) bool {
	switch s {
	case string(TickControl), string(EndControl), string(SettingsControl), allRegions:
		return true
	}
	if len(s) != 33 || s[0] != 'x' {
		return false
	}
	_, err := hex.DecodeString(s[1:])
	return err == nil
}

// Token returns the account as one token, "aws-123456789012".
func (a Account) Token() string { return Token(string(a.Provider) + "-" + a.ID) }

// RawSubject returns the subject of a chunk, or of a control record, in a lane.
func RawSubject(lane int, format string) string { return "raw." + strconv.Itoa(lane) + "." + format }

// EventsSubject returns the subject of a batch of a region.
func EventsSubject(partition int, region string) string {
	return "events." + strconv.Itoa(partition) + "." + Token(region)
}

// EventsControl returns the subject of a control record.
func EventsControl(partition int, kind ControlKind) string {
	return "events." + strconv.Itoa(partition) + "." + string(kind)
}

// WindowsSubject returns the subject of panes of a region and kind.
func WindowsSubject(partition int, region string, kind PaneKind) string {
	return "windows." + strconv.Itoa(partition) + "." + Token(region) + "." + string(kind)
}

// WindowsControl returns the subject of a settings record.
func WindowsControl(partition int, kind ControlKind) string {
	return "windows." + strconv.Itoa(partition) + "." + string(kind)
}

// MetricsSubject returns the subject of the hours of an account and region.
func MetricsSubject(region string, a Account) string {
	return "metrics." + Token(region) + "." + a.Token()
}

// FindingsSubject returns the subject of a finding. A reset has no region; it travels under "all".
func FindingsSubject(partition int, region string, t InsightType) string {
	token := allRegions
	if region != "" {
		token = Token(region)
	}
	return "findings." + strconv.Itoa(partition) + "." + token + "." + string(t)
}

// InsightSubject returns the subject of one insight event, which is its own.
func InsightSubject(region string, a Account, t InsightType, eventID string) string {
	return "insights." + Token(region) + "." + a.Token() + "." + string(t) + "." + Token(eventID)
}

// DeadSubject returns the subject of the dead letters of a stage.
func DeadSubject(stage string) string { return "dead." + stage }

// InsightsFilter returns the subject filter of the insight events of a region, an account and a type; what is
// empty is not restricted.
func InsightsFilter(region string, a Account, t InsightType) string {
	return "insights." + filterToken(Token(region), region != "") + "." + filterToken(a.Token(), a != Account{}) + "." +
		filterToken(string(t), t != "") + ".*"
}

// MetricsFilter returns the subject filter of the hours of a region and an account; what is empty is not restricted.
func MetricsFilter(region string, a Account) string {
	return "metrics." + filterToken(Token(region), region != "") + "." + filterToken(a.Token(), a != Account{})
}

func filterToken(token string, restricted bool) string {
	if restricted {
		return token
	}
	return "*"
}

// LastToken returns the last token of a subject: the format or kind of a raw message, the kind of a windows
// message, the region or kind of an events message.
func LastToken(subject string) string {
	return subject[strings.LastIndexByte(subject, '.')+1:]
}

// StreamOf returns the stream that stores a subject.
func StreamOf(subject string) (string, error) {
	name, rest, _ := strings.Cut(subject, ".")
	switch Flow(name) {
	case MetricsFlow, InsightsFlow, DeadFlow:
		if rest != "" {
			return strings.ToUpper(name), nil
		}
	case RawFlow, EventsFlow, WindowsFlow, FindingsFlow:
		number, last, _ := strings.Cut(rest, ".")
		if _, ok := parseNumber(number); ok && last != "" {
			return strings.ToUpper(name) + "_" + number, nil
		}
	}
	return "", fmt.Errorf("subject %q has no stream", subject)
}
