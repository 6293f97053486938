package apierrorrate

import (
	"strings"

	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// fanOutBudget is the part of the budget that fan-outs have.
const fanOutBudget = Budget / 4.

// A fanOut is who is denied, or throttled, on many different calls. Somebody who tries what a stolen key may do is denied once by
// each of them, which no key of a call can see.
type fanOut struct {
	pane  *schemas.Pane        // that is observed
	class []catalog.ErrorClass // of its strings, as far as they are error codes
	known []bool
}

func (f *fanOut) config() model.Config {
	return model.Config{
		Type: Type, Budget: fanOutBudget, Counts: f.counts, ID: f.id, AppendKey: f.appendKey,
		Breadth: model.BreadthOnly, API: true,
	}
}

func (f *fanOut) begin(p *schemas.Pane) {
	f.pane = p
	f.class = append(f.class[:0], make([]catalog.ErrorClass, len(p.Strings))...)
	f.known = append(f.known[:0], make([]bool, len(p.Strings))...)
}

// classOf classifies each code of a pane once.
func (f *fanOut) classOf(code uint32) catalog.ErrorClass {
	if int(code) >= len(f.known) {
		return catalog.OtherError
	}
	if !f.known[code] {
		f.class[code], f.known[code] = catalog.ClassOf(f.pane.Strings[code]), true
	}
	return f.class[code]
}

// counts takes calls, read and write, that were denied or throttled.
func (f *fanOut) counts(r *schemas.Row) bool {
	if r.ErrorCode == 0 || r.Principal == 0 {
		return false
	}
	c := f.classOf(r.ErrorCode)
	return c == catalog.DeniedError || c == catalog.ThrottledError
}

func (f *fanOut) id(r *schemas.Row) uint64 {
	return uint64(f.classOf(r.ErrorCode))<<40 | uint64(r.PrincipalType)<<32 | uint64(r.Principal)
}

const (
	isDenied     = " (denied)"
	isThrottled  = " (throttled)"
	maxPrincipal = model.MaxKey - 40 // bytes, so that nothing of the rest is cut
)

// appendKey appends "kind/principal (class)". The keys of codes end with a code, which has no bracket.
func (f *fanOut) appendKey(b []byte, p *schemas.Pane, r *schemas.Row) []byte {
	b = append(b, model.PrincipalKind(r.PrincipalType)...)
	b = append(b, '/')
	who := p.Strings[r.Principal]
	b = append(b, who[:min(len(who), maxPrincipal)]...)
	if f.classOf(r.ErrorCode) == catalog.ThrottledError {
		return append(b, isThrottled...)
	}
	return append(b, isDenied...)
}

// tellFanOut adds words to a finding.
func tellFanOut(f *schemas.Finding) {
	if f.Key == model.OverflowKey {
		f.Key += isDenied // it is not the one of the codes
	}
	for _, a := range f.Attributions {
		if a.Attribute == schemas.ErrorCodeAttribute && len(a.Insight) > 0 {
			f.Object = a.Insight[0].Value
		}
	}
	if f.Object == "" {
		f.Object = f.Key
	}
	f.Why.Detector = "apierrorrate"
	f.Why.Text = fanOutSentence(f)
}

func fanOutSentence(f *schemas.Finding) string {
	var b strings.Builder
	say := func(words ...string) {
		for _, w := range words {
			b.WriteString(w)
		}
	}
	st, w := &f.Statistics, f.Why.Rate
	_, who, _ := strings.Cut(f.Key, "/")
	verb := " was denied "
	if left, ok := strings.CutSuffix(who, isThrottled); ok {
		who, verb = left, " was throttled on "
	}
	say(strings.TrimSuffix(who, isDenied), verb, model.Plural(st.InsightCount, "call", "calls"), " in ",
		model.Plural(uint64(st.InsightDuration), "minute", "minutes"), ", ", model.Different(float64(w.Breadth)),
		" in that clock hour; normally ")
	if st.Baseline > 0 {
		say(model.PerTime(st.Baseline), ", ", model.Different(w.BreadthExpected), " in such an hour")
	} else {
		say("it never happens")
	}
	say("; ", model.HowRare(f.Why.OneIn), ".")
	return b.String()
}
