package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/view"
	"github.com/trailvane/trailvane/services/internal/present"
)

// maxError bounds an error on the terminal, columns: names of files and values from logs may be part of it.
const maxError = 2000

// Exit codes, for scripts.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitInsights = 10  // analyze --exit-code found insights
	exitStopped  = 130 // interrupted, as shells say it
	exitPipe     = 141 // nobody reads the output any more, as shells say it
)

// command is the command line.
type command struct {
	Analyze  analyzeCommand  `cmd:"" help:"Replay audit logs through the whole pipeline and print the insights."`
	Demo     demoCommand     `cmd:"" help:"Analyze the logs of an invented company, and explain what was found."`
	Simulate simulateCommand `cmd:"" help:"Write the logs of an invented company to a folder."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

// console is where a command reads and writes.
type console struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// log returns a logger for what goes wrong and is tried again.
func (c console) log() *slog.Logger {
	return slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// exitError ends the program with a code that is neither success nor failure.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// A usageError is what the user can mend on the command line.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// A moment is a time on the command line: a date, which is its midnight, or a date and time. Without a zone it is UTC, as
// everything that Trailvane prints.
type moment struct{ time.Time }

// UnmarshalText parses a flag.
func (m *moment) UnmarshalText(text []byte) error {
	for _, layout := range []string{
		time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, "2006-01-02 15:04", time.DateOnly,
	} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			m.Time = t
			return nil
		}
	}
	return fmt.Errorf("%q is no time such as 2026-03-01 or 2026-03-01T08:30:00Z", text)
}

// Run runs a command line and returns its exit code.
func Run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	var c command
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("trailvane"),
		kong.Description("Trailvane says when the wind changes in the audit logs of your cloud accounts: it reads "+
			"AWS CloudTrail and Alibaba Cloud ActionTrail logs, learns what is normal, and reports unusual activity as "+
			"insights, each with a Start, an End and a reason.\n\n"+
			"Begin with 'trailvane demo', then 'trailvane analyze FOLDER'."),
		kong.Vars{"formats": formatNames(), "severities": strings.Join(view.Severities(), ",")},
		kong.Writers(out, errOut),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		panic(err) // the command line's own description is wrong
	}
	switch { // what other programs have taught
	case len(args) == 0:
		args = []string{"--help"}
	case args[0] == "help":
		args = append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version":
		args = []string{"version"}
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if errors.Is(err, syscall.EPIPE) { // also --help
		return exitPipe
	}
	if err != nil {
		of := ""
		if n := parser.Model.Children; slices.ContainsFunc(n, func(n *kong.Node) bool { return n.Name == args[0] }) {
			of = args[0] + " "
		}
		fmt.Fprintf(errOut, "trailvane: %s\nRun 'trailvane %s--help' to see what is possible.\n",
			present.Safe(err.Error(), maxError), of)
		return exitUsage
	}
	k.BindTo(ctx, (*context.Context)(nil))
	err = k.Run(console{in, out, errOut})
	var exit exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return int(exit)
	case errors.Is(err, context.Canceled):
		return exitStopped
	case errors.Is(err, syscall.EPIPE):
		return exitPipe // there may be nobody to tell
	}
	fmt.Fprintf(errOut, "trailvane: %s\n", present.Safe(err.Error(), maxError))
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

// formatNames lists the input formats, by commas.
func formatNames() string {
	var names []string
	for _, f := range formats.All() {
		names = append(names, f.Format())
	}
	return strings.Join(names, ",")
}

type versionCommand struct{}

// Run prints the version of the program and of what it was built with.
func (versionCommand) Run(c console) error {
	version, commit := "development", ""
	goVersion := "unknown Go"
	if b, ok := debug.ReadBuildInfo(); ok {
		goVersion = b.GoVersion
		if v := b.Main.Version; v != "" && v != "(devel)" {
			version = v
		}
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				commit = ", commit " + s.Value[:min(len(s.Value), 12)]
			}
		}
	}
	_, err := fmt.Fprintf(c.out, "trailvane %s (%s%s)\n", version, goVersion, commit)
	return err
}
