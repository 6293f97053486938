package schemas

import "math"

// Fields of the arrays of a finding. The finding's own begins with the version.
const (
	findingFields     = 18
	statisticsFields  = 5
	attributionFields = 3
	attributedFields  = 2
	whyFields         = 17
	driverFields      = 5
	rateWhyFields     = 9
)

// Append appends the message's wire form to b.
func (f *Finding) Append(b []byte) []byte {
	b = appendArray(b, findingFields)
	b = appendUint(b, findingVersion)
	b = appendUint(b, uint64(f.Kind))
	b = appendString(b, string(f.Type))
	b = appendUint(b, f.Generation)
	b = appendString(b, string(f.Account.Provider))
	b = appendString(b, f.Account.ID)
	b = appendString(b, f.Region)
	b = appendString(b, f.Key)
	b = appendUint(b, uint64(f.Ordinal))
	b = appendString(b, f.Object)
	b = appendString(b, f.Service)
	b = appendString(b, f.Event)
	b = appendString(b, f.ErrorCode)
	b = appendInt(b, int64(f.Start))
	b = appendInt(b, int64(f.End))
	b = f.Statistics.append(b)
	b = appendArray(b, len(f.Attributions))
	for i := range f.Attributions {
		b = f.Attributions[i].append(b)
	}
	return f.Why.append(b)
}

// Decode reads a message. Nothing of it aliases body or a message that was decoded before.
func (f *Finding) Decode(body []byte) error {
	r := reader{b: body}
	more := r.open(findingVersion, findingFields)
	r.text.Grow(len(body))
	*f = Finding{
		Kind:       FindingKind(r.max(math.MaxUint8)),
		Type:       InsightType(r.string()),
		Generation: r.uint(),
		Account:    Account{Provider: Provider(r.string()), ID: r.string()},
		Region:     r.string(),
		Key:        r.string(),
		Ordinal:    r.uint32(),
		Object:     r.string(),
		Service:    r.string(),
		Event:      r.string(),
		ErrorCode:  r.string(),
		Start:      r.minute(),
		End:        r.minute(),
	}
	f.Statistics.decode(&r)
	if n := r.list(1 + attributionFields); n > 0 {
		f.Attributions = make([]Attribution, n)
	}
	for i := range f.Attributions {
		f.Attributions[i].decode(&r)
	}
	f.Why.decode(&r)
	return r.close(more)
}

func (s *Statistics) append(b []byte) []byte {
	b = appendArray(b, statisticsFields)
	b = appendFloat(b, s.Insight)
	b = appendFloat(b, s.Baseline)
	b = appendUint(b, uint64(s.InsightDuration))
	b = appendUint(b, uint64(s.BaselineDuration))
	return appendUint(b, s.InsightCount)
}

func (s *Statistics) decode(r *reader) {
	more := r.array(statisticsFields)
	*s = Statistics{
		Insight:          r.float(),
		Baseline:         r.float(),
		InsightDuration:  r.uint32(),
		BaselineDuration: r.uint32(),
		InsightCount:     r.uint(),
	}
	r.rest(more)
}

func (a *Attribution) append(b []byte) []byte {
	b = appendArray(b, attributionFields)
	b = appendString(b, a.Attribute)
	b = appendAttributed(b, a.Insight)
	return appendAttributed(b, a.Baseline)
}

func (a *Attribution) decode(r *reader) {
	more := r.array(attributionFields)
	*a = Attribution{Attribute: r.string(), Insight: r.attributed(), Baseline: r.attributed()}
	r.rest(more)
}

func appendAttributed(b []byte, list []Attributed) []byte {
	b = appendArray(b, len(list))
	for i := range list {
		b = appendArray(b, attributedFields)
		b = appendString(b, list[i].Value)
		b = appendFloat(b, list[i].Average)
	}
	return b
}

func (r *reader) attributed() []Attributed {
	n := r.list(1 + attributedFields)
	if n == 0 {
		return nil
	}
	list := make([]Attributed, n)
	for i := range list {
		more := r.array(attributedFields)
		list[i] = Attributed{Value: r.string(), Average: r.float()}
		r.rest(more)
	}
	return list
}

func (w *Why) append(b []byte) []byte {
	b = appendArray(b, whyFields)
	b = appendString(b, w.Detector)
	b = appendString(b, w.ModelVersion)
	b = appendString(b, w.Route)
	b = appendString(b, w.Direction)
	b = appendFloat(b, w.Log10P)
	b = appendFloat(b, w.OneIn)
	b = appendFloat(b, w.Alpha)
	b = appendFloat(b, w.Tested30d)
	b = appendFloat(b, w.BudgetPerMonth)
	b = appendFloat(b, w.ModelAgeDays)
	b = appendBool(b, w.Confirmed)
	b = appendStrings(b, w.SampleEventIDs)
	b = appendArray(b, len(w.Drivers))
	for i := range w.Drivers {
		b = w.Drivers[i].append(b)
	}
	b = appendString(b, string(w.EndReason))
	b = appendString(b, w.Continues)
	b = appendString(b, w.Text)
	if w.Rate == nil {
		return append(b, codeNil)
	}
	return w.Rate.append(b)
}

func (w *Why) decode(r *reader) {
	more := r.array(whyFields)
	*w = Why{
		Detector:       r.string(),
		ModelVersion:   r.string(),
		Route:          r.string(),
		Direction:      r.string(),
		Log10P:         r.float(),
		OneIn:          r.float(),
		Alpha:          r.float(),
		Tested30d:      r.float(),
		BudgetPerMonth: r.float(),
		ModelAgeDays:   r.float(),
		Confirmed:      r.bool(),
		SampleEventIDs: r.strings(),
		Drivers:        r.drivers(),
		EndReason:      EndReason(r.string()),
		Continues:      r.string(),
		Text:           r.string(),
	}
	if !r.nil() {
		w.Rate = new(RateWhy)
		w.Rate.decode(r)
	}
	r.rest(more)
}

func (d *Driver) append(b []byte) []byte {
	b = appendArray(b, driverFields)
	b = appendString(b, d.Dimension)
	b = appendString(b, d.Value)
	b = appendFloat(b, d.Insight)
	b = appendFloat(b, d.Baseline)
	return appendFloat(b, d.Lift)
}

func (r *reader) drivers() []Driver {
	n := r.list(1 + driverFields)
	if n == 0 {
		return nil
	}
	list := make([]Driver, n)
	for i := range list {
		more := r.array(driverFields)
		list[i] = Driver{
			Dimension: r.string(),
			Value:     r.string(),
			Insight:   r.float(),
			Baseline:  r.float(),
			Lift:      r.float(),
		}
		r.rest(more)
	}
	return list
}

func (w *RateWhy) append(b []byte) []byte {
	b = appendArray(b, rateWhyFields)
	b = appendUint(b, uint64(w.WindowMinutes))
	b = appendFloat(b, w.Observed)
	b = appendFloat(b, w.Expected)
	b = appendFloat(b, w.Ratio)
	b = appendFloat(b, w.NormalMax)
	b = appendFloat(b, w.RatePerMinute)
	b = appendFloat(b, w.Season)
	b = appendFloat(b, w.Spread)
	return appendFloat(b, w.Blocks)
}

func (w *RateWhy) decode(r *reader) {
	more := r.array(rateWhyFields)
	*w = RateWhy{
		WindowMinutes: r.uint32(),
		Observed:      r.float(),
		Expected:      r.float(),
		Ratio:         r.float(),
		NormalMax:     r.float(),
		RatePerMinute: r.float(),
		Season:        r.float(),
		Spread:        r.float(),
		Blocks:        r.float(),
	}
	r.rest(more)
}
