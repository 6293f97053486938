package analyze

import (
	"context"
	"errors"
	"fmt"
	"io"

	natsjetstream "github.com/nats-io/nats.go/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream"
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
	for after := uint64(0); ; {
		records, err := source.Read(ctx, after)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return nil // work says why
		case err != nil:
			return fmt.Errorf("follow the insights: %w", err)
		}
		for _, r := range records {
			var i schemas.Insight
			if err := i.Decode(r.Body); err != nil {
				return fmt.Errorf("insight on %s: %w", r.Subject, err)
			}
			if err := each(&i); err != nil {
				return err
			}
			after = r.Seq
		}
	}
}
