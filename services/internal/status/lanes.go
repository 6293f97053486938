package status

import (
	"context"
	"strconv"
	"time"

	"github.com/trailvane/trailvane/pipeline/decode/formats"
	"github.com/trailvane/trailvane/pipeline/ingest"
	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/dead"
)

// lanes looks when something came last.
func (l *look) lanes(ctx context.Context) error {
	for n := range l.Deployment.Lanes {
		lane, err := l.lane(ctx, n)
		if err != nil {
			return err
		}
		l.Lanes = append(l.Lanes, lane)
	}
	return nil
}

func (l *look) lane(ctx context.Context, n int) (Lane, error) {
	stream := jetstream.RawStream(n)
	lane := Lane{Lane: n, State: Unused}
	held := l.contents[stream]
	if held.Last == 0 {
		return lane, nil
	}
	lane.LastRecord = held.LastTime
	last := func(kind string) (time.Time, error) {
		at, _, err := jetstream.LastTime(ctx, l.js, stream, schemas.RawSubject(n, kind))
		return at, err
	}
	for _, f := range formats.All() {
		at, err := last(f.Format())
		if err != nil {
			return lane, err
		}
		if at.After(lane.LastChunk) {
			lane.LastChunk = at
		}
	}
	var err error
	if lane.LastTick, err = last(string(schemas.TickControl)); err != nil {
		return lane, err
	}
	end, err := last(string(schemas.EndControl))
	if err != nil {
		return lane, err
	}
	_, feeds := l.newest[n]
	switch {
	case !feeds && lane.LastChunk.IsZero():
	case !end.Before(lane.LastRecord): // it is the last record
		lane.State = Ended
	case l.At.Sub(lane.LastRecord) > quietLane:
		over, err := l.over(ctx, n)
		if err != nil {
			return lane, err
		}
		if lane.State = Silent; over {
			lane.State = Ended
		}
	default:
		lane.State = Fed
	}
	return lane, nil
}

// over reports whether a lane's input has ended, which the plan of its connector knows when its stream is trimmed.
func (l *look) over(ctx context.Context, n int) (over bool, err error) {
	plan, planned := l.ingest[ingest.PlanPartition(n)]
	if !planned {
		return false, nil
	}
	for _, key := range ingest.LastPages(plan.Keys) {
		found := false
		err := jetstream.ReadState(ctx, l.js, ingestStage, ingest.PlanPartition(n), plan.Generation, key, func(_ string, page []byte) (err error) {
			found = true
			over, err = ingest.IsOver(page, plan.Seq, l.ingest[strconv.Itoa(n)].Seq)
			return err
		})
		if found || err != nil {
			return over, err
		}
	}
	return false, nil
}

// dead counts the dead letters by stage, and the newest of them by reason.
func (l *look) dead(ctx context.Context) error {
	held := l.contents[jetstream.DeadStream]
	if held.Messages == 0 {
		return nil
	}
	subjects, err := jetstream.Subjects(ctx, l.js, jetstream.DeadStream, "dead.>")
	if err != nil {
		return err
	}
	for subject, n := range subjects {
		l.Dead.ByStage[schemas.LastToken(subject)] = n
		l.Dead.Total += n
	}
	return dead.Newest(ctx, l.js, held.Last, maxDead, func(d dead.Letter) error {
		l.Dead.Scanned++
		l.Dead.ByReason[d.Reason]++
		if l.At.Sub(d.Time) < 24*time.Hour {
			l.Dead.LastDay++
		}
		l.Dead.Newest = d.Time
		return nil
	})
}
