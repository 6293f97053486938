package aggregate

import (
	"cmp"
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// rowBytes is an upper estimate of a coded row without its strings.
const rowBytes = 64

// builder builds the panes of one message.
type builder struct {
	panes []schemas.Pane
	bytes int // estimate of their coded size

	strings []string // dictionary of the section that is being read
	rows    []schemas.Row
	index   map[tuple]int
	used    []uint32 // scratch of finish
}

// tuple is what makes events equal.
type tuple struct {
	minute                                   schemas.Minute
	service, name, errorCode, principal      uint32
	accessKey, sourceIP, country, agent, asn uint32
	principalType                            schemas.PrincipalType
	write, late                              bool
	traits                                   schemas.Traits
}

// begin starts a pane whose rows are coded with a section's dictionary.
func (b *builder) begin(strings []string) {
	if b.index == nil {
		b.index = make(map[tuple]int)
	}
	b.strings, b.rows = strings, nil
	clear(b.index)
}

func (b *builder) empty() bool { return len(b.rows) == 0 }

func (b *builder) add(at schemas.Minute, e *schemas.EventRow, late bool) {
	key := tuple{
		minute: at, service: e.Service, name: e.Name, errorCode: e.ErrorCode, principal: e.Principal,
		accessKey: e.AccessKey, sourceIP: e.SourceIP, country: e.Country, agent: e.UserAgent, asn: e.ASN,
		principalType: e.PrincipalType, write: e.Write, late: late, traits: e.Traits,
	}
	if i, ok := b.index[key]; ok {
		b.rows[i].Count++
		return
	}
	b.index[key] = len(b.rows)
	b.rows = append(b.rows, schemas.Row{
		Minute: at, Service: e.Service, Name: e.Name, ErrorCode: e.ErrorCode, Principal: e.Principal,
		AccessKey: e.AccessKey, SourceIP: e.SourceIP, Country: e.Country, UserAgent: e.UserAgent, ASN: e.ASN,
		PrincipalType: e.PrincipalType, Write: e.Write, Late: late,
		Traits: e.Traits, Count: 1, Sample: e.ID,
	})
}

// finish ends the pane: rows sorted by minute and tuple, and a dictionary of the strings that they use. Because a
// section's dictionary is sorted, the order of indices is the order of strings, and it stays so.
func (b *builder) finish(pane schemas.Pane) {
	b.used = slices.Grow(b.used[:0], len(b.strings))[:len(b.strings)]
	clear(b.used)
	for i := range b.rows {
		for _, f := range fields(&b.rows[i]) {
			b.used[*f] = 1
		}
	}
	if len(b.used) > 0 {
		b.used[0] = 1
		for i, used := range b.used {
			if used == 0 {
				continue
			}
			b.used[i] = uint32(len(pane.Strings))
			pane.Strings = append(pane.Strings, b.strings[i])
			b.bytes += len(b.strings[i]) + 5
		}
	}
	for i := range b.rows {
		for _, f := range fields(&b.rows[i]) {
			*f = b.used[*f]
		}
	}
	slices.SortFunc(b.rows, compareRows)
	pane.Rows = b.rows
	b.bytes += rowBytes * (1 + len(b.rows))
	b.panes = append(b.panes, pane)
}

// take returns the finished panes and begins the next message.
func (b *builder) take() []schemas.Pane {
	panes := b.panes
	b.panes, b.bytes = nil, 0
	return panes
}

// fields are the indices of a row into the dictionary.
func fields(r *schemas.Row) [9]*uint32 {
	return [...]*uint32{
		&r.Service, &r.Name, &r.ErrorCode, &r.Principal, &r.AccessKey, &r.SourceIP, &r.Country, &r.UserAgent, &r.ASN,
	}
}

func compareRows(a, b schemas.Row) int {
	if c := cmp.Compare(a.Minute, b.Minute); c != 0 {
		return c
	}
	for _, c := range [...]int{
		cmp.Compare(a.Service, b.Service), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ErrorCode, b.ErrorCode),
		cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.AccessKey, b.AccessKey), cmp.Compare(a.SourceIP, b.SourceIP),
		cmp.Compare(a.UserAgent, b.UserAgent), cmp.Compare(a.Country, b.Country), cmp.Compare(a.ASN, b.ASN),
		cmp.Compare(a.PrincipalType, b.PrincipalType), compareBool(a.Write, b.Write), compareBool(a.Late, b.Late),
		cmp.Compare(a.Sensitive, b.Sensitive), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Auth, b.Auth),
	} {
		if c != 0 {
			return c
		}
	}
	return 0
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}
