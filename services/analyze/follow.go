package analyze

import (
	"context"
	"fmt"

	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// follow hands on every insight event that is stored while work works, and those from before it. An error of each ends work.
func follow(
	ctx context.Context, js natsjetstream.JetStream, each func(*schemas.Insight) error, work func(context.Context) error,
) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	source := jetstream.NewSource(js, jetstream.InsightsStream, jetstream.SourceConfig{})
	defer source.Close()
	followed := make(chan error, 1)
	go func() {
		err := handOn(ctx, source, each)
		if err != nil {
			cancel(err)
		}
		followed <- err
	}()
	err := work(ctx)
	if err != nil {
		cancel(err)
	} else {
		source.Drain() // what work has stored is still handed on
	}
	if failed := <-followed; failed != nil {
		return failed
	}
	return err
}

func handOn(ctx context.Context, source *jetstream.Source, each func(*schemas.Insight) error) error {
	var failed error
	err := source.Follow(ctx, 0, func(r runner.Record) error {
		var i schemas.Insight
		if failed = i.Decode(r.Body); failed != nil {
			failed = fmt.Errorf("insight on %s: %w", r.Subject, failed)
		} else {
			failed = each(&i)
		}
		return failed
	})
	switch {
	case failed != nil:
		return failed
	case err == nil, ctx.Err() != nil:
		return nil // work says why
	}
	return fmt.Errorf("follow the insights: %w", err)
}
