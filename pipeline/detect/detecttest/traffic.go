package detecttest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// Epoch is the first minute of all made-up traffic: Monday, 2026-01-05, 00:00 UTC, which scenarios call day 1.
const Epoch = schemas.Minute(29459520)

// A Call is one row of made-up traffic in words.
type Call struct {
	Minute    schemas.Minute
	Arrival   schemas.Minute // when it reaches the aggregator; Minute if zero
	Service   string
	Event     string
	Error     string
	Principal string
	AccessKey string
	SourceIP  string
	UserAgent string
	Country   string
	ASN       string
	Type      schemas.PrincipalType
	Read      bool
	Traits    schemas.Traits
	Count     uint32
}

// compare orders calls as the aggregator orders rows: by minute, then by tuple.
func (c Call) compare(d Call) int {
	return cmp.Or(cmp.Compare(c.Minute, d.Minute), cmp.Compare(c.Service, d.Service), cmp.Compare(c.Event, d.Event),
		cmp.Compare(c.Error, d.Error), cmp.Compare(c.Principal, d.Principal), cmp.Compare(c.AccessKey, d.AccessKey),
		cmp.Compare(c.SourceIP, d.SourceIP), cmp.Compare(c.UserAgent, d.UserAgent))
}

// A Feed makes panes of one account and region out of calls, as the aggregator does: rows sorted by minute and tuple, a
// watermark that trails the newest minute by the lateness, calls of closed minutes marked as late.
type Feed struct {
	Account   schemas.Account
	Region    string
	Lateness  schemas.Minute
	newest    schemas.Minute
	samples   int
	watermark schemas.Minute
}

// Pane returns the pane of one batch of calls.
func (f *Feed) Pane(calls []Call) schemas.Pane {
	calls = slices.Clone(calls)
	slices.SortStableFunc(calls, Call.compare)
	p := schemas.Pane{Account: f.Account, Region: f.Region, Strings: []string{""}}
	ids := map[string]uint32{"": 0}
	id := func(s string) uint32 {
		n, ok := ids[s]
		if !ok {
			n = uint32(len(p.Strings))
			ids[s] = n
			p.Strings = append(p.Strings, s)
		}
		return n
	}
	for _, c := range calls {
		f.samples++
		p.Rows = append(p.Rows, schemas.Row{
			Minute: c.Minute, Service: id(c.Service), Name: id(c.Event), ErrorCode: id(c.Error), Principal: id(c.Principal),
			AccessKey: id(c.AccessKey), SourceIP: id(c.SourceIP), UserAgent: id(c.UserAgent), Country: id(c.Country), ASN: id(c.ASN),
			PrincipalType: c.Type, Write: !c.Read, Traits: c.Traits, Count: c.Count,
			Late: f.newest != 0 && c.Minute < f.watermark, Sample: fmt.Sprintf("%s-%s-%06d", f.Account.ID, f.Region, f.samples),
		})
		f.newest = max(f.newest, c.Minute)
		f.watermark = max(f.watermark, f.newest-f.Lateness)
	}
	p.Watermark = f.watermark
	return p
}

// Tick returns a pane that only moves time on.
func (f *Feed) Tick(to schemas.Minute) schemas.Pane {
	f.watermark = max(f.watermark, to)
	return schemas.Pane{Account: f.Account, Region: f.Region, Watermark: f.watermark}
}

// End returns the pane that ends a bounded input: it closes the minutes seen, and the insights that are open.
func (f *Feed) End() schemas.Pane {
	p := f.Tick(f.newest + 1)
	p.Close = true
	return p
}

// Panes makes the panes of calls that arrive in batches of a number of minutes.
func (f *Feed) Panes(calls []Call, batch schemas.Minute) []schemas.Pane {
	for i := range calls {
		calls[i].Arrival = max(calls[i].Arrival, calls[i].Minute)
	}
	slices.SortStableFunc(calls, func(a, b Call) int { return cmp.Compare(a.Arrival, b.Arrival) })
	var panes []schemas.Pane
	for len(calls) > 0 {
		until := calls[0].Arrival - calls[0].Arrival%batch + batch
		n := 0
		for n < len(calls) && calls[n].Arrival < until {
			n++
		}
		panes = append(panes, f.Pane(calls[:n]))
		calls = calls[n:]
	}
	return panes
}

// Traffic makes the panes of one account in two regions over some days: people, deployments, jobs, steady callers, delays of
// up to a quarter of an hour, a few late rows, quiet days with ticks, bursts, failures, scans and abnormal operators from the
// second day on, six hours of an eighth day without any logs, and an end. Equal seeds give equal panes.
func Traffic(seed uint64, account string, days int) []schemas.Pane {
	r := rand.New(rand.NewPCG(seed, 1))
	regions := []string{"eu-west-1", "us-east-1"}
	calls := make([][]Call, len(regions))
	end := Epoch + schemas.Minute(days)*schemas.Day
	const outage = 7*schemas.Day + 500
	add := func(region int, c Call) {
		if c.Minute >= Epoch+outage && c.Minute < Epoch+outage+6*schemas.Hour {
			return
		}
		c.Count = max(c.Count, 1)
		c.Arrival = c.Minute + schemas.Minute(r.IntN(6))
		if r.IntN(20) == 0 {
			c.Arrival += schemas.Minute(r.IntN(10))
		}
		if r.IntN(500) == 0 {
			c.Arrival += schemas.Hour
		}
		calls[region] = append(calls[region], c)
	}
	for k := range 14 {
		region := k % len(regions)
		c := Call{Service: fmt.Sprintf("service%d", k%3), Event: fmt.Sprintf("DeleteThing%d", k), SourceIP: "192.0.2.1",
			AccessKey: fmt.Sprintf("AKIA%d", k%4), UserAgent: "aws-cli/2", Principal: fmt.Sprintf("user%d", k%5)}
		for m := Epoch + schemas.Minute(r.IntN(60)); m < end; {
			c.Minute = m
			c.Principal = fmt.Sprintf("user%d", r.IntN(3)+k%5)
			c.Error = []string{"", "", "", "", "AccessDenied"}[r.IntN(5)]
			c.Read = k == 13
			switch k % 4 {
			case 0: // steady
				c.Count = uint32(1 + r.IntN(3))
				m += schemas.Minute(1 + r.IntN(15))
			case 1: // people, in office hours
				if h := int(m/60) % 24; h < 8 || h > 17 {
					m += schemas.Hour
					continue
				}
				c.Count = 1
				m += schemas.Minute(1 + r.IntN(90))
			case 2: // deployments
				c.Count = uint32(1 + r.IntN(40))
				m += schemas.Minute(2 + r.IntN(2)*r.IntN(800))
			default: // sparse
				c.Count = 1
				m += schemas.Minute(1 + r.IntN(2000))
			}
			add(region, c)
		}
	}
	for d := 1; d < days; d++ {
		k := r.IntN(12)
		c := Call{Service: fmt.Sprintf("service%d", k%3), Event: fmt.Sprintf("DeleteThing%d", k), SourceIP: "203.0.113.9",
			AccessKey: "AKIASTOLEN", UserAgent: "python-requests", Principal: "mallory"}
		from := Epoch + schemas.Minute(d)*schemas.Day + schemas.Minute(r.IntN(1300))
		for m := range schemas.Minute(3 + r.IntN(30)) {
			c.Minute, c.Count = from+m, uint32(20+r.IntN(300))
			add(k%len(regions), c)
			for i := range r.IntN(4) { // and some helpers, more than anybody keeps count of
				c.Principal, c.Count = fmt.Sprint("helper", r.IntN(20)), uint32(1+i)
				add(k%len(regions), c)
			}
			c.Principal = "mallory"
		}
	}
	for _, c := range operators(days) {
		add(0, c)
	}
	for _, c := range append(failures(days), scans(days)...) {
		add(1, c)
	}
	var panes []schemas.Pane
	var arrival []schemas.Minute
	feeds := make([]Feed, len(regions))
	for i, region := range regions {
		feeds[i] = Feed{Account: schemas.Account{Provider: schemas.AWS, ID: account}, Region: region, Lateness: 15}
		some := feeds[i].Panes(calls[i], 5)
		for _, p := range some {
			arrival = append(arrival, p.Watermark)
		}
		panes = append(panes, some...)
	}
	order := make([]int, len(panes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(arrival[a], arrival[b]) })
	merged := make([]schemas.Pane, 0, len(panes)+4)
	for _, i := range order {
		merged = append(merged, panes[i])
	}
	for i := range feeds {
		merged = append(merged, feeds[i].Tick(end), feeds[i].End())
	}
	return merged
}

// failures makes reads that fail: an application reads every few minutes what is sometimes not there, with a request id in the
// code, and is throttled in the morning; from the second day on somebody is denied many times what nobody else reads, and every
// third day the application fails for some minutes.
func failures(days int) (calls []Call) {
	read := Call{Service: "secrets.example.com", Event: "GetSecret", Read: true, AccessKey: "AKIAAPP", SourceIP: "192.0.2.3",
		UserAgent: "app/1", Principal: "app"}
	add := func(m schemas.Minute, code string, n uint32, c Call) {
		c.Minute, c.Error, c.Count = m, code, n
		calls = append(calls, c)
	}
	odd := read
	odd.Service, odd.Event = "service0", "DescribeThing" // one of another kind every day
	odd.Principal, odd.AccessKey, odd.SourceIP, odd.UserAgent = "mallory", "AKIASTOLEN", "203.0.113.9", "python-requests"
	for d := range schemas.Minute(days) {
		day := Epoch + d*schemas.Day
		for m := schemas.Minute(0); m < schemas.Day; m += 3 {
			add(day+m, "", 4+uint32(m%7), read)
			if m%21 == 0 {
				add(day+m, fmt.Sprintf("NotFound.%08d", d*schemas.Day+m), 1, read)
			}
			if m/60 == 8 && m%6 == 0 {
				add(day+m, "Throttling.User", 3, read)
			}
		}
		if d == 0 {
			continue
		}
		from := day + 11*schemas.Hour + 67*d
		for m := range 6 + 3*d {
			denied := odd
			denied.Event = fmt.Sprint(odd.Event, d)
			add(from+m, "AccessDenied", uint32(60+m*9%50), denied)
			if d%3 == 0 {
				add(from+200+m, "InternalError", uint32(25+m*7%30), read)
			}
		}
	}
	return calls
}

// operators makes the sensitive operations of some days: an administrator changes permissions every day, a help desk resets
// passwords, and from the third day on, every other day, somebody who never did so does both from a new network at night,
// and switches a trail off.
func operators(days int) (calls []Call) {
	sensitive := func(m schemas.Minute, service, event string, c schemas.Class, target schemas.Target, by Call) {
		by.Minute, by.Service, by.Event, by.Type = m, service, event, schemas.UserPrincipal
		by.Traits = schemas.Traits{Sensitive: schemas.Sensitive(0).With(c, schemas.CoreTier), Target: target, Auth: schemas.KeyAuth}
		calls = append(calls, by)
	}
	admin := Call{Principal: "admin", SourceIP: "192.0.2.1", AccessKey: "AKIAADMIN", UserAgent: "aws-cli/2"}
	desk := Call{Principal: "desk", SourceIP: "192.0.2.2", AccessKey: "AKIADESK", UserAgent: "console.amazonaws.com"}
	for d := range schemas.Minute(days) {
		m := Epoch + d*schemas.Day
		sensitive(m+9*schemas.Hour+7*d, "iam.amazonaws.com", "AttachRolePolicy", schemas.PolicyClass, schemas.OtherTarget, admin)
		sensitive(m+13*schemas.Hour+11*d, "iam.amazonaws.com", "UpdateLoginProfile", schemas.PasswordClass, schemas.OtherTarget, desk)
		if d < 2 || d%2 == 1 {
			continue
		}
		m += 2*schemas.Hour + 13*d
		odd := Call{Principal: fmt.Sprintf("user%d", d%5), SourceIP: fmt.Sprintf("198.51.100.%d", 10+d), AccessKey: "AKIASTOLEN",
			UserAgent: "python-requests"}
		sensitive(m, "iam.amazonaws.com", "AttachUserPolicy", schemas.PolicyClass, schemas.AdminTarget, odd)
		sensitive(m+1, "iam.amazonaws.com", "CreateLoginProfile", schemas.PasswordClass, schemas.OtherTarget, odd)
		sensitive(m+2, "cloudtrail.amazonaws.com", "StopLogging", schemas.TrailClass, schemas.UnknownTarget, odd)
	}
	return calls
}

// scans makes one call each on dozens of APIs, every other day, with the key of a program that calls three of them all the time;
// half of the calls are denied.
func scans(days int) (calls []Call) {
	c := Call{Service: "service0", SourceIP: "192.0.2.3", AccessKey: "AKIAPROGRAM", UserAgent: "aws-sdk-go", Principal: "program"}
	for m := schemas.Minute(0); m < schemas.Minute(days)*schemas.Day; m += 25 {
		c.Minute, c.Event = Epoch+m, fmt.Sprint("PutThing", m%3)
		calls = append(calls, c)
	}
	c.SourceIP = "203.0.113.77"
	for d := schemas.Minute(2); d < schemas.Minute(days); d += 2 {
		for i := range 60 + 5*d {
			c.Minute, c.Event, c.Error = Epoch+d*schemas.Day+d*77+i/3, fmt.Sprint("ScanThing", i), ""
			if i%2 == 0 {
				c.Error = "AccessDenied"
			}
			calls = append(calls, c)
		}
	}
	return calls
}
