package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A stage is a work and what the instance has of it.
type stage struct {
	Work
	tenures map[int]*tenure // by partition
	share   int             // that everybody should own at least
	looks   int             // since its checkpoints were read
}

// looksAnyway is how many looks at the members may pass before the checkpoints of a stage are read although all is well: five
// seconds.
const looksAnyway = 10

// A view is what one look has found.
type view struct {
	members []tvjetstream.Member
	settled bool // whoever is not among the members is gone
}

// watch looks six times per TTL who is there, and claims and gives up accordingly, until the context ends.
//
// One request tells the members and what they have. Checkpoints are read only for stages where that is not all as it should
// be, so that a process of many stages asks little.
func (i *Instance) watch(ctx context.Context, ttl time.Duration) {
	ticker := time.NewTicker(ttl / 6)
	defer ticker.Stop()
	var d doubt
	for {
		v, err := i.members(ctx, ttl, &d)
		if err == nil {
			for _, s := range i.stages { // each by itself: one that cannot be looked at holds up no other
				err = errors.Join(err, i.decide(ctx, ttl, s, v))
			}
		}
		if errors.Is(err, schemas.ErrVersion) {
			i.fail(fmt.Errorf("%w: %w", runner.ErrNewer, err))
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && i.known() {
			i.deployment.Log.Warn("cannot see who works on what; what cannot be seen stays as it is", "err", err)
		}
		i.looked(err)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// known reports whether the last look succeeded.
func (i *Instance) known() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lookErr == nil
}

// A doubt says since when the list of members may be trusted to miss nobody who lives. After our start, an outage or a pause
// of ours, or a restart of the server, all have been silent, and each needs time to be heard again.
type doubt struct {
	since      time.Time // the last reason for doubt
	last       time.Time // when we looked last
	reconnects uint64    // of our connection, then
}

// members lists who lives.
func (i *Instance) members(ctx context.Context, ttl time.Duration, d *doubt) (view, error) {
	reconnects := i.deployment.JS.Conn().Stats().Reconnects
	ctx, cancel := context.WithTimeout(ctx, ttl/3)
	defer cancel()
	members, err := tvjetstream.Members(ctx, i.deployment.JS)
	now := time.Now()
	// The server may have forgotten all of us; and after a pause of more than two heartbeats that others shared, they are late.
	heard := slices.ContainsFunc(members, func(m tvjetstream.Member) bool { return m.ID == i.self.ID })
	if err != nil || !heard || now.Sub(d.last) > ttl*2/3 || reconnects != d.reconnects {
		d.since = now
	}
	d.last, d.reconnects = now, reconnects
	return view{members: members, settled: now.Sub(d.since) >= ttl}, err
}

// decide compares what is with what should be in one stage, and begins to change it.
func (i *Instance) decide(ctx context.Context, ttl time.Duration, s *stage, v view) error {
	i.mu.Lock()
	i.report(s)
	s.looks++
	steady := s.looks < looksAnyway && i.steady(s, v)
	i.mu.Unlock()
	if steady {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, ttl/3)
	defer cancel()
	checkpoints, err := tvjetstream.Checkpoints(short, i.deployment.JS, s.Stage)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	s.looks = 0
	owners, live := i.owners(s, v, checkpoints)
	s.share = s.Partitions / len(live)
	claim, release := runner.Balance(owners, live, i.self.ID)
	for _, partition := range release {
		// What we have not restored or could not, but is ours by its checkpoint, would stay ours there.
		t, free := s.tenures[partition], checkpoints[strconv.Itoa(partition)].Owner != i.self.ID
		if t != nil && (t.epoch() != 0 || t.halted != "" && free) {
			t.leave("another instance has fewer")
		}
	}
	for partition, owner := range owners {
		if s.tenures[partition] == nil && (owner == i.self.ID || slices.Contains(claim, partition)) {
			i.begin(ctx, s, partition, checkpoints[strconv.Itoa(partition)].Owner)
		}
	}
	return nil
}

// report logs claims that have succeeded since the last look.
func (i *Instance) report(s *stage) {
	for partition, t := range s.tenures {
		if epoch := t.epoch(); epoch > t.reported {
			t.reported = epoch
			i.deployment.Log.Info("claimed", "stage", s.Stage, "partition", partition, "epoch", epoch,
				"from", t.from, "at", t.stats.Position.Load())
		}
	}
}

// inTransit stands for the owner of a partition that we are giving up: nobody can claim it yet, and nobody counts it.
const inTransit = "\x00"

// owners returns who has which partition, for [runner.Balance], and who lives.
func (i *Instance) owners(s *stage, v view, checkpoints map[string]tvjetstream.Saved) (owners, live []string) {
	isMember := make(map[string]bool)
	haltedAt := make(map[int]string)
	live = []string{i.self.ID}
	for _, m := range v.members {
		isMember[m.ID] = true
		if h, ok := m.Stages[s.Stage]; ok && m.ID != i.self.ID {
			live = append(live, m.ID)
			for partition := range h.Halted {
				haltedAt[partition] = m.ID
			}
		}
	}
	isMember[i.self.ID] = true
	owners = make([]string, s.Partitions)
	for partition := range owners {
		c := checkpoints[strconv.Itoa(partition)]
		t := s.tenures[partition]
		others := c.Owner != "" && c.Owner != i.self.ID
		if t != nil && !t.leaving && others && (t.epoch() != 0 && c.Epoch >= t.epoch() || t.halted != "" && isMember[c.Owner]) {
			t.lost = true
			t.leave(fmt.Sprintf("%s has claimed it, in epoch %d", c.Owner, c.Epoch))
		}
		switch {
		case t != nil && t.leaving:
			owners[partition] = inTransit
		case t != nil:
			owners[partition] = i.self.ID
		case haltedAt[partition] != "":
			owners[partition] = haltedAt[partition] // it is given up after every try, but not for others to take
		case !others || isMember[c.Owner]:
			owners[partition] = c.Owner
		case v.settled:
			// It is gone, and anybody may take what it had.
		default: // it may live and not have been heard yet
			owners[partition] = c.Owner
			live = append(live, c.Owner)
		}
	}
	slices.Sort(live)
	return owners, slices.Compact(live)
}

// steady reports whether the heartbeats say that every partition has one owner and everybody has a share. What we have
// ourselves we know better than our heartbeat.
func (i *Instance) steady(s *stage, v view) bool {
	n := 1
	for _, m := range v.members {
		if _, ok := m.Stages[s.Stage]; ok && m.ID != i.self.ID {
			n++
		}
	}
	share := s.Partitions / n
	most := (s.Partitions + n - 1) / n
	s.share = share
	owned := make([]bool, s.Partitions)
	total := 0
	own := func(partition int) bool {
		if partition < 0 || partition >= len(owned) || owned[partition] {
			return false
		}
		owned[partition] = true
		total++
		return true
	}
	for partition, t := range s.tenures {
		if t.leaving || t.epoch() == 0 && t.halted == "" || !own(partition) {
			return false
		}
	}
	if len(s.tenures) < share || len(s.tenures) > most {
		return false
	}
	for _, m := range v.members {
		h, ok := m.Stages[s.Stage]
		if !ok || m.ID == i.self.ID {
			continue
		}
		if has := len(h.Owned) + len(h.Halted); has < share || has > most {
			return false
		}
		for _, partition := range h.Owned {
			if !own(partition) {
				return false
			}
		}
		for partition := range h.Halted {
			if !own(partition) {
				return false
			}
		}
	}
	return total == s.Partitions
}
