package model

import (
	"math"

	"github.com/trailvane/trailvane/schemas"
)

// Constants of the rate model (DETECTION 3.1 to 3.7).
const (
	birthA = 0.3 // a key is born with a level of 0.001 calls a minute …
	birthB = 300 // … that five hours of counting outweigh
	small  = 3.0 // c of the log-ratio: nobody cares about three calls

	priorSpread = 5 // sv and sn of a new key: its first minutes may vary by a factor of e
	spreadMass  = 500

	// A suspect minute teaches the spread once in a block, and less: a burst is one observation. Where each of its minutes
	// was one, a sparse key found its own attack normal after three minutes, and the insight ended.
	suspectSpread = 0.3

	coolZ    = 1.5             // below this z' of the fast window a minute is normal again
	coolTime = 10              // minutes without a hot one end an episode
	young    = schemas.Day     // a key younger than this learns a suspect minute whole
	poolAge  = 2 * schemas.Day // the pool hears only from keys older than this

	gateExcess = 5.0 // calls above the expected, at least
	gateRatio  = 3.0 // times the expected, at least
)

var lnSuspect = -4 * ln10 // ln 1e-4: a minute below it is suspect, and taints its block

// flow is the part of the model that moves with every minute: small enough to be copied for a look ahead.
type flow struct {
	last schemas.Minute   // the last minute it contains
	a, b float64          // decayed calls and exposure: lambda = a/b
	s, m [windows]float64 // decayed calls, observed and expected
}

// idle moves the flow over the minutes without events before the minute to. Minutes of an outage fill the windows like others,
// but are no exposure: the level and the season stay as they are. Learning keeps the exposure of the season; a look ahead
// leaves the season alone.
func (f *flow) idle(to schemas.Minute, season *season, outages []span, learn bool) {
	i := len(outages)
	for i > 0 && outages[i-1].to > f.last+1 {
		i--
	}
	for _, o := range outages[i:] {
		f.pass(min(o.from, to), season, learn, 1)
		f.pass(min(o.to, to), season, false, 0)
	}
	f.pass(to, season, learn, 1)
}

// pass moves the flow over minutes that are exposure, or are not, in segments that end with the hour.
func (f *flow) pass(to schemas.Minute, season *season, learn bool, exposure float64) {
	n := int64(to) - int64(f.last) - 1
	if n <= 0 {
		return
	}
	if n > longestExact {
		d, q := longDecay(n - longestExact)
		f.a = float64(f.a * d)
		f.b = float64(f.b*d) + float64(exposure*q)
		f.last += schemas.Minute(n - longestExact)
	}
	for f.last+1 < to {
		next := f.last + 1
		slot := slotOf(next)
		end := min(to, hourOf(next)+schemas.Hour)
		if learn && season != nil && hourOf(next) != hourOf(f.last) {
			season.enter(slot)
		}
		k := int(end - next)
		s := season.factor(slot)
		lambda := f.a / f.b
		for w := range windows {
			f.s[w] = float64(f.s[w] * gap.e[w][k])
			f.m[w] = float64(f.m[w]*gap.e[w][k]) + float64(float64(lambda*s)*gap.g[w][k])
		}
		f.a = float64(f.a * gap.d[k])
		f.b = float64(f.b*gap.d[k]) + float64(float64(exposure*s)*gap.q[k])
		if learn && season != nil {
			season.add(slot, 0, float64(float64(k)*lambda))
		}
		f.last = end - 1
	}
}

// enter moves the windows into the minute after last, before its calls are added.
func (f *flow) enter(mu float64) {
	f.last++
	for w := range windows {
		f.s[w] = float64(f.s[w] * gap.e[w][1])
		f.m[w] = float64(f.m[w]*gap.e[w][1]) + mu
	}
}

func (f *flow) add(y float64) {
	f.s[fast] += y
	f.s[slow] += y
}

// forget takes what is left of an episode out of a window.
func (f *flow) forget(w int) { f.s[w] = min(f.s[w], f.m[w]) }

func hourOf(m schemas.Minute) schemas.Minute {
	h := m / schemas.Hour
	if m%schemas.Hour < 0 {
		h--
	}
	return h * schemas.Hour
}

// A rate is the model of one key: multi-scale block maximum. Its state is a function of the closed minutes and their
// counts alone; how they came, and which insights were open, it does not know.
type rate struct {
	flow
	born   schemas.Minute
	season *season
	calls  uint64 // ever
	sv, sn [windows]float64

	hist    [windows]histogram
	block   schemas.Minute   // hour of the block that is open; the zero rate has none
	current [windows]float64 // its maxima of z' so far
	suspect bool             // it has a suspect minute

	hot    bool           // a suspect minute was seen and the key has not cooled since
	hotMin schemas.Minute // the last minute that was abnormal by itself

	settled bool   // its first block is over
	dormant uint32 // days without a call before the first block, if it is one of those that begin a new life

	streak  streak
	trials  *trials  // of keys that are asked how frequent they are among others; nil for most
	breadth *breadth // of machines that judge it

	tails [windows]tail // fitted to hist
	epoch uint32        // of the account when they were fitted; 0 is never
}

func newRate(m schemas.Minute) rate {
	r := rate{born: m, block: hourOf(m), hotMin: m - 2*schemas.Day}
	r.flow = flow{last: m - 1, a: birthA, b: birthB}
	r.streak.from = r.block
	for w := range windows {
		r.sv[w], r.sn[w] = priorSpread, priorSpread
	}
	return r
}

// prior is what a key borrows from its account.
type prior struct {
	epoch uint32 // changes when what follows does
	beta0 [windows]float64
	first *[windows]tail

	breadth borrowedBreadth
	outages []span // of the key's region
}

// fitted makes the tails current.
func (r *rate) fitted(p *prior) *[windows]tail {
	if !r.settled {
		return p.first
	}
	if r.epoch != p.epoch {
		for w := range windows {
			r.tails[w] = fit(r.hist[w][:], p.beta0[w])
		}
		r.epoch = p.epoch
	}
	return &r.tails
}

// A score judges one minute.
type score struct {
	minute   schemas.Minute
	rarest   float64 // ln p, after Bonferroni over the windows; 0 where no window is beyond its u
	lnP      float64 // the same over the windows that pass the gates: enough calls, enough times the expected, frequent enough
	window   int     // the one that lnP comes from
	s, m, g  float64 // observed and expected in it, and the other trials
	z        [windows]float64
	elevated bool // some window passes the gates and is beyond its u
	hot      bool // the minute is abnormal by itself, not by what came before it
}

// A yardstick is what a minute is measured with: the learned variance and the tails.
type yardstick struct {
	extra [windows]float64 // sv/sn
	tails [windows]tail
	pi    float64 // the usual share among trials; 1 without them
}

func (r *rate) yardstick(p *prior) yardstick {
	y := yardstick{tails: *r.fitted(p), pi: r.trials.share()}
	for w := range windows {
		y.extra[w] = r.sv[w] / r.sn[w]
	}
	return y
}

// spread is the standard deviation of z where m calls are expected, v0 = 1/(m+c).
func (y *yardstick) spread(w int, m float64) float64 { return math.Sqrt(1/(m+small) + y.extra[w]) }

func ratioLn(s, m float64) float64 { return Ln((s + small) / (m + small)) }

// judge scores the minute that f has just been given calls of. Only the windows below n are looked at. The trials in them, other
// than the calls, are g.
func (y *yardstick) judge(f *flow, calls float64, n int, g [windows]float64) score {
	sc := score{minute: f.last}
	// One minute of eight times the usual hardly moves a window of five; its own rate passes the gate for it.
	own := float64(calls * steady)
	for w := range n {
		s, m := f.s[w], f.m[w]
		sd := y.spread(w, m)
		z := ratioLn(s, m) / sd
		sc.z[w] = z
		if w == fast && z >= coolZ {
			sc.hot = ratioLn(own, m)/sd >= coolZ
		}
		t := &y.tails[w]
		if z <= t.u {
			continue
		}
		lnP := min(0, t.lnP(z)+ln2)
		sc.rarest = min(sc.rarest, lnP)
		top := s
		if w == fast {
			top = max(s, own)
		}
		if s-m < gateExcess || top+small < float64(gateRatio*(m+small)) || !moreFrequent(s, g[w], y.pi) {
			continue
		}
		if !sc.elevated || lnP < sc.lnP {
			sc.elevated = true
			sc.lnP, sc.window, sc.s, sc.m, sc.g = lnP, w, s, m, g[w]
		}
	}
	return sc
}

// fold takes the closed minute m with y calls into the model and scores it, once and for ever. Minutes come in ascending
// order. The block of an earlier hour must have been closed.
func (r *rate) fold(m schemas.Minute, y uint64, p *prior) score {
	calls := float64(y)
	r.idle(m, r.season, p.outages, true)
	slot := slotOf(m)
	if r.season != nil && hourOf(m) != hourOf(m-1) {
		r.season.enter(slot)
	}
	s := r.season.factor(slot)
	lambda := r.a / r.b
	mu := float64(lambda * s)
	r.enter(mu)

	measure := r.yardstick(p)
	if r.hot { // the reset of the windows after an episode
		switch {
		case m-r.hotMin > coolTime:
			r.hot = false
			r.forget(fast)
			r.forget(slow)
		case ratioLn(r.s[fast]+calls, r.m[fast])/measure.spread(fast, r.m[fast]) < coolZ:
			r.hot = false
			r.forget(slow)
		}
	}
	r.add(calls)
	sc := measure.judge(&r.flow, calls, windows, r.trials.among(m))
	if sc.hot {
		r.hotMin = m
	}

	learned, shape, weight := calls, calls, 1.0
	if sc.rarest < lnSuspect {
		shape = min(calls, mu+max(3, float64(6*math.Sqrt(mu))))
		if m-r.born > young {
			learned = float64(0.3*calls) + float64(0.7*shape)
		}
		weight = suspectSpread
		if r.suspect {
			weight = 0
		}
		if !r.hot {
			r.hot, r.hotMin = true, m
		}
		r.suspect = true
	}
	r.trials.learn(m, learned)
	r.a = float64(r.a*gap.d[1]) + learned
	r.b = float64(r.b*gap.d[1]) + s
	r.calls += y
	r.streak.open += y
	if r.season != nil {
		r.season.add(slot, shape, lambda) // a burst is not the shape of a day
	} else if r.calls >= seasonCalls {
		r.season = new(season)
	}
	for w := range windows {
		v0 := 1 / (r.m[w] + small)
		z := ratioLn(r.s[w], r.m[w])
		r.sv[w] += float64(weight * max(min(float64(z*z), float64(9*(v0+r.sv[w]/r.sn[w])))-v0, 0))
		r.sn[w] += weight
		if r.sn[w] > spreadMass {
			r.sv[w] /= 2
			r.sn[w] /= 2
		}
		r.current[w] = max(r.current[w], sc.z[w])
	}
	return sc
}

// closeBlock adds the open block to the tails and opens the one at hour. It returns the maxima and weight of the block.
func (r *rate) closeBlock(hour schemas.Minute) (maxima [windows]float64, units uint16, first bool) {
	first = !r.settled
	units = unit
	if r.suspect {
		units = tainted
	}
	maxima = r.current
	r.follow(hour)
	for w := range windows {
		r.hist[w].add(r.current[w], units)
	}
	r.block, r.current, r.suspect = hour, [windows]float64{}, false
	r.settled, r.dormant, r.epoch = true, 0, 0
	return maxima, units, first
}

// A lookout scores minutes on a model as it was at one moment. Open minutes are scored so, because counts that are still
// growing can only raise what it says; and so are the closed minutes of an insight, which would otherwise be compared with
// themselves before long.
type lookout struct {
	flow
	yardstick
	season *season // not its own; an insight, which lasts, has a copy
	trials *trials // not its own, but where it looks ahead; an insight sees those of its key, which go on
	n      int     // windows: only the fast one while the key is hot, whose slow one is reset in the fold; none by breadth only
	hot    bool
	hotMin schemas.Minute

	breadth *breadthLook // of machines that judge it
}

func (r *rate) lookout(p *prior) lookout {
	l := lookout{flow: r.flow, yardstick: r.yardstick(p), season: r.season, trials: r.trials, n: windows,
		hot: r.hot, hotMin: r.hotMin}
	if r.hot {
		l.n = 1
	}
	return l
}

// see moves on to the minute m, with y calls so far. Minutes come in ascending order.
func (l *lookout) see(m schemas.Minute, y uint64, p *prior) score {
	l.idle(m, l.season, p.outages, false)
	s := l.season.factor(slotOf(m))
	l.enter(float64(l.a / l.b * s))
	if l.hot && m-l.hotMin > coolTime {
		l.forget(fast) // and again after the next pause: if it were once only, fewer calls could score higher
	}
	l.add(float64(y))
	// Nothing is learned: the minute counts as an idle one.
	l.a = float64(l.a * gap.d[1])
	l.b = float64(l.b*gap.d[1]) + s
	sc := l.judge(&l.flow, float64(y), l.n, l.trials.among(m))
	if sc.hot {
		l.hotMin = m
	}
	return sc
}
