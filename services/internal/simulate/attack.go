package simulate

import (
	"time"

	"github.com/trailvane/trailvane/schemas"
)

// An attack is a mass deletion with a stolen key: a few looks around, then one destructive call after the other.
type attack struct {
	victim  *actor // whose key it is
	region  string
	from    string
	agent   string
	look    []*api // each once
	destroy *api
	calls   int // about so many
	minutes int // in about so long
	before  int // days before the end
	at      int // seconds after midnight, up to half an hour later
}

// run appends the attack's calls and says what they are.
func (k *attack) run(calls []call, a *account, o Options) ([]call, Attack) {
	r := stream(o.Seed, a.String(), "attack")
	at := o.Start.AddDate(0, 0, o.Days-k.before).Unix() + int64(k.at+r.IntN(30*minute))
	s := call{by: k.victim, account: a, session: at, region: k.region, from: k.from, agent: k.agent}

	for _, p := range k.look {
		c := s
		c.at, c.api = at, p
		c.draw(0, r)
		calls = append(calls, c)
		at += int64(between([2]int{4, 40}, r))
	}

	truth := Attack{
		Account: a.Account, Region: k.region, Type: schemas.APICallRate,
		Service: k.destroy.service, Event: k.destroy.name,
		Principal: k.victim.name, AccessKey: k.victim.key, Address: k.from,
		First: time.Unix(at, 0).UTC(),
		Calls: k.calls + r.IntN(k.calls/4),
	}
	for i := range truth.Calls {
		c := s
		c.at, c.api = at+int64(i*k.minutes*minute/truth.Calls), k.destroy
		c.draw(0.04, r) // a few resources are protected
		calls = append(calls, c)
		truth.Last = time.Unix(c.at, 0).UTC()
	}
	return calls, truth
}
