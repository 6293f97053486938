package window_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/trailvane/trailvane/pipeline/window"
	"github.com/trailvane/trailvane/schemas"
)

func ExampleOpen() {
	var open window.Open
	id := window.HashID("6f5c2b0e-6d0a-4e0e-9c5e-0f2a9c1d7b11")
	fmt.Println(open.Add(100, id), open.Add(100, id))
	open.Close(101) // the minute is final: its ids are forgotten
	fmt.Println(open.Len())
	// Output:
	// true false
	// 0
}

func TestAddInAnyOrderOfMinutes(t *testing.T) {
	var open window.Open
	for i, at := range []schemas.Minute{10, 8, 12, 8, 10, 9} {
		if !open.Add(at, window.ID(i)) {
			t.Errorf("id %d is new in minute %d", i, at)
		}
	}
	if open.Add(8, 1) || open.Add(8, 3) || !open.Add(9, 1) {
		t.Error("an id counts once in a minute, and each minute by itself")
	}
	open.Close(9)
	got := map[schemas.Minute][]window.ID{}
	var order []schemas.Minute
	open.Minutes(func(at schemas.Minute, ids []window.ID) {
		order = append(order, at)
		got[at] = append([]window.ID(nil), ids...)
	})
	want := map[schemas.Minute][]window.ID{9: {1, 5}, 10: {0, 4}, 12: {2}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]schemas.Minute{9, 10, 12}, order); d != "" {
		t.Error(d)
	}
}

func TestMinuteIsEmptyWhenItsSetIsUsedAgain(t *testing.T) {
	var open window.Open
	open.Add(1, 7)
	open.Close(2)
	if !open.Add(2, 7) {
		t.Error("an id of a closed minute was still remembered")
	}
}

func BenchmarkAdd(b *testing.B) {
	var open window.Open
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		at := schemas.Minute(i / 1000)
		open.Add(at, window.ID(i)*0x9E3779B97F4A7C15)
		open.Close(at - 15)
		i++
	}
}
