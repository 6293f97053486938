package schemas

import "math"

// Fields of the arrays of a finding. The finding's own begins with the version.
const (
	findingFields     = 18
	statisticsFields  = 5
	attributionFields = 3
	attributedFields  = 2
	whyFields         = 19
	driverFields      = 5
	rateWhyFields     = 14
	addressWhyFields  = 9
	modifierFields    = 2
	operatorWhyFields = 11
	surpriseFields    = 3
	ruleFields        = 4
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
	return structures(r, attributedFields, func(a *Attributed) {
		*a = Attributed{Value: r.string(), Average: r.float()}
	})
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
		b = append(b, codeNil)
	} else {
		b = w.Rate.append(b)
	}
	if w.Address == nil {
		b = append(b, codeNil)
	} else {
		b = w.Address.append(b)
	}
	if w.Operator == nil {
		return append(b, codeNil)
	}
	return w.Operator.append(b)
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
	if !r.nil() {
		w.Address = new(AddressWhy)
		w.Address.decode(r)
	}
	if !r.nil() {
		w.Operator = new(OperatorWhy)
		w.Operator.decode(r)
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
	return structures(r, driverFields, func(d *Driver) {
		*d = Driver{
			Dimension: r.string(),
			Value:     r.string(),
			Insight:   r.float(),
			Baseline:  r.float(),
			Lift:      r.float(),
		}
	})
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
	b = appendFloat(b, w.Blocks)
	b = appendFloat(b, w.ErrorRatio)
	b = appendFloat(b, w.ErrorRatioBaseline)
	b = appendUint(b, uint64(w.Breadth))
	b = appendFloat(b, w.BreadthExpected)
	return appendUint(b, uint64(w.DormantDays))
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

		ErrorRatio:         r.float(),
		ErrorRatioBaseline: r.float(),
		Breadth:            r.uint32(),
		BreadthExpected:    r.float(),
		DormantDays:        r.uint32(),
	}
	r.rest(more)
}

func (w *AddressWhy) append(b []byte) []byte {
	b = appendArray(b, addressWhyFields)
	b = appendString(b, w.AccountKnew)
	b = appendString(b, w.PrincipalKnew)
	b = appendFloat(b, w.PrincipalDays)
	b = appendFloat(b, w.NoveltyDays)
	b = appendString(b, w.BackOff)
	b = appendArray(b, len(w.Modifiers))
	for _, m := range w.Modifiers {
		b = appendArray(b, modifierFields)
		b = appendString(b, m.Name)
		b = appendFloat(b, m.Ratio)
	}
	b = appendString(b, w.ASN)
	b = appendString(b, w.Country)
	return appendUint(b, w.More)
}

func (w *AddressWhy) decode(r *reader) {
	more := r.array(addressWhyFields)
	*w = AddressWhy{
		AccountKnew:   r.string(),
		PrincipalKnew: r.string(),
		PrincipalDays: r.float(),
		NoveltyDays:   r.float(),
		BackOff:       r.string(),
		Modifiers: structures(r, modifierFields, func(m *Modifier) {
			*m = Modifier{Name: r.string(), Ratio: r.float()}
		}),
		ASN:     r.string(),
		Country: r.string(),
		More:    r.uint(),
	}
	r.rest(more)
}

func (w *OperatorWhy) append(b []byte) []byte {
	b = appendArray(b, operatorWhyFields)
	b = appendString(b, w.Class)
	b = appendString(b, w.Operation)
	b = appendString(b, w.Tier)
	b = appendString(b, w.Target)
	b = appendBool(b, w.FirstTime)
	b = appendFloat(b, w.Hazard)
	b = appendFloat(b, w.Surprise)
	b = appendUint(b, uint64(w.HabitualDays))
	b = appendUint(b, w.Denied)
	b = appendArray(b, len(w.Surprises))
	for _, s := range w.Surprises {
		b = appendArray(b, surpriseFields)
		b = appendString(b, s.Attribute)
		b = appendString(b, s.Value)
		b = appendFloat(b, s.Nats)
	}
	b = appendArray(b, len(w.Rules))
	for _, u := range w.Rules {
		b = appendArray(b, ruleFields)
		b = appendString(b, u.Text)
		b = appendUint(b, uint64(u.Hits))
		b = appendUint(b, uint64(u.Days))
		b = appendFloat(b, u.Lower)
	}
	return b
}

func (w *OperatorWhy) decode(r *reader) {
	more := r.array(operatorWhyFields)
	*w = OperatorWhy{
		Class:        r.string(),
		Operation:    r.string(),
		Tier:         r.string(),
		Target:       r.string(),
		FirstTime:    r.bool(),
		Hazard:       r.float(),
		Surprise:     r.float(),
		HabitualDays: r.uint32(),
		Denied:       r.uint(),
		Surprises: structures(r, surpriseFields, func(s *Surprise) {
			*s = Surprise{Attribute: r.string(), Value: r.string(), Nats: r.float()}
		}),
		Rules: structures(r, ruleFields, func(u *Rule) {
			*u = Rule{Text: r.string(), Hits: r.uint32(), Days: r.uint32(), Lower: r.float()}
		}),
	}
	r.rest(more)
}

// structures reads a list of structures of so many fields each, nil if it is empty.
func structures[T any](r *reader, fields int, read func(*T)) []T {
	n := r.list(1 + fields)
	if n == 0 {
		return nil
	}
	list := make([]T, n)
	for i := range list {
		more := r.array(fields)
		read(&list[i])
		r.rest(more)
	}
	return list
}
