package view

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/trailvane/trailvane/pipeline/catalog"
	"github.com/trailvane/trailvane/schemas"
)

const (
	// gap is how far apart the activities of two insights of one incident may be: an intruder who has found a way in goes on
	// within the hour, and a working day has many things in it.
	gap = schemas.Hour

	// memory is how long a reader remembers an insight behind the newest one. An insight lasts a day at most, and its End may
	// say for all of it what it was seen with.
	memory = schemas.Day + gap

	// hubMemory and hubPrincipals say when an address is a hub.
	hubMemory     = 30 * schemas.Day
	hubPrincipals = 20

	// maxStretches bounds the insights of an account that are remembered: far beyond what budgets of a few a month let pass, and
	// about 4 MB. The oldest are forgotten before their time.
	maxStretches = 4096

	// maxPerLink bounds the insights that are compared with a new one for one key, principal or address. They hang together
	// already, so the latest are enough.
	maxPerLink = 128

	// maxAddresses bounds the addresses of an account whose principals are counted, as maxStretches does for 30 days. Those
	// that were not seen for longest are forgotten.
	maxAddresses = 4096
)

// A Reader remembers what it needs to tell the view of the next insight. It is fed insight events in the order of their time;
// the order of equal times does not matter.
type Reader struct {
	catalog       *catalog.Catalog
	accounts      map[schemas.Account]*account
	forgetNothing bool
}

// NewReader returns a reader that has read nothing.
func NewReader() *Reader {
	return &Reader{catalog: catalog.Default(), accounts: make(map[schemas.Account]*account)}
}

// account is what is remembered of one account.
type account struct {
	newest, swept schemas.Minute
	stretches     map[string]*stretch // by shared id
	links         map[link][]*stretch
	addresses     map[string]*users
}

// A stretch is one insight, from its Start to its End. Until that has come it may last as long as an insight can.
type stretch struct {
	id         string
	start, end schemas.Minute
	over       bool // the End has come
	links      []link
	incident   *incident
	linked     []string
}

// An incident is a set of stretches. One that was joined with an older one points to it.
type incident struct {
	into  *incident
	id    string         // of its earliest stretch
	since schemas.Minute // start of that
	types types
}

// root returns the incident that this one is part of by now.
func (n *incident) root() *incident {
	for n.into != nil {
		if n.into.into != nil {
			n.into = n.into.into
		}
		n = n.into
	}
	return n
}

func (n *incident) compare(since schemas.Minute, id string) int {
	return cmp.Or(cmp.Compare(n.since, since), strings.Compare(n.id, id))
}

// types is a set of insight types.
type types uint8

var known = []schemas.InsightType{
	schemas.APICallRate, schemas.APIErrorRate, schemas.IP, schemas.AK,
	schemas.PolicyChange, schemas.PasswordChange, schemas.TrailConcealment,
}

// typeOf returns the set of one type. Types of a newer program count as one.
func typeOf(t schemas.InsightType) types {
	if i := slices.Index(known, t); i >= 0 {
		return 1 << i
	}
	return 1 << len(known)
}

func (t types) count() int { return bits.OnesCount8(uint8(t)) }

// Add takes an insight event into account. It keeps nothing of the event but strings.
func (r *Reader) Add(i *schemas.Insight) {
	a := r.accounts[i.Account()]
	if a == nil {
		a = &account{
			newest: i.EventTime, swept: i.EventTime, stretches: make(map[string]*stretch),
			links: make(map[link][]*stretch), addresses: make(map[string]*users),
		}
		r.accounts[i.Account()] = a
	}
	a.newest = max(a.newest, i.EventTime)
	if !r.forgetNothing {
		a.forget()
	}
	seen := linksOf(i)
	a.count(i, seen)
	s := a.extend(i, seen)
	a.join(s, typeOf(i.Details.Type))
	if !r.forgetNothing && len(a.stretches) > maxStretches {
		a.shrink()
	}
}

// extend returns the event's stretch with what the event says of it.
func (a *account) extend(i *schemas.Insight, seen []link) *stretch {
	s := a.stretches[i.SharedEventID]
	if s == nil {
		s = &stretch{id: i.SharedEventID, start: i.EventTime, end: plus(i.EventTime, schemas.Day)}
		a.stretches[s.id] = s
	}
	if i.Details.State == schemas.EndState {
		lasted := schemas.Minute(min(i.Details.Context.Statistics.InsightDuration, uint32(schemas.Day)))
		s.start, s.end, s.over = min(s.start, i.EventTime-lasted), i.EventTime, true
	} else if s.start = min(s.start, i.EventTime); !s.over {
		s.end = plus(s.start, schemas.Day)
	}
	for _, l := range seen {
		if slices.Contains(s.links, l) {
			continue
		}
		s.links = append(s.links, l)
		list := append(a.links[l], s)
		if len(list) > maxPerLink {
			list = slices.Delete(list, 0, len(list)-maxPerLink)
		}
		a.links[l] = list
	}
	return s
}

// near reports whether two activities are at most a gap apart.
func (s *stretch) near(o *stretch) bool {
	return s.start <= plus(o.end, gap) && o.start <= plus(s.end, gap)
}

// plus adds minutes, up to the last one that there is: a reader may be fed any year.
func plus(m, more schemas.Minute) schemas.Minute {
	return schemas.Minute(min(int64(m)+int64(more), math.MaxInt32))
}

// join puts a stretch and everything that it belongs to into one incident.
func (a *account) join(s *stretch, kind types) {
	var roots []*incident
	add := func(n *incident) {
		if n = n.root(); !slices.Contains(roots, n) {
			roots = append(roots, n)
		}
	}
	if s.incident != nil {
		add(s.incident)
	}
	for _, l := range s.links {
		if l.kind == addressLink && a.hub(l.value) {
			continue
		}
		for _, o := range a.links[l] {
			if o != s && o.near(s) {
				add(o.incident)
			}
		}
	}
	if len(roots) == 0 {
		s.incident = &incident{id: s.id, since: s.start, types: kind}
		return
	}
	slices.SortFunc(roots, func(x, y *incident) int { return x.compare(y.since, y.id) })
	oldest := roots[0]
	s.incident = oldest
	for _, n := range roots[1:] {
		n.into = oldest
		oldest.types |= n.types
		s.linked = append(s.linked, n.id)
	}
	oldest.types |= kind
	if oldest.compare(s.start, s.id) > 0 { // events of equal times in another order, or a Start that came after its End
		if oldest.id != s.id {
			s.linked = append(s.linked, oldest.id)
		}
		oldest.id, oldest.since = s.id, s.start
	}
}

// forget drops what no later event can belong to, once an hour of event time.
func (a *account) forget() {
	if a.newest < plus(a.swept, schemas.Hour) {
		return
	}
	a.swept = a.newest
	for _, s := range a.stretches {
		if s.end < a.newest-memory {
			a.drop(s)
		}
	}
	for address, u := range a.addresses {
		if u.prune(a.newest - hubMemory); len(*u) == 0 {
			delete(a.addresses, address)
		}
	}
}

// shrink drops the quarter of the stretches whose activity is the oldest.
func (a *account) shrink() {
	all := make([]*stretch, 0, len(a.stretches))
	for _, s := range a.stretches {
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y *stretch) int { return cmp.Or(cmp.Compare(x.end, y.end), strings.Compare(x.id, y.id)) })
	for _, s := range all[:len(all)/4] {
		a.drop(s)
	}
}

func (a *account) drop(s *stretch) {
	delete(a.stretches, s.id)
	for _, l := range s.links {
		list := slices.DeleteFunc(a.links[l], func(o *stretch) bool { return o == s })
		if a.links[l] = list; len(list) == 0 {
			delete(a.links, l)
		}
	}
}

// users are the principals that an address was seen with, the latest ones of them, by the hash of their name: at most one more
// than makes it a hub.
type users []user

type user struct {
	principal uint64
	last      schemas.Minute
}

func (u *users) prune(since schemas.Minute) {
	*u = slices.DeleteFunc(*u, func(x user) bool { return x.last < since })
}

// count remembers which principals the event's addresses were seen with.
func (a *account) count(i *schemas.Insight, seen []link) {
	for _, l := range seen {
		if l.kind != addressLink {
			continue
		}
		u := a.addresses[l.value]
		if u == nil {
			if len(a.addresses) >= maxAddresses {
				a.dropAddress()
			}
			u = new(users)
			a.addresses[l.value] = u
		}
		for _, p := range seen {
			if p.kind == principalLink {
				u.see(xxhash.Sum64String(p.value), i.EventTime)
			}
		}
	}
}

func (u *users) see(principal uint64, at schemas.Minute) {
	for i := range *u {
		if x := &(*u)[i]; x.principal == principal {
			x.last = max(x.last, at)
			return
		}
	}
	if *u = append(*u, user{principal, at}); len(*u) > hubPrincipals+1 {
		oldest := slices.MinFunc(*u, func(x, y user) int {
			return cmp.Or(cmp.Compare(x.last, y.last), cmp.Compare(x.principal, y.principal))
		})
		*u = slices.DeleteFunc(*u, func(x user) bool { return x == oldest })
	}
}

// hub reports whether an address joins nothing, because too many use it.
func (a *account) hub(address string) bool {
	n := 0
	if u := a.addresses[address]; u != nil {
		for _, x := range *u {
			if x.last >= a.newest-hubMemory {
				n++
			}
		}
	}
	return n > hubPrincipals
}

// dropAddress forgets the address that was not seen for longest.
func (a *account) dropAddress() {
	oldest, when := "", schemas.Minute(0)
	for address, u := range a.addresses {
		last := schemas.Minute(-1 << 31)
		for _, x := range *u {
			last = max(last, x.last)
		}
		if oldest == "" || last < when || last == when && address < oldest {
			oldest, when = address, last
		}
	}
	delete(a.addresses, oldest)
}
