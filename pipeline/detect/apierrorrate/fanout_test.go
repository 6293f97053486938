package apierrorrate

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
)

// fanned is eight days in which alice is denied something twice a day, and the feed that goes on.
func fanned() (*Detector, *detecttest.Feed, schemas.Minute) {
	d := New()
	f := &detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "eu-west-1", Lateness: 15}
	start := detecttest.Epoch + 8*schemas.Day
	var calls []detecttest.Call
	for m := detecttest.Epoch; m < start; m += 60 {
		c := detecttest.Call{Minute: m, Service: "s3.amazonaws.com", Event: "ListBuckets", Principal: "alice", Type: schemas.UserPrincipal,
			Read: true, Count: 1}
		if m%720 == 0 {
			c.Error = "AccessDenied"
		}
		calls = append(calls, c)
	}
	for _, p := range f.Panes(calls, 5) {
		d.Observe(&p, schemas.DefaultSettings(), func(*schemas.Finding) {})
	}
	return d, f, start
}

// Section 3.8: one failed call on each of many APIs is told if the principal was denied or throttled, and only then; the object is
// the code that came most often, there is no one service or event, and what was tried is told.
func TestFanOut(t *testing.T) {
	for _, c := range []struct {
		code, rare string
		want       int
		key        string
	}{
		{"AccessDenied", "Client.UnauthorizedOperation", 2, "user/alice (denied)"},
		{"ThrottlingException", "Throttling.User", 2, "user/alice (throttled)"},
		{"NoSuchBucket", "NoSuchKey", 0, ""},
	} {
		d, f, start := fanned()
		var calls []detecttest.Call
		for i := range 200 {
			code := c.code
			if i%5 == 0 {
				code = c.rare
			}
			calls = append(calls, detecttest.Call{Minute: start + schemas.Minute(i/20), Service: "iam.amazonaws.com", Event: fmt.Sprint("GetThing", i),
				Principal: "alice", Type: schemas.UserPrincipal, Error: code, Read: i%2 == 0, Count: 1})
		}
		var found []schemas.Finding
		for _, p := range append(f.Panes(calls, 1), f.Tick(start+100)) {
			d.Observe(&p, schemas.DefaultSettings(), func(f *schemas.Finding) { found = append(found, *f) })
		}
		if len(found) != c.want {
			t.Errorf("%s: %d findings, want %d: %+v", c.code, len(found), c.want, found)
			continue
		}
		for _, g := range found {
			if g.Key != c.key || g.Object != c.code || g.Service != "" || g.Event != "" || g.ErrorCode != "" || g.Why.Route != "breadth" ||
				g.Why.BudgetPerMonth != fanOutBudget || len(g.Attributions) != 3 || !strings.Contains(g.Why.Text, "alice was ") {
				t.Errorf("%s: %+v", c.code, g)
			}
		}
	}
}

// One call that is denied however often is no fan-out.
func TestLoopIsNoFanOut(t *testing.T) {
	d, f, start := fanned()
	p := f.Pane([]detecttest.Call{{Minute: start, Service: "s3.amazonaws.com", Event: "ListBuckets", Principal: "alice",
		Type: schemas.UserPrincipal, Error: "AccessDenied", Read: true, Count: 1000000}})
	d.Observe(&p, schemas.DefaultSettings(), func(f *schemas.Finding) {
		if f.Why.Route == "breadth" {
			t.Errorf("%+v", f)
		}
	})
}

// Keys of fan-outs differ from each other and from those of codes, however long or strange the principal is.
func TestFanOutKeys(t *testing.T) {
	d := New()
	long := strings.Repeat("x", 2*model.MaxKey)
	p := schemas.Pane{Strings: []string{"", "AccessDenied", "Throttling", "alice", long, "s3", "x)"}}
	d.fanOut.begin(&p)
	seen := map[string]bool{}
	n := 0
	for _, who := range []uint32{3, 4, 6} {
		for _, code := range []uint32{1, 2} {
			for _, kind := range []schemas.PrincipalType{schemas.UserPrincipal, schemas.RolePrincipal, 99} {
				r := schemas.Row{Principal: who, PrincipalType: kind, ErrorCode: code, Service: 5, Name: who}
				key := string(d.fanOut.appendKey(nil, &p, &r))
				if len(key) > model.MaxKey || seen[key] {
					t.Errorf("key %q", key)
				}
				seen[key] = true
				seen[string(appendKey(nil, &p, &r))] = true
				n++
			}
		}
	}
	if len(seen) != n+6 {
		t.Errorf("%d keys, want %d: %v", len(seen), n+6, seen)
	}
	f := schemas.Finding{Key: model.OverflowKey, Why: schemas.Why{Rate: new(schemas.RateWhy)}}
	if tellFanOut(&f); f.Key == model.OverflowKey || f.Object == "" || f.Why.Text == "" {
		t.Errorf("%+v", f)
	}
}
