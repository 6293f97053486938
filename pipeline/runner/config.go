package runner

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Config describes one partition of a stage.
type Config struct {
	Stage     string // "normalizer"; the first part of the producer's name
	Partition string // "3"
	Instance  string // who we are; unique among all live instances
	Constants string // version of the constants that decide outputs, kept in the checkpoint

	Source Source
	Sink   Sink
	Store  Store

	// New makes an empty processor. Generation is the input sequence at which its state began empty.
	New func(generation uint64) Processor

	CommitEvery time.Duration    // 5 s if zero
	CommitBytes int              // of input, 16 MiB if zero
	Now         func() time.Time // the commit clock, time.Now if nil; nothing but the moment of a commit depends on it
	Log         *slog.Logger     // slog.Default() if nil
}

// Run works on the partition until the context ends, the input ends (io.EOF from the source: everything is committed, the
// result is nil), or an error that a person must decide. On a passing error it loads the state again and goes on.
func Run(ctx context.Context, c Config) error { return errors.New("being written") }
