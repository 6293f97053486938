package jetstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/schemas"
)

// A backup is a folder with a snapshot of every stream and bucket, as the server makes it, and a manifest that says what they
// are. It is consistent because nothing is written while it is made: no order of copying would do. A stage that was copied
// before its outputs has put some that it does not remember; that is harmless, they are put again. But ingest orders what it
// finds at the moment, so it would give their numbers to other records, and readers drop numbers that they have had.
//
// A snapshot does not carry the creation time by which checkpoints, and the names of producers, know a stream, so Restore
// writes the id that it had into its metadata.

// manifestFile is written last: a folder without one is no backup.
const manifestFile = "backup.json"

// manifestVersion is that of the folder's layout.
const manifestVersion = 1

// maxManifest bounds a manifest, bytes: some 1 KB for each of some hundred streams.
const maxManifest = 8 << 20

// snapshotPatience is how long one stream may send or take nothing before a backup is given up.
const snapshotPatience = 30 * time.Second

// snapshotChunk is the size of a piece of a snapshot: a quarter of the largest message.
const snapshotChunk = 256 << 10

// A Manifest says what a backup holds.
type Manifest struct {
	Version int           `json:"version"`
	Made    time.Time     `json:"made"` // by the clock of the host that made it
	Streams []SavedStream `json:"streams"`
}

// A SavedStream is one stream of a backup. Its snapshot is in the file <name>.snapshot.
type SavedStream struct {
	Name    string          `json:"name"`
	ID      string          `json:"id"`    // as in checkpoints
	First   uint64          `json:"first"` // Last+1 if it holds nothing
	Last    uint64          `json:"last"`
	Records uint64          `json:"records"`
	Size    int64           `json:"size"`   // of the file, bytes
	Sum     string          `json:"sha256"` // of the file
	Config  json.RawMessage `json:"config"` // as the server writes it
	State   json.RawMessage `json:"state"`
}

func (s *SavedStream) file() string { return s.Name + ".snapshot" }

// ErrBackup: a backup could not be made or restored as things are. The error says why, and what to do.
var ErrBackup = errors.New("backup")

// Backup saves a deployment to a folder, which it makes. Nothing may run meanwhile: if anything was written, that is an error.
// After an error there is no folder.
func Backup(ctx context.Context, js jetstream.JetStream, dir string) (m *Manifest, err error) {
	if err := quiet(ctx, js); err != nil {
		return nil, err
	}
	before, err := deployed(ctx, js)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w; name a folder that is not there yet", ErrBackup, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	m = &Manifest{Version: manifestVersion, Made: time.Now().UTC()}
	for _, info := range before {
		s, err := saveStream(ctx, js, dir, info)
		if err != nil {
			return nil, fmt.Errorf("%w: save %s: %w", ErrBackup, info.Config.Name, err)
		}
		m.Streams = append(m.Streams, *s)
	}
	after, err := deployed(ctx, js)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(unchanged(before, after), quiet(ctx, js)); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(dir, manifestFile), bytes.NewReader(append(text, '\n'))); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return m, nil
}

// deployed returns what the streams and buckets of the deployment are, in the order of their restoration: the deployment's own
// bucket last, because services wait for it.
func deployed(ctx context.Context, js jetstream.JetStream) ([]*jetstream.StreamInfo, error) {
	var all []*jetstream.StreamInfo
	list := js.ListStreams(ctx)
	for info := range list.Info() {
		if isOurs(info.Config.Name) {
			all = append(all, info)
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list the streams: %w", err)
	}
	last := bucketStream(DeploymentBucket)
	slices.SortFunc(all, func(a, b *jetstream.StreamInfo) int {
		switch {
		case a.Config.Name == b.Config.Name:
			return 0
		case a.Config.Name == last:
			return 1
		case b.Config.Name == last:
			return -1
		}
		return strings.Compare(a.Config.Name, b.Config.Name)
	})
	if len(all) == 0 || all[len(all)-1].Config.Name != last {
		return nil, fmt.Errorf("%w: there is no deployment here", ErrBackup)
	}
	return all, nil
}

// isOurs reports whether a stream belongs to a deployment. That of the members holds nothing in a backup but that some have left.
func isOurs(name string) bool {
	switch name {
	case InsightsStream, MetricsStream, DeadStream, bucketStream(DeploymentBucket), bucketStream(MembersBucket),
		bucketStream(PushBucket):
		return true
	}
	if strings.HasPrefix(name, bucketStream(StateBucket(""))) {
		return true
	}
	flow, number, _ := strings.Cut(name, "_")
	stream, err := schemas.StreamOf(strings.ToLower(flow) + "." + number + ".x")
	return err == nil && stream == name
}

// quiet waits until no instance is alive, as long as one that was killed is remembered.
func quiet(ctx context.Context, js jetstream.JetStream) error {
	for begun := time.Now(); ; {
		bucket, err := lookUp(ctx, js, bucketStream(MembersBucket))
		if err != nil || bucket == nil { // of a version without
			return err
		}
		members, err := Members(ctx, js)
		if err != nil || len(members) == 0 { // those that have left are none
			return err
		}
		if time.Since(begun) > membersAge+apiTimeout {
			var names []string
			for _, m := range members {
				names = append(names, m.ID)
			}
			return fmt.Errorf("%w: %s are alive; stop all services first", ErrBackup, strings.Join(names, ", "))
		}
		if err := sleep(ctx, retryMax); err != nil {
			return err
		}
	}
}

// unchanged returns an error that names every stream that is not as it was.
func unchanged(before, after []*jetstream.StreamInfo) error {
	was := make(map[string]*jetstream.StreamInfo)
	for _, info := range before {
		was[info.Config.Name] = info
	}
	var names []string
	for _, info := range after {
		w := was[info.Config.Name]
		if w == nil || streamID(w) != streamID(info) || w.State.LastSeq != info.State.LastSeq || !ages(info) && w.State.FirstSeq != info.State.FirstSeq {
			names = append(names, info.Config.Name)
		}
	}
	if len(names) > 0 || len(before) != len(after) {
		return fmt.Errorf("%w: %s changed meanwhile, so the copies do not fit together; stop all services, and try again",
			ErrBackup, strings.Join(names, ", "))
	}
	return nil
}

// ages reports whether a stream loses its oldest records by itself, as time goes by.
func ages(info *jetstream.StreamInfo) bool { return info.Config.MaxAge > 0 }

// saveStream writes the snapshot of a stream to its file.
func saveStream(ctx context.Context, js jetstream.JetStream, dir string, info *jetstream.StreamInfo) (*SavedStream, error) {
	i := infoOf(info)
	s := &SavedStream{Name: info.Config.Name, ID: i.ID, First: i.First, Last: i.Last, Records: info.State.Msgs}
	snapshot, err := openSnapshot(ctx, js, s)
	if err != nil {
		return nil, err
	}
	defer snapshot.Close()
	sum := sha256.New()
	counted := &counter{hash: sum}
	if err := writeFile(filepath.Join(dir, s.file()), io.TeeReader(snapshot, counted)); err != nil {
		return nil, err
	}
	s.Size, s.Sum = counted.n, hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

type counter struct {
	hash hash.Hash
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.hash.Write(p)
}

// writeFile writes a file and does not return before the disk has it.
func writeFile(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// A snapshot is what the server sends of a stream.
type snapshot struct {
	ctx  context.Context
	sub  *nats.Subscription
	rest []byte
	err  error
}

// openSnapshot asks for the snapshot of a stream, and fills in what the server says about it.
func openSnapshot(ctx context.Context, js jetstream.JetStream, s *SavedStream) (*snapshot, error) {
	nc := js.Conn()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	r := &snapshot{ctx: ctx, sub: sub}
	request, err := json.Marshal(map[string]any{"deliver_subject": inbox, "no_consumers": true, "chunk_size": snapshotChunk})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Config json.RawMessage     `json:"config"`
		State  json.RawMessage     `json:"state"`
		Error  *jetstream.APIError `json:"error"`
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotPatience)
	defer cancel()
	err = ask(ctx, js, "STREAM.SNAPSHOT."+s.Name, request, &answer)
	switch {
	case err == nil && answer.Error != nil:
		err = answer.Error
	case err == nil && (answer.Config == nil || answer.State == nil):
		err = errors.New("the server answers nothing")
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	s.Config, s.State = answer.Config, answer.State
	return r, nil
}

// Read returns the next bytes. A snapshot that breaks off is an error, not an end.
func (r *snapshot) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		ctx, cancel := context.WithTimeout(r.ctx, snapshotPatience)
		m, err := r.sub.NextMsgWithContext(ctx)
		cancel()
		switch {
		case err != nil:
			r.err = fmt.Errorf("the snapshot breaks off: %w", err)
		case len(m.Data) > 0:
			r.rest = m.Data
			if m.Reply != "" { // the server sends a few pieces ahead of what we have
				r.err = m.Respond(nil)
			}
		case m.Header.Get("Status") != "" && m.Header.Get("Status") != "204":
			r.err = fmt.Errorf("the snapshot breaks off: %s %s", m.Header.Get("Status"), m.Header.Get("Description"))
		default:
			r.err = io.EOF
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close ends the snapshot; the server notices that nobody listens.
func (r *snapshot) Close() { _ = r.sub.Unsubscribe() }

// ReadBackup reads the manifest of a backup and compares every file with it.
func ReadBackup(dir string) (*Manifest, error) {
	f, err := os.Open(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s holds no complete backup: there is no %s in it", ErrBackup, dir, manifestFile)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBackup, f.Name(), err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("%w: %s has version %d, this program reads %d; use the one that made it",
			ErrBackup, f.Name(), m.Version, manifestVersion)
	}
	for i := range m.Streams {
		s := &m.Streams[i]
		if !isOurs(s.Name) { // it becomes part of a path
			return nil, fmt.Errorf("%w: %s names %q, which is no stream of ours", ErrBackup, f.Name(), s.Name)
		}
		if err := s.verify(dir); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBackup, err)
		}
	}
	return m, nil
}

func (s *SavedStream) verify(dir string) error {
	f, err := os.Open(filepath.Join(dir, s.file()))
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return err
	}
	if n != s.Size || hex.EncodeToString(sum.Sum(nil)) != s.Sum {
		return fmt.Errorf("%s is damaged: it is not what the manifest says", f.Name())
	}
	return nil
}

// Restore makes a deployment from a backup, where there is none. Replicas are as they were if 0. Services may wait already: the
// deployment shows when everything is there.
func Restore(ctx context.Context, js jetstream.JetStream, dir string, replicas int) (*Manifest, error) {
	m, err := ReadBackup(dir)
	if err != nil {
		return nil, err
	}
	var there []string
	for name := range js.StreamNames(ctx).Name() {
		if isOurs(name) {
			there = append(there, name)
		}
	}
	if len(there) > 0 {
		slices.Sort(there)
		return nil, fmt.Errorf("%w: restoring overwrites nothing, and %s are there; restore to an empty server or account, "+
			"or delete them", ErrBackup, strings.Join(there, ", "))
	}
	for i := range m.Streams {
		s := &m.Streams[i]
		if err := restoreStream(ctx, js, dir, s, replicas); err != nil {
			return nil, fmt.Errorf("%w: restore %s: %w; delete what was restored before you try again", ErrBackup, s.Name, err)
		}
	}
	return m, nil
}

// restoreStream restores one stream.
func restoreStream(ctx context.Context, js jetstream.JetStream, dir string, s *SavedStream, replicas int) error {
	f, err := os.Open(filepath.Join(dir, s.file()))
	if err != nil {
		return err
	}
	defer f.Close()
	config, err := s.config(replicas)
	if err != nil {
		return err
	}
	request, err := json.Marshal(map[string]json.RawMessage{"config": config, "state": s.State})
	if err != nil {
		return err
	}
	var begun struct {
		Deliver string              `json:"deliver_subject"`
		Error   *jetstream.APIError `json:"error"`
	}
	asking, cancel := context.WithTimeout(ctx, snapshotPatience)
	defer cancel()
	if err := ask(asking, js, "STREAM.RESTORE."+s.Name, request, &begun); err != nil {
		return err
	}
	if begun.Error != nil {
		return begun.Error
	}
	for piece := make([]byte, snapshotChunk); ; {
		n, err := io.ReadFull(f, piece)
		if n > 0 {
			if err := sendPiece(ctx, js.Conn(), begun.Deliver, piece[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := sendPiece(ctx, js.Conn(), begun.Deliver, nil); err != nil {
		return err
	}
	info, err := lookUp(ctx, js, s.Name)
	if err != nil || info == nil {
		return errors.Join(err, errors.New("the server has not made it"))
	}
	if i := infoOf(info); i.ID != s.ID {
		return fmt.Errorf("it is known as %s, not %s", i.ID, s.ID)
	} else if i.Last != s.Last || !ages(info) && (i.First != s.First || info.State.Msgs != s.Records) {
		return fmt.Errorf("it has %d records from %d to %d, not %d from %d to %d",
			info.State.Msgs, i.First, i.Last, s.Records, s.First, s.Last)
	}
	return nil
}

// sendPiece sends a piece of a snapshot, or its end, and waits until the server has it.
func sendPiece(ctx context.Context, nc *nats.Conn, subject string, piece []byte) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotPatience)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, subject, piece)
	if err != nil || len(m.Data) == 0 {
		return err
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

// config returns the saved configuration with the stream's id in it, and another number of replicas, if that is not 0.
func (s *SavedStream) config(replicas int) (json.RawMessage, error) {
	var fields map[string]json.RawMessage // as they are, also those that the client library does not know
	if err := json.Unmarshal(s.Config, &fields); err != nil {
		return nil, err
	}
	metadata := make(map[string]string)
	if m, ok := fields["metadata"]; ok {
		if err := json.Unmarshal(m, &metadata); err != nil {
			return nil, err
		}
	}
	metadata[idMetadata] = s.ID
	var err error
	if fields["metadata"], err = json.Marshal(metadata); err != nil {
		return nil, err
	}
	if replicas > 0 {
		fields["num_replicas"] = fmt.Append(nil, replicas)
	}
	return json.Marshal(fields)
}
