// Package model holds the statistics that detectors share: a [Machine] watches keyed counts of the accounts of a partition,
// fed with panes, and answers with findings. It has no clock, no randomness and no map order in what it says; what it says of
// an account depends on the panes of that account alone.
//
// # The question
//
// Calls to a management API come in batches, not as a Poisson process, so the machine does not ask how unlikely a minute
// is. It asks how often an active hour of this key holds a window this extreme:
//
//	lambda = a/b              decayed level, half-life a week; mu = lambda·s with s the season, 24 slots after 200 calls
//	S, M                      exponential windows of 5 and 60 minutes, of calls and of mu
//	z' = ln((S+c)/(M+c)) / sqrt(1/(M+c) + sv/sn)      c = 3; sv/sn is the variance learned beyond Poisson
//	p  = P(hourly maximum of z' > z')                 from a histogram of the key's past hours, exponential beyond its u,
//	                                                  with a mean excess shrunk to that of the account's keys
//
// An hour is abnormal when p, after a factor two for the windows, is below alpha = budget / hours tested in 30 days, and the
// window holds five calls, and three times, more than expected. Beyond p = 1e-4, where such tails are optimistic, ln p counts
// for less. The first hour of a new key is compared with first hours of new keys, on a tenth of the budget.
//
// # Order of work
//
// A pane's rows join the open minutes of their keys, which are scored at once on the model as it is: counts that still grow
// can only raise the score, so an early Start is never wrong. Minutes that the watermark closes are folded into the model,
// in order, once. So the model is a function of closed minutes, and knows neither panes nor insights.
//
// # What keeps an attack out of the normal
//
// A suspect minute (p < 1e-4) teaches the level three tenths of itself, the tail three tenths of a block, the spread one
// observation per block, and the season no more than a normal maximum. It is never left out: a job that returns is a habit
// at its third time, and what stays for a day is the level. When a key has cooled, its windows forget the episode. The
// minutes of an open insight are judged by the model as it was before the insight. An hour in which the logs of a region
// were out teaches nothing.
//
// # How broad a key is
//
// A machine may count, beside its rate or alone, how many different calls a key makes in a clock hour: see breadth. Its keys may
// inherit the model of their owner's last key, and be judged as new ones after a long sleep: see inherit.
//
// # Files
//
// math, gap, season, tail, outage, level: the parts. rate: the model of one key. attribute, top: who is behind the calls. series,
// account: what is kept. machine, fold: the order of work. alarm, finding, near: what is said. codec, wire, state: what is
// stored.
package model
