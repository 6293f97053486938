package model

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Which tuples of a minute are kept, and their counts, do not depend on the order in which they come, even far beyond the
// bound; and no call is lost.
func TestPendingRowsKnowNoOrder(t *testing.T) {
	n := newNames(maxTuples)
	var all []row
	total := uint64(0)
	for i := range 300 {
		id := n.intern(fmt.Sprint("value ", i%130))
		all = append(all, row{minute: int32(i % 2), of: tuple{id, id, noValue, noValue, id, id}, count: uint64(i + 1), sample: fmt.Sprint("id", i)})
		total += uint64(i + 1)
	}
	var want []row
	for run := range 50 {
		r := rand.New(rand.NewPCG(uint64(run), 0))
		r.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
		var got []row
		sum := uint64(0)
		for _, x := range all {
			got = n.addRow(got, x)
		}
		slices.SortFunc(got, n.compare)
		for i, x := range got {
			sum += x.count
			if i > 0 && cmp.Compare(got[i-1].minute, x.minute) > 0 {
				t.Fatal("minutes are not sorted")
			}
		}
		if sum != total {
			t.Fatalf("%d calls of %d", sum, total)
		}
		if want == nil {
			want = got
		}
		// A tuple that was not kept takes its sample with it, so samples of kept ones are exact too.
		if !slices.Equal(got, want) {
			t.Fatalf("run %d: got %v, want %v", run, got, want)
		}
	}
	if len(want) != 2*(maxTuples+1) {
		t.Errorf("%d rows, want %d", len(want), 2*(maxTuples+1))
	}
}

// Space-Saving finds what is frequent among much that is not, and never counts too little.
func TestTopK(t *testing.T) {
	var top Top[uint32]
	for i := range uint32(10000) {
		top.Add(2+i%4, 10)
		top.Add(100+i, 1)
	}
	slices.SortFunc(top, func(a, b Counted[uint32]) int { return cmp.Compare(b.N, a.N) })
	for i, c := range top[:4] {
		if c.Value < 2 || c.Value > 5 || c.N < 25000 {
			t.Errorf("place %d: %+v", i, c)
		}
	}
	if len(top) != TopValues {
		t.Errorf("%d values, want %d", len(top), TopValues)
	}
}

// What is usual fades with a half-life of a week.
func TestUsualFades(t *testing.T) {
	u := &usual{day: 100}
	u.add(100, []row{{of: tuple{2, 2, 2, 2, 2, 2}, count: 100}})
	u.add(107, []row{{of: tuple{3, 3, 3, 3, 3, 3}, count: 100}})
	if got := u.top[0][0].n / u.top[0][1].n; got < 0.499 || got > 0.501 {
		t.Errorf("a week old is worth %v of today, want 0.5", got)
	}
}
