package model

import (
	"cmp"
	"slices"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

const (
	// TopValues are counted in each dimension; five of them are reported.
	TopValues = 8

	maxValue = 256 // bytes of a value that are kept: user agents are longer, but not different beyond that
)

// A Top counts the most frequent values of one dimension, by Space-Saving: a new value takes over the smallest count.
type Top[V comparable] []Counted[V]

// Counted is a value and how often it came at most.
type Counted[V comparable] struct {
	_msgpack struct{} `msgpack:",as_array"` //nolint:unused // read by msgpack

	Value V
	N     uint64
	Over  uint64 // of N, what may be of the values before it
}

// Sure is how often a value came at least: of a scan's two hundred calls, each made once, none was made 25 times.
func (c Counted[V]) Sure() uint64 { return c.N - min(c.N, c.Over) }

// Add counts a value. It returns the place of one that was not there, for whoever must make a copy of his own.
func (t *Top[V]) Add(v V, n uint64) (entered *V) {
	smallest := 0
	for i := range *t {
		c := &(*t)[i]
		if c.Value == v {
			c.N += n
			return nil
		}
		if c.N < (*t)[smallest].N {
			smallest = i
		}
	}
	if len(*t) < TopValues {
		*t = append(*t, Counted[V]{Value: v, N: n})
		return &(*t)[len(*t)-1].Value
	}
	c := &(*t)[smallest]
	*c = Counted[V]{Value: v, N: c.N + n, Over: c.N}
	return &c.Value
}

// A TopTexts is a Top of texts that it keeps, as far as they are kept of any. No text is no answer, and does not count.
type TopTexts struct{ Top[string] }

// Add counts a text, which may be a part of something larger.
func (t *TopTexts) Add(v string, n uint64) {
	if v = Bound(v); v == "" {
		return
	}
	if entered := t.Top.Add(v, n); entered != nil {
		*entered = strings.Clone(v)
	}
}

// Attributed returns what is reported of so many minutes: the most frequent texts first.
func (t *TopTexts) Attributed(minutes float64) []schemas.Attributed {
	top := slices.Clone(t.Top)
	slices.SortFunc(top, func(x, y Counted[string]) int {
		return cmp.Or(cmp.Compare(y.Sure(), x.Sure()), strings.Compare(x.Value, y.Value))
	})
	var list []schemas.Attributed
	for _, c := range top[:min(len(top), schemas.MaxAttributed)] {
		list = append(list, schemas.Attributed{Value: c.Value, Average: schemas.Round(float64(c.Sure()) / minutes)})
	}
	return list
}

// Bound cuts a value to what is kept of it, at a whole character.
func Bound(v string) string {
	if len(v) > maxValue {
		v = strings.ToValidUTF8(v[:maxValue], "")
	}
	return v
}
