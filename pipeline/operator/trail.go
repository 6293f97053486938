package operator

import (
	"slices"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// What looks like concealment and is not: whoever has just set a trail up goes on setting it up, and a test rig removes the
// trail that it made. Only for the class of trails.

// A setup is a trail that somebody created or switched on.
type setup struct {
	region  string
	op      uint64
	minute  schemas.Minute
	created bool
}

const (
	setUpTime = 30 // minutes in which what follows is part of it: tools and people are done in less
	maxSetups = 16 // of an account: more in half an hour is no setting up

	noTrail = "TrailNotFoundException" // an attempt on a trail that is not there is a weak one
)

// Names, in lower case, of what a set-up goes on with, and of how a test rig ends.
var (
	settingUp = []string{"updatetrail", "puteventselectors", "putinsightselectors", "puteventconfiguration",
		"putdataeventselector"}
	removing = []string{"stoplogging", "deletetrail"}
)

// restore takes an operation that switches logging on again: concealments of the region are over, and its operator may be
// setting a trail up. One that failed is neither.
func (t *task) restore(r *schemas.Row) {
	if t.text(r.ErrorCode) != "" {
		return
	}
	a := t.account
	for i := 0; i < len(a.open); {
		o := a.open[i]
		switch {
		case o.region != t.region.name || o.last > r.Minute:
			i++
		case !t.over(o, r.Minute): // else it has ended before, although no watermark has said so yet
			t.closeInsight(o, max(r.Minute, later(o.last, 1)), schemas.Restored)
		}
	}
	a.setups = slices.DeleteFunc(a.setups, func(s setup) bool { return int64(r.Minute)-int64(s.minute) > setUpTime })
	if len(a.setups) == maxSetups {
		a.setups = slices.Delete(a.setups, 0, 1)
	}
	a.setups = append(a.setups, setup{region: t.region.name, op: operatorHash(r.PrincipalType, t.text(r.Principal)),
		minute:  r.Minute,
		created: strings.EqualFold(t.text(r.Name), "CreateTrail")})
}

// setUp reports whether a call belongs to a set-up. Removing a trail only does if network and program are usual for the
// operator: nobody says which trail it was, and a thief could create one to be allowed to stop another.
func (t *task) setUp(c *call) bool {
	if t.config.Class != schemas.TrailClass || len(t.account.setups) == 0 {
		return false
	}
	name := strings.ToLower(c.event)
	goesOn, removes := slices.Contains(settingUp, name), slices.Contains(removing, name)
	if !goesOn && !removes {
		return false
	}
	for _, s := range t.account.setups {
		age := int64(c.row.Minute) - int64(s.minute)
		if s.op != c.op || s.region != t.region.name || age < 0 || age > setUpTime {
			continue
		}
		if goesOn {
			return true
		}
		if s.created {
			_, net, agent := t.circumstances(c, new(verdict))
			return net && agent && c.row.PrincipalType != schemas.RootPrincipal
		}
	}
	return false
}
