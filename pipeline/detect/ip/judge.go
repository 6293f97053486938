package ip

import (
	"slices"
	"strconv"
	"strings"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// Circumstances and how much more, or less, likely each is when an address is an attacker's. They are chosen, not measured, and
// stay between 1/3 and 10 so that none decides alone.
const (
	ratioAgent     = 3.  // attackers bring their tools, people change theirs now and then
	ratioWrite     = 1.5 // most first requests read
	ratioSensitive = 3.
	ratioTravel    = 10.      // nobody is in two countries within half an hour, but through a VPN
	ratioCrowd     = 0.333333 // of six digits, as all that is published
	ratioTold      = 0.333333 // a traveller who goes online again; of a thief, one address of the network was told

	travelTime = 30 // minutes
	// So many principals that come from the same new /24 on a day have moved, or use a VPN: its further addresses are not
	// suspicious, whatever their scores, and so it is learned. A ratio of 1/3 left an office that moves to be told ten times.
	crowd = 3
)

const ln10 = 2.302585092994045684017991454684364208

// A verdict is what is thought of an address at its first request.
type verdict struct {
	suspicious bool
	score      [routes]float64
	line       [routes]float64
	route      int // that fires, or comes nearest to it
	depth      [routes]int
	modifiers  []schemas.Modifier
}

// judge weighs the first request of an address that the account does not know, on the model as it is.
func (t *task) judge(p *principal, s *slot, r *schemas.Row, others []uint64) verdict {
	a := t.account
	depth := [routes]int{a.seen.depth(&s.path), 0}
	if depth[ofPrincipal] = depth[ofAccount]; len(p.nets) > 0 { // of somebody new, what the account knows must do
		depth[ofPrincipal] = p.depth(&s.path)
	}
	ofKind := a.kinds[p.kind].p(depth[ofPrincipal], &shippedPrincipal, weightKind)
	probability := [routes]float64{
		a.whole.p(depth[ofAccount], &shippedAccount, weightKind),
		p.p(depth[ofPrincipal], ofKind),
	}
	modifiers, weight, crowded := t.circumstances(p, s, r, others)
	v := verdict{line: a.line(t.budget), depth: depth, modifiers: modifiers}
	for i := range routes {
		v.score[i] = max(0, weight-model.Ln(min(probability[i], 1)))
		if v.score[i]-v.line[i] > v.score[v.route]-v.line[v.route] {
			v.route = i
		}
	}
	v.suspicious = v.score[v.route] >= v.line[v.route] && r.Minute >= a.age.Learned() && !crowded
	return v
}

// circumstances returns what else is odd, or reassuring, about a first request, the sum of the logarithms, and whether the caller
// is one of a crowd.
func (t *task) circumstances(p *principal, s *slot, r *schemas.Row, others []uint64) (
	list []schemas.Modifier, weight float64, crowded bool,
) {
	add := func(name string, ratio float64) {
		list = append(list, schemas.Modifier{Name: name, Ratio: ratio})
		weight += model.Ln(ratio)
	}
	if f := t.agent(r.UserAgent); f != 0 && len(p.agents) > 0 && !has(p.agents, f) {
		add("new user agent", ratioAgent)
	}
	switch {
	case sensitive(r.Sensitive):
		add("sensitive first request", ratioSensitive)
	case r.Write:
		add("first request writes", ratioWrite)
	}
	since := int64(r.Minute) - int64(p.at)
	if s.country != "" && p.country != 0 && p.country != s.path[4] && max(since, -since) < travelTime {
		add("in another country a moment ago", ratioTravel)
	}
	crowded, told := t.company(p.hash, s, others)
	if crowded {
		add("several principals in the same new network", ratioCrowd)
	}
	if told {
		add("the same principal was told of in the same network", ratioTold)
	}
	return list, weight, crowded
}

// sensitive reports whether an operation counts as one of any class.
func sensitive(s schemas.Sensitive) bool {
	return s.Counts(schemas.PolicyClass) || s.Counts(schemas.PasswordClass) || s.Counts(schemas.TrailClass)
}

// company looks at the addresses that wait: whether enough principals come from the /24 of an address that nobody has
// learned yet, and whether the principal was told of in its /16 or network.
func (t *task) company(hash uint64, s *slot, others []uint64) (crowded, told bool) {
	var buffer [crowd]uint64
	met := stranger{principals: buffer[:0]}
	met.met(hash)
	for _, h := range others {
		met.met(h)
	}
	for _, o := range t.account.waiting {
		if o.path[1] == s.path[1] && o.day >= t.account.day {
			for _, h := range o.principals {
				met.met(h)
			}
		}
		if o.addr != s.addr && o.suspicious && (o.path[2] == s.path[2] || o.path[3] == s.path[3]) {
			told = told || slices.Contains(o.principals, hash)
		}
	}
	return len(met.principals) >= crowd, told
}

// explain says in figures why an address is suspicious, or nearly.
func (t *task) explain(p *principal, s *slot, v *verdict) schemas.Why {
	a, depth := t.account, v.depth
	score := v.score[v.route]
	w := schemas.Why{
		Detector: "ip", ModelVersion: ModelVersion, Route: routeNames[v.route],
		Log10P: -schemas.Round(score / ln10), OneIn: schemas.Round(model.Exp(score)), Alpha: schemas.Round(model.Exp(-v.line[v.route])),
		Tested30d: schemas.Round(a.news.month()), BudgetPerMonth: schemas.Round(t.budget), Confirmed: true,
		ModelAgeDays: schemas.Round(float64(int64(a.age.Newest)-int64(a.age.Born)) / float64(schemas.Day)),
		Address: &schemas.AddressWhy{
			AccountKnew: knew(depth[ofAccount], s), PrincipalKnew: knew(depth[ofPrincipal], s),
			PrincipalDays: schemas.Round(float64(p.days)),
			Modifiers:     v.modifiers, ASN: strings.Clone(s.asn), Country: strings.Clone(s.country),
		},
	}
	habits := &a.kinds[p.kind]
	d := depth[v.route]
	var days float64
	switch {
	case v.route == ofAccount:
		w.Address.BackOff, habits = "account", &a.whole
		days = a.whole.deep[d]
	case float64(p.days) >= weightPrincipal:
		w.Address.BackOff, days = "principal", float64(p.deep[d])
	default:
		w.Address.BackOff, days = "kind", habits.deep[d]
	}
	if w.Address.BackOff != "principal" && habits.days < weightKind {
		w.Address.BackOff = "shipped"
	}
	w.Address.NoveltyDays = schemas.Round(days)
	return w
}

// knew says in words what of an address was known.
func knew(depth int, s *slot) string {
	bits, family := bits6, "/"
	if s.addr.Is4() {
		bits = bits4
	}
	switch {
	case depth == levels:
		return "nothing"
	case depth == 0:
		return "the address itself"
	case depth == 3 && s.asn != "":
		return "its network (" + s.asn + ")"
	case depth == 4 && s.country != "":
		return "its country (" + s.country + ")"
	}
	return "its " + family + strconv.Itoa(bits[depth])
}

// stranger deals with a request from an address that the account does not know, and reports whether its caller may be
// learned from.
func (t *task) stranger(p *principal, s *slot, r *schemas.Row, allowed bool) bool {
	a := t.account
	day := r.Minute.Day()
	if t.ripen(r.Minute); a.seen.knows(s.path[0]) {
		return allowed
	}
	w := a.stranger(s.addr)
	if w == nil {
		return t.first(p, s, r, allowed)
	}
	w.allowed = w.allowed || allowed
	w.met(p.hash)
	switch last, told := w.toldDay(t.p.Region); {
	case !w.suspicious && day <= w.day:
		return t.accept(w, allowed)
	case told && day <= last:
	case w.suspicious && day <= w.day:
		t.tell(w, r) // here too
	default: // a new day, and nothing is known yet
		w.day = day
		v := t.judge(p, s, r, w.principals)
		if w.suspicious = v.suspicious; !v.suspicious {
			return t.accept(w, allowed)
		}
		w.why = t.explain(p, s, &v)
		t.tell(w, r)
	}
	return false
}

// first judges the first request of an address.
func (t *task) first(p *principal, s *slot, r *schemas.Row, allowed bool) bool {
	a := t.account
	v := t.judge(p, s, r, nil)
	if !v.suspicious {
		t.offer(p, s, r, &v)
		if allowed {
			if a.seen.learned < a.mayLearn() { // or it is a flood, whose addresses come again and must not count each time
				t.count(r, &v)
			}
			a.learn(&s.path)
			return true
		}
	}
	if !a.room() { // nobody could see to it that it is told once
		if v.suspicious {
			t.more()
		}
		return false
	}
	w := &stranger{
		addr: s.addr, path: s.path, first: r.Minute, day: r.Minute.Day(), counted: a.day - 1, suspicious: v.suspicious,
		allowed: allowed,
	}
	w.met(p.hash)
	a.waiting = append(a.waiting, w)
	t.count(r, &v)
	if v.suspicious {
		w.why = t.explain(p, s, &v)
		t.tell(w, r)
	}
	return false
}

// count adds a new address to those that later ones are compared with.
func (t *task) count(r *schemas.Row, v *verdict) {
	a := t.account
	if r.Minute < a.age.Learned() {
		return
	}
	a.news.today++
	for i := range routes {
		a.scores[i].add(v.score[i])
	}
}

// accept learns an address that is not suspicious, or no longer, unless all its requests were denied.
func (t *task) accept(w *stranger, allowed bool) bool {
	if !w.allowed {
		return false
	}
	t.welcome(w)
	if len(w.told) == 0 {
		t.account.dismiss(w)
	}
	return allowed
}

// tell opens the insight of a suspicious address in the region of a row, unless enough was told on this day.
func (t *task) tell(w *stranger, r *schemas.Row) {
	a := t.account
	w.tell(t.p.Region, r.Minute.Day())
	standing := false
	if w.counted != a.day {
		if a.told >= maxTold {
			t.more()
			return
		}
		w.counted = a.day
		a.told++
		standing = a.told == maxTold
	}
	i := &insight{
		addr: w.addr, object: w.addr.String(), region: strings.Clone(t.p.Region), day: r.Minute.Day(), start: r.Minute, last: r.Minute,
		why: w.why, who: cut(t.text(r.Principal)), standing: standing, fresh: true,
	}
	a.enter(i)
}

// more counts an address that no insight of its own tells of, in the latest of those that stand for others.
func (t *task) more() {
	var latest *insight
	for _, i := range t.account.open {
		if i.standing && (latest == nil || i.day > latest.day) {
			latest = i
		}
	}
	if latest != nil {
		latest.more++
	}
}
