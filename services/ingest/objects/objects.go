// Package objects reads logs from object stores that speak the S3 protocol: AWS S3, Alibaba Cloud OSS, MinIO, and Google Cloud
// Storage by its interoperable API. docs/formats.md tells how they are named, and which permissions are needed.
//
// An object is known by its name, size and ETag, so that it is read once: when its records are. It is read as it was listed, or
// not at all. Small ones, as the vendors deliver them, are read ahead in the order in which they will be wanted; see [Objects.Expect].
package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/trailvane/trailvane/pipeline/ingest"
)

// Config says how to reach the stores.
type Config struct {
	Endpoint  string       // URL to use instead of the vendors'; empty: by the bucket's name and region
	Anonymous bool         // requests are not signed, for buckets that everybody may read
	Followed  bool         // the lists are of what there is now and later
	Log       *slog.Logger // what goes wrong while an object is read, and is tried again; slog.Default() if nil
}

// schemes are the stores that names begin with.
var schemes = []string{"s3", "oss"}

// Is reports whether an argument names an object store, and not a file.
func Is(arg string) bool {
	for _, s := range schemes {
		if strings.HasPrefix(arg, s+"://") {
			return true
		}
	}
	return false
}

// A place is what an argument names: an object, or a folder with all that is below it.
type place struct {
	store *store
	key   string // of an object, or of a folder if a slash is added; empty: the whole bucket
}

func (p place) name() string { return p.store.name(p.key) }

// parse reads an argument.
func parse(arg string) (scheme, bucket, key string, err error) {
	scheme, rest, _ := strings.Cut(arg, "://")
	bucket, key, _ = strings.Cut(rest, "/")
	if err := s3utils.CheckValidBucketName(bucket); err != nil {
		return "", "", "", fmt.Errorf("%s: %w; names are %s://BUCKET/KEY, of an object or of a folder with all that is below it",
			arg, err, scheme)
	}
	return scheme, bucket, strings.TrimSuffix(key, "/"), nil
}

// Check returns an error if the arguments or the configuration cannot be meant, or the region is missing. It connects to nothing.
func Check(c Config, args ...string) error {
	for _, arg := range args {
		scheme, bucket, _, err := parse(arg)
		if err != nil {
			return err
		}
		if _, err := newStore(c, scheme, bucket); err != nil {
			return err
		}
	}
	return c.check()
}

func (c *Config) check() error {
	if c.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return errors.New("the endpoint of the object store is no URL such as https://minio.example.com:9000 " +
			"(http:// is possible, too; credentials and folders are not part of it)")
	}
	return nil
}

// Objects is a connector of the objects in stores. Their names are as the arguments: s3://bucket/key.
type Objects struct {
	config Config
	places []place
	stores map[string]*store // by scheme://bucket

	alive  context.Context // of what reads in the background
	end    context.CancelFunc
	ahead  ahead
	recent recent
}

var (
	_ ingest.Expecter      = (*Objects)(nil)
	_ ingest.PartialLister = (*Objects)(nil)
)

// New returns a connector of the objects that the arguments name. The context is for all that it does until Close; nothing is
// asked of the stores yet. What is named twice is listed once.
func New(ctx context.Context, c Config, args ...string) (*Objects, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	o := &Objects{config: c, stores: make(map[string]*store)}
	for _, arg := range args {
		scheme, bucket, key, err := parse(arg)
		if err != nil {
			return nil, err
		}
		s := o.stores[scheme+"://"+bucket]
		if s == nil {
			if s, err = newStore(c, scheme, bucket); err != nil {
				return nil, err
			}
			o.stores[scheme+"://"+bucket] = s
		}
		o.places = append(o.places, place{s, key})
	}
	o.places = distinct(o.places)
	o.alive, o.end = context.WithCancel(ctx)
	o.ahead.fetches = make(map[ingest.Object]*fetch)
	return o, nil
}

// distinct leaves out places that are below others.
func distinct(places []place) []place {
	var all []place
	for i, p := range places {
		covered := false
		for j, q := range places {
			inside := q.store == p.store && (q.key == "" || p.key == q.key || strings.HasPrefix(p.key, q.key+"/"))
			covered = covered || inside && j != i && (q.key != p.key || j < i)
		}
		if !covered {
			all = append(all, p)
		}
	}
	return all
}

// Close ends what reads in the background.
func (o *Objects) Close() {
	o.end()
	o.ahead.running.Wait()
}

// Name returns "objects".
func (o *Objects) Name() string { return "objects" }

// List returns the objects there are, each once. What is not followed and names nothing is an error. Of what is followed, only
// the first list of a day, and one behind a poll that failed, has everything; the others leave out what is old by its name, as
// lookBack says.
func (o *Objects) List(ctx context.Context) iter.Seq2[ingest.Object, error] {
	return func(yield func(ingest.Object, error) bool) {
		if o.config.Followed {
			o.recent.begin(time.Now())
		}
		for _, p := range o.places {
			found, more, err := o.list(ctx, p, yield)
			switch {
			case err == nil && !more:
				return
			case err == nil && !found && !o.config.Followed:
				err = fmt.Errorf("%s: there is no object of this name or below it", p.name())
			}
			if err != nil {
				yield(ingest.Object{}, err)
				return
			}
		}
		o.recent.whole = true
	}
}

// Planned lets the next list leave out old objects, if the last one came to its end.
func (o *Objects) Planned() { o.recent.planned() }

// list lists a place. More is false if no more objects are wanted.
func (o *Objects) list(ctx context.Context, p place, yield func(ingest.Object, error) bool) (found, more bool, err error) {
	more = true
	give := func(info *minio.ObjectInfo) bool {
		if strings.HasSuffix(info.Key, "/") {
			return true // a folder, as consoles make them
		}
		found = true
		object := ingest.Object{Name: p.store.name(info.Key), Size: info.Size, Tag: info.ETag}
		if !info.LastModified.IsZero() {
			object.Stored = info.LastModified.UnixNano()
		}
		if info.ETag == "" { // then it is known as a file is
			object.Modified = info.LastModified.UnixNano()
			object.Settled = o.config.Followed && time.Since(info.LastModified) > settledAfter
		}
		more = yield(object, nil)
		return more
	}
	if p.key != "" {
		err = p.store.list(ctx, minio.ListObjectsOptions{Prefix: p.key, MaxKeys: 1}, func(info *minio.ObjectInfo) bool {
			if info.Key == p.key { // it is before all that begins with it
				give(info)
			}
			return false
		})
		if err != nil || !more {
			return found, more, err
		}
	}
	prefix := p.key
	if prefix != "" {
		prefix += "/"
	}
	opts := minio.ListObjectsOptions{Prefix: prefix, Recursive: true}
	for again := true; again && err == nil; {
		again = false
		err = p.store.list(ctx, opts, func(info *minio.ObjectInfo) bool {
			if o.config.Followed {
				if from, old := o.recent.old(p.store.name(""), info.Key); old {
					opts.StartAfter, again = from, true
					return false
				}
			}
			return give(info)
		})
	}
	return found, more, err
}

// settledAfter is how old an object without an ETag is when it is taken as it is. Objects are written whole, so it is short.
const settledAfter = time.Minute

// Open opens an object as it was listed.
func (o *Objects) Open(ctx context.Context, object ingest.Object) (io.ReadCloser, error) {
	s, key, err := o.find(object.Name)
	if err != nil {
		return nil, err
	}
	if object.Size > wholeBytes {
		return s.stream(o.alive, ctx, o.config.Log, key, object)
	}
	return o.whole(ctx, s, key, object)
}

// find returns the store and key of an object.
func (o *Objects) find(name string) (*store, string, error) {
	scheme, rest, _ := strings.Cut(name, "://")
	bucket, key, _ := strings.Cut(rest, "/")
	s := o.stores[scheme+"://"+bucket]
	if s == nil { // of an earlier command on the same state
		return nil, "", fmt.Errorf("%w: %s is in no bucket that is named now", ingest.ErrUnreadable, name)
	}
	return s, key, nil
}

// A store is a bucket.
type store struct {
	config         Config
	scheme, bucket string
	read           atomic.Bool // an object of it was read

	mu     sync.Mutex
	client *minio.Core
}

func newStore(c Config, scheme, bucket string) (*store, error) {
	s := &store{config: c, scheme: scheme, bucket: bucket}
	var err error
	s.client, err = s.connect("")
	return s, err
}

func (s *store) name(key string) string { return s.scheme + "://" + s.bucket + "/" + key }

// do does something with the client, and again if the bucket turns out to be in another region.
func (s *store) do(f func(*minio.Core) error) error {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	err := f(client)
	region := elsewhere(err)
	if region == "" {
		return err
	}
	other, connectErr := s.connect(region)
	if connectErr != nil {
		return err
	}
	s.mu.Lock()
	s.client = other
	s.mu.Unlock()
	return f(other)
}

// list lists objects until there are no more or yield returns false.
func (s *store) list(ctx context.Context, opts minio.ListObjectsOptions, yield func(*minio.ObjectInfo) bool) error {
	owner := false
	opts.FetchOwner = &owner
	err := s.do(func(c *minio.Core) error {
		for info := range c.ListObjectsIter(ctx, s.bucket, opts) {
			if info.Err != nil {
				return info.Err
			}
			if !yield(&info) {
				return nil
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return s.explain(ctx, "list", opts.Prefix, err)
	}
	return nil
}

// get opens an object from an offset on, if it is still what was listed.
func (s *store) get(ctx context.Context, key string, o *ingest.Object, from int64) (io.ReadCloser, error) {
	var opts minio.GetObjectOptions
	if o.Tag != "" {
		if err := opts.SetMatchETag(o.Tag); err != nil {
			return nil, fmt.Errorf("%w: %w", ingest.ErrUnreadable, err)
		}
	}
	if from > 0 {
		if err := opts.SetRange(from, 0); err != nil {
			return nil, err
		}
	}
	var body io.ReadCloser
	err := s.do(func(c *minio.Core) error {
		b, info, _, err := c.GetObject(ctx, s.bucket, key, opts)
		if err != nil {
			return err
		}
		if o.Tag != "" && info.ETag != "" && info.ETag != o.Tag { // a store that does not know If-Match
			b.Close()
			return minio.ErrorResponse{Code: minio.PreconditionFailed}
		}
		body = b
		return nil
	})
	if err != nil {
		return nil, s.explain(ctx, "read", key, err)
	}
	s.read.Store(true)
	return body, nil
}
