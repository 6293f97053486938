package simulate

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/trailvane/trailvane/schemas"
)

// A theft is what somebody does with a stolen key: a few looks around, then one destructive call after the other; then he takes
// rights and a way back in, and switches the trail off, which leaves the account dark until its guard switches it on.
type theft struct {
	victim  *actor // whose key it is
	region  string
	from    string
	agent   string
	look    []*api // each once
	destroy *api
	calls   int // about so many
	minutes int // in about so long

	policy, login *api // each once, in this order
	stop          *api // switches the trail off
	guard         *actor
	start         *api // with which the guard switches it on again

	before int // days before the end
	at     int // seconds after midnight, up to half an hour later
	live   int // minutes after the live part begins, if there is one
}

// run appends the theft's calls, takes away what the dark trail does not record, and says what was done.
func (k *theft) run(calls []call, a *account, o Options) ([]call, Attack) {
	r := stream(o.Seed, a.String(), "theft")
	at := o.attack(k.before, k.at, k.live, r)
	s := call{by: k.victim, account: a, session: at, region: k.region, from: k.from, agent: k.agent}
	truth := Attack{
		Account: a.Account, Name: "stolen key", Principal: k.victim.name, AccessKey: k.victim.key, Address: k.from,
		First: time.Unix(at, 0).UTC(),
	}
	address := Expected{Type: schemas.IP, Region: k.region, Object: k.from, First: truth.First}
	once := func(p *api, gap [2]int) call {
		at += int64(between(gap, r))
		c := s
		c.at, c.api = at, p
		c.draw(0, r)
		calls = append(calls, c)
		return c
	}
	for _, p := range k.look {
		once(p, [2]int{4, 40})
	}

	at += int64(between([2]int{4, 40}, r))
	burst := Expected{
		Type: schemas.APICallRate, Region: k.region, Object: k.destroy.name, Service: k.destroy.service, Event: k.destroy.name,
		First: time.Unix(at, 0).UTC(), Calls: k.calls + r.IntN(k.calls/4),
	}
	for i := range burst.Calls {
		c := s
		c.at, c.api = at+int64(i*k.minutes*minute/burst.Calls), k.destroy
		c.draw(0.04, r) // a few resources are protected
		calls = append(calls, c)
		burst.Last = time.Unix(c.at, 0).UTC()
	}
	at = burst.Last.Unix()
	key := burst
	key.Type, key.Object, key.Service, key.Event = schemas.AK, k.victim.key, "", ""
	truth.Expect = append(truth.Expect, address, burst, key)

	for _, step := range []struct {
		kind schemas.InsightType
		api  *api
	}{{schemas.PolicyChange, k.policy}, {schemas.PasswordChange, k.login}, {schemas.TrailConcealment, k.stop}} {
		c := once(step.api, [2]int{50, 150})
		when := time.Unix(c.at, 0).UTC()
		truth.Expect = append(truth.Expect, Expected{
			Type: step.kind, Region: c.region, Object: c.api.service, Service: c.api.service, Event: c.api.name, First: when, Last: when, Calls: 1,
		})
		truth.Last = when
	}
	truth.Expect[0].Last = truth.Last
	return k.darken(calls, at, a, r), truth
}

// darken takes away what happens between the calls that switch the trail off and on.
func (k *theft) darken(calls []call, off int64, a *account, r *rand.Rand) []call {
	on := off + int64(between([2]int{25 * minute, 35 * minute}, r))
	calls = slices.DeleteFunc(calls, func(c call) bool { return c.at > off && c.at < on })
	c := call{
		by: k.guard, account: a, session: on, region: k.region, from: k.guard.from[0], agent: k.guard.agents[0],
		at: on, api: k.start,
	}
	c.draw(0, r)
	return append(calls, c)
}

// A wave is many refused calls of a program that lost a permission, and tries again and again until it has it back.
type wave struct {
	by      *actor
	region  string
	api     *api
	fail    *failure
	calls   int // about so many
	minutes int
	before  int // days before the end
	at      int // seconds after midnight, up to half an hour later
	live    int // minutes after the live part begins, if there is one
}

// run appends the wave's calls and says what they are.
func (w *wave) run(calls []call, a *account, o Options) ([]call, Attack) {
	r := stream(o.Seed, a.String(), "wave")
	at := o.attack(w.before, w.at, w.live, r)
	s := call{by: w.by, account: a, session: at, region: w.region, from: w.by.from[0], agent: w.by.agents[0], api: w.api}
	n := w.calls + r.IntN(w.calls/4)
	for i := range n {
		c := s
		c.at = at + int64(i*w.minutes*minute/n)
		c.draw(0, r)
		c.fail = w.fail
		calls = append(calls, c)
	}
	first, last := time.Unix(at, 0).UTC(), time.Unix(calls[len(calls)-1].at, 0).UTC()
	return calls, Attack{
		Account: a.Account, Name: "lost permission", Principal: w.by.name, Address: w.by.from[0], First: first, Last: last,
		Expect: []Expected{{
			Type: schemas.APIErrorRate, Region: w.region, Object: w.api.name, Service: w.api.service, Event: w.api.name,
			First: first, Last: last, Calls: n,
		}},
	}
}
