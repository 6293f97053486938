package model

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/trailvane/trailvane/schemas"
)

// ModelVersion names the constants of this package; it stands in every finding.
const ModelVersion = "msbm-3"

// Evidence is what the model said of the minute that speaks for an insight.
type evidence struct {
	closed    bool // it was final
	lnP       float64
	window    uint8
	s, m      float64
	normalMax float64 // S that would have p = 1e-3
	lambda    float64
	season    float64
	spread    float64
	blocks    float64
	ageDays   float64
	kinds     float64 // different calls of the hour, and what is expected of it
	kindsMean float64
	dormant   uint32

	tried             bool // it was asked how frequent it is among its trials
	share, usualShare float64
}

// ground is what an insight is compared with. It is taken from closed minutes when the insight opens, and stays.
type ground struct {
	baseline  float64 // calls per minute over the seven days before the start and the open day
	covered   uint32  // minutes
	usual     [dimensions][]usualShare
	line      line
	continues int64 // ordinal of the insight that this one continues, -1 for none
}

// A usualShare is a value's share of the normal calls.
type usualShare struct {
	id    uint32
	share float64
}

// evidence describes the score of a minute, just seen by l.
func (r *rate) evidence(l *lookout, sc *score) evidence {
	e := evidence{
		lnP: sc.lnP, window: uint8(sc.window), s: sc.s, m: sc.m,
		lambda:  l.a / l.b,
		season:  l.season.factor(slotOf(sc.minute)),
		ageDays: float64(sc.minute-r.born) / float64(schemas.Day),
		dormant: r.dormant,
	}
	if l.breadth != nil {
		e.kinds, e.kindsMean = l.breadth.seen.size(), l.breadth.expected
	}
	if l.trials != nil {
		e.tried, e.share, e.usualShare = true, sc.s/(sc.s+sc.g), l.pi
	}
	lnP := -3 * ln10
	var t *tail
	if sc.window == byBreadth {
		e.spread, t = l.breadth.spread(), &l.breadth.tail
	} else {
		e.spread, t = l.spread(sc.window, sc.m), &l.tails[sc.window]
		lnP -= ln2
	}
	e.blocks = t.n
	z := max(t.u, t.zOf(lnP))
	e.normalMax = max(0, float64((sc.m+small)*Exp(float64(z*e.spread)))-small)
	return e
}

// continueTime is how soon after an End a new insight of the key continues the old one.
const continueTime = 30

// maxOpen bounds the open insights of an account and detector. Nobody reads more of them, and whoever can make keys could make as
// many alarms: what comes beyond is a near miss, which says why. It is more than the keys of a busy minute, because only where it
// may be reached must the keys of a minute be sorted.
const maxOpen = 512

// full reports that the account has as many open insights as it may.
func (t *task) full() bool { return t.account.open >= maxOpen }

// openInsight opens the insight of a series that has none, with what was known before it and the evidence of the alarm.
func (t *task) openInsight(s *series, start, alarm schemas.Minute, before lookout, e evidence) {
	s.open = &insight{
		start: start, alarm: alarm, lastHot: alarm, lastOdd: alarm, young: !s.alive || start-s.rate.born < young || e.dormant > 0,
		before: before, best: e, ground: t.ground(s, start),
	}
	if season := s.open.before.season; season != nil {
		frozen := *season
		s.open.before.season = &frozen
	}
	if s.run != nil && s.run.start != start {
		s.run = nil // it was over
	}
	s.ordinal++
	if s.rate.block == hourOf(alarm) { // not an earlier hour, which nothing has closed yet
		s.told, s.peak = true, nearMiss{}
	}
	t.region.open = append(t.region.open, s)
	t.account.open++
	t.slices.touch(s)
	t.finding(s, schemas.OpenFinding, alarm+1, "")
}

// closeInsight ends it, at the first minute that is no longer abnormal.
func (t *task) closeInsight(s *series, end schemas.Minute, why schemas.EndReason) {
	t.finding(s, schemas.CloseFinding, max(end, s.open.start+1), why)
	s.lastEnd = end
	s.open, s.run = nil, nil
	open := t.region.open
	i := slices.Index(open, s)
	t.region.open = slices.Delete(open, i, i+1)
	t.account.open--
	t.slices.touch(s)
}

// closeAll ends every insight of the region, because a bounded input is over.
func (t *task) closeAll() {
	for len(t.region.open) > 0 {
		s := t.region.open[0]
		t.closeInsight(s, min(s.end(), s.open.start+maxDuration), schemas.InputEnd)
	}
}

// ground gathers what is normal for a series, as of the start of its insight.
func (t *task) ground(s *series, start schemas.Minute) ground {
	g := ground{line: *t.line(&s.rate), continues: -1}
	if s.lastEnd != 0 && start-s.lastEnd <= continueTime {
		g.continues = int64(s.ordinal) - 1
	}
	var calls uint64
	day := start.Day()
	for i, n := range s.days {
		if d := s.day - int32(i); s.alive && d <= day && d >= day-7 {
			calls += n
		}
	}
	if s.run != nil && s.run.start == start {
		calls -= min(calls, s.run.main.count)
	}
	for _, r := range s.pending {
		if schemas.Minute(r.minute) < start {
			calls += r.count
		}
	}
	open := int64(start) - int64(day)*int64(schemas.Day)
	g.covered = uint32(min(max(int64(start)-int64(t.account.age.Born), 1), 7*int64(schemas.Day)+open))
	g.baseline = float64(calls) / float64(g.covered)
	if s.usual != nil {
		for d, top := range s.usual.top {
			g.usual[d] = t.account.shares(top)
		}
	}
	return g
}

// shares returns the most frequent usual values.
func (a *account) shares(top []usualValue) []usualShare {
	sum := 0.0
	for _, v := range top {
		sum += float64(v.n)
	}
	out := make([]usualShare, 0, len(top))
	for _, v := range top {
		if v.n > 0 {
			out = append(out, usualShare{v.id, float64(v.n) / sum})
		}
	}
	slices.SortFunc(out, func(x, y usualShare) int {
		return cmp.Or(cmp.Compare(y.share, x.share), cmp.Compare(a.names.of[x.id], a.names.of[y.id]))
	})
	return out[:min(len(out), schemas.MaxAttributed)]
}

// finding appends the finding of the open insight of s, which explains [start, end).
func (t *task) finding(s *series, kind schemas.FindingKind, end schemas.Minute, reason schemas.EndReason) {
	o, e := s.open, &s.open.best
	seen := s.collect(&t.account.names, o.start, end)
	minutes := float64(end - o.start)
	route := "rate"
	if e.window == byBreadth {
		route = "breadth"
	}
	f := schemas.Finding{
		Kind:    kind,
		Key:     s.key,
		Ordinal: s.ordinal - 1,
		Start:   o.start,
		Statistics: schemas.Statistics{
			Insight:          schemas.Round(float64(seen.count) / minutes),
			Baseline:         schemas.Round(o.baseline),
			InsightDuration:  uint32(end - o.start),
			BaselineDuration: o.covered,
			InsightCount:     seen.count,
		},
		Why: schemas.Why{
			ModelVersion:   ModelVersion,
			Route:          route,
			Direction:      "rise",
			Log10P:         schemas.Round(e.lnP / ln10),
			OneIn:          schemas.Round(min(Exp(-e.lnP), 1e300)),
			Alpha:          schemas.Round(o.line.alpha),
			Tested30d:      schemas.Round(o.line.tested),
			BudgetPerMonth: schemas.Round(o.line.budget),
			ModelAgeDays:   schemas.Round(e.ageDays),
			Confirmed:      o.confirmed,
			SampleEventIDs: seen.samples,
			EndReason:      reason,
			Rate: &schemas.RateWhy{
				WindowMinutes: WindowMinutes[e.window],
				Observed:      schemas.Round(e.s),
				Expected:      schemas.Round(e.m),
				Ratio:         schemas.Round((e.s + small) / (e.m + small)),
				NormalMax:     schemas.Round(e.normalMax),
				RatePerMinute: schemas.Round(e.lambda),
				Season:        schemas.Round(e.season),
				Spread:        schemas.Round(e.spread),
				Blocks:        schemas.Round(e.blocks),

				ErrorRatio:         schemas.Round(e.share),
				ErrorRatioBaseline: schemas.Round(e.usualShare),
				Breadth:            uint32(e.kinds + 0.5),
				BreadthExpected:    schemas.Round(e.kindsMean),
				DormantDays:        e.dormant,
			},
		},
	}
	if kind == schemas.CloseFinding {
		f.End = end
	}
	if o.continues >= 0 {
		f.Why.Continues = strconv.FormatInt(o.continues, 10)
	}
	for d := range dimensions {
		t.explain(&f, d, &seen, o.usual[d], minutes)
	}
	t.out = append(t.out, f)
}

// explain adds an attribution, or drivers, of one dimension.
func (t *task) explain(f *schemas.Finding, d int, seen *sketch, base []usualShare, minutes float64) {
	n := &t.account.names
	top := slices.Clone(seen.top[d])
	slices.SortFunc(top, func(x, y Counted[uint32]) int {
		return cmp.Or(cmp.Compare(y.Sure(), x.Sure()), cmp.Compare(n.of[x.Value], n.of[y.Value]))
	})
	var insight, baseline []schemas.Attributed
	for _, c := range top {
		if v, ok := n.value(d, c.Value); ok && len(insight) < schemas.MaxAttributed {
			insight = append(insight, schemas.Attributed{Value: v, Average: schemas.Round(float64(c.Sure()) / minutes)})
		}
	}
	for _, c := range base {
		if v, ok := n.value(d, c.id); ok {
			baseline = append(baseline, schemas.Attributed{Value: v, Average: schemas.Round(float64(c.share * f.Statistics.Baseline))})
		}
	}
	if d < attributed && len(insight)+len(baseline) == 0 || d == apiRelated && !t.config.API {
		return
	}
	if d < attributed {
		f.Attributions = append(f.Attributions, schemas.Attribution{Attribute: dimensionNames[d], Insight: insight, Baseline: baseline})
		return
	}
	for _, v := range insight {
		dr := schemas.Driver{Dimension: dimensionNames[d], Value: v.Value, Insight: v.Average}
		if i := slices.IndexFunc(baseline, func(b schemas.Attributed) bool { return b.Value == v.Value }); i >= 0 {
			dr.Baseline = baseline[i].Average
			if dr.Baseline > 0 {
				dr.Lift = schemas.Round(v.Average / dr.Baseline)
			}
		}
		f.Why.Drivers = append(f.Why.Drivers, dr)
	}
}

// value returns what is reported: a call without error code has the code "null", as CloudTrail writes it; other dimensions
// leave out what a record does not say.
func (n *names) value(d int, id uint32) (string, bool) {
	switch {
	case id == rest:
		return "", false
	case id != noValue:
		return n.of[id], true
	case d == errorCode:
		return "null", true
	}
	return "", false
}
