package main

import (
	"io"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/view"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/stages"
)

// showFlags say which insights are shown, and how.
type showFlags struct {
	Output      string   `default:"auto" enum:"auto,table,explain,ndjson" help:"table for people, explain for all that is known of each insight in words, ndjson for programs (auto: table on a terminal)." short:"o"`
	Shape       string   `default:"auto" enum:"auto,native,actiontrail,cloudtrail" help:"Shape of ndjson: ${enum}. auto is that of the account's own cloud, native has all fields."`
	StrictShape bool     `help:"Leave out the fields that the vendor's shape does not have."`
	Types       []string `name:"type" aliases:"types" env:"-" placeholder:"TYPE" help:"Show only these insight types, for example ApiCallRate."`
	Account     []string `placeholder:"ID" help:"Show only these accounts."`
	Region      []string `placeholder:"REGION" help:"Show only these regions."`
	MinSeverity string   `default:"low" enum:"${severities}" help:"Show only insights that are at least so severe: ${enum} (all of them). Severity rises with how unusual something is, with what was done, and with insights of other types in the same incident."`
}

// filter returns what decides whether an insight event is shown, and how severe it must be.
func (f *showFlags) filter() (func(*schemas.Insight) bool, view.Severity, error) {
	types, err := insightTypes("--type", f.Types)
	if err != nil {
		return nil, 0, err
	}
	least, err := view.ParseSeverity(f.MinSeverity)
	if err != nil {
		return nil, 0, usageError{err}
	}
	return func(i *schemas.Insight) bool {
		return (len(types) == 0 || slices.Contains(types, i.Details.Type)) && f.where(i.AccountID, i.Region)
	}, least, nil
}

// where reports whether what happened there is wanted.
func (f *showFlags) where(account, region string) bool {
	return (len(f.Account) == 0 || slices.Contains(f.Account, account)) && (len(f.Region) == 0 || slices.Contains(f.Region, region))
}

// ndjson reports whether insights are printed for programs.
func (f *showFlags) ndjson(out io.Writer) bool {
	_, terminal := present.Terminal(out)
	return f.Output == "ndjson" || f.Output == "auto" && !terminal
}

// lines prints insights for programs.
func (f *showFlags) lines(out io.Writer, insights []schemas.Insight) error {
	shape := schemas.Shape(f.Shape)
	if f.Shape == "auto" {
		shape = schemas.OwnShape
	}
	return present.NDJSON(out, insights, shape, f.StrictShape)
}

// insightTypes returns the insight types that a flag names, with or without "Insight", in any case.
func insightTypes(flag string, names []string) ([]schemas.InsightType, error) {
	var known []string
	for _, t := range stages.Types() {
		known = append(known, strings.TrimSuffix(string(t), "Insight"))
	}
	var types []schemas.InsightType
	for _, t := range names {
		i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(t, k) || strings.EqualFold(t, k+"Insight") })
		if i < 0 {
			return nil, usagef("%s=%s: there is no such type; there is %s", flag, t, strings.Join(known, ", "))
		}
		types = append(types, schemas.InsightType(known[i]+"Insight"))
	}
	return types, nil
}

// A feed decides about insight events one by one, as they are stored.
type feed struct {
	views  *view.Reader
	show   func(*schemas.Insight) bool
	least  view.Severity
	severe map[string]bool // insights that are open and were severe enough at their Start; each ends within a day
}

func newFeed(show func(*schemas.Insight) bool, least view.Severity) *feed {
	return &feed{views: view.NewReader(), show: show, least: least, severe: make(map[string]bool)}
}

// next fills in an event's view, as far as is known by now, and reports whether it is shown. The End of an insight is shown if
// its Start was.
func (f *feed) next(i *schemas.Insight) bool {
	f.views.Add(i)
	v := f.views.View(i)
	v.Fill(i)
	severe := f.severe[i.SharedEventID] || v.Severity >= f.least
	switch {
	case i.Details.State == schemas.EndState:
		delete(f.severe, i.SharedEventID)
	case severe:
		f.severe[i.SharedEventID] = true
	}
	return severe && f.show(i)
}
