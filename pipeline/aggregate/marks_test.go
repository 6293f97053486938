package aggregate_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/schemas"
)

// The marks in the state are those of all accounts and regions, also where open windows and hours share their pages.
func TestReadMarks(t *testing.T) {
	h := newHarness(t)
	h.settings(schemas.Settings{Lane: 2, Lateness: 15, Learn: schemas.Day, Budget: 1})
	other := schemas.Account{Provider: schemas.Alibaba, ID: "1"}
	h.events(section(account, "eu-west-1", 2, event{1000, "A", "a"}, event{1010, "A", "b"}))
	h.events(section(other, "cn-beijing", 2, event{2000, "A", "c"}))
	h.end(schemas.End{Lane: 2})
	h.events(section(account, "us-east-1", 0, event{500, "A", "d"}, event{510, "A", "e"}))
	want := []aggregate.Mark{
		{Account: other, Region: "cn-beijing", Lane: 2, Newest: 2000, First: 2001},
		{Account: account, Region: "eu-west-1", Lane: 2, Newest: 1010, First: 1011},
		{Account: account, Region: "us-east-1", Lane: 0, Newest: 510, First: 495},
	}
	var got []aggregate.Mark
	err := h.p.Snapshot(func(key string, state []byte) {
		if !strings.HasPrefix(key, aggregate.MarkKeys+".") {
			return
		}
		if err := aggregate.ReadMarks(key, state, func(m aggregate.Mark) { got = append(got, m) }); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b aggregate.Mark) int {
		return cmp.Or(a.Account.Compare(b.Account), strings.Compare(a.Region, b.Region))
	})
	got = slices.Compact(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := aggregate.ReadMarks("groups.1.0", []byte{5, 1}, func(aggregate.Mark) {}); err == nil {
		t.Error("a page that is cut short is read")
	}
}
