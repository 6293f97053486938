package model

// Windows and half-lives (DETECTION 3.1, 3.3).
const (
	windows      = 2
	fast         = 0     // the window of 5 minutes, which also tells when a burst is over
	slow         = 1     // the window of 60 minutes
	halfLife     = 10080 // minutes: seven days, the vendors' own baseline; a weekly job stays in memory
	segment      = 60    // minutes of the longest stretch that the closed forms take at once
	longestExact = 10080 // minutes of a gap that are gone through hour by hour; what lies before decays in one step
)

var tau = [windows]float64{5, 60}

// WindowMinutes are the lengths of the two windows, and of the hour of breadth.
var WindowMinutes = [windows + 1]uint32{5, 60, 60}

// gaps are the closed forms of n minutes without events, n = 0..60:
//
//	e[w][n] = e^(-n/tau)    g[w][n] = sum of e^(-i/tau), i < n    d[n] = 2^(-n/halfLife)    q[n] = sum of 2^(-i/halfLife), i < n
//
// The sums make the closed form equal to the minute loop. No exponential is computed while panes are observed, but for
// gaps of more than a week.
type gaps struct {
	e, g [windows][segment + 1]float64
	d, q [segment + 1]float64
}

var gap = newGaps()

func newGaps() *gaps {
	t := new(gaps)
	for n := range segment + 1 {
		t.d[n] = Exp(-float64(n) * (ln2 / halfLife))
		for w := range windows {
			t.e[w][n] = Exp(-float64(n) / tau[w])
		}
		if n == 0 {
			continue
		}
		t.q[n] = t.q[n-1] + t.d[n-1]
		for w := range windows {
			t.g[w][n] = t.g[w][n-1] + t.e[w][n-1]
		}
	}
	return t
}

// steady is the value that a fast window reaches at one call a minute for ever: 1/(1-e^(-1/5)).
var steady = 1 / (1 - gap.e[fast][1])

// longDecay returns d and q of any number of minutes.
func longDecay(n int64) (d, q float64) {
	d = Exp(-float64(n) * (ln2 / halfLife))
	return d, (1 - d) / (1 - gap.d[1])
}
