package main

import (
	"cmp"
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
	exitOK        = 0   // also: a service was stopped by a signal
	exitFailed    = 1   // also: refused by a server, or by a deployment that was made otherwise
	exitUsage     = 2   // of flags, environment or configuration file
	exitInsights  = 10  // analyze --exit-code found insights
	exitAttention = 11  // status: something needs attention; dead replay: some letters cannot be replayed
	exitStopped   = 130 // interrupted, as shells say it
	exitPipe      = 141 // nobody reads the output any more, as shells say it
)

// command is the command line.
type command struct {
	Analyze  analyzeCommand  `cmd:"" help:"Replay audit logs through the whole pipeline and print the insights."`
	Demo     demoCommand     `cmd:"" help:"Analyze the logs of an invented company, and explain what was found."`
	Simulate simulateCommand `cmd:"" help:"Write the logs of an invented company to a folder."`
	Version  versionCommand  `cmd:"" help:"Print the version."`

	Serve       serveCommand       `cmd:"" group:"services" help:"Deploy, and run all stages in this process."`
	Deploy      deployCommand      `cmd:"" group:"services" help:"Create or adjust the streams and buckets of a deployment."`
	Credentials credentialsCommand `cmd:"" help:"Make the keys with which services show NATS servers who they are."`
	Ingest      ingestCommand      `cmd:"" group:"services" help:"Run the stage that reads logs."`
	Normalizer  normalizerCommand  `cmd:"" group:"services" help:"Run the stage that decodes raw records."`
	Aggregator  aggregatorCommand  `cmd:"" group:"services" help:"Run the stage that counts events by minute."`
	Detector    detectorCommand    `cmd:"" group:"services" help:"Run the stages that judge what is counted."`
	Pairer      pairerCommand      `cmd:"" group:"services" help:"Run the stage that publishes insight events."`
	Readers     readersCommand     `cmd:"" group:"services" help:"Say whose input waits for whom."`
	Backup      backupCommand      `cmd:"" group:"services" help:"Save a deployment to a folder."`
	Restore     restoreCommand     `cmd:"" group:"services" help:"Make a deployment from a backup."`
	Config      configCommand      `cmd:"" group:"services" help:"Check a configuration."`
	Status      statusCommand      `cmd:"" group:"services" help:"Say how a deployment is, and what needs attention."`
	Health      healthCommand      `cmd:"" group:"services" help:"Ask a service of this host whether it lives, or is ready."`
	Tail        tailCommand        `cmd:"" group:"services" help:"Show insights as they are published."`
	Dead        deadCommand        `cmd:"" group:"services" help:"List, show, replay and purge records that were refused."`
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

// A loggedError has been told already.
type loggedError struct{ error }

// logged logs an error of a service whose log is read by programs; a person at a terminal is told as by any other command.
func logged(c console, log *slog.Logger, err error) error {
	if _, terminal := present.Terminal(c.err); err == nil || terminal || errors.Is(err, context.Canceled) {
		return err
	}
	log.Error("stopped by an error", "error", err)
	return loggedError{err}
}

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
	exited := -1
	parser := newParser(out, errOut, func(code int) { exited = code })
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
	if errors.As(err, new(loggedError)) {
		return exitFailed
	}
	fmt.Fprintf(errOut, "trailvane: %s\n", present.Safe(err.Error(), maxError))
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

// newParser describes the command line.
func newParser(out, errOut io.Writer, exit func(code int)) *kong.Kong {
	var c command
	parser, err := kong.New(&c,
		kong.Name("trailvane"),
		kong.Description("Trailvane says when the wind changes in the audit logs of your cloud accounts: it reads "+
			"AWS CloudTrail and Alibaba Cloud ActionTrail logs, learns what is normal, and reports unusual activity as "+
			"insights, each with a Start, an End and a reason.\n\n"+
			"Begin with 'trailvane demo', then 'trailvane analyze FOLDER'; 'trailvane serve' works until it is stopped."),
		kong.Vars{"formats": formatNames(), "severities": strings.Join(view.Severities(), ","), "config_help": configHelp},
		kong.ExplicitGroups([]kong.Group{{Key: "services", Title: "Services:"}}),
		kong.PostBuild(nameEnvironment),
		kong.WithBeforeResolve(readConfigFile),
		kong.Writers(out, errOut),
		kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		panic(err) // the command line's own description is wrong
	}
	return parser
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
	version, commit := buildVersion()
	if commit != "" {
		commit = ", commit " + commit
	}
	goVersion := "unknown Go"
	if b, ok := debug.ReadBuildInfo(); ok {
		goVersion = b.GoVersion
	}
	_, err := fmt.Fprintf(c.out, "trailvane %s (%s%s)\n", version, goVersion, commit)
	return err
}

// release is the version of a build from a folder that is no repository, such as that of an image; the linker sets it.
var release string

// buildVersion returns the version of the program, and the commit that it was built from, if they are known.
func buildVersion() (version, commit string) {
	version = cmp.Or(release, "development")
	b, ok := debug.ReadBuildInfo()
	if !ok {
		return version, ""
	}
	if v := b.Main.Version; release == "" && v != "" && v != "(devel)" {
		version = v
	}
	for _, s := range b.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value[:min(len(s.Value), 12)]
		}
	}
	return version, commit
}
