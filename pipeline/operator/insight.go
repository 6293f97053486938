package operator

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

const (
	quiet       = schemas.Hour // without an event of the operator and service: it is over
	maxDuration = schemas.Day

	// maxOpen bounds the open insights of an account. Beyond, all operators together have one of each region.
	maxOpen = 32

	maxSamples = 5
	maxSample  = 64  // bytes of an event id: those of both vendors have 36
	maxText    = 256 // bytes of a value among attributions
	topValues  = 8   // values counted per dimension; five of them are told

	continueTime = 30 // minutes after an End in which a new insight continues the old one
)

// The dimensions that explain an insight: first the attributions, then the drivers.
const (
	principal = iota
	userAgent
	api
	errorCode
	attributed
	sourceIP = iota - 1
	accessKey
	indirect
	dimensions
)

var dimensionNames = [dimensions]string{schemas.PrincipalAttribute, schemas.UserAgentAttribute, schemas.APIAttribute,
	schemas.ErrorCodeAttribute, "sourceIPAddress", "accessKeyId", "indirectOperation"}

// An insight is an open one.
type insight struct {
	region, key, object string
	pair                uint64
	op                  uint64 // 0 where it stands for several
	ordinal             uint32
	start, last         schemas.Minute
	count, denied       uint64
	top                 [dimensions][]counted
	samples             []string
	best                verdict // the most unusual event
	root                bool
	baseline            float64
	covered             uint32
	tested, budget, age float64
	continues           int64 // ordinal of the insight that this one continues, -1 for none
}

type counted struct {
	value string
	n     uint64
}

// openOf returns the open insight of a pair.
func (t *task) openOf(p *pair) *insight {
	i := slices.IndexFunc(t.account.open, func(o *insight) bool { return o.pair == p.hash })
	if i < 0 {
		return nil
	}
	return t.account.open[i]
}

// openInsight opens one, or adds the event to the one that stands for all others. It reports that the event is told.
func (t *task) openInsight(c *call, v *verdict, p *pair, overflow bool) bool {
	a := t.account
	if len(a.open) >= maxOpen || overflow {
		p, overflow = a.pairOf(otherPair(t.region.name), true, c.row.Minute), true
		if o := t.openOf(p); o != nil && !t.over(o, c.row.Minute) {
			t.collect(o, c, v)
			return true
		}
	}
	o := &insight{region: t.region.name, key: c.service + "/" + c.name, object: c.service, pair: p.hash, op: c.op,
		ordinal: p.ordinal, start: c.row.Minute, last: c.row.Minute, root: c.row.PrincipalType == schemas.RootPrincipal,
		tested: a.tested.month, budget: t.budget, continues: -1}
	if overflow {
		o.key, o.op = otherOperators, 0
	}
	if o.object == "" {
		o.object = "unknown"
	}
	o.age = float64(max(int64(o.start)-int64(a.age.Born), 0)) / float64(schemas.Day)
	if since := int64(o.start) - int64(p.lastEnd); p.ordinal > 0 && since >= 0 && since <= continueTime {
		o.continues = int64(p.ordinal) - 1
	}
	t.compareWith(o, p)
	p.ordinal++
	a.open = append(a.open, o)
	t.keep(o, c, v)
	t.add(o, c)
	t.finding(o, schemas.OpenFinding, later(o.start, 1), "")
	return true
}

// compareWith notes how many such events there were in the seven days before, and in the open day.
func (t *task) compareWith(o *insight, p *pair) {
	day := o.start.Day()
	open := int64(o.start) - int64(day)*int64(schemas.Day)
	o.covered = uint32(min(max(int64(o.start)-int64(t.account.age.Born), 1), 7*int64(schemas.Day)+open))
	o.baseline = float64(p.week(day)) / float64(o.covered)
}

// collect adds an event to an open insight. One that came late, from before the Start, is learned and not told.
func (t *task) collect(o *insight, c *call, v *verdict) {
	if c.row.Minute < o.start {
		return
	}
	o.last = max(o.last, c.row.Minute)
	t.add(o, c)
	if v.score > o.best.score {
		t.keep(o, c, v)
	}
}

// keep takes the verdict that explains an insight, with the rules that its event breaks.
func (t *task) keep(o *insight, c *call, v *verdict) {
	v.rules = t.rules(c)
	o.best = *v
}

// add counts an event.
func (t *task) add(o *insight, c *call) {
	r := c.row
	o.count += uint64(r.Count)
	if c.denied {
		o.denied += uint64(r.Count)
	}
	code := t.text(r.ErrorCode)
	if code == "" {
		code = schemas.NoError
	}
	for d, value := range [...]string{principal: t.text(r.Principal), userAgent: t.text(r.UserAgent),
		api:       c.service + "/" + c.event,
		errorCode: code, sourceIP: t.text(r.SourceIP), accessKey: t.text(r.AccessKey)} {
		o.top[d] = addTop(o.top[d], clip(value), uint64(r.Count))
	}
	if id := r.Sample; id != "" && len(o.samples) < maxSamples {
		if id = strings.Clone(id[:min(len(id), maxSample)]); !slices.Contains(o.samples, id) {
			o.samples = append(o.samples, id)
		}
	}
}

// support notes an operation that reaches the goal through another service, in the open insights of its operator.
func (t *task) support(r *schemas.Row) {
	op := operatorHash(r.PrincipalType, t.text(r.Principal))
	for _, o := range t.account.open {
		if o.op == op && o.region == t.region.name && r.Minute >= o.start && r.Minute < later(o.last, quiet) {
			o.top[indirect] = addTop(o.top[indirect], clip(t.text(r.Service)+"/"+t.text(r.Name)), uint64(r.Count))
		}
	}
}

func clip(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// addTop counts by Space-Saving: a new value takes over the smallest count.
func addTop(top []counted, value string, n uint64) []counted {
	if value == "" {
		return top
	}
	smallest := 0
	for i := range top {
		if top[i].value == value {
			top[i].n += n
			return top
		}
		if top[i].n < top[smallest].n {
			smallest = i
		}
	}
	if len(top) < topValues {
		return append(top, counted{strings.Clone(value), n})
	}
	top[smallest] = counted{strings.Clone(value), top[smallest].n + n}
	return top
}

// later adds to a minute; a log may claim any year.
func later(m, d schemas.Minute) schemas.Minute {
	return schemas.Minute(min(int64(m)+int64(d), math.MaxInt32))
}

// over ends an insight that an event of minute m is too late for, and reports whether it did.
func (t *task) over(o *insight, m schemas.Minute) bool {
	switch limit := later(o.start, maxDuration); {
	case m >= limit && later(o.last, quiet) >= limit:
		t.closeInsight(o, limit, schemas.MaxDuration)
	case m >= later(o.last, quiet):
		t.closeInsight(o, later(o.last, 1), schemas.Silence)
	default:
		return false
	}
	return true
}

// silence ends the insights of the region that the watermark has left behind.
func (t *task) silence() {
	for i := 0; i < len(t.account.open); {
		if o := t.account.open[i]; o.region != t.region.name || !t.over(o, t.region.watermark) {
			i++
		}
	}
}

// closeAll ends every insight of the region, because a bounded input is over.
func (t *task) closeAll() {
	for i := 0; i < len(t.account.open); {
		if o := t.account.open[i]; o.region == t.region.name {
			t.closeInsight(o, later(o.last, 1), schemas.InputEnd)
			continue
		}
		i++
	}
}

// closeInsight ends it at the first minute that has no more of it.
func (t *task) closeInsight(o *insight, end schemas.Minute, why schemas.EndReason) {
	end = max(end, later(o.start, 1))
	t.finding(o, schemas.CloseFinding, end, why)
	a := t.account
	if i, ok := slices.BinarySearchFunc(a.pairs, o.pair, func(p *pair, h uint64) int { return cmp.Compare(p.hash, h) }); ok {
		a.pairs[i].lastEnd = end
	}
	i := slices.Index(a.open, o)
	a.open = slices.Delete(a.open, i, i+1)
}

// finding appends the finding of an insight, which explains [start, end).
func (t *task) finding(o *insight, kind schemas.FindingKind, end schemas.Minute, reason schemas.EndReason) {
	b := &o.best
	minutes := max(float64(end-o.start), 1)
	lnP := min(b.lnP, 0)
	f := schemas.Finding{
		Kind: kind, Key: o.key, Ordinal: o.ordinal, Object: o.object, Service: o.object, Start: o.start,
		Statistics: schemas.Statistics{
			Insight: schemas.Round(float64(o.count) / minutes), Baseline: schemas.Round(o.baseline),
			InsightDuration: uint32(minutes), BaselineDuration: o.covered, InsightCount: o.count,
		},
		Why: schemas.Why{
			Detector: t.config.Detector, ModelVersion: ModelVersion, Route: "surprise",
			Log10P: schemas.Round(lnP / ln10), OneIn: schemas.Round(min(model.Exp(-lnP), 1e300)), Alpha: schemas.Round(b.alpha),
			Tested30d: schemas.Round(o.tested), BudgetPerMonth: schemas.Round(o.budget), ModelAgeDays: schemas.Round(o.age),
			Confirmed: true, SampleEventIDs: slices.Clone(o.samples), EndReason: reason,
			Operator: &schemas.OperatorWhy{
				Class: t.config.Class.String(), Operation: b.operation, Tier: b.tier.String(), FirstTime: b.first,
				Hazard: schemas.Round(b.hazard), Surprise: schemas.Round(b.score), HabitualDays: b.days, Denied: o.denied,
				Surprises: rounded(b.surprises), Rules: slices.Clone(b.rules),
			},
		},
	}
	if o.root {
		f.Why.Route = "root"
	}
	if b.target > schemas.OtherTarget { // that it is somebody or something else goes without saying
		f.Why.Operator.Target = b.target.String()
	}
	for i := range f.Why.Operator.Rules {
		r := &f.Why.Operator.Rules[i]
		r.Lower = schemas.Round(r.Lower)
	}
	if kind == schemas.CloseFinding {
		f.End = end
	}
	if o.continues >= 0 {
		f.Why.Continues = strconv.FormatInt(o.continues, 10)
	}
	for d := range attributed {
		f.Attributions = append(f.Attributions, o.attribution(d, minutes))
	}
	for d := sourceIP; d < dimensions; d++ {
		for _, v := range ordered(o.top[d]) {
			f.Why.Drivers = append(f.Why.Drivers, schemas.Driver{Dimension: dimensionNames[d], Value: v.value,
				Insight: schemas.Round(float64(v.n) / minutes)})
		}
	}
	f.Why.Text = sentence(&f, b.shown)
	t.out = append(t.out, f)
}

const ln10 = 2.302585092994045684

// attribution tells the most frequent values of a dimension. Only the operator has a normal: its own events of the week before.
func (o *insight) attribution(d int, minutes float64) schemas.Attribution {
	a := schemas.Attribution{Attribute: dimensionNames[d]}
	for _, v := range ordered(o.top[d]) {
		a.Insight = append(a.Insight, schemas.Attributed{Value: v.value, Average: schemas.Round(float64(v.n) / minutes)})
	}
	if d == principal && o.op != 0 && o.baseline > 0 && len(a.Insight) == 1 {
		a.Baseline = []schemas.Attributed{{Value: a.Insight[0].Value, Average: schemas.Round(o.baseline)}}
	}
	return a
}

// ordered returns the values that are told, the most frequent first.
func ordered(top []counted) []counted {
	out := slices.Clone(top)
	slices.SortFunc(out, func(x, y counted) int { return cmp.Or(cmp.Compare(y.n, x.n), strings.Compare(x.value, y.value)) })
	return out[:min(len(out), schemas.MaxAttributed)]
}

func rounded(in []schemas.Surprise) []schemas.Surprise {
	out := slices.Clone(in)
	for i := range out {
		out[i].Nats = schemas.Round(out[i].Nats)
	}
	return out
}
