// Command trailvane turns the audit logs of cloud accounts into insights: a Start and an End for every stretch of unusual
// activity.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal stops cleanly; a second one finds nobody who would hold it up.
	context.AfterFunc(ctx, stop)
	// A reader of the output that goes away, such as head, is an error of a write like others: temporary files are removed.
	signal.Ignore(syscall.SIGPIPE)
	code := Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
