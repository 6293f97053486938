package ingest

import (
	"errors"
	"fmt"
	"io"

	"github.com/trailvane/trailvane/schemas"
)

// MaxBody bounds what a BodyReader may be asked to take, uncompressed. Two chunks in a row hold more than [MaxChunk] together, so
// the chunks of a body fit with room to spare into one atomic batch of 1000 messages.
const MaxBody = 64 << 20

const (
	// bodyWindow bounds the memory of a zstd stream that somebody sends: 8 MiB is what RFC 9659 allows for HTTP.
	bodyWindow = 8 << 20

	// maxBodyDead bounds the dead letters of a body; further parts are only counted.
	maxBodyDead = 100
)

// Why a body is not taken at all.
var (
	ErrBodyTooLarge  = errors.New("the body is too large")
	ErrBodyCorrupt   = errors.New("the body cannot be read")
	ErrNoRecord      = errors.New("no record is in the body")
	ErrUnknownFormat = errors.New("the records are of no known format")
)

// A Body is the records that somebody has pushed at once, cut into chunks.
type Body struct {
	Format  string
	Chunks  [][]byte // encoded, of at most MaxChunk or one record
	Records int
	Refused int      // parts that hold no whole record
	Letters [][]byte // encoded dead letters of the first of these
}

// BodyConfig says what a body is.
type BodyConfig struct {
	Object string // stands for it in chunks and dead letters
	Format string // of all records, empty if it is found out
	Max    int64  // bytes, uncompressed; at most MaxBody

	// Detect returns the format of a raw record.
	Detect func(record string) (format string, ok bool)

	// Grow is asked before so many more bytes are kept; its error ends the reading. It may be nil.
	Grow func(bytes int) error
}

// A BodyReader reads one body after the other. It is used again for its memory: a buffer of 1 MiB, and what the compression needs.
type BodyReader struct {
	expand expander
	split  *Splitter
}

// Read takes a body apart: plain, gzip or zstd, whatever it begins like. The chunks are a function of the bytes and the object's
// name. The error wraps one of the above, or is that of in or Grow.
func (r *BodyReader) Read(in io.Reader, c BodyConfig) (Body, error) {
	r.expand.window = bodyWindow
	stored := &bodyBytes{r: in, left: c.Max}
	content := &bodyBytes{r: r.expand.reset(stored, maxObject), left: c.Max}
	if r.split == nil {
		r.split = NewSplitter(content)
	} else {
		r.split.Reset(content)
	}
	b := bodyCutter{config: c, body: Body{Format: c.Format}}
	var err error
	for err == nil {
		var item Item
		if item, err = r.split.Next(); err == nil {
			err = b.take(item)
		}
	}
	if !errors.Is(err, io.EOF) {
		return Body{}, err
	}
	switch failed := r.split.Err(); {
	case stored.err != nil && !errors.Is(stored.err, io.EOF):
		return Body{}, stored.err // too large as it was sent, or the sender has gone
	case errors.Is(failed, ErrBodyTooLarge):
		return Body{}, failed
	case failed != nil:
		return Body{}, fmt.Errorf("%w: %w", ErrBodyCorrupt, failed)
	}
	if r.split.Unclosed() {
		if err := b.refuse(Item{Offset: r.split.Offset(), Size: -1, Reason: Truncated}); err != nil {
			return Body{}, err
		}
	}
	if err := b.flush(); err != nil {
		return Body{}, err
	}
	switch {
	case b.body.Records == 0:
		return Body{}, ErrNoRecord
	case b.body.Format == "":
		return Body{}, ErrUnknownFormat
	}
	return b.body, nil
}

// A bodyCutter cuts a body into chunks.
type bodyCutter struct {
	config BodyConfig
	body   Body
	chunk  []schemas.RawRecord
	size   int
	looked int // records, for the format
}

func (b *bodyCutter) take(item Item) error {
	if item.Reason != "" {
		return b.refuse(item)
	}
	if b.body.Format == "" && b.looked < undecidedItems {
		b.looked++
		b.body.Format, _ = b.config.Detect(string(item.Body))
	}
	size := recordOverhead + len(item.Body)
	if len(b.chunk) > 0 && b.size+size > MaxChunk {
		if err := b.flush(); err != nil {
			return err
		}
	}
	if len(b.chunk) == 0 {
		b.size = chunkOverhead + len(b.config.Object)
	}
	b.size += size
	b.chunk = append(b.chunk, schemas.RawRecord{Offset: item.Offset, Body: append([]byte(nil), item.Body...)})
	b.body.Records++
	return nil
}

func (b *bodyCutter) flush() error {
	if len(b.chunk) == 0 {
		return nil
	}
	if err := b.grow(b.size); err != nil {
		return err
	}
	chunk := schemas.Chunk{Object: b.config.Object, Records: b.chunk}
	b.body.Chunks = append(b.body.Chunks, chunk.Append(make([]byte, 0, b.size)))
	clear(b.chunk)
	b.chunk = b.chunk[:0]
	return nil
}

func (b *bodyCutter) refuse(item Item) error {
	if b.body.Refused++; b.body.Refused > maxBodyDead {
		return nil
	}
	d := schemas.DeadLetter{
		Stage: "ingest", Object: b.config.Object, Offset: item.Offset, Size: item.Size,
		Reason: string(item.Reason), Error: problems[item.Reason], Raw: item.Body,
	}
	letter := d.Append(nil)
	b.body.Letters = append(b.body.Letters, letter)
	return b.grow(len(letter))
}

func (b *bodyCutter) grow(n int) error {
	if b.config.Grow == nil {
		return nil
	}
	return b.config.Grow(n)
}

// bodyBytes reads at most so many bytes; one more is an error.
type bodyBytes struct {
	r    io.Reader
	left int64
	err  error
}

func (l *bodyBytes) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left+1)])
	if int64(n) > l.left {
		n, err = int(l.left), ErrBodyTooLarge
	}
	l.left -= int64(n)
	l.err = err
	return n, err
}
