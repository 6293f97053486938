package live

import (
	"strings"
	"testing"
)

func event(id, state, rest, why string) []byte {
	return []byte(`{"eventId":"` + id + `","eventTime":1,"insightDetails":{"state":"` + state + `","insightType":"AkInsight"` + rest +
		`,"trailvane":{"score":3,"severity":"low","why":{` + why + `}}}}`)
}

func TestCompare(t *testing.T) {
	start := event("a", "Start", "", `"x":1`)
	for name, c := range map[string]struct {
		published, analyzed []byte
		want                string // how a difference begins, empty for none
	}{
		"equal":               {start, start, ""},
		"another view":        {[]byte(strings.Replace(string(start), "low", "high", 1)), start, ""},
		"another field":       {event("a", "Start", `,"insightObject":"k"`, `"x":1`), start, "other: AkInsight Start a"},
		"another why":         {event("a", "Start", "", `"x":2`), start, "other: "},
		"missing":             {nil, start, "missing: AkInsight Start a"},
		"one too many":        {start, nil, "not found by analyze: "},
		"the input's end":     {nil, event("b", "End", "", `"endReason":"InputEnd"`), ""},
		"another reason":      {event("b", "End", "", `"endReason":"Silence"`), event("b", "End", "", `"endReason":"InputEnd"`), ""},
		"a reason of its own": {event("b", "End", "", `"endReason":"Quiet"`), event("b", "End", "", `"endReason":"Silence"`), "other: "},
		"a missing End":       {nil, event("b", "End", "", `"endReason":"Silence"`), "missing: "},
	} {
		parse := func(e []byte) map[string]Insight {
			all, err := Parse(Lines(e)...)
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		got := strings.Join(Compare(parse(c.published), parse(c.analyzed)), "\n")
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %q", name, got, c.want)
		}
	}
	if _, err := Parse(start, start); err == nil {
		t.Error("an event that comes twice is no error")
	}
}
