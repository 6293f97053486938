package ip

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/pipeline/detect"
	"github.com/trailvane/trailvane/schemas"
)

// maxNear is how many near misses are remembered of an account.
const maxNear = 8

// A nearMiss is a new address that was not suspicious enough.
type nearMiss struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Region, Object string
	Minute         int32
	Count          uint64
	Score, Line    float64
	Text           string
}

// offer keeps the nearest misses. Those of the learning time are none.
func (t *task) offer(p *principal, s *slot, r *schemas.Row, v *verdict) {
	a := t.account
	score, line := v.score[v.route], v.line[v.route]
	if r.Minute < a.age.Learned() || score <= 0 {
		return
	}
	at := len(a.near)
	for at > 0 && score-line > a.near[at-1].Score-a.near[at-1].Line {
		at--
	}
	if at == maxNear {
		return
	}
	n := nearMiss{
		Region: strings.Clone(t.p.Region), Object: s.addr.String(), Minute: int32(r.Minute),
		Count: uint64(r.Count), Score: score, Line: line,
	}
	why := t.explain(p, s, v)
	what := sentence(n.Object, cut(t.text(r.Principal)), &why)
	n.Text = fmt.Sprintf("%s Its score is %.2g, and the line is %.2g.", what, score, line)
	if len(a.near) == maxNear {
		a.near = a.near[:maxNear-1]
	}
	a.near = slices.Insert(a.near, at, n)
}

// NearMisses implements detect.Explainer. The nearest ones are remembered from the beginning, eight of each account.
func (d *Detector) NearMisses() []detect.NearMiss {
	var out []detect.NearMiss
	for _, id := range slices.SortedFunc(maps.Keys(d.accounts), schemas.Account.Compare) {
		a := d.accounts[id]
		for _, n := range a.near {
			out = append(out, detect.NearMiss{
				Type: Type, Account: a.id, Region: n.Region, Object: n.Object, At: schemas.Minute(n.Minute), Count: n.Count,
				Log10P: -schemas.Round(n.Score / ln10), Line: -schemas.Round(n.Line / ln10), Text: n.Text,
			})
		}
	}
	slices.SortStableFunc(out, detect.NearMiss.Compare)
	return out[:min(len(out), detect.MaxNearMisses)]
}

// Learning implements detect.Explainer.
func (d *Detector) Learning() []detect.Learning {
	return detect.StillLearning(Type, d.accounts, func(a *account) *detect.Age { return &a.age })
}
