package main

import (
	"fmt"
	"os"
	"time"

	"github.com/trailvane/trailvane/services/internal/simulate"
)

type simulateCommand struct {
	Folder string `arg:"" type:"path" help:"Folder to write to. It must be empty or missing."`

	Seed     uint64    `default:"1" help:"The same seed writes the same bytes."`
	Days     int       `default:"10" help:"Days of logs, at least 3. What is planted is on the last two."`
	Accounts int       `default:"1" help:"Accounts on each cloud, 1 to 99."`
	Start    time.Time `format:"2006-01-02" help:"First day, as 2026-10-01 (default: the same day for everybody)."`

	Bulk int `placeholder:"N" help:"Write N plain CloudTrail records of about 1.2 KB instead, to measure speed."`
}

// Run writes the logs.
func (s *simulateCommand) Run(c console) error {
	entries, err := os.ReadDir(s.Folder)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if len(entries) > 0 {
		return usagef("%s is not empty; name a new folder", s.Folder)
	}
	if s.Bulk > 0 {
		bytes, err := simulate.WriteBulk(s.Folder, simulate.BulkOptions{Seed: s.Seed, Records: s.Bulk})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.err, "wrote %d records, %d MB uncompressed, to %s\n", s.Bulk, bytes>>20, s.Folder)
		return err
	}
	truth, err := simulate.Write(s.Folder, simulate.Options{Seed: s.Seed, Start: s.Start, Days: s.Days, Accounts: s.Accounts})
	if err != nil {
		return usagef("%w", err)
	}
	fmt.Fprintf(c.err, "wrote %d events in %d files, from %s to %s, to %s\n", truth.Events+truth.Repeats, truth.Files,
		truth.From.Format(time.RFC3339), truth.To.Format(time.RFC3339), s.Folder)
	for _, a := range truth.Attacks {
		fmt.Fprintf(c.err, "planted: %s of %s in %s, from %s to %s, from %s\n", a.Name, a.Principal, a.Account,
			a.First.Format(time.RFC3339), a.Last.Format(time.RFC3339), a.Address)
		for _, e := range a.Expect {
			_, err = fmt.Fprintf(c.err, "  %s %s in %s\n", e.Type, e.Object, e.Region)
		}
	}
	return err
}
