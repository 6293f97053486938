package operator

import (
	"cmp"
	"slices"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// A call is a row of the class, made ready to be judged.
type call struct {
	row              *schemas.Row
	op, act, svc     uint64 // act and svc of those who change themselves are others: a user's own password is no help desk's habit
	self             uint64 // 1 for them
	group            uint64 // 0 for none
	name             string // of the operator, in keys
	shown, groupName string
	service, event   string
	net, agent       string
	netHash, asnHash uint32
	agentBit         uint32
	hour             uint16
	authBit          uint8
	target           schemas.Target
	denied, weak     bool
}

func (t *task) call(r *schemas.Row) call {
	who, ip, asn := t.text(r.Principal), t.text(r.SourceIP), t.text(r.ASN)
	c := call{row: r, op: operatorHash(r.PrincipalType, who), shown: shown(r.PrincipalType, who),
		service: model.Bound(t.text(r.Service)),
		event:   model.Bound(t.text(r.Name)), hour: hourBit(r.Minute), target: min(r.Target, schemas.RootTarget)}
	c.name = operatorName(r.PrincipalType, who)
	c.svc = hashOf(c.service)
	if c.target == schemas.SelfTarget {
		c.self = 1
		c.svc = mix(c.svc, c.self)
	}
	c.act = mix(c.svc, hashOf(c.event))
	if c.groupName = groupOf(r.PrincipalType, who); c.groupName != "" {
		c.group = hashOf(c.groupName)&hashBits | 1
	}
	if ip != "" {
		c.net = model.Bound(network(ip))
		c.netHash = placeHash(network(ip))
	}
	if asn != "" {
		c.asnHash = placeHash(asn)
	}
	c.agent, c.agentBit = program(t.text(r.UserAgent))
	if r.Auth != schemas.UnknownAuth {
		c.authBit = 1 << (r.Auth & 7)
	}
	c.denied = t.text(r.ErrorCode) != ""
	c.weak = t.config.Class == schemas.TrailClass && t.text(r.ErrorCode) == noTrail
	return c
}

// A verdict is what the model says of a call.
type verdict struct {
	lnP, line    float64 // ln
	alpha        float64
	score        float64
	hazard       float64
	first, habit bool
	days         uint32
	operation    string
	tier         schemas.Tier
	target       schemas.Target
	shown        string
	surprises    []schemas.Surprise
	rules        []schemas.Rule
}

const (
	maxSurprise = 5   // nats of one circumstance: one alone is not enough for a habitual operator, two are
	sameNetwork = 0.5 // of the surprise is left when the network is another one of a known provider

	worthTelling = 0.5 // nats of a circumstance that an explanation names

	lnTiny = -700 // below every probability that is told
)

// judge scores a call on what was known before today.
func (t *task) judge(c *call) verdict {
	a, day := t.account, t.account.day
	v := verdict{operation: c.service + "/" + c.event, tier: c.row.Sensitive.Tier(t.config.Class), target: c.target,
		shown: c.shown}
	opAct := a.table.get(setHash(setOpAct, c.op, c.act))
	grpAct := (*entry)(nil)
	if c.group != 0 {
		grpAct = a.table.get(setHash(setGroupAct, c.group, c.act))
	}
	if opAct != nil {
		v.days = uint32(opAct.hits)
	}
	habit := opAct.habit(day) || grpAct.habit(day)
	who := t.who(c, &v, habit)
	if c.weak {
		who /= 2
	}
	circumstances, netKnown, agentKnown := t.circumstances(c, &v)
	v.score = who + circumstances
	v.habit = habit && netKnown && agentKnown && c.row.PrincipalType != schemas.RootPrincipal
	v.lnP = max(a.scores.lnP(v.score), lnTiny)
	v.alpha, v.line = t.alpha, t.line
	slices.SortStableFunc(v.surprises, func(x, y schemas.Surprise) int { return cmp.Compare(y.Nats, x.Nats) })
	v.surprises = v.surprises[:min(len(v.surprises), schemas.MaxAttributed)]
	return v
}

// who returns how surprising it is that this operator does this.
func (t *task) who(c *call, v *verdict, habit bool) float64 {
	a, tab, day := t.account, &t.account.table, t.account.day
	self := c.self == 1
	v.first = !tab.knows(c.op, c.self, day)
	h0 := t.config.Hazard
	if self && t.config.SelfHazard > 0 {
		h0 = t.config.SelfHazard
	}
	watched := float64(int64(c.row.Minute)-int64(a.age.Born)) / float64(schemas.Day)
	v.hazard = a.hazard.of(c.row.PrincipalType, self, min(1, h0*unseen(watched)))

	q, known := 1.0, 1.0
	for _, level := range [...]struct{ with, all *entry }{
		{tab.get(setHash(setOpAct, c.op, c.act)), tab.get(setHash(setAct, c.act, 0))},
		{tab.get(setHash(setOpService, c.op, c.svc)), tab.get(setHash(setService, c.svc, 0))},
		{tab.get(setHash(setOp, c.op, c.self)), &tab.class[c.self]},
	} {
		if level.with.before(day) {
			known = max(tab.earlier(level.with, day), 0.01) / (tab.n(level.all, day) + 1)
			break
		}
		q = min(q, tab.newness(level.all, day))
	}
	nats := -model.Ln(min(1, max(float64(q*known), 1e-12)))
	if v.first || t.config.Class == schemas.TrailClass && !habit {
		// In the class of trails somebody is new until it is a habit: a second day of switching off is no better than the first.
		nats = max(nats, -model.Ln(v.hazard))
		if v.first {
			v.surprises = append(v.surprises, schemas.Surprise{Attribute: "operator", Value: c.shown, Nats: nats})
		}
	}
	return nats
}

// circumstances adds up how surprising it is that the operator does it from there, with that, at this time, to this. What the
// operator was not seen with before costs -ln of its own share of news and of the share of others who know it, or, if nobody
// does, of the account's share of news: somebody without a past is judged as anybody.
func (t *task) circumstances(c *call, v *verdict) (sum float64, netKnown, agentKnown bool) {
	a, day := t.account, t.account.day
	f := a.profiles[c.op]
	if f == nil {
		f = &profile{}
	}
	newNet, newAgent := c.netHash != 0 && !knows(f.nets, c.netHash, day), c.agentBit != 0 && f.programs&c.agentBit == 0
	newHour, newAuth := f.hours&c.hour == 0, c.authBit != 0 && f.auths&c.authBit == 0
	crowd, others := &a.crowd, others{}
	if newNet || newAgent || newHour || newAuth {
		others = a.others(c)
	}
	add := func(attribute, value string, own, all float64, known uint64, factor float64) {
		news := min(1, max(own, 1)/(f.past()+1))
		share := max(float64(known+1)/float64(others.all+1), min(1, (all+1)/(crowd.days+1)))
		nats := min(float64(-model.Ln(news*share)*factor), maxSurprise)
		sum += nats
		if nats > worthTelling {
			v.surprises = append(v.surprises, schemas.Surprise{Attribute: attribute, Value: value, Nats: nats})
		}
	}
	netKnown, agentKnown = true, true
	if newNet {
		factor := 1.0
		if c.asnHash != 0 && knows(f.asns, c.asnHash, day) {
			factor = sameNetwork
		}
		add("network", c.net, float64(len(f.nets)), float64(crowd.nets), others.net, factor)
		netKnown = factor < 1 || c.group != 0 && others.net > 0
	}
	if newAgent {
		add("userAgent", c.agent, ones(f.programs), ones(crowd.programs), others.program, 1)
		agentKnown = c.group != 0 && others.program > 0
	}
	if newHour {
		add("hour", hourWords(c.row.Minute), ones(f.hours), ones(crowd.hours), others.hour, 1)
	}
	if newAuth {
		add("auth", c.row.Auth.String(), ones(f.auths), ones(crowd.auths), others.auth, 1)
	}
	if c.target != schemas.UnknownTarget && c.self == 0 { // those who change themselves have a hazard of their own
		if nats := t.targetNats(c); nats > 0 {
			sum += nats
			v.surprises = append(v.surprises, schemas.Surprise{Attribute: "target", Value: c.target.String(), Nats: nats})
		}
	}
	return sum, netKnown, agentKnown
}

// Others are the other principals of an account who know what a call came with, weighted by their active days in 64ths:
// whole numbers, so that their order does not matter.
type others struct{ all, net, program, hour, auth uint64 }

func (a *account) others(c *call) (o others) {
	for _, f := range a.list {
		if f.hash == c.op {
			continue
		}
		days := uint64(f.days)
		o.all += days
		if c.netHash != 0 && knows(f.nets, c.netHash, a.day) {
			o.net += days
		}
		if f.programs&c.agentBit != 0 {
			o.program += days
		}
		if f.hours&c.hour != 0 {
			o.hour += days
		}
		if f.auths&c.authBit != 0 {
			o.auth += days
		}
	}
	return o
}

// targetShare is how often which target is met, before the account says otherwise.
var targetShare = [...]float64{
	schemas.OtherTarget: 1, schemas.WildcardTarget: 0.05, schemas.AdminTarget: 0.05, schemas.RootTarget: 0.02,
}

// targetNats returns how surprising the target is, of an operator who never chose it before.
func (t *task) targetNats(c *call) float64 {
	tab, day := &t.account.table, t.account.day
	if tab.get(setHash(setOpTarget, c.op, uint64(c.target))).before(day) {
		return 0
	}
	const shipped = 2 // operator-days
	with := tab.n(tab.get(setHash(setActTarget, c.act, uint64(c.target))), day)
	all := tab.n(tab.get(setHash(setAct, c.act, 0)), day)
	p := (with + float64(shipped*targetShare[c.target])) / (all + shipped)
	return min(maxSurprise, -model.Ln(min(1, p)))
}

var hourNames = [...]string{"0 to 4 o'clock", "4 to 8 o'clock", "8 to 12 o'clock", "12 to 16 o'clock",
	"16 to 20 o'clock", "20 to 24 o'clock"}

func hourWords(m schemas.Minute) string {
	day := m.Day()
	block := (int64(m) - int64(day)*int64(schemas.Day)) / (4 * int64(schemas.Hour))
	when := "working days"
	if weekday := ((int64(day)+4)%7 + 7) % 7; weekday == 0 || weekday == 6 {
		when = "weekends"
	}
	return hourNames[block] + " UTC on " + when
}
