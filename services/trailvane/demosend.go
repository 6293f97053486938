package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trailvane/trailvane/pipeline/model"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/ingest"
	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/send"
	"github.com/trailvane/trailvane/services/internal/simulate"
)

const (
	demoDays    = 10
	mostLive    = 7 * 24 * time.Hour
	mostSpeed   = 10_000
	waitingTold = 5 * time.Second // how often it is told that the service does not take anything
)

// A demoFeed sends the company's logs: each account in the order in which its objects are delivered, under a source of its own.
type demoFeed struct {
	client  *send.Client
	keep    string    // folder, empty for none
	live    time.Time // event time at which the live part begins
	begun   time.Time // when that would have been sent, had there been nothing before it
	speed   float64
	bytes   atomic.Int64 // sent
	stored  atomic.Int64 // records
	waiting atomic.Int64 // when it was told last that nothing is taken, Unix nanoseconds
}

// send sends the logs to a service, and tells what there is to see.
func (d *demoCommand) send(ctx context.Context, c console) error {
	switch err := send.CheckURL(d.To); {
	case err != nil:
		return usagef("--to %s: %w", present.Safe(d.To, taleWidth), err)
	case d.Live < simulate.LeastLive || d.Live > mostLive:
		return usagef("--live %s: %s to %s are possible, so that everything happens in it and is over", d.Live, simulate.LeastLive, mostLive)
	case !(d.Speed >= 1 && d.Speed <= mostSpeed):
		return usagef("--speed %g: 1 to %d are possible", d.Speed, mostSpeed)
	}
	client := &send.Client{URL: d.To}
	if d.TokenFile != "" {
		var err error
		if client.Token, err = ingest.ReadToken(d.TokenFile); err != nil {
			return usagef("--token-file: %w", err)
		}
	}
	if d.Keep != "" {
		if err := isNew(d.Keep); err != nil {
			return err
		}
	}
	now := time.Now().UTC().Truncate(time.Minute)
	// The last event is as old as the last object is new when it is sent: nothing may be ahead of real time.
	end := now.Add(time.Duration(float64(d.Live) / d.Speed))
	objects, truth, err := simulate.Objects(simulate.Options{Seed: d.Seed, Days: demoDays, Live: d.Live, End: end})
	if err != nil {
		return err
	}
	f := &demoFeed{client: client, keep: d.Keep, live: end.Add(-d.Live), begun: time.Now(), speed: d.Speed}
	client.Waiting = func(err error, wait time.Duration) { f.tellWaiting(c, d.To, err) }

	byAccount := make(map[schemas.Account][]simulate.Object)
	var total int64
	for _, o := range objects {
		byAccount[o.Account] = append(byAccount[o.Account], o)
		total += int64(len(o.Body))
	}
	t := tale{w: c.out}
	t.say("An invented company has one account on AWS and one on Alibaba Cloud. Ten days of their audit logs, until %s, are sent to %s at once; then "+
		"the %s after it, %g times as fast as they happened, which takes %s.", f.live.Format(time.DateTime), present.Safe(d.To, taleWidth), d.Live, d.Speed,
		time.Duration(float64(d.Live)/d.Speed).Round(time.Second))
	stop := present.Progress(c.err, present.Bytes, func() (done, all int64) { return f.bytes.Load(), total })
	err = f.run(ctx, byAccount)
	stop()
	if err != nil {
		if ctx.Err() != nil {
			t.say("Stopped. %s were sent.", model.Plural(uint64(f.stored.Load()), "event", "events"))
			return ctx.Err()
		}
		return fmt.Errorf("send to %s: %w", present.Safe(d.To, taleWidth), err)
	}
	t.say("%s in %s were sent. In the last %s:", model.Plural(uint64(f.stored.Load()), "event", "events"),
		model.Plural(uint64(len(objects)), "object", "objects"), d.Live)
	for _, a := range truth.Attacks {
		t.attack(a, nil, nil, 0, 0)
	}
	t.say("What was found: trailvane tail --since 1h shows the insights, trailvane status how far each stage is.")
	if d.Keep != "" {
		t.say("The same logs are in %s. trailvane analyze finds the same in them.", present.Safe(d.Keep, taleWidth))
	}
	return t.err
}

// run sends everything, the accounts side by side.
func (f *demoFeed) run(ctx context.Context, byAccount map[schemas.Account][]simulate.Object) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for account, objects := range byAccount {
		running.Go(func() {
			if err := f.account(ctx, account, objects); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

// account sends one account's objects, and says at the end that there is nothing more.
func (f *demoFeed) account(ctx context.Context, a schemas.Account, objects []simulate.Object) error {
	source := string(a.Provider) + "-" + a.ID
	for i := range objects {
		o := &objects[i]
		due := f.begun.Add(time.Duration(float64(o.Time.Sub(f.live)) / f.speed))
		timer := time.NewTimer(time.Until(due)) // of history it is over
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if f.keep != "" {
			if err := o.Write(f.keep); err != nil {
				return err
			}
		}
		// The name alone is not enough: another demo within the hour has files of the same names.
		hash := sha256.Sum256(slices.Concat([]byte(o.Name+"\x00"), o.Body))
		stored, err := f.client.Send(ctx, source, hex.EncodeToString(hash[:16]), o.Body)
		if err != nil {
			return err
		}
		if stored.Refused > 0 || stored.Accepted != o.Records {
			return fmt.Errorf("%s has %d records, of which %d were taken", o.Name, o.Records, stored.Accepted)
		}
		f.bytes.Add(int64(len(o.Body)))
		f.stored.Add(int64(stored.Accepted))
	}
	return f.client.Tick(ctx, source, a)
}

// tellWaiting tells, now and then, that the service does not take what is sent.
func (f *demoFeed) tellWaiting(c console, url string, err error) {
	last, now := f.waiting.Load(), time.Now().UnixNano()
	if now-last < int64(waitingTold) || !f.waiting.CompareAndSwap(last, now) {
		return
	}
	var network interface{ Timeout() bool }
	what := err.Error()
	if errors.As(err, &network) {
		what = "no answer: " + strings.TrimSpace(what[strings.LastIndex(what, ": ")+1:])
	}
	fmt.Fprintf(c.err, "%s waiting for %s: %s\n", time.Now().Format(time.TimeOnly), present.Safe(url, taleWidth), present.Safe(what, taleWidth))
}
