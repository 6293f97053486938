package operator_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/pipeline/detect/passwordchange"
	"github.com/trailvane/trailvane/pipeline/detect/policychange"
	"github.com/trailvane/trailvane/pipeline/detect/trailconcealment"
	"github.com/trailvane/trailvane/schemas"
)

// A simulated account has people, administrators, a help desk, infrastructure roles and jobs for eight weeks. Developers
// sometimes write a bucket policy, everybody changes the own password once in a while, an auditor comes once, administrators are
// hired, some work at night, from home and from hotels; one account in ten migrates a trail. From the third week on it is
// attacked. The simulator shares nothing with the model.
type world struct {
	r       *rand.Rand
	calls   []detecttest.Call
	people  []*person
	attacks []attack
	admins  int // of people, the first ones
}

type person struct {
	arn, home, office, agent string
	from, to                 int // days
	kind                     schemas.PrincipalType
	auth                     schemas.Auth
	night                    bool
}

type attack struct {
	family, stealth, who string
	kind                 schemas.InsightType
	minute               schemas.Minute
}

const simulatedDays = 56

func (w *world) chance(p float64) bool { return w.r.Float64() < p }

func (w *world) net() string {
	return fmt.Sprintf("%d.%d.%d.9", 11+w.r.IntN(180), w.r.IntN(256), w.r.IntN(256))
}

func (w *world) call(p *person, m schemas.Minute, ip, service, event string, tr schemas.Traits, fail string) {
	tr.Auth = p.auth
	w.calls = append(w.calls, detecttest.Call{Minute: m, Service: service, Event: event, Principal: p.arn, Type: p.kind,
		SourceIP:  ip,
		UserAgent: p.agent, Error: fail, Read: strings.HasPrefix(event, "Describe"), Traits: tr, Count: 1})
}

func traits(c schemas.Class, target schemas.Target) schemas.Traits {
	return schemas.Traits{Sensitive: schemas.Sensitive(0).With(c, schemas.CoreTier), Target: target}
}

func newWorld(seed uint64) *world {
	w := &world{r: rand.New(rand.NewPCG(seed, 99))}
	w.admins = 1 + w.r.IntN(3)
	n := w.admins + 3 + w.r.IntN(50)
	office := w.net()
	agents := []string{"console.amazonaws.com", "aws-cli/2.15", "Mozilla/5.0", "Boto3/1.34", "aws-sdk-go/1.5"}
	for i := range n {
		p := &person{arn: fmt.Sprintf("arn:aws:iam::123456789012:user/p%d", i), home: w.net(), office: office, to: simulatedDays,
			kind: schemas.UserPrincipal, agent: agents[w.r.IntN(len(agents))], auth: schemas.KeyAuth, night: w.chance(0.1)}
		if i < w.admins {
			p.arn = fmt.Sprintf("arn:aws:iam::123456789012:user/admins/a%d", i)
		}
		if w.chance(0.15) { // hired
			p.from = w.r.IntN(simulatedDays)
		}
		w.people = append(w.people, p)
	}
	for d := range simulatedDays {
		w.day(d)
	}
	w.attack()
	slices.SortStableFunc(w.calls, func(a, b detecttest.Call) int { return cmp.Compare(a.Minute, b.Minute) })
	return w
}

// day makes what happens on a day without attacks.
func (w *world) day(d int) {
	start := detecttest.Epoch + schemas.Minute(d)*schemas.Day
	weekend := d%7 >= 5
	for i, p := range w.people {
		if d < p.from || weekend && !w.chance(0.06) || !weekend && w.chance(0.12) {
			continue
		}
		if w.chance(0.035) {
			p.home = w.net() // another lease
		}
		ip := p.office
		switch {
		case w.chance(0.3):
			ip = p.home
		case w.chance(0.006):
			ip = w.net() // a hotel
		}
		at := start + 420 + schemas.Minute(w.r.IntN(600))
		if p.night && w.chance(0.1) {
			at = start + schemas.Minute(w.r.IntN(1440))
		}
		for k := range 2 + w.r.IntN(4) {
			w.call(p, at+schemas.Minute(k), ip, "ec2.amazonaws.com",
				[]string{"DescribeInstances", "RunInstances", "CreateTags"}[w.r.IntN(3)], schemas.Traits{}, "")
		}
		if i < w.admins && w.chance(0.35) {
			for range 1 + w.r.IntN(3) {
				event := []string{"AttachUserPolicy", "AttachRolePolicy", "CreatePolicyVersion", "AddUserToGroup",
					"PutRolePolicy"}[w.r.IntN(5)]
				w.call(p, at+9, ip, "iam.amazonaws.com", event, traits(schemas.PolicyClass, schemas.OtherTarget), "")
			}
		}
		if i == 0 && w.chance(0.4) { // also the help desk
			w.call(p, at+12, ip, "iam.amazonaws.com", "UpdateLoginProfile",
				traits(schemas.PasswordClass, schemas.OtherTarget), "")
		}
		if i >= w.admins && w.chance(0.0015) {
			w.call(p, at+9, ip, "s3.amazonaws.com", "PutBucketPolicy", traits(schemas.PolicyClass, schemas.UnknownTarget), "")
		}
		if w.chance(0.011) {
			w.call(p, at+3, ip, "iam.amazonaws.com", "ChangePassword", traits(schemas.PasswordClass, schemas.SelfTarget), "")
		}
	}
	tf := &person{arn: "arn:aws:iam::123456789012:role/terraform", kind: schemas.RolePrincipal,
		agent: "HashiCorp Terraform/1.7", auth: schemas.TemporaryAuth}
	ci := fmt.Sprintf("52.%d.%d.7", w.r.IntN(4), w.r.IntN(256))
	job := &person{arn: "arn:aws:iam::123456789012:role/job", kind: schemas.RolePrincipal, agent: "Boto3/1.34",
		auth: schemas.TemporaryAuth}
	w.call(job, start+180, "10.0.0.9", "ec2.amazonaws.com", "CreateSnapshot", schemas.Traits{}, "")
	if !weekend && w.chance(0.6) {
		at := start + 400 + schemas.Minute(w.r.IntN(700))
		w.call(tf, at, ci, "ec2.amazonaws.com", "CreateTags", schemas.Traits{}, "")
		for k := range 1 + w.r.IntN(40) {
			w.call(tf, at+schemas.Minute(k/9), ci, "iam.amazonaws.com", "AttachRolePolicy",
				traits(schemas.PolicyClass, schemas.OtherTarget), "")
		}
	}
	switch {
	case d == 31: // the auditor
		p := w.people[w.admins-1]
		w.call(p, start+600, p.office, "iam.amazonaws.com", "UpdateAccountPasswordPolicy",
			traits(schemas.PasswordClass, schemas.UnknownTarget), "")
	case d == 40 && w.chance(0.1): // a migration of the trail
		p := w.people[0]
		restore := schemas.Traits{Sensitive: schemas.RestoresTrail}
		w.call(p, start+600, p.office, "cloudtrail.amazonaws.com", "CreateTrail", restore, "")
		w.call(p, start+601, p.office, "cloudtrail.amazonaws.com", "PutEventSelectors",
			traits(schemas.TrailClass, schemas.UnknownTarget), "")
		w.call(p, start+700, p.office, "cloudtrail.amazonaws.com", "DeleteTrail",
			traits(schemas.TrailClass, schemas.UnknownTarget), "")
	}
}

// attack plants one of each family, by a stolen key of somebody, on a random minute.
func (w *world) attack() {
	for i, family := range []string{"self escalation", "backdoor trust policy", "password resets", "trail stop"} {
		victim := *w.people[w.r.IntN(len(w.people))]
		m := detecttest.Epoch + schemas.Minute(14+i*10+w.r.IntN(9))*schemas.Day + schemas.Minute(w.r.IntN(1440))
		if victim.from > 10 {
			victim = *w.people[0]
		}
		stealth, ip := "none", w.net()
		switch w.r.IntN(4) {
		case 0, 1:
			victim.agent = []string{"python-requests/2.31", "Pacu/1.0", "aws-cli/2.15"}[w.r.IntN(3)]
		case 2: // the same program, in office hours
			stealth = "some"
			m = m - m%schemas.Day + 600 + schemas.Minute(w.r.IntN(300))
		case 3: // an insider, at the usual place and time
			stealth, ip = "full", victim.office
			m = m - m%schemas.Day + 600 + schemas.Minute(w.r.IntN(300))
		}
		a := attack{family: family, stealth: stealth, who: victim.arn, minute: m, kind: schemas.PolicyChange}
		for k := range schemas.Minute(3) {
			w.call(&victim, m+k, ip, "iam.amazonaws.com", "DescribeUsers", schemas.Traits{}, "")
		}
		m += 4
		switch family {
		case "self escalation":
			w.call(&victim, m, ip, "iam.amazonaws.com", "AttachUserPolicy", traits(schemas.PolicyClass, schemas.AdminTarget), "")
		case "backdoor trust policy":
			w.call(&victim, m, ip, "iam.amazonaws.com", "UpdateAssumeRolePolicy",
				traits(schemas.PolicyClass, schemas.WildcardTarget), "")
		case "password resets":
			a.kind = schemas.PasswordChange
			for k := range schemas.Minute(5 + w.r.IntN(20)) {
				w.call(&victim, m+k, ip, "iam.amazonaws.com", "UpdateLoginProfile",
					traits(schemas.PasswordClass, schemas.OtherTarget), "")
			}
		default:
			a.kind = schemas.TrailConcealment
			w.call(&victim, m, ip, "cloudtrail.amazonaws.com", "StopLogging",
				traits(schemas.TrailClass, schemas.UnknownTarget), "")
		}
		w.attacks = append(w.attacks, a)
	}
}

// TestSimulation reports recall and false insights. SIMULATE=401,440 chooses the seeds, and prints what was told and missed.
func TestSimulation(t *testing.T) {
	first, last := uint64(1), uint64(12)
	verbose, young := false, 0
	if s := os.Getenv("SIMULATE"); s != "" {
		if _, err := fmt.Sscanf(s, "%d,%d", &first, &last); err != nil {
			t.Fatal(err)
		}
		verbose = true
	}
	type tally struct{ found, of int }
	hits, wrong := map[string]*tally{}, map[schemas.InsightType]int{}
	count := func(key string, found bool) {
		if hits[key] == nil {
			hits[key] = new(tally)
		}
		hits[key].of++
		if found {
			hits[key].found++
		}
	}
	for seed := first; seed <= last; seed++ {
		w := newWorld(seed)
		feed := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: "1"}, Region: "r", Lateness: 15}
		panes := append(feed.Panes(w.calls, 5), feed.End())
		for _, d := range []detect.Detector{policychange.New(), passwordchange.New(), trailconcealment.New()} {
			var told []schemas.Finding
			for i := range panes {
				d.Observe(&panes[i], schemas.DefaultSettings(), func(f *schemas.Finding) {
					if f.Kind == schemas.OpenFinding {
						told = append(told, *f)
					}
				})
			}
			right := make([]bool, len(told))
			for _, a := range w.attacks {
				if a.kind != d.Type() {
					continue
				}
				found := false
				for i, f := range told {
					if f.Start >= a.minute && f.Start < a.minute+schemas.Hour && strings.HasSuffix(f.Key, a.who) {
						found, right[i] = true, true
					}
				}
				count(fmt.Sprintf("%s, stealth %s", a.family, a.stealth), found)
				if !found && verbose && a.stealth != "full" {
					t.Logf("seed %d: missed %+v", seed, a)
				}
			}
			for i, f := range told {
				if !right[i] {
					wrong[d.Type()]++
					if f.Start < detecttest.Epoch+7*schemas.Day {
						young++
					}
					if verbose {
						t.Logf("seed %d: false: %s %s", seed, f.Start, f.Why.Text)
					}
				}
			}
		}
	}
	months := float64(last-first+1) * simulatedDays / 30
	keys := make([]string, 0, len(hits))
	for k := range hits {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	sums := map[string]*tally{"policy, password": {}, "trail": {}}
	for _, k := range keys {
		t.Logf("%-40s %d of %d", k, hits[k].found, hits[k].of)
		family := "policy, password"
		if strings.HasPrefix(k, "trail") {
			family = "trail"
		}
		if !strings.HasSuffix(k, "full") || family == "trail" {
			sums[family].found += hits[k].found
			sums[family].of += hits[k].of
		}
	}
	for _, c := range []struct {
		kind schemas.InsightType
		most float64
	}{{schemas.PolicyChange, 1}, {schemas.PasswordChange, 1}, {schemas.TrailConcealment, 0.25}} {
		perMonth := float64(wrong[c.kind]) / months
		t.Logf("%s: %d false in %.1f account-months, %.2f a month", c.kind, wrong[c.kind], months, perMonth)
		if perMonth > c.most {
			t.Errorf("%s: %.2f false insights per account-month, want at most %v", c.kind, perMonth, c.most)
		}
	}
	t.Logf("of the false ones %d on days 2 to 7", young)
	if s := sums["policy, password"]; float64(s.found) < 0.9*float64(s.of) {
		t.Errorf("found %d of %d thefts", s.found, s.of)
	}
	if s := sums["trail"]; s.found != s.of {
		t.Errorf("found %d of %d stopped trails", s.found, s.of)
	}
}
