package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/analyze"
)

type analyzeCommand struct {
	Paths      []string `arg:""`
	Store      string
	Partitions int `default:"2"`

	CPUProfile string `hidden:""`
	MemProfile string `hidden:""`
}

func (a *analyzeCommand) Run(ctx context.Context, c console) error {
	if a.CPUProfile != "" {
		f, err := os.Create(a.CPUProfile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	r, err := analyze.Run(ctx, analyze.Options{Paths: a.Paths, Stdin: c.in, Store: a.Store, Partitions: a.Partitions, Settings: schemas.DefaultSettings()})
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

func safe(s string) string { return s }
