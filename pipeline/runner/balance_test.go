package runner_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/trailvane/trailvane/pipeline/runner"
)

func ExampleBalance() {
	// A third instance has come to a stage of eight partitions.
	owners := []string{"a", "a", "a", "a", "b", "b", "b", "b"}
	for _, me := range []string{"a", "b", "c"} {
		claim, release := runner.Balance(owners, []string{"a", "b", "c"}, me)
		fmt.Println(me, "claims", claim, "gives up", release)
	}
	owners[3], owners[7] = "", ""
	claim, _ := runner.Balance(owners, []string{"a", "b", "c"}, "c")
	fmt.Println("then c claims", claim)
	// Output:
	// a claims [] gives up [3]
	// b claims [] gives up [7]
	// c claims [] gives up []
	// then c claims [3 7]
}

// A fleet is a stage's partitions and instances, as a test moves them.
type fleet struct {
	owners []string
	live   []string
}

// shares returns how many each live instance owns.
func (f *fleet) shares() map[string]int {
	n := make(map[string]int)
	for _, name := range f.live {
		n[name] = 0
	}
	for _, owner := range f.owners {
		n[owner]++
	}
	return n
}

// step lets an instance act on a view of the owners that may be old. A checkpoint that has changed since refuses a claim, and
// nobody can give up what is not his.
func (f *fleet) step(view []string, live []string, me string) {
	claim, release := runner.Balance(view, live, me)
	for _, p := range claim {
		if f.owners[p] == view[p] {
			f.owners[p] = me
		}
	}
	for _, p := range release {
		if f.owners[p] == me {
			f.owners[p] = ""
		}
	}
}

// settle lets all act on what is, in turn, until nothing moves.
func (f *fleet) settle(t *rapid.T) {
	for rounds := 0; ; rounds++ {
		before := slices.Clone(f.owners)
		for _, me := range f.live {
			f.step(slices.Clone(f.owners), f.live, me)
		}
		if slices.Equal(before, f.owners) {
			break
		}
		if rounds > 4 {
			t.Fatalf("%v still move after %d rounds: %v", f.live, rounds, f.owners)
		}
	}
	floor := len(f.owners) / len(f.live)
	for name, n := range f.shares() {
		if name == "" || n < floor || n > floor+1 {
			t.Fatalf("%q owns %d of %v with %v", name, n, f.owners, f.live)
		}
	}
}

func drawFleet(t *rapid.T) *fleet {
	f := &fleet{owners: make([]string, rapid.IntRange(1, 32).Draw(t, "partitions"))}
	for i := range rapid.IntRange(1, 9).Draw(t, "instances") {
		f.live = append(f.live, fmt.Sprint("i", i))
	}
	anybody := append([]string{""}, f.live...)
	for p := range f.owners {
		f.owners[p] = rapid.SampledFrom(anybody).Draw(t, "owner")
	}
	return f
}

func TestBalance_ComesToRestFromAnyStateAndView(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t)
		views := [][]string{slices.Clone(f.owners)}
		for range rapid.IntRange(0, 30).Draw(t, "steps with old views") {
			f.step(rapid.SampledFrom(views).Draw(t, "view"), f.live, rapid.SampledFrom(f.live).Draw(t, "me"))
			views = append(views, slices.Clone(f.owners))
		}
		f.settle(t)
	})
}

// All look at the same time, and act at the same time.
func TestBalance_TheSameViewNeverCollides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t)
		view := slices.Clone(f.owners)
		wanted := make(map[int]string)
		given := 0
		floor, rest := len(view)/len(f.live), len(view)%len(f.live)
		for _, me := range f.live {
			claim, release := runner.Balance(view, f.live, me)
			for _, p := range claim {
				if view[p] != "" || wanted[p] != "" {
					t.Fatalf("%s claims %d, of %q, wanted by %q", me, p, view[p], wanted[p])
				}
				wanted[p] = me
			}
			for _, p := range release {
				if view[p] != me {
					t.Fatalf("%s gives up %d, of %q", me, p, view[p])
				}
			}
			given += len(release)
			if len(claim) > 0 && len(release) > 0 {
				t.Fatalf("%s claims %v and gives up %v", me, claim, release)
			}
		}
		// The fewest that must move: what exceeds the shares when the largest owners have the larger shares.
		var have []int
		for name, n := range f.shares() {
			if name != "" {
				have = append(have, n)
			}
		}
		slices.Sort(have)
		slices.Reverse(have)
		least := 0
		for i, n := range have {
			share := floor
			if i < rest {
				share++
			}
			least += max(0, n-share)
		}
		if given != least {
			t.Fatalf("%d are given up, %d would do: %v", given, least, view)
		}
	})
}

func TestBalance_OneMoreMovesOnlyWhatItTakesOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t)
		f.settle(t)
		before := slices.Clone(f.owners)
		newcomer := rapid.SampledFrom([]string{"h", "i00", "z"}).Draw(t, "newcomer") // before, amid and behind the others
		f.live = append(f.live, newcomer)
		slices.Sort(f.live)
		f.settle(t)
		for p, owner := range f.owners {
			if owner != before[p] && owner != newcomer {
				t.Fatalf("partition %d went from %s to %s: %v, %v", p, before[p], owner, before, f.owners)
			}
		}
	})
}

func TestBalance_OneLessMovesOnlyWhatItHad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t)
		f.live = append(f.live, "z")
		f.settle(t)
		before := slices.Clone(f.owners)
		gone := rapid.SampledFrom(f.live).Draw(t, "gone")
		f.live = slices.DeleteFunc(f.live, func(name string) bool { return name == gone })
		for p, owner := range f.owners {
			if owner == gone {
				f.owners[p] = ""
			}
		}
		f.settle(t)
		for p, owner := range f.owners {
			if before[p] != gone && owner != before[p] {
				t.Fatalf("partition %d went from %s to %s: %v, %v", p, before[p], owner, before, f.owners)
			}
		}
	})
}

func TestBalance_AtRestNothingMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFleet(t)
		perm := rapid.Permutation(f.live).Draw(t, "order")
		for p := range f.owners {
			f.owners[p] = perm[p%len(perm)]
		}
		for _, me := range f.live {
			if claim, release := runner.Balance(f.owners, f.live, me); len(claim) > 0 || len(release) > 0 {
				t.Fatalf("%s claims %v and gives up %v of %v", me, claim, release, f.owners)
			}
		}
	})
}

// An owner that is leaving still has what it has not given up.
func TestBalance_LeavesAloneWhatOneWhoLeavesHas(t *testing.T) {
	claim, release := runner.Balance([]string{"a", "leaving", "leaving", ""}, []string{"a", "b"}, "b")
	if !slices.Equal(claim, []int{3}) || len(release) > 0 {
		t.Errorf("claims %v, gives up %v", claim, release)
	}
	claim, release = runner.Balance([]string{"a", "leaving", "leaving", ""}, []string{"a", "b"}, "stranger")
	if len(claim) > 0 || len(release) > 0 {
		t.Errorf("one who is not of the stage claims %v, gives up %v", claim, release)
	}
}
