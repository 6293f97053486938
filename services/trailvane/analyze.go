package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/analyze"
)

type analyzeCommand struct {
	Paths []string `arg:""`
}

func (a *analyzeCommand) Run(ctx context.Context, c console) error {
	r, err := analyze.Run(ctx, analyze.Options{Paths: a.Paths, Stdin: c.in, Partitions: 2, Settings: schemas.DefaultSettings()})
	if err != nil {
		return err
	}
	for _, i := range r.Insights {
		fmt.Fprintf(c.out, "%s\n", i.Append(nil))
	}
	b, _ := json.MarshalIndent(struct{ A, B, C, D, E any }{r.Ingest, r.Normalize, r.Aggregate, r.Pair, r.Took.String()}, "", " ")
	fmt.Fprintln(c.err, string(b))
	return nil
}

type demoCommand struct{}

func (demoCommand) Run() error { return nil }

type simulateCommand struct{}

func (simulateCommand) Run() error { return nil }

func safe(s string) string { return s }
