package detect

import (
	"maps"
	"math"
	"slices"

	"github.com/trailvane/trailvane/schemas"
)

// An Age is how long an account has been watched, in event time: from its first event anywhere. The zero Age has seen none.
type Age struct {
	Seen         bool
	Born, Newest schemas.Minute // of its first and its newest event
	Learn        schemas.Minute // the learning time, as the settings last told it
}

// See takes an event into account, of any kind and region, however late.
func (a *Age) See(m schemas.Minute) {
	if !a.Seen || m < a.Born {
		a.Born = m
	}
	if !a.Seen || m > a.Newest {
		a.Newest = m
	}
	a.Seen = true
}

// Learned returns the first minute that may be part of an insight.
func (a *Age) Learned() schemas.Minute {
	return schemas.Minute(min(int64(a.Born)+int64(a.Learn), math.MaxInt32))
}

// Learning says how far the account has come, and whether it is still learning.
func (a *Age) Learning(t schemas.InsightType, account schemas.Account) (Learning, bool) {
	seen := schemas.Minute(min(int64(a.Newest)-int64(a.Born)+1, math.MaxInt32))
	return Learning{Type: t, Account: account, Seen: seen, Needed: a.Learn}, a.Seen && seen < a.Learn
}

// StillLearning returns the accounts whose learning time is not over, sorted by account, for a detector that is an [Explainer].
func StillLearning[A any](t schemas.InsightType, accounts map[schemas.Account]A, age func(A) *Age) []Learning {
	var out []Learning
	for _, id := range slices.SortedFunc(maps.Keys(accounts), schemas.Account.Compare) {
		if l, ok := age(accounts[id]).Learning(t, id); ok {
			out = append(out, l)
		}
	}
	return out
}
