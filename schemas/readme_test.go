package schemas

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The page describes every field of every message: its tables number the fields of the arrays in their order.
func TestReadmeListsEveryField(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(s, "\n")
		sections[title] = text
	}
	for title, want := range map[string][]int{
		"Chunk":      {len(generic(t, samples()["chunk"].Append(nil)).([]any))},
		"EventBatch": {3, sectionFields, eventRowFields},
		"PaneBatch":  {3, paneFields, rowFields},
		"Metrics":    {metricsFields, seriesFields},
		"Finding":    {findingFields},
		"Tick":       {tickFields},
		"End":        {endFields},
		"Settings":   {settingsFields},
		"DeadLetter": {deadLetterFields},
		"Checkpoint": {checkpointFields},
	} {
		var got []int
		for _, table := range strings.Split(sections[title], "| # | field |")[1:] {
			n := 0
			for line := range strings.Lines(table) {
				if strings.HasPrefix(line, "| "+strconv.Itoa(n)+" | ") {
					n++
				}
			}
			got = append(got, n)
		}
		if !slices.Equal(got, want) {
			t.Errorf("README.md, %s: tables of %v fields, want %v", title, got, want)
		}
	}
}
