// Package ip finds callers that come from suspicious new addresses: IpInsight.
//
// # Signal
//
// The first request of an address that the account has not seen for 90 days, in any region, by people and machines of the
// account; calls of cloud services, private addresses and what is no address are left out. The insight object is the
// address. An address is told once per region and UTC day, at its first request there.
//
// # Model
//
// How new is it? An address is known as itself, by its /24, its /16, its network (ASN) and its country; the depth D is the
// first of these that is known, 0 to 5. Without a database, /12 and /8 stand for network and country; of IPv6 the steps are
// /128, /64, /48, network or /32, country or /12. D is asked twice: of what the account has seen, and of what the principal
// has been seen with (of somebody new, the account's answer counts for both).
//
// How usual is that? Of the days on which a principal was active (N, half-life 60 days, from its second week on) count those
// with something at least as new (n_D). P = (n_D + s P')/(N + s), where P' is the same for its kind (people, roles, root) in
// the account, and above that a shipped constant; s is 5 for a principal, 20 for a kind. For the account's question all
// principals together make P. The score of each question is -ln P plus the logarithms of likelihood ratios of circumstances:
// a new user agent, a first request that writes or is sensitive, another country within 30 minutes; and against it that the
// same principal was told of in that network already. From the third principal on that comes from the same new /24 on a day
// nobody is suspicious there: they have moved. In log10p and oneIn p stands for the score, circumstances and all.
//
// Each score has a line, which as many of the account's new addresses reach as its share of the budget allows: one third for
// the account's question, two thirds for the principal's. It comes from their scores (mean life 30 days, with 200 shipped
// ones): the tenth that scores highest, and an exponential tail beyond. It is never below 2.3 (p = 0.1). An address is
// suspicious if either score reaches its line. Where everybody hops between networks P is large and everything scores low.
//
// The insight ends when its region was silent about the address for 30 minutes, or with the day, at the minute after its
// last request. An address is learned at once, a suspicious one 24 hours after its first request, and one that was only
// denied never.
//
// # Defaults
//
// Budget: three false insights per account and month. Learning: 24 hours. Ten addresses are told per account and day; the tenth
// stays open until the day is over, and counts the further ones. An account knows 20,000 prefixes and 4,096 principals.
//
// # Blind spots
//
// An attacker inside a network that the principal uses: behind the same NAT, in the same VPN, in the same address range of a
// cloud. An address that a colleague has used before. The first day of an account. A young account, whose principals have no
// habits yet. A principal that often comes from new networks of its country. Whoever is denied first and let in later the
// same day is judged by the first request only. What is new beyond 2,000 prefixes a day is not learned that day. Hours of
// the day are not looked at.
//
// # Sources
//
// ActionTrail, "Overview of Insights events" (one event per address and day, at its first request) and "Insights event
// structure". It documents no threshold, and warns of addresses that differ much; so the model is Trailvane's own. Back-off
// as in Teh 2006 (Pitman-Yor); the address and its networks as in SageMaker IP Insights, without learning vectors.
package ip

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/trailvane/trailvane/pipeline/address"
	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

// Type is the insight type that this detector finds.
const Type = schemas.IP

// ModelVersion names the constants of this package; it stands in every finding.
const ModelVersion = "ip-1"

// A Detector implements detect.Explainer.
type Detector struct {
	accounts map[schemas.Account]*account
	state    store

	// Scratch of one pane, kept for its memory: what is known of each string of its dictionary.
	slots  []slot
	people []*principal
	agents []fingerprint
	out    []schemas.Finding
}

var _ detect.Explainer = (*Detector)(nil)

// New returns a detector without state.
func New() *Detector {
	return &Detector{accounts: make(map[schemas.Account]*account), state: newStore()}
}

// Type implements detect.Detector.
func (d *Detector) Type() schemas.InsightType { return Type }

// Constants implements detect.Detector.
func (d *Detector) Constants() string { return ModelVersion }

// A slot is what is known of a source address of the pane.
type slot struct {
	state        slotState
	known        bool // to the account
	addr         netip.Addr
	path         path
	asn, country string
}

type slotState uint8

const (
	unread  slotState = iota
	ignored           // no public address
	public
)

// A task is the work on one pane.
type task struct {
	*Detector
	p       *schemas.Pane
	account *account
	budget  float64
}

// Observe implements detect.Detector: it judges new addresses row by row, and ends what is over when the watermark moves.
func (d *Detector) Observe(p *schemas.Pane, s schemas.Settings, emit func(*schemas.Finding)) {
	a := d.account(p.Account)
	d.state.accounts.Touch(a.slice)
	hadOpen := len(a.open) > 0
	a.age.Learn = s.Learn
	t := task{Detector: d, p: p, account: a, budget: Budget * s.Budget}
	t.reset(len(p.Strings))
	for i := range p.Rows {
		t.row(&p.Rows[i])
	}
	for _, i := range a.open {
		if i.fresh {
			i.fresh = false
			t.finding(i, schemas.OpenFinding, "")
		}
	}
	watermark, ok := a.regions[p.Region]
	if !ok {
		watermark = noWatermark
		a.regions[strings.Clone(p.Region)] = watermark
	}
	if p.Watermark > watermark {
		a.regions[p.Region] = p.Watermark
		t.end(p.Watermark)
		if a.roll(p.Watermark.Day()) {
			t.ripen(schemas.Minute(min(int64(a.day)*int64(schemas.Day), math.MaxInt32)))
			a.waiting = slices.DeleteFunc(a.waiting, a.settled)
			t.trim()
		}
	}
	if p.Close {
		t.closeAll()
	}
	if hadOpen || len(a.open) > 0 {
		t.state.open.Touch(t.state.openSlice(a))
	}
	t.state.keep(a)

	slices.SortStableFunc(t.out, func(x, y schemas.Finding) int {
		return cmp.Or(cmp.Compare(x.Start, y.Start), strings.Compare(x.Key, y.Key), cmp.Compare(x.Kind, y.Kind))
	})
	for i := range t.out {
		emit(&t.out[i])
	}
}

func (d *Detector) reset(n int) {
	d.out = d.out[:0]
	d.slots = slices.Grow(d.slots[:0], n)[:n]
	d.people = slices.Grow(d.people[:0], n)[:n]
	d.agents = slices.Grow(d.agents[:0], n)[:n]
	clear(d.slots)
	clear(d.people)
	clear(d.agents)
}

func (d *Detector) account(id schemas.Account) *account {
	a := d.accounts[id]
	if a == nil {
		a = newAccount(schemas.Account{Provider: schemas.Provider(strings.Clone(string(id.Provider))), ID: strings.Clone(id.ID)})
		d.accounts[a.id] = a
		d.state.add(a)
	}
	return a
}

// row takes one row, in the order of the pane.
func (t *task) row(r *schemas.Row) {
	a := t.account
	a.age.See(r.Minute)
	if !a.begun {
		a.begun, a.day = true, r.Minute.Day()
	}
	n := uint32(len(t.p.Strings))
	if r.PrincipalType == schemas.ServicePrincipal || r.Count == 0 || r.SourceIP >= n || r.Principal >= n {
		return // no aggregator of ours makes a row without calls, or outside its dictionary
	}
	s := &t.slots[r.SourceIP]
	if s.state == unread {
		t.read(s, r)
	}
	if s.state == ignored {
		return
	}
	p := t.people[r.Principal]
	if p == nil {
		p = t.principal(r)
		t.people[r.Principal] = p
	}
	if p.begin(a.day) {
		t.state.people.Touch(p.slice)
	}
	allowed := r.ErrorCode == 0 || !denied(t.text(r.ErrorCode))
	welcome, depth := allowed, 0
	if !s.known {
		if depth = a.seen.depth(&s.path); depth > 0 {
			welcome = t.stranger(p, s, r, allowed)
		}
		s.known = a.seen.knows(s.path[0])
	}
	if allowed {
		t.learn(p, s, r, depth, welcome)
	}
	if len(a.open) > 0 {
		t.collect(s, r)
	}
}

// read finds out what a source address is, once per pane.
func (t *task) read(s *slot, r *schemas.Row) {
	s.state = ignored
	addr, ok := address.Parse(t.text(r.SourceIP))
	if !ok {
		return
	}
	s.state, s.addr, s.asn, s.country = public, addr, bounded(t.text(r.ASN)), bounded(t.text(r.Country))
	s.path = pathOf(addr, network(s.asn), s.country)
	if t.account.seen.knows(s.path[0]) {
		s.known = true
		t.account.learn(&s.path) // it was used today, and a database may have come since
	}
}

// maxWord bounds what a database says of an address.
const maxWord = 64

func bounded(s string) string { return s[:min(len(s), maxWord)] }

// text returns a string of the dictionary.
func (t *task) text(i uint32) string {
	if int(i) >= len(t.p.Strings) {
		return ""
	}
	return t.p.Strings[i]
}

// agent returns the fingerprint of a user agent's family, 0 if there is none.
func (t *task) agent(i uint32) fingerprint {
	if int(i) >= len(t.agents) || t.p.Strings[i] == "" {
		return 0
	}
	if t.agents[i] == 0 {
		t.agents[i] = hash('a', family(t.p.Strings[i]))
	}
	return t.agents[i]
}

// principal returns what is known of the caller of a row.
func (t *task) principal(r *schemas.Row) *principal {
	a := t.account
	h := xxhash.Sum64String(t.p.Strings[r.Principal])
	p := a.people[h]
	if p == nil {
		if len(a.people) >= maxPrincipals {
			t.forgetPrincipals()
		}
		p = &principal{hash: h, in: a, kind: kindOf(r.PrincipalType), born: a.day, day: a.day}
		a.people[h] = p
		t.state.addPrincipal(p)
		t.state.people.Touch(p.slice)
	}
	return p
}

// forgetPrincipals makes room: the sixteenth part that was not seen for longest goes.
func (t *task) forgetPrincipals() {
	list := make([]*principal, 0, len(t.account.people))
	for _, p := range t.account.people {
		list = append(list, p)
	}
	slices.SortFunc(list, (*principal).compare)
	for _, p := range list[:len(list)/16] {
		t.drop(p)
	}
	clear(t.people)
}

func (t *task) drop(p *principal) {
	delete(t.account.people, p.hash)
	t.state.people.Remove(p.slice, p)
}

// trim forgets, once a day, the principals that have not been seen for as long as addresses are known.
func (t *task) trim() {
	for _, p := range t.account.people {
		if t.account.day-p.day > memoryDays {
			t.drop(p)
		}
	}
}

// learn notes where an allowed request came from, and how new that was to its principal's day. What is suspicious counts,
// and is not learned.
func (t *task) learn(p *principal, s *slot, r *schemas.Row, depth int, welcome bool) {
	a := t.account
	agent := t.agent(r.UserAgent)
	if s.country != "" && welcome && (p.country != s.path[4] || r.Minute >= p.at+travelTime/6) {
		p.country, p.at = s.path[4], r.Minute // to five minutes, so that not every request is a change
		t.state.people.Touch(p.slice)
	}
	counts := r.Minute >= a.age.Learned()
	if s.path[0] == p.last && (agent == 0 || agent == p.lastAgent) && (p.today > 0 || !counts) {
		return
	}
	changed := false
	if counts {
		changed = t.exposed(p, s, depth)
	}
	if welcome {
		changed = p.learn(&s.path, a.day) || changed
		if agent != 0 {
			var c bool
			p.agents, c = remember(p.agents, agent, a.day, maxAgents)
			changed = changed || c
		}
		p.last, p.lastAgent = s.path[0], agent
	}
	if changed {
		t.state.people.Touch(p.slice)
	}
}

// exposed counts how new a request was among the principal's day, its kind's and the account's.
func (t *task) exposed(p *principal, s *slot, of int) bool {
	a := t.account
	own := max(of, 1)
	if len(p.nets) > 0 {
		own = p.depth(&s.path)
	}
	begun, before, beforeOf := p.today > 0, int(p.today), int(p.account)
	if !begun {
		before, beforeOf = -1, -1
	}
	if own > before {
		a.kinds[p.kind].deepen(before, own)
		p.today = uint8(own)
	}
	if of > beforeOf {
		a.whole.deepen(beforeOf, of)
		p.account = uint8(of)
	}
	return own > before || of > beforeOf
}
