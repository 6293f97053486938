package ip

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// silence is how long a region must have been quiet about an address: a break for lunch is another visit, a slow script is not.
const silence = 30

// An insight is the stay of a suspicious address in a region on a day.
type insight struct {
	addr        netip.Addr
	object      string
	region      string
	day         int32
	start, last schemas.Minute
	count       uint64
	who         string // principal of the first request
	standing    bool   // the tenth of the day stands for all further ones
	more        uint64
	fresh       bool // not told yet; never in state
	top         [dimensions]model.TopTexts
	samples     []string
	why         schemas.Why
}

func (i *insight) compare(j *insight) int {
	return cmp.Or(strings.Compare(i.region, j.region), i.addr.Compare(j.addr), cmp.Compare(i.day, j.day))
}

// enter puts an insight among the open ones of its account, unless it is there.
func (a *account) enter(i *insight) bool {
	at, known := slices.BinarySearchFunc(a.open, i, (*insight).compare)
	if !known {
		a.open = slices.Insert(a.open, at, i)
	}
	return !known
}

// Dimensions of a row that explain an insight: the first four are attributions, the others drivers.
const (
	userAgent = iota
	principalID
	apiRelated
	errorCode
	sourceIP
	accessKey
	dimensions

	attributed = sourceIP
)

var dimensionNames = [dimensions]string{
	schemas.UserAgentAttribute, schemas.PrincipalAttribute, schemas.APIAttribute, schemas.ErrorCodeAttribute,
	"sourceIPAddress", "accessKeyId",
}

const (
	maxSamples = 5
	maxSample  = 64 // bytes of an event id: those of both vendors have 36
)

// cut bounds a value, and does not hold on to the dictionary of a pane.
func cut(v string) string { return strings.Clone(model.Bound(v)) }

// collect adds a row to the insight that is open for its address, region and day. Rows from before the Start come late, and
// are outside of the insight.
func (t *task) collect(s *slot, r *schemas.Row) {
	for _, i := range t.account.open {
		if i.addr != s.addr || r.Minute < i.start || r.Minute.Day() != i.day || i.region != t.p.Region {
			continue
		}
		i.last = max(i.last, r.Minute)
		n := uint64(r.Count)
		i.count += n
		i.top[userAgent].Add(t.text(r.UserAgent), n)
		i.top[principalID].Add(t.text(r.Principal), n)
		i.top[apiRelated].Add(t.text(r.Service)+"/"+t.text(r.Name), n)
		i.top[errorCode].Add(cmp.Or(t.text(r.ErrorCode), schemas.NoError), n)
		i.top[sourceIP].Add(i.object, n)
		i.top[accessKey].Add(t.text(r.AccessKey), n)
		if r.Sample != "" && len(i.samples) < maxSamples {
			i.samples = append(i.samples, strings.Clone(r.Sample[:min(len(r.Sample), maxSample)]))
		}
		return
	}
}

// midnight is when the day of an insight is over.
func (i *insight) midnight() int64 { return (int64(i.day) + 1) * int64(schemas.Day) }

// end ends the insights of the pane's region that are over when all minutes before the watermark are closed.
func (t *task) end(watermark schemas.Minute) {
	t.close(func(i *insight) schemas.EndReason {
		switch quiet := int64(i.last) + silence + 1; {
		case !i.standing && quiet <= min(int64(watermark), i.midnight()):
			return schemas.Silence
		case int64(watermark) >= i.midnight():
			return schemas.DayEnd
		}
		return ""
	})
}

// closeAll ends what is open in the region, because a bounded input is over.
func (t *task) closeAll() { t.close(func(*insight) schemas.EndReason { return schemas.InputEnd }) }

// close ends the insights of the pane's region for which there is a reason.
func (t *task) close(over func(*insight) schemas.EndReason) {
	t.account.open = slices.DeleteFunc(t.account.open, func(i *insight) bool {
		if i.region != t.p.Region {
			return false
		}
		reason := over(i)
		if reason != "" {
			t.finding(i, schemas.CloseFinding, reason)
		}
		return reason != ""
	})
}

// finding appends what is to be told of an insight. Its key is the address on its day, so that none is ever told twice.
func (t *task) finding(i *insight, kind schemas.FindingKind, reason schemas.EndReason) {
	minutes := i.last + 1 - i.start
	f := schemas.Finding{
		Kind: kind, Key: i.object + " " + dayText(i.day), Object: i.object, Start: i.start,
		Statistics: schemas.Statistics{
			Insight:          schemas.Round(float64(i.count) / float64(minutes)),
			InsightDuration:  uint32(minutes),
			BaselineDuration: t.covered(i.start),
			InsightCount:     i.count,
		},
		Why: i.why,
	}
	about := *i.why.Address
	about.More = i.more
	f.Why.Address, f.Why.EndReason, f.Why.SampleEventIDs = &about, reason, slices.Clone(i.samples)
	if kind == schemas.CloseFinding {
		f.End = i.last + 1
	}
	for d := range dimensions {
		values := i.top[d].Attributed(float64(minutes))
		if d < attributed && len(values) > 0 {
			f.Attributions = append(f.Attributions, schemas.Attribution{Attribute: dimensionNames[d], Insight: values})
			continue
		}
		for _, v := range values {
			f.Why.Drivers = append(f.Why.Drivers, schemas.Driver{Dimension: dimensionNames[d], Value: v.Value, Insight: v.Average})
		}
	}
	f.Why.Text = sentence(i.object, i.who, &f.Why)
	t.out = append(t.out, f)
}

// covered is how many minutes the baseline covers, in which there was no request: the seven days before the start and the
// open day, or what there is of them.
func (t *task) covered(start schemas.Minute) uint32 {
	open := int64(start) - int64(start.Day())*int64(schemas.Day)
	return uint32(min(max(int64(start)-int64(t.account.age.Born), 1), 7*int64(schemas.Day)+open))
}

// dayText writes a day as "2026-01-07".
func dayText(day int32) string {
	const date = len("2006-01-02")
	text := schemas.Minute(min(int64(day)*int64(schemas.Day), 1<<31-1)).String()
	return text[:min(date, len(text))]
}
