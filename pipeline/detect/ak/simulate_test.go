package ak

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/detecttest"
	"github.com/trailvane/trailvane/schemas"
)

// A simulated account has 10 to 25 principals for three weeks: people with a repertoire of their own, deployments of log-normal
// size over dozens of APIs, jobs, programs and keys that are hardly used. A third of the programs and jobs change their key in
// the second or third week; deployments use temporary credentials. In the last two weeks one attack of each kind is
// made. The simulator shares nothing with the model.
type simulated struct {
	r       *rand.Rand
	calls   map[schemas.Minute][]detecttest.Call
	attacks []attack
}

type attack struct {
	kind, key  string // key of the findings
	start, end schemas.Minute
	text       string
}

const simulatedDays = 21

// A caller makes calls from a repertoire of APIs, of which the first are the most frequent.
type caller struct {
	sim        *simulated
	name       string
	repertoire []string
	change     int // day on which it changes its key; never if 0
	temporary  bool
}

func (c *caller) key(m float64) string {
	switch {
	case c.temporary:
		return fmt.Sprintf("ASIA%s%d", c.name, int(m)/60)
	case c.change > 0 && m >= float64(c.change*1440):
		return "AKIA2" + c.name
	}
	return "AKIA1" + c.name
}

// finding returns the key of the findings.
func (c *caller) finding(m float64) string {
	if c.temporary {
		return "STS.role/" + c.name
	}
	return c.key(m)
}

func (c *caller) call(m float64, api string, n int) {
	if n <= 0 || m >= simulatedDays*1440 {
		return
	}
	minute := detecttest.Epoch + schemas.Minute(m)
	x := detecttest.Call{Minute: minute, Service: "s", Event: api, Principal: c.name, AccessKey: c.key(m), Count: uint32(n)}
	if c.temporary {
		x.Type = schemas.RolePrincipal
	}
	c.sim.calls[minute] = append(c.sim.calls[minute], x)
}

// some returns an API; rank r is chosen with a weight of about 1/r.
func (c *caller) some() string {
	return c.repertoire[int(math.Pow(float64(len(c.repertoire)), c.sim.r.Float64()))-1]
}

func newCaller(s *simulated, name string, apis int) *caller {
	c := &caller{sim: s, name: name}
	for range apis {
		c.repertoire = append(c.repertoire, fmt.Sprint("Put", s.r.IntN(300)))
	}
	return c
}

func (c *caller) person() {
	r := c.sim.r
	perDay, sigma := 0.3+3*r.Float64(), 0.5+0.5*r.Float64()
	for d := range simulatedDays {
		if d%7 >= 5 && r.Float64() < 0.9 {
			continue
		}
		for range poisson(r, perDay) {
			m := float64(d*1440) + 480 + r.Float64()*600
			for range 1 + int(math.Exp(r.NormFloat64()*sigma+1.5)) {
				c.call(m, c.some(), 1)
				m += r.ExpFloat64() * 2
			}
		}
	}
}

func (c *caller) deployer() {
	r := c.sim.r
	perDay, sigma := 0.5+4*r.Float64(), 0.6+0.6*r.Float64()
	for d := range simulatedDays {
		for range poisson(r, perDay) {
			m := float64(d*1440) + 420 + r.Float64()*720
			for left := int(math.Exp(r.NormFloat64()*sigma + 3)); left > 0; {
				n := min(left, 1+r.IntN(3))
				c.call(m, c.some(), n)
				left -= n
				m += r.Float64() * 0.3
			}
		}
	}
}

func (c *caller) job() {
	r := c.sim.r
	every, size := []int{5, 15, 60, 360, 1440}[r.IntN(5)], 1+int(math.Exp(r.Float64()*4))
	for m := r.IntN(every); m < simulatedDays*1440; m += every {
		at := float64(m + r.IntN(2))
		for k, api := range c.repertoire {
			c.call(at+float64(k)/4, api, max(1, (size+r.IntN(1+size/5))/len(c.repertoire)))
		}
	}
}

func (c *caller) program() {
	r := c.sim.r
	rate := math.Exp(r.Float64()*4 - 2)
	for m := range simulatedDays * 1440 {
		shape := 1 + 0.6*math.Sin(float64(m%1440)/1440*2*math.Pi)
		for n := poisson(r, rate*shape); n > 0; n-- {
			c.call(float64(m), c.some(), 1)
		}
	}
}

func (c *caller) sparse() {
	r := c.sim.r
	gap := 1440 / (0.05 * math.Exp(r.Float64()*3.7))
	for m := r.ExpFloat64() * gap; m < simulatedDays*1440; m += 1 + r.ExpFloat64()*gap {
		c.call(m, c.some(), 1+int(r.ExpFloat64()*0.8))
	}
}

func simulate(seed uint64) *simulated {
	r := rand.New(rand.NewPCG(seed, 17))
	s := &simulated{r: r, calls: make(map[schemas.Minute][]detecttest.Call)}
	var callers []*caller
	for k := range 10 + r.IntN(16) {
		var c *caller
		switch x := r.Float64(); {
		case x < 0.20:
			c = newCaller(s, fmt.Sprint("sparse", k), 1+r.IntN(5))
			c.sparse()
		case x < 0.50:
			c = newCaller(s, fmt.Sprint("person", k), 4+r.IntN(36))
			c.person()
		case x < 0.70:
			c = newCaller(s, fmt.Sprint("deployer", k), 8+r.IntN(50))
			c.temporary = true
			c.deployer()
		case x < 0.85:
			c = newCaller(s, fmt.Sprint("job", k), 1+r.IntN(10))
			c.changes()
			c.job()
		default:
			c = newCaller(s, fmt.Sprint("program", k), 1+r.IntN(6))
			c.changes()
			c.program()
		}
		callers = append(callers, c)
	}
	for i, kind := range []string{"burst", "breadth", "new key", "stranger"} {
		c := callers[r.IntN(len(callers))]
		start := float64(7*1440 + i*4500 + r.IntN(4000))
		minutes := 5 + r.IntN(26)
		s.attack(kind, c, start, minutes)
	}
	return s
}

func (c *caller) changes() {
	if r := c.sim.r; r.Float64() < 0.33 {
		c.change = 7 + r.IntN(14)
	}
}

// attack makes an attack: 30 to 300 calls a minute with a caller's key; one call each on 30 to 100 APIs with it; 10 to 100 calls a
// minute with a key that is made for its principal; 100 to 600 a minute with the key of somebody new.
func (s *simulated) attack(kind string, c *caller, start float64, minutes int) {
	r := s.r
	a := attack{kind: kind, key: c.finding(start), start: detecttest.Epoch + schemas.Minute(start)}
	a.end = a.start + schemas.Minute(minutes)
	grow := func(from, factor float64) float64 { return from * math.Exp(r.Float64()*math.Log(factor)) }
	thief := *c
	switch kind {
	case "breadth":
		n := int(grow(30, 3.3))
		for i := range n {
			c.call(start+float64(i*minutes)/float64(n), fmt.Sprint("Odd", i), 1)
		}
		a.text = fmt.Sprintf("%d APIs in %d min with %s", n, minutes, a.key)
	default:
		rate := grow(30, 10)
		switch kind {
		case "new key":
			rate = grow(10, 10)
			thief.temporary = false
			thief.name = c.name
			a.key = "AKIA3" + c.name
		case "stranger":
			rate = grow(100, 6)
			thief.name, thief.temporary, thief.change = "stranger", false, 0
			a.key = "AKIA1stranger"
		}
		for m := range minutes {
			at := start + float64(m)
			n := max(1, poisson(r, rate))
			if kind != "new key" {
				thief.call(at, "Odd0", n)
				continue
			}
			minute := detecttest.Epoch + schemas.Minute(at)
			x := detecttest.Call{Minute: minute, Service: "s", Event: "Odd0", Principal: c.name, AccessKey: a.key, Count: uint32(n)}
			if c.temporary {
				x.Type = schemas.RolePrincipal
			}
			s.calls[minute] = append(s.calls[minute], x)
		}
		a.text = fmt.Sprintf("%.0f/min for %d min with %s", rate, minutes, a.key)
	}
	s.attacks = append(s.attacks, a)
}

func poisson(r *rand.Rand, mean float64) int {
	if mean > 50 {
		return max(0, int(mean+r.NormFloat64()*math.Sqrt(mean)+0.5))
	}
	n, p := 0, math.Exp(-mean)
	for x := r.Float64(); x > p; x *= r.Float64() {
		n++
	}
	return n
}

// A verdict sums up simulated accounts.
type verdict struct {
	accounts, unconfirmed, repeats int
	attacks, found                 map[string]int
	delay, endError                []int
	wrong, missed                  []string
	routes                         map[string]int
}

func (v *verdict) judge(seed uint64) {
	s := simulate(seed)
	d := New()
	feed := detecttest.Feed{Account: schemas.Account{Provider: schemas.AWS, ID: strconv.FormatUint(seed, 10)}, Region: "r", Lateness: 15}
	hits := make([]int, len(s.attacks))
	var now schemas.Minute
	settle := func(f *schemas.Finding) {
		at := slices.IndexFunc(s.attacks, func(a attack) bool { return a.key == f.Key && f.Start >= a.start-60 && f.Start < a.end+60 })
		if f.Kind == schemas.CloseFinding {
			if !f.Why.Confirmed {
				v.unconfirmed++
			}
			if at >= 0 && hits[at] == 1 {
				v.endError = append(v.endError, int(f.End-s.attacks[at].end))
			}
			return
		}
		if at < 0 {
			v.wrong = append(v.wrong, fmt.Sprintf("%d day %d, by %s: %s", seed, (f.Start-detecttest.Epoch)/schemas.Day+1, f.Why.Route, f.Why.Text))
			return
		}
		if hits[at]++; hits[at] > 1 {
			v.repeats++
			return
		}
		v.found[s.attacks[at].kind]++
		v.routes[f.Why.Route]++
		v.delay = append(v.delay, int(now-s.attacks[at].start))
	}
	for m := detecttest.Epoch; m < detecttest.Epoch+simulatedDays*schemas.Day; m++ {
		if now = m; len(s.calls[m]) > 0 {
			p := feed.Pane(s.calls[m])
			d.Observe(&p, schemas.DefaultSettings(), settle)
		}
	}
	p := feed.End()
	d.Observe(&p, schemas.DefaultSettings(), settle)
	v.accounts++
	for i, a := range s.attacks {
		v.attacks[a.kind]++
		if hits[i] == 0 {
			v.missed = append(v.missed, fmt.Sprintf("%d %s: %s", seed, a.kind, a.text))
		}
	}
}

func quantile(x []int, q float64) int {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return x[int(q*float64(len(x)-1))]
}

func (v *verdict) months() float64 { return float64(v.accounts) * (simulatedDays - 1) / 30 }

func (v *verdict) String() string {
	var b strings.Builder
	for _, kind := range []string{"burst", "breadth", "new key", "stranger"} {
		fmt.Fprintf(&b, "%s %d of %d, ", kind, v.found[kind], v.attacks[kind])
	}
	return fmt.Sprintf("%d accounts: found %sby %v; delay median %d p90 %d min; end error median %d p90 %d min; "+
		"%d false insights (%.2f per account and month), %d repeats, %d unconfirmed",
		v.accounts, &b, v.routes, quantile(v.delay, 0.5), quantile(v.delay, 0.9), quantile(v.endError, 0.5), quantile(v.endError, 0.9),
		len(v.wrong), float64(len(v.wrong))/v.months(), v.repeats, v.unconfirmed)
}

// TestSimulation finds planted attacks and stays near the budget of half a false insight per account and month. Constants
// are chosen on seeds 1 to 40, and what is reported comes from seeds above 400; SIMULATE=from,to runs others.
func TestSimulation(t *testing.T) {
	from, to := uint64(1), uint64(5)
	if _, err := fmt.Sscanf(os.Getenv("SIMULATE"), "%d,%d", &from, &to); err != nil && os.Getenv("SIMULATE") != "" {
		t.Fatal(err)
	}
	v := verdict{attacks: make(map[string]int), found: make(map[string]int), routes: make(map[string]int)}
	for seed := from; seed <= to; seed++ {
		v.judge(seed)
	}
	t.Log(&v)
	for kind, share := range map[string]int{"burst": 60, "breadth": 60, "new key": 60, "stranger": 60} {
		if v.found[kind]*100 < v.attacks[kind]*share {
			t.Errorf("%s: found %d of %d, want %d of 100", kind, v.found[kind], v.attacks[kind], share)
		}
	}
	if float64(len(v.wrong)) > 1+v.months()*Budget {
		t.Errorf("%d false insights in %.1f account-months, the budget is %v a month", len(v.wrong), v.months(), Budget)
	}
	for _, w := range v.wrong {
		t.Log("false: ", w)
	}
	for _, m := range v.missed {
		t.Log("missed:", m)
	}
}
