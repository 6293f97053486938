package view

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/trailvane/trailvane/schemas"
)

const account1, account2 = "111122223333", "444455556666"

var reader = NewReader() // of severities, which need no state

// one returns a Start, or an End that lasted some minutes.
func one(id string, kind schemas.InsightType, at schemas.Minute, lasted uint32, values ...string) schemas.Insight {
	i := schemas.Insight{
		EventID: id + "s", SharedEventID: id, EventTime: at, Provider: schemas.AWS, AccountID: account1,
		Details: schemas.InsightDetails{State: schemas.StartState, Type: kind, Object: "x"},
	}
	i.Details.Context.Statistics.InsightDuration = 1
	if lasted > 0 {
		i.EventID, i.Details.State, i.Details.Context.Statistics.InsightDuration = id+"e", schemas.EndState, lasted
	}
	for _, v := range values {
		dimension, value := v[:1], v[1:]
		switch dimension {
		case "p":
			i.Details.Context.Attributions = append(i.Details.Context.Attributions, schemas.Attribution{
				Attribute: schemas.PrincipalAttribute, Insight: []schemas.Attributed{{Value: value, Average: 1}},
			})
		case "k":
			i.Details.Trailvane.Why.Drivers = append(i.Details.Trailvane.Why.Drivers, schemas.Driver{Dimension: keyDriver, Value: value, Insight: 1})
		case "a":
			i.Details.Trailvane.Why.Drivers = append(i.Details.Trailvane.Why.Drivers, schemas.Driver{Dimension: addressDriver, Value: value, Insight: 1})
		case "o":
			i.Details.Object = value
		}
	}
	return i
}

func TestIncidents(t *testing.T) {
	const r, ip, ak, pol = schemas.APICallRate, schemas.IP, schemas.AK, schemas.PolicyChange
	other := one("b", r, 110, 0, "pann")
	other.AccountID = account2
	far := one("b", r, 110, 0, "pann")
	far.Region = "eu-west-1"
	bystander := one("b", r, 110, 0, "pbob")
	bystander.Details.Context.Attributions[0].Insight = []schemas.Attributed{{Value: "bob", Average: 30}, {Value: "ann", Average: 2.9}}
	helper := one("b", r, 110, 0, "pbob")
	helper.Details.Context.Attributions[0].Insight = []schemas.Attributed{{Value: "bob", Average: 30}, {Value: "ann", Average: 3}}
	few := one("b", r, 110, 0, "a203.0.113.1", "a203.0.113.2")
	few.Details.Trailvane.Why.Drivers[1].Insight = 11
	for _, c := range []struct {
		name   string
		events []schemas.Insight
		want   string // incidents of the events, and what they link
	}{
		{"one", []schemas.Insight{one("a", r, 100, 0, "pann")}, "a"},
		{"principal", []schemas.Insight{one("a", r, 100, 0, "pann"), one("b", r, 110, 0, "pann")}, "a a"},
		{"key", []schemas.Insight{one("a", r, 100, 0, "kAK1"), one("b", ak, 110, 0, "oAK1")}, "a a"},
		{"address", []schemas.Insight{one("a", ip, 100, 0, "o203.0.113.1"), one("b", pol, 110, 0, "a203.0.113.1")}, "a a"},
		{"the same address written otherwise", []schemas.Insight{one("a", ip, 100, 0, "o2001:db8::1"), one("b", pol, 110, 0, "a2001:DB8:0::1")}, "a a"},
		{"nothing shared", []schemas.Insight{one("a", r, 100, 0, "pann"), one("b", r, 110, 0, "pbob")}, "a b"},
		{"the same text, but not the same thing", []schemas.Insight{one("a", r, 100, 0, "pann"), one("b", r, 110, 0, "kann")}, "a b"},
		{"another account", []schemas.Insight{one("a", r, 100, 0, "pann"), other}, "a b"},
		{"another region", []schemas.Insight{one("a", r, 100, 0, "pann"), far}, "a a"},
		{"stood by", []schemas.Insight{one("a", r, 100, 0, "pann"), bystander}, "a b"},
		{"a tenth", []schemas.Insight{one("a", r, 100, 0, "pann"), helper}, "a a"},
		{"an hour after the end", []schemas.Insight{one("a", r, 100, 0, "pann"), one("a", r, 105, 5, "pann"), one("b", r, 165, 0, "pann")}, "a a a"},
		{"more than an hour", []schemas.Insight{one("a", r, 100, 0, "pann"), one("a", r, 105, 5, "pann"), one("b", r, 166, 0, "pann")}, "a a b"},
		{"still open", []schemas.Insight{one("a", r, 100, 0, "pann"), one("b", r, 900, 0, "pann"), one("a", r, 1000, 900, "pann")}, "a a a"},
		{"a chain", []schemas.Insight{one("a", ip, 100, 3, "pann"), one("b", r, 150, 4, "pann", "kAK1"), one("c", ak, 200, 0, "oAK1")}, "a a a"},
		{"joined later", []schemas.Insight{one("a", r, 100, 0, "pann"), one("b", r, 110, 0, "pbob"), one("c", r, 120, 0, "pann", "pbob")}, "a a a+b"},
		{"joined by its End", []schemas.Insight{one("a", r, 100, 0, "pann"), one("b", r, 110, 0, "pbob"), one("b", r, 120, 10, "pann")}, "a a+b a+b"},
		{"equal times", []schemas.Insight{one("b", r, 100, 0, "pann"), one("a", r, 100, 0, "pann")}, "a a"},
		{"a service", []schemas.Insight{one("a", r, 100, 0, "pautoscaling.amazonaws.com"), one("b", r, 110, 0, "pautoscaling.amazonaws.com")}, "a b"},
		{"a service's role", []schemas.Insight{
			one("a", r, 100, 0, "parn:aws:sts::111122223333:assumed-role/AWSServiceRoleForECS"),
			one("b", r, 110, 0, "parn:aws:sts::111122223333:assumed-role/AWSServiceRoleForECS"),
		}, "a b"},
		{"an address behind a few calls", []schemas.Insight{one("a", ip, 100, 0, "o203.0.113.1"), few}, "a b"},
		{"IPv4 in IPv6", []schemas.Insight{one("a", ip, 100, 0, "o203.0.113.1"), one("b", pol, 110, 0, "a::ffff:203.0.113.1")}, "a a"},
		{"the machine itself", []schemas.Insight{one("a", ip, 100, 0, "o127.0.0.1"), one("b", pol, 110, 0, "a127.0.0.1")}, "a b"},
		{"no address at all", []schemas.Insight{one("a", ip, 100, 0, "o::"), one("b", pol, 110, 0, "a::")}, "a b"},
		{"no address", []schemas.Insight{one("a", r, 100, 0, "aAWS Internal"), one("b", r, 110, 0, "aAWS Internal")}, "a b"},
		{"an address that is none", []schemas.Insight{one("a", ip, 100, 0, "o42.120.XX.XX"), one("b", r, 110, 0, "a42.120.XX.XX")}, "a b"},
		{"an End alone", []schemas.Insight{one("a", r, 100, 0, "pann"), one("b", r, 400, 300, "pann")}, "a a"},
		{"nobody", []schemas.Insight{one("a", r, 100, 0, "p", "k"), one("b", r, 110, 0, "p", "k")}, "a b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			for n, v := range All(c.events) {
				if n > 0 {
					got += " "
				}
				got += v.IncidentID
				for _, l := range v.Linked {
					got += "+" + l
				}
			}
			if got != c.want {
				t.Errorf("incidents %s, want %s", got, c.want)
			}
		})
	}
}

// An address that more than twenty share joins nobody any more, and does again when they are gone for thirty days.
func TestHubs(t *testing.T) {
	for _, c := range []struct {
		others int // principals beside the two that are looked at
		want   string
	}{{18, "x"}, {19, "y"}, {40, "y"}} {
		var events []schemas.Insight
		for n := range schemas.Minute(c.others) {
			events = append(events, one(fmt.Sprintf("%03d", n), schemas.APICallRate, 1000+200*n, 1, fmt.Sprintf("puser%d", n), "a203.0.113.9"))
		}
		last := events[len(events)-1].EventTime + 100
		events = append(events,
			one("x", schemas.APICallRate, last, 1, "pann", "a203.0.113.9"), one("y", schemas.APICallRate, last+10, 1, "pbob", "a203.0.113.9"))
		if got := All(events)[len(events)-1].IncidentID; got != c.want {
			t.Errorf("of %d users of an address the last is in incident %s, want %s", c.others+2, got, c.want)
		}
		later := last + 30*schemas.Day + 11
		events = append(events,
			one("xx", schemas.APICallRate, later, 1, "pann", "a203.0.113.9"), one("yy", schemas.APICallRate, later+9, 1, "pbob", "a203.0.113.9"))
		if got := All(events)[len(events)-1].IncidentID; got != "xx" {
			t.Errorf("thirty days later the address does not join: incident %s", got)
		}
	}
}

// The order of equal times does not matter for the incident's id; whoever was told the other one learns of it.
func TestEqualTimes(t *testing.T) {
	a, b := one("a", schemas.IP, 100, 0, "pann"), one("b", schemas.APICallRate, 100, 0, "pann")
	r := NewReader()
	r.Add(&b)
	r.Add(&a)
	if v := r.View(&b); v.IncidentID != "a" || len(v.Linked) > 0 {
		t.Errorf("b is %+v", v)
	}
	if v := r.View(&a); v.IncidentID != "a" || !slices.Equal(v.Linked, []string{"b"}) {
		t.Errorf("a is %+v, want a link to b", v)
	}
	end := one("a", schemas.IP, 103, 3, "pann")
	r.Add(&end)
	if v := r.View(&end); !slices.Equal(v.Linked, []string{"b"}) {
		t.Errorf("the End of a is %+v", v)
	}
}

func TestSeverity(t *testing.T) {
	make := func(kind schemas.InsightType, log10p, ratio float64, service, event string) schemas.Insight {
		i := one("a", kind, 100, 0)
		i.Details.EventSource, i.Details.EventName = service, event
		i.Details.Trailvane.Why.Log10P = log10p
		if ratio != 0 {
			i.Details.Trailvane.Why.Rate = &schemas.RateWhy{Ratio: ratio}
		}
		return i
	}
	with := func(i schemas.Insight, attribute string, values ...string) schemas.Insight {
		a := schemas.Attribution{Attribute: attribute}
		for _, v := range values {
			a.Insight = append(a.Insight, schemas.Attributed{Value: v, Average: 1})
		}
		i.Details.Context.Attributions = append(i.Details.Context.Attributions, a)
		return i
	}
	code := func(i schemas.Insight, code string) schemas.Insight { i.Details.ErrorCode = code; return i }
	tried := func(i schemas.Insight, denied uint64) schemas.Insight {
		i.Details.Context.Statistics.InsightCount = 3
		i.Details.Trailvane.Why.Operator = &schemas.OperatorWhy{Denied: denied}
		return i
	}
	const ec2 = "ec2.amazonaws.com"
	for _, c := range []struct {
		name  string
		i     schemas.Insight
		types int
		score int
		want  Severity
	}{
		{"a write", make(schemas.APICallRate, -6, 10, ec2, "CreateTags"), 1, 24 + 10 + 10, Medium},
		{"a deletion", make(schemas.APICallRate, -6, 10, ec2, "TerminateInstances"), 1, 24 + 10 + 20, High},
		{"a deletion that is told by schedule", make(schemas.APICallRate, -6, 10, "kms.amazonaws.com", "ScheduleKeyDeletion"), 1, 54, High},
		{"the deletions of a service", make(schemas.APICallRate, -6, 10, ec2, ""), 1, 54, High},
		{"a drop counts like a rise", make(schemas.APICallRate, -6, 0.1, ec2, "CreateTags"), 1, 44, Medium},
		{"at most", make(schemas.APICallRate, -300, 1e300, ec2, "TerminateInstances"), 7, 40 + 20 + 20 + 20, Critical},
		{"hardly unusual", make(schemas.PolicyChange, -1, 0, "", ""), 1, 20, Low},
		{"high from 50", make(schemas.PolicyChange, -6, 0, "", ""), 1, 44, Medium},
		{"high at 50", make(schemas.PolicyChange, -6.75, 0, "", ""), 1, 50, High},
		{"attempts by an operator", tried(make(schemas.PolicyChange, -5, 0, "", ""), 3), 1, 26, Low},
		{"some attempts by an operator", tried(make(schemas.PolicyChange, -5, 0, "", ""), 2), 1, 36, Medium},
		{"a second type", make(schemas.PolicyChange, -1, 0, "", ""), 2, 30, Medium},
		{"a trail is high", make(schemas.TrailConcealment, -1, 0, "", ""), 1, 30, High},
		{"a trail in company", make(schemas.TrailConcealment, -6, 0, "", ""), 3, 74, High},
		{"a critical trail", make(schemas.TrailConcealment, -6.2, 0, "", ""), 3, 75, Critical},
		{"read from a new address", with(make(schemas.IP, -4, 0, "", ""), schemas.APIAttribute, ec2+"/DescribeInstances"), 1, 8, Low},
		{"deleted from a new address", with(make(schemas.IP, -4, 0, "", ""), schemas.APIAttribute, ec2+"/DescribeInstances", ec2+"/DeleteVolume"), 1, 28, Low},
		{"switched a trail off from a new address", with(make(schemas.IP, -4, 0, "", ""), schemas.APIAttribute, "cloudtrail.amazonaws.com/StopLogging"), 1, 38, Medium},
		{"took rights from a new address", with(make(schemas.IP, -4, 0, "", ""), schemas.APIAttribute, "Ram/AttachPolicyToUser"), 1, 28, Low},
		{"a key writes", make(schemas.AK, -4, 10, "", ""), 1, 28, Low},
		{"root on AWS", with(make(schemas.IP, -4, 0, "", ""), schemas.PrincipalAttribute, "arn:aws:iam::111122223333:root"), 1, 38, Medium},
		{"root on Alibaba Cloud", with(make(schemas.IP, -4, 0, "", ""), schemas.PrincipalAttribute, account1), 1, 38, Medium},
		{"a user called root", with(make(schemas.IP, -4, 0, "", ""), schemas.PrincipalAttribute, "arn:aws:iam::111122223333:user/root"), 1, 8, Low},
		{"errors of a write", make(schemas.APIErrorRate, -6, 10, ec2, "TerminateInstances"), 1, 24 + 10 + 10, Medium},
		{"errors of a read", make(schemas.APIErrorRate, -6, 10, ec2, "DescribeInstances"), 1, 34, Medium},
		{"throttled", code(make(schemas.APIErrorRate, -6, 10, ec2, "TerminateInstances"), "Client.RequestLimitExceeded"), 1, 34, Medium},
		{"throttled on Alibaba Cloud", code(make(schemas.APIErrorRate, -6, 10, "Ecs", "DeleteInstance"), "Throttling.User"), 1, 34, Medium},
		{"denied only", with(make(schemas.PolicyChange, -5, 0, "", ""), schemas.ErrorCodeAttribute, "AccessDenied"), 1, 26, Low},
		{"denied in part", with(make(schemas.PolicyChange, -5, 0, "", ""), schemas.ErrorCodeAttribute, "AccessDenied", schemas.NoError), 1, 36, Medium},
		{"no numbers", make(schemas.APICallRate, math.NaN(), math.NaN(), ec2, "CreateTags"), 1, 10, Low},
		{"infinite", make(schemas.APICallRate, math.Inf(-1), math.Inf(1), ec2, "CreateTags"), 1, 70, High},
	} {
		t.Run(c.name, func(t *testing.T) {
			if score, severity := reader.rate(&c.i, c.types); score != c.score || severity != c.want {
				t.Errorf("score %d, %s; want %d, %s", score, severity, c.score, c.want)
			}
		})
	}
}

func TestParseSeverity(t *testing.T) {
	for _, s := range []Severity{Low, Medium, High, Critical} {
		if got, err := ParseSeverity(s.String()); got != s || err != nil {
			t.Errorf("ParseSeverity(%s) = %v, %v", s, got, err)
		}
	}
	if _, err := ParseSeverity("severe"); err == nil {
		t.Error("severe is no severity")
	}
}

// draw makes some insights with few values, so that they often meet, in the order of time.
func draw(t *rapid.T) []schemas.Insight {
	var events []schemas.Insight
	for n := range rapid.IntRange(1, 25).Draw(t, "insights") {
		id := fmt.Sprintf("%02d", n)
		kind := rapid.SampledFrom(known).Draw(t, "type")
		start := schemas.Minute(rapid.IntRange(0, 3000).Draw(t, "start"))
		lasted := uint32(rapid.OneOf(rapid.IntRange(1, 60), rapid.IntRange(1, 1440)).Draw(t, "lasted"))
		seen := rapid.SliceOfN(rapid.SampledFrom([]string{
			"pann", "pbob", "pcid", "pautoscaling.amazonaws.com", "kAK1", "kAK2", "a203.0.113.1", "a203.0.113.2", "aInternal",
		}), 0, 3)
		begin := one(id, kind, start, 0, seen.Draw(t, "at first")...)
		end := one(id, kind, start+schemas.Minute(lasted), lasted, seen.Draw(t, "in all")...)
		if rapid.IntRange(0, 3).Draw(t, "account") == 0 {
			begin.AccountID, end.AccountID = account2, account2
		}
		events = append(events, begin)
		if rapid.IntRange(0, 9).Draw(t, "open") > 0 {
			events = append(events, end)
		}
	}
	slices.SortStableFunc(events, func(a, b schemas.Insight) int { return compare(&a, &b) })
	return events
}

// A reader that forgets tells after every event what one tells who remembers all that was read.
func TestReaderIsAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := draw(t)
		r := NewReader()
		for n := range events {
			r.Add(&events[n])
			got, want := r.View(&events[n]), All(events[:n+1])[n]
			if d := gocmp.Diff(want, got); d != "" {
				t.Fatalf("after event %d of %v (-all +reader):\n%s", n, events[n].SharedEventID, d)
			}
		}
	})
}

// The order in which events are given changes nothing, and nothing in them changes.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := draw(t)
		want := map[string]View{}
		for n, v := range All(events) {
			want[events[n].EventID] = v
		}
		shuffled := rapid.Permutation(events).Draw(t, "order")
		before := fmt.Sprintf("%+v", shuffled)
		for n, v := range All(shuffled) {
			if d := gocmp.Diff(want[shuffled[n].EventID], v); d != "" {
				t.Fatalf("event %s (-in order +shuffled):\n%s", shuffled[n].EventID, d)
			}
		}
		if fmt.Sprintf("%+v", shuffled) != before {
			t.Fatal("a view has changed an insight")
		}
	})
}

// Incidents are the connected components of what shares something within an hour, by the plainest means.
func TestIncidentsAreComponents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		events := draw(t)
		type plain struct {
			account    string
			start, end schemas.Minute
			links      []link
			id         string
		}
		var all []*plain
		by := map[string]*plain{}
		for n := range events {
			e := &events[n]
			p := by[e.SharedEventID]
			if p == nil {
				p = &plain{account: e.AccountID, start: e.EventTime, end: e.EventTime + schemas.Day, id: e.SharedEventID}
				by[p.id], all = p, append(all, p)
			}
			if e.Details.State == schemas.EndState {
				p.end = e.EventTime
			}
			p.links = append(p.links, linksOf(e)...)
		}
		slices.SortFunc(all, func(a, b *plain) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.id, b.id)) })
		id := map[*plain]string{}
		for _, p := range all { // the earliest of a component comes first, and gives its name to what it reaches
			if id[p] != "" {
				continue
			}
			reached := []*plain{p}
			for len(reached) > 0 {
				q := reached[0]
				reached, id[q] = reached[1:], p.id
				for _, o := range all {
					shared := slices.ContainsFunc(o.links, func(l link) bool { return slices.Contains(q.links, l) })
					if id[o] == "" && o.account == q.account && shared && o.start <= q.end+60 && q.start <= o.end+60 {
						reached = append(reached, o)
					}
				}
			}
		}
		kinds := map[string]map[schemas.InsightType]bool{}
		for n := range events {
			in := id[by[events[n].SharedEventID]]
			if kinds[in] == nil {
				kinds[in] = map[schemas.InsightType]bool{}
			}
			kinds[in][events[n].Details.Type] = true
		}
		for n, v := range All(events) {
			want := id[by[events[n].SharedEventID]]
			if v.IncidentID != want {
				t.Fatalf("insight %s is in incident %s, want %s", events[n].SharedEventID, v.IncidentID, want)
			}
			if score, _ := reader.rate(&events[n], len(kinds[want])); v.Score != score {
				t.Fatalf("insight %s in an incident of %d types has %d points, want %d", events[n].SharedEventID, len(kinds[want]), v.Score, score)
			}
		}
	})
}

// More unusual, more destructive or in more company is never less severe.
func TestScoreGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := one("a", rapid.SampledFrom(known).Draw(t, "type"), 100, 0)
		i.Details.Trailvane.Why.Log10P = rapid.Float64().Draw(t, "log10p")
		i.Details.Trailvane.Why.Rate = &schemas.RateWhy{Ratio: rapid.Float64Min(1).Draw(t, "ratio")}
		i.Details.EventSource, i.Details.EventName = "ec2.amazonaws.com", "DescribeInstances"
		types := rapid.IntRange(1, 7).Draw(t, "types")
		score, severity := reader.rate(&i, types)
		if score < 0 || score > 110 {
			t.Fatalf("score %d", score)
		}
		more := i
		why := *i.Details.Trailvane.Why.Rate
		more.Details.Trailvane.Why.Rate = &why
		switch rapid.IntRange(0, 3).Draw(t, "what grows") {
		case 0:
			more.Details.Trailvane.Why.Log10P -= rapid.Float64Range(0, 50).Draw(t, "by")
		case 1:
			why.Ratio *= rapid.Float64Range(1, 100).Draw(t, "by")
		case 2:
			more.Details.EventName = rapid.SampledFrom([]string{"CreateTags", "TerminateInstances"}).Draw(t, "call")
		case 3:
			types++
		}
		if s, v := reader.rate(&more, types); s < score || v < severity {
			t.Fatalf("score %d (%s) became %d (%s)", score, severity, s, v)
		}
	})
}

// Whatever is fed, for however long, what is kept is bounded, also where each insight has keys and addresses of its own.
func TestMemory(t *testing.T) {
	r := NewReader()
	for n := range schemas.Minute(20_000) {
		i := one(fmt.Sprint(n), schemas.APICallRate, n/8, 1, "pann", fmt.Sprintf("kAK%d", n), fmt.Sprintf("a10.%d.%d.%d", n>>16, n>>8&255, n&255))
		r.Add(&i)
	}
	a := r.accounts[schemas.Account{Provider: schemas.AWS, ID: account1}]
	if len(a.stretches) > maxStretches || len(a.links) > 3*maxStretches || len(a.addresses) > maxAddresses {
		t.Errorf("remembers %d insights, %d links, %d addresses", len(a.stretches), len(a.links), len(a.addresses))
	}
	for l, list := range a.links {
		if len(list) > maxPerLink {
			t.Errorf("%v has %d insights", l, len(list))
		}
	}
	quiet := one("end", schemas.APICallRate, 20_000+hubMemory, 0)
	r.Add(&quiet)
	if len(a.stretches) != 1 || len(a.links) != 0 || len(a.addresses) != 0 {
		t.Errorf("a month later it remembers %d insights, %d links, %d addresses", len(a.stretches), len(a.links), len(a.addresses))
	}
}

// A reader may be fed what a newer or broken program wrote.
func FuzzAdd(f *testing.F) {
	i := one("a", schemas.APICallRate, 100, 5, "pann", "kAK1", "a203.0.113.1")
	i.EventVersion, i.EventCategory = schemas.InsightVersion, schemas.InsightEventCategory
	f.Add(i.Append(nil), i.Append(nil))
	i = one("b", schemas.IP, math.MaxInt32, 0, "o::ffff:203.0.113.1")
	i.EventVersion, i.EventCategory = schemas.InsightVersion, schemas.InsightEventCategory
	f.Add(i.Append(nil), []byte(`{"eventVersion":"1","eventCategory":"Insight","eventTime":"0000-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		r := NewReader()
		for _, body := range [][]byte{one, two, one} {
			var i schemas.Insight
			if i.Decode(body) != nil {
				continue
			}
			r.Add(&i)
			if v := r.View(&i); v.Score < 0 || v.Score > 110 {
				t.Errorf("score %d of %s", v.Score, body)
			}
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	b.ReportAllocs()
	r := NewReader()
	n := 0
	for b.Loop() {
		i := one(fmt.Sprint(n), schemas.APICallRate, schemas.Minute(n), 1, "pann", "kAK1", "a203.0.113.1")
		r.Add(&i)
		r.View(&i)
		n++
	}
}
