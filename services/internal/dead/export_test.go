package dead

import (
	"context"

	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// Begin does of a replay what is done before its process dies: it writes down what it will put, and puts it if asked to.
func (r *Replayer) Begin(ctx context.Context, t Trial, put bool) error {
	last, revision, err := r.resume(ctx, t.Lane)
	if err != nil {
		return err
	}
	i := intent{Number: max(last, r.seen[t.Lane]) + 1, Letter: t.Seq, Format: t.Format}
	if _, err := r.write(ctx, t.Lane, i, revision); err != nil || !put {
		return err
	}
	chunk := t.chunk()
	_, err = r.sink.Put(ctx, runner.Output{
		Subject: schemas.RawSubject(t.Lane, t.Format), Body: chunk.Append(nil), Producer: Producer, Number: schemas.Number{Seq: i.Number},
	})
	return err
}
