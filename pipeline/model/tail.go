package model

import "slices"

// A histogram holds the block maxima of a key's z', in bins of 0.25, in units of 1/64 block.
type histogram [bins]uint16

const (
	bins     = 48
	binWidth = 0.25
	unit     = 64         // units of a whole block
	tainted  = 19         // units of a block with a suspect minute: 0.3
	maxMass  = 800 * 64   // then every bin is halved: about a month of a busy key; also keeps a bin inside 16 bits
	poolN    = 6.0        // blocks that the pooled mean excess counts for
	minBeta  = 0.2        // a tail is never believed to be shorter
	poolBeta = 0.4        // shipped mean excess, used until the account has minPool blocks of its own
	minPool  = 500 * unit // units
	minPoolB = 0.25       // the pooled mean excess is never believed to be shorter
)

func bin(z float64) int {
	switch {
	case !(z > 0):
		return 0
	case z >= bins*binWidth:
		return bins - 1
	}
	return int(z / binWidth)
}

// add counts a block. Halving rounds up, so that what was once seen is never forgotten by rounding alone.
func (h *histogram) add(z float64, units uint16) {
	var mass int
	for _, v := range h {
		mass += int(v)
	}
	if mass+int(units) > maxMass {
		for i, v := range h {
			h[i] = v - v/2
		}
	}
	h[bin(z)] += units
}

// A tail gives the probability that a block has a maximum above z: counted up to u, exponential beyond.
type tail struct {
	u, beta float64
	lnTop   float64 // ln P(maximum > u)
	n       float64 // blocks behind it
}

// lnP returns ln p for z above u; the caller asks only there, because below u no probability is small enough to matter.
func (t *tail) lnP(z float64) float64 { return t.lnTop - (z-t.u)/t.beta }

// zOf is the inverse of lnP.
func (t *tail) zOf(lnP float64) float64 { return t.u + float64(t.beta*(t.lnTop-lnP)) }

// fit makes the tail of any histogram, by peaks over threshold, shrunk to the mean excess beta0 (DETECTION 3.5).
func fit[T uint16 | uint32](h []T, beta0 float64) tail {
	top := len(h) - 1 // most bins are empty, and those above all others
	for top > 0 && h[top] == 0 {
		top--
	}
	h = h[:top+1]
	var n uint64
	for _, v := range h {
		n += uint64(v)
	}
	target := max(float64(n)/20, 4*unit)
	var taken uint64
	last := 0
	for i, v := range slices.Backward(h) {
		if v == 0 {
			continue
		}
		if taken > 0 && float64(taken+uint64(v)) > target {
			break
		}
		taken += uint64(v)
		last = i
	}
	u := float64(last) * binWidth
	excess := 0.0
	for i := last; i < len(h); i++ {
		if h[i] != 0 {
			mid := (float64(i) + 0.5) * binWidth
			excess += float64(float64(h[i]) * (mid - u))
		}
	}
	blocks, inTail := float64(n)/unit, float64(taken)/unit
	return tail{
		u:     u,
		beta:  max(minBeta, (excess/unit+float64(poolN*beta0))/(inTail+poolN)),
		lnTop: Ln((inTail + 1) / (blocks + 2)),
		n:     blocks,
	}
}

// A pool is the histogram of all keys of an account, older than two days. What keys use of it, beta0, is taken over when
// the account's day rolls, never in between.
type pool struct {
	live  [bins]uint32 // units
	beta0 float64
}

const maxPoolMass = 1 << 26 // units, a million blocks: then every bin is halved

func (p *pool) add(z float64, units uint16) {
	p.live[bin(z)] += uint32(units)
}

// roll takes the mean excess over the 98 % point for the next day.
func (p *pool) roll() {
	var n uint64
	for _, v := range p.live {
		n += uint64(v)
	}
	if n > maxPoolMass {
		for i, v := range p.live {
			p.live[i] = v / 2
		}
	}
	if n < minPool {
		p.beta0 = poolBeta
		return
	}
	var above uint64
	last := bins - 1
	for i := bins - 1; i >= 0; i-- {
		last = i
		above += uint64(p.live[i])
		if float64(above)*50 >= float64(n) {
			break
		}
	}
	u := float64(last) * binWidth
	excess := 0.0
	for i := last; i < bins; i++ {
		excess += float64(float64(p.live[i]) * ((float64(i)+0.5)*binWidth - u))
	}
	p.beta0 = max(minPoolB, excess/float64(above))
}

// firstBlocks tells how large the first hour of a new key is in this account: the account's own first hours after its
// learning time, on top of forty shipped ones whose maxima are exponential with mean 0.4, so that a new call made three
// times is normal and one made three thousand times is not.
type firstBlocks struct {
	live   [windows][bins]uint32
	frozen [windows]tail
}

// shippedFirst is 40 blocks: 64·40·(e^(-i/2) - e^(-(i+1)/2)), i in bins of 0.25.
var shippedFirst = func() (h [bins]uint32) {
	const blocks = 40
	for i := range h {
		p := Exp(-float64(i)*binWidth/poolBeta) - Exp(-float64(i+1)*binWidth/poolBeta)
		h[i] = uint32(float64(blocks*unit*p) + 0.5)
	}
	return h
}()

func (f *firstBlocks) roll() {
	for w := range windows {
		f.frozen[w] = firstTail(&f.live[w])
	}
}

func firstTail(live *[bins]uint32) tail {
	h := shippedFirst
	for i, v := range live {
		h[i] += v
	}
	return fit(h[:], poolBeta)
}
