package aggregator

import (
	"cmp"
	"slices"
	"testing"

	"github.com/trailvane/trailvane/pipeline/aggregate"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/service"
	"github.com/trailvane/trailvane/services/internal/telemetry"
)

// An account is as silent as its liveliest region, whatever ticks say; one that is silent for a day beside others of its lane is left out.
func TestLevels(t *testing.T) {
	account := func(id string) schemas.Account { return schemas.Account{Provider: schemas.AWS, ID: id} }
	const day = schemas.Day
	marks := []aggregate.Mark{
		{Account: account("1"), Region: "a", Newest: 9000, First: 9985},
		{Account: account("1"), Region: "b", Newest: 10_000, First: 9970},
		{Account: account("2"), Region: "a", Newest: 9500, First: 9980}, // the silent one
		{Account: account("3"), Region: "c", Newest: 10_000 - day - 1, First: 1},
		{Account: account("4"), Region: "a", Lane: 1, Newest: 9600, First: 9990},
	}
	got := levels(func(fn func(aggregate.Mark, int)) {
		for _, m := range marks {
			fn(m, 2)
		}
	})
	slices.SortFunc(got, func(a, b service.Count) int {
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Labels[0], b.Labels[0]))
	})
	want := []service.Count{
		{Metric: telemetry.Groups, N: 5},
		{Metric: telemetry.OpenWindows, N: 10},
		{Metric: telemetry.Silence, N: 9500 * 60},
		{Metric: telemetry.WatermarkDelay, Labels: [2]string{"a"}, N: 9980 * 60},
		{Metric: telemetry.WatermarkDelay, Labels: [2]string{"b"}, N: 9970 * 60},
	}
	slices.SortFunc(want, func(a, b service.Count) int {
		return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Labels[0], b.Labels[0]))
	})
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := levels(func(func(aggregate.Mark, int)) {}); len(got) != 2 {
		t.Errorf("a partition without accounts tells %v", got)
	}
}
