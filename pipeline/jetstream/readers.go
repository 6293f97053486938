package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/schemas"
)

// Readers says who has to have read a record before it may be purged. It is stored with the deployment.
//
// A stage is registered when it is deployed for the first time; afterwards only a command changes that. A registered stage
// that does not run holds its input: it loses nothing, and the stream fills. One that is not registered holds nothing.
type Readers struct {
	Trim     bool              `json:"trim"`     // whether anything is purged at all
	KeepTail uint64            `json:"keepTail"` // messages that all readers have had and that are kept nevertheless
	Stages   map[string]Reader `json:"stages"`
}

// A Reader is a stage that reads a stream.
type Reader struct {
	Reads   schemas.Flow `json:"reads"`
	Enabled bool         `json:"enabled"` // registered
}

const readersKey = "readers"

// ErrReader: the set of readers cannot be changed like that. The error says why and what is possible.
var ErrReader = errors.New("readers stay as they are")

// LoadReaders returns who is registered, from the leader of the bucket. A deployment of an earlier version has the zero value:
// nothing is trimmed before it is deployed again.
func LoadReaders(ctx context.Context, js jetstream.JetStream) (Readers, error) {
	r, _, err := loadReaders(ctx, js)
	return r, err
}

func loadReaders(ctx context.Context, js jetstream.JetStream) (r Readers, revision uint64, err error) {
	value, revision, err := lastValue(ctx, js, DeploymentBucket, readersKey)
	if err != nil {
		return r, 0, fmt.Errorf("read the readers of the deployment: %w", err)
	}
	if revision == 0 {
		return r, 0, nil
	}
	if err := json.Unmarshal(value, &r); err != nil {
		return r, 0, fmt.Errorf("read the readers of the deployment: %w", err)
	}
	return r, revision, nil
}

// lastValue reads a key from the leader of its bucket: a replica may be behind, and what is purged by its word is gone.
// Revision 0: there is none.
func lastValue(ctx context.Context, js jetstream.JetStream, bucket, key string) (value []byte, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	request, err := json.Marshal(map[string]string{"last_by_subj": "$KV." + bucket + "." + key})
	if err != nil {
		return nil, 0, err
	}
	var answer struct {
		Message *struct {
			Data []byte `json:"data"`
			Seq  uint64 `json:"seq"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := ask(ctx, js, "STREAM.MSG.GET."+bucketStream(bucket), request, &answer); err != nil {
		return nil, 0, err
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, 0, nil
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return nil, 0, jetstream.ErrBucketNotFound
	case answer.Error != nil:
		return nil, 0, answer.Error
	case answer.Message == nil:
		return nil, 0, errors.New("the server answers nothing")
	}
	return answer.Message.Data, answer.Message.Seq, nil
}

// ask sends a request of the JetStream API that the client library does not have.
func ask(ctx context.Context, js jetstream.JetStream, what string, request []byte, answer any) error {
	m, err := js.Conn().RequestWithContext(ctx, apiPrefix(js)+what, request)
	if err != nil {
		return fmt.Errorf("ask for %s: %w", what, err)
	}
	if err := json.Unmarshal(m.Data, answer); err != nil {
		return fmt.Errorf("ask for %s: answer: %w", what, err)
	}
	return nil
}

// changeReaders changes the set, again if somebody else did meanwhile.
func changeReaders(ctx context.Context, js jetstream.JetStream, change func(*Readers) error) error {
	kv, err := js.KeyValue(ctx, DeploymentBucket)
	if err != nil {
		return fmt.Errorf("open %s: %w", DeploymentBucket, err)
	}
	for range 10 { // people change it
		r, revision, err := loadReaders(ctx, js)
		if err != nil {
			return err
		}
		if r.Stages == nil {
			r.Stages = make(map[string]Reader)
		}
		before, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if err := change(&r); err != nil {
			return err
		}
		after, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if revision != 0 && string(before) == string(after) {
			return nil
		}
		_, err = kv.Update(ctx, readersKey, after, revision)
		var api *jetstream.APIError
		if errors.As(err, &api) && (api.ErrorCode == codeWrongLastSequence || api.ErrorCode == codeWrongLastConstant) {
			continue
		}
		if err != nil {
			return fmt.Errorf("store the readers of the deployment: %w", err)
		}
		return nil
	}
	return errors.New("store the readers of the deployment: others change them all the time")
}

// register adds the stages that were not there before, and stores how to trim.
func (t *Topology) register(ctx context.Context, js jetstream.JetStream) error {
	return changeReaders(ctx, js, func(r *Readers) error {
		r.Trim, r.KeepTail = t.Trim, t.KeepTail
		for stage, flow := range t.Readers {
			known, ok := r.Stages[stage]
			r.Stages[stage] = Reader{Reads: flow, Enabled: known.Enabled || !ok}
		}
		return nil
	})
}

// find returns a stage, or an error that lists those that are there.
func (r *Readers) find(stage string) (Reader, error) {
	reader, ok := r.Stages[stage]
	if !ok {
		return reader, fmt.Errorf("%w: there is no reader %q, only %s",
			ErrReader, stage, strings.Join(slices.Sorted(maps.Keys(r.Stages)), ", "))
	}
	return reader, nil
}

// DisableReader takes a stage out of the set: what it has not read may be purged. The last reader of a stream stays, because
// what nobody reads would fill it for ever.
func DisableReader(ctx context.Context, js jetstream.JetStream, stage string) error {
	return changeReaders(ctx, js, func(r *Readers) error {
		reader, err := r.find(stage)
		if err != nil {
			return err
		}
		others := false
		for name, other := range r.Stages {
			others = others || name != stage && other.Enabled && other.Reads == reader.Reads
		}
		if !others {
			return fmt.Errorf("%w: nobody else reads %s, which would fill up; a stage that is stopped goes on where it was",
				ErrReader, strings.ToUpper(string(reader.Reads)))
		}
		reader.Enabled = false
		r.Stages[stage] = reader
		return nil
	})
}

// EnableReader adds a stage to the set again. Where records that it has not read are gone, it could not go on: afresh then makes
// it forget its state of those partitions and begin at the first record there is, and without afresh the error names what it has
// missed. It must not run meanwhile.
//
// Partitions that have missed nothing keep their state. Beginning anew where they began before, they would give the same numbers
// under the same name to other outputs.
func EnableReader(ctx context.Context, js jetstream.JetStream, stage string, afresh bool) error {
	// First, so that nothing more is purged while we look. A purge that was decided before may still come, which the
	// stage would report as a gap when it starts.
	was := false
	set := func(enabled bool) error {
		return changeReaders(ctx, js, func(r *Readers) error {
			reader, err := r.find(stage)
			if err != nil {
				return err
			}
			was, reader.Enabled = reader.Enabled, enabled
			r.Stages[stage] = reader
			return nil
		})
	}
	if err := set(true); err != nil {
		return err
	}
	before := was
	places, err := PlacesOf(ctx, js, stage)
	if err != nil {
		return err
	}
	var missed, partitions []string
	for _, p := range places {
		if n := p.Missed(); n > 0 {
			missed = append(missed, fmt.Sprintf("%d of %s", n, p.Stream))
			partitions = append(partitions, p.Partition)
		}
	}
	switch {
	case len(missed) == 0:
		return nil
	case !afresh:
		return errors.Join(
			fmt.Errorf("%w: %s has missed records that are gone (%s), so it cannot go on where it was; "+
				"afresh it forgets what it has learned there and begins at the first record there is", ErrReader, stage, strings.Join(missed, ", ")),
			set(before))
	}
	store, err := OpenStore(ctx, js, stage)
	if err != nil {
		return err
	}
	for _, partition := range partitions {
		if err := store.forgetAll(ctx, partition); err != nil {
			return fmt.Errorf("forget the state of %s %s: %w", stage, partition, err)
		}
	}
	return nil
}

// A Place is where a reader stands in one stream.
type Place struct {
	Stage     string
	Partition string
	Stream    string
	Enabled   bool
	Started   bool   // it has a checkpoint
	Position  uint64 // last record that a checkpoint contains
	First     uint64 // first record that is still there; Last+1 if there is none
	Last      uint64 // last record ever stored
	Same      bool   // the checkpoint is of this stream, and not of one that had its name before
}

// Lag is how many records the reader has not had yet.
func (p Place) Lag() uint64 {
	if !p.Started {
		return p.Last + 1 - min(p.First, p.Last+1)
	}
	return p.Last - min(p.Position, p.Last)
}

// Missed is how many records that the reader needs are gone.
func (p Place) Missed() uint64 {
	if !p.Started || p.First <= p.Position+1 {
		return 0
	}
	return p.First - p.Position - 1
}

// PlacesOf returns where stages stand in each of their streams, all stages if none is named, by stage, then partition.
func PlacesOf(ctx context.Context, js jetstream.JetStream, stages ...string) ([]Place, error) {
	readers, err := LoadReaders(ctx, js)
	if err != nil {
		return nil, err
	}
	id, err := ReadIdentity(ctx, js)
	if err != nil {
		return nil, err
	}
	if len(stages) == 0 {
		stages = slices.Sorted(maps.Keys(readers.Stages))
	}
	var places []Place
	for _, stage := range stages {
		reader, err := readers.find(stage)
		if err != nil {
			return nil, err
		}
		saved, err := Checkpoints(ctx, js, stage)
		if err != nil {
			return nil, err
		}
		n := id.Partitions
		if reader.Reads == schemas.RawFlow {
			n = id.Lanes
		}
		for i := range n {
			p := Place{
				Stage: stage, Partition: strconv.Itoa(i), Enabled: reader.Enabled,
				Stream: strings.ToUpper(string(reader.Reads)) + "_" + strconv.Itoa(i),
			}
			info, err := streamInfo(ctx, js, p.Stream)
			if err != nil {
				return nil, err
			}
			p.First, p.Last = info.First, info.Last
			if c, ok := saved[p.Partition]; ok {
				p.Started, p.Position, p.Same = true, c.Seq, c.Stream == info.ID
			}
			places = append(places, p)
		}
	}
	return places, nil
}
