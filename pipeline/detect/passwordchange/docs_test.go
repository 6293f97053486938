package passwordchange

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// What holds for all detectors of operators is tested with package policychange; here is what is special about passwords.

const start = detecttest.Epoch + 20*schemas.Day

func call(m schemas.Minute, who, event string, target schemas.Target) detecttest.Call {
	return detecttest.Call{Minute: m, Service: "iam.amazonaws.com", Event: event, Principal: who, Count: 1,
		Type:      schemas.UserPrincipal,
		UserAgent: "console.amazonaws.com", SourceIP: "198.51.100.7", Traits: schemas.Traits{
			Sensitive: schemas.Sensitive(0).With(schemas.PasswordClass,
				schemas.CoreTier), Target: target, Auth: schemas.ConsoleMFAAuth}}
}

// office is twenty days in which ten people work from an office and one of them resets passwords.
func office(t *testing.T) (*Detector, *detecttest.Feed) {
	t.Helper()
	d := New()
	f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "123456789012"}, Region: "eu-west-1", Lateness: 15}
	var calls []detecttest.Call
	for m := detecttest.Epoch; m < start; m += schemas.Day {
		for i := range 10 {
			c := call(m+9*schemas.Hour+schemas.Minute(i), fmt.Sprint("user", i), "RunInstances", 0)
			c.Traits.Sensitive = 0
			calls = append(calls, c)
		}
		calls = append(calls, call(m+11*schemas.Hour, "user0", "UpdateLoginProfile", schemas.OtherTarget))
	}
	if found := watch(d, f.Panes(calls, 5)...); len(found) != 0 {
		t.Fatalf("a help desk is told: %s", found[0].Why.Text)
	}
	return d, f
}

func watch(d *Detector, panes ...schemas.Pane) (found []schemas.Finding) {
	for i := range panes {
		d.Observe(&panes[i], schemas.DefaultSettings(), func(f *schemas.Finding) { found = append(found, *f) })
	}
	return found
}

// A user's own password is changed for the first time: twice as likely at least than that of another, even
// in an account where nobody did so for twenty days.
func TestOwnPassword(t *testing.T) {
	var surprise [2]float64
	for i, target := range []schemas.Target{schemas.SelfTarget, schemas.OtherTarget} {
		d, f := office(t)
		c := call(start+9*schemas.Hour, "user5", "UpdateLoginProfile", target)
		found := watch(d, f.Pane([]detecttest.Call{c}))
		if near := d.NearMisses(); len(found) == 0 && len(near) > 0 {
			surprise[i] = -near[0].Log10P
		}
		if len(found) > 0 {
			surprise[i] = -found[0].Why.Log10P
		}
		if target == schemas.SelfTarget && len(found) != 0 {
			t.Errorf("told: %s", found[0].Why.Text)
		}
	}
	if surprise[0] > surprise[1]-0.3 {
		t.Errorf("the own password: 10^-%.2f, another's: 10^-%.2f", surprise[0], surprise[1])
	}
}

// Who has changed the own password is no help desk: resetting that of others is still a first time.
func TestOwnIsNotOthers(t *testing.T) {
	d, f := office(t)
	for day := range schemas.Minute(5) {
		watch(d, f.Pane([]detecttest.Call{call(start+day*schemas.Day+9*schemas.Hour, "user5", "ChangePassword",
			schemas.SelfTarget)}))
	}
	c := call(start+6*schemas.Day+9*schemas.Hour, "user5", "UpdateLoginProfile", schemas.OtherTarget)
	c.SourceIP = "203.0.113.9"
	found := watch(d, f.Pane([]detecttest.Call{c}))
	if len(found) != 1 || !found[0].Why.Operator.FirstTime || !strings.Contains(found[0].Why.Text, "by user0") {
		t.Errorf("%+v", found)
	}
}

// A help desk is silent, from its usual network; its key elsewhere with another program at night is told.
func TestStolenHabit(t *testing.T) {
	d, f := office(t)
	c := call(start+2*schemas.Hour, "user0", "UpdateLoginProfile", schemas.OtherTarget)
	c.SourceIP, c.UserAgent, c.Traits.Auth = "203.0.113.9", "python-requests/2", schemas.KeyAuth
	found := watch(d, f.Pane([]detecttest.Call{c}))
	if len(found) != 1 || found[0].Why.Operator.FirstTime || found[0].Why.Operator.HabitualDays != 20 {
		t.Errorf("%+v", found)
	}
}

// The root's password is always told, and a spray of resets is one insight.
func TestRootAndSpray(t *testing.T) {
	d, f := office(t)
	root := call(start+9*schemas.Hour, "root", "PasswordUpdated", schemas.SelfTarget)
	root.Type, root.Service = schemas.RootPrincipal, "signin.amazonaws.com"
	if found := watch(d, f.Pane([]detecttest.Call{root})); len(found) != 1 || found[0].Why.Route != "root" ||
		found[0].Object != "signin.amazonaws.com" {
		t.Errorf("%+v", found)
	}
	d, f = office(t)
	var calls []detecttest.Call
	for i := range schemas.Minute(50) {
		c := call(start+2*schemas.Hour+i, "user5", "UpdateLoginProfile", schemas.OtherTarget)
		c.SourceIP = "203.0.113.9"
		calls = append(calls, c)
	}
	found := watch(d, append(f.Panes(calls, 5), f.End())...)
	if len(found) != 2 || found[1].Statistics.InsightCount != 50 || found[1].Why.EndReason != schemas.InputEnd {
		t.Errorf("%d findings: %+v", len(found), found)
	}
}
