package normalize

import (
	"slices"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// rowBytes is an upper estimate of a coded row without its strings.
const rowBytes = 64

// section builds the rows of one account and region of a chunk.
type section struct {
	account   schemas.Account
	region    string
	partition int
	bytes     int // estimate of the coded size
	strings   []string
	index     map[string]uint32
	rows      []schemas.EventRow
	order     []uint32 // scratch of finish
	rank      []uint32
}

func newSection() *section { return &section{index: make(map[string]uint32)} }

func (s *section) begin(a schemas.Account, region string, partition int) {
	s.account, s.region, s.partition, s.bytes = a, region, partition, 0
	clear(s.index)
	s.strings = append(s.strings[:0], "")
	s.rows = s.rows[:0]
}

func (s *section) full() bool {
	return len(s.rows) == schemas.MaxSectionRows || s.bytes > maxSectionBytes
}

func (s *section) add(e *schemas.Event, t schemas.Traits, at place) {
	s.rows = append(s.rows, schemas.EventRow{
		ID: e.ID, Time: e.Time,
		Service: s.intern(e.Service), Name: s.intern(e.Name), ErrorCode: s.intern(e.ErrorCode),
		Principal: s.intern(e.Principal), PrincipalType: e.PrincipalType,
		AccessKey: s.intern(e.AccessKey), SourceIP: s.intern(e.SourceIP), UserAgent: s.intern(e.UserAgent),
		ASN: s.intern(at.asn), Country: s.intern(at.country),
		Write: e.Write, Traits: t,
	})
	s.bytes += rowBytes + len(e.ID)
}

func (s *section) intern(v string) uint32 {
	if v == "" {
		return 0
	}
	i, ok := s.index[v]
	if !ok {
		i = uint32(len(s.strings))
		s.strings = append(s.strings, v)
		s.index[v] = i
		s.bytes += len(v) + 5
	}
	return i
}

// finish returns the section with its dictionary sorted, so that whoever sorts rows by index sorts them by their strings.
// It is valid until begin.
func (s *section) finish(lane int) schemas.Section {
	n := len(s.strings)
	s.order, s.rank = s.order[:0], slices.Grow(s.rank[:0], n)[:n]
	for i := range n {
		s.order = append(s.order, uint32(i))
	}
	slices.SortFunc(s.order, func(a, b uint32) int { return strings.Compare(s.strings[a], s.strings[b]) })
	sorted := make([]string, n)
	for to, from := range s.order {
		sorted[to] = s.strings[from]
		s.rank[from] = uint32(to)
	}
	for i := range s.rows {
		r := &s.rows[i]
		for _, f := range [...]*uint32{
			&r.Service, &r.Name, &r.ErrorCode, &r.Principal, &r.AccessKey, &r.SourceIP, &r.UserAgent, &r.ASN, &r.Country,
		} {
			*f = s.rank[*f]
		}
	}
	return schemas.Section{Account: s.account, Region: s.region, Lane: lane, Strings: sorted, Rows: s.rows}
}
