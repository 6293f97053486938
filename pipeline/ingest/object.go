package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/trailvane/trailvane/schemas"
)

const (
	// MaxChunk bounds an encoded chunk: large enough that the cost of a message does not matter, small enough that many
	// fit into a read. A larger record travels alone.
	MaxChunk = 256 << 10

	// A record costs at most this much in a chunk beside its bytes, the names of object and account not counted.
	recordOverhead, chunkOverhead = 15, 32

	// undecidedItems and undecidedBytes bound what is read of an object to find its format: more than the headers and
	// strange first records that a log may have.
	undecidedItems, undecidedBytes = 64, 1 << 20

	// maxDead bounds the dead letters of one object; further ones are only counted.
	maxDead = 1000

	// maxProblem bounds the text for people in a dead letter.
	maxProblem = 1 << 10
)

// Records are numbered place<<offsetBits | offset of their end. Two offsets that no object reaches are for what comes
// behind its bytes.
const (
	offsetBits  = 40
	lastOffset  = 1<<offsetBits - 1 // the report of the object
	finalOffset = lastOffset - 1    // a dead letter about the rest of the object
)

// reportSubject is the subject of the report that follows each object. It does not leave the stage.
const reportSubject = "ingest.report"

// A report says what became of an object.
type report struct {
	Object  string
	Skip    Reason           `json:",omitempty"`
	Format  string           `json:",omitempty"`
	Records int64            `json:",omitempty"`
	Bytes   int64            `json:",omitempty"` // uncompressed
	Stored  int64            `json:",omitempty"`
	Grown   bool             `json:",omitempty"` // while it was read
	Dead    map[Reason]int64 `json:",omitempty"`
}

// An objectReader reads one object after the other and cuts it into messages. Its memory is used again.
type objectReader struct {
	connector Connector
	lane      int
	format    string // forced, empty if it is detected
	detect    func(record string) (format string, ok bool)
	progress  *Progress
	put       func(offset uint64, subject string, body func() []byte)

	// Of an input that is followed. An object is planned as far as it is complete, so what is behind that now changes
	// nothing. An object that cannot be opened is an error, unless the caller is sure that the plan says all that is known.
	followed, sure bool

	expand expander
	split  *Splitter
	stored storedReader
	report report

	entry   *Entry
	path    string // format of the path or the forced one
	subject string // of the chunks, empty while the format is not known
	held    []Item // read while the format is not known
	size    int    // of the held items

	chunk schemas.Chunk
	arena []byte // bodies of the chunk's records
	dead  int
	over  bool // the dead letter about the rest was put
}

// open starts an object, whose content has a name now; without one it is gone. An error is passing.
func (r *objectReader) open(ctx context.Context, e *Entry, name string) error {
	r.entry = e
	r.report = report{Object: e.Name, Skip: e.Skip}
	r.subject, r.held, r.size, r.dead = "", r.held[:0], 0, 0
	r.over = false
	r.chunk = schemas.Chunk{Object: e.Name, Account: e.Account, Records: r.chunk.Records[:0]}
	r.arena = r.arena[:0]
	r.path = e.Format
	if r.format != "" {
		r.path = r.format
		r.subject = schemas.RawSubject(r.lane, r.format)
		r.report.Format = r.format
	}
	r.stored = storedReader{left: e.Size, progress: r.progress, probed: r.followed}
	if e.Skip != "" {
		return nil
	}
	if name == "" {
		r.final(Changed, "the object was replaced before it was read")
		return nil
	}
	if e.Problem != "" {
		r.final(Unreadable, e.Problem)
		return nil
	}
	o := e.Object
	o.Name = name
	stored, err := r.connector.Open(ctx, o)
	switch {
	case err == nil:
	case errors.Is(err, ErrUnreadable) && (r.sure || !r.followed):
		r.final(Unreadable, err.Error())
		return nil
	default:
		return fmt.Errorf("open %s: %w", e.Name, err)
	}
	if r.followed && e.Format == "" { // it may have been rotated away a moment ago
		if ok, err := intact(stored, e); err != nil || !ok {
			stored.Close()
			switch {
			case err != nil:
				return fmt.Errorf("read %s: %w", e.Name, err)
			case !r.sure:
				return fmt.Errorf("%w: %s has other content", ErrUnreadable, e.Name)
			}
			r.final(Changed, "the object was replaced before it was read")
			return nil
		}
	}
	r.stored.r, r.stored.hash = stored, xxhash.New()
	in := r.expand.reset(&r.stored, e.Size)
	if r.split == nil {
		r.split = NewSplitter(in)
	} else {
		r.split.Reset(in)
	}
	return nil
}

// intact reports whether an object that can be read twice has the content that was planned.
func intact(stored io.Reader, e *Entry) (bool, error) {
	seeker, ok := stored.(io.Seeker)
	if !ok || !strings.HasPrefix(e.Tag, contentPrefix) {
		return true, nil
	}
	h := xxhash.New()
	n, err := io.Copy(h, io.LimitReader(stored, e.Size))
	if err != nil || n < e.Size || contentTag(h.Sum64()) != e.Tag {
		return false, err
	}
	_, err = seeker.Seek(0, io.SeekStart)
	return true, err
}

// step reads a little more of the object, and reports whether there may be more.
func (r *objectReader) step() bool {
	if r.stored.r == nil {
		r.finish()
		return false
	}
	item, err := r.split.Next()
	if err != nil {
		r.end()
		r.close()
		r.finish()
		return false
	}
	if r.subject != "" {
		r.take(item)
		return true
	}
	if r.decide(item) {
		return true
	}
	r.close()
	r.finish()
	return false
}

// decide finds the format by an item, and reports whether to read on.
func (r *objectReader) decide(item Item) bool {
	item.Body = bytes.Clone(item.Body)
	r.held = append(r.held, item)
	r.size += len(item.Body)
	if item.Reason == "" {
		if format, ok := r.detect(string(item.Body)); ok {
			r.decided(format)
			return true
		}
		if isDigest(item.Body) {
			r.report.Skip = Digest
			return false
		}
	}
	if len(r.held) < undecidedItems && r.size < undecidedBytes {
		return true
	}
	if r.path != "" {
		r.decided(r.path)
		return true
	}
	r.report.Skip = NotALog
	return false
}

// decided delivers what was held, and from now on what comes.
func (r *objectReader) decided(format string) {
	r.subject = schemas.RawSubject(r.lane, format)
	r.report.Format = format
	for _, item := range r.held {
		r.take(item)
	}
	clear(r.held)
	r.held = r.held[:0]
}

// isDigest recognises a CloudTrail digest file by what only it has.
func isDigest(b []byte) bool {
	b = b[:min(len(b), 4<<10)]
	return bytes.Contains(b, []byte(`"digestStartTime"`)) && bytes.Contains(b, []byte(`"digestS3Bucket"`))
}

// take delivers a record with others, or a dead letter.
func (r *objectReader) take(item Item) {
	if item.Offset < r.entry.From {
		return
	}
	if item.Reason != "" {
		r.flush()
		offset := uint64(item.End())
		if item.Reason == Truncated {
			if r.stored.grown() {
				return // the rest is there and will be read next time
			}
			offset = finalOffset
		}
		r.letter(offset, item, "")
		return
	}
	size := chunkOverhead + len(r.chunk.Object) + len(r.chunk.Account) + (len(r.chunk.Records)+1)*recordOverhead
	if len(r.chunk.Records) > 0 && size+len(r.arena)+len(item.Body) > MaxChunk {
		r.flush()
	}
	at := len(r.arena)
	r.arena = append(r.arena, item.Body...)
	r.chunk.Records = append(r.chunk.Records, schemas.RawRecord{Offset: item.Offset, Body: r.arena[at:]})
	r.report.Records++
	r.report.Bytes += item.Size
}

// flush puts the chunk.
func (r *objectReader) flush() {
	n := len(r.chunk.Records)
	if n == 0 {
		return
	}
	last := r.chunk.Records[n-1]
	r.put(uint64(last.Offset)+uint64(len(last.Body)), r.subject, func() []byte {
		at := 0
		for i := range r.chunk.Records { // the arena may have moved
			b := &r.chunk.Records[i].Body
			*b, at = r.arena[at:at+len(*b)], at+len(*b)
		}
		size := chunkOverhead + len(r.chunk.Object) + len(r.chunk.Account) + n*recordOverhead + len(r.arena)
		return r.chunk.Append(make([]byte, 0, size))
	})
	r.chunk.Records = r.chunk.Records[:0]
	r.arena = r.arena[:0]
}

// letter puts a dead letter.
func (r *objectReader) letter(offset uint64, item Item, problem string) {
	r.over = r.over || offset == finalOffset
	if r.report.Dead == nil {
		r.report.Dead = make(map[Reason]int64)
	}
	r.report.Dead[item.Reason]++
	if r.dead++; r.dead > maxDead && offset != finalOffset {
		return
	}
	if problem == "" {
		problem = problems[item.Reason]
	}
	r.put(offset, schemas.DeadSubject("ingest"), func() []byte {
		d := schemas.DeadLetter{
			Stage: "ingest", Object: r.entry.Name, Offset: item.Offset, Size: item.Size,
			Reason: string(item.Reason), Error: strings.ToValidUTF8(problem[:min(len(problem), maxProblem)], ""), Raw: item.Body,
		}
		return d.Append(nil)
	})
}

var problems = map[Reason]string{
	Malformed: "no whole record: brackets that do not match, a control character in a string, or text between records",
	TooLarge:  fmt.Sprintf("record longer than %d KiB", MaxRecord>>10),
	TooDeep:   fmt.Sprintf("record nested deeper than %d", maxDepth),
	Truncated: "the object ends within a record",
}

// final puts the dead letter about the rest of the object. There is at most one.
func (r *objectReader) final(why Reason, problem string) {
	if r.over {
		return
	}
	at := Item{Size: -1, Reason: why}
	if r.split != nil && r.stored.r != nil {
		at.Offset = r.split.Offset()
	}
	r.letter(finalOffset, at, problem)
}

// end finds out what the end of the bytes means.
func (r *objectReader) end() {
	failed := r.split.Err()
	nothing := len(r.held) == 0 && r.report.Records == 0 && r.dead == 0 && r.entry.From == 0
	if nothing && failed == nil && !r.split.Unclosed() && !r.stored.short() {
		r.report.Skip = Empty
		return
	}
	if r.subject == "" {
		dead := 0
		for _, item := range r.held {
			if item.Reason != "" {
				dead++
			}
		}
		broken := len(r.held) > 0 && dead == len(r.held) && opensJSON(r.held[0])
		switch {
		case r.path != "" && len(r.held) > 0:
			r.decided(r.path)
		case broken:
			r.decided("")
		case len(r.held) > 0:
			r.report.Skip = NotALog
			return
		}
	}
	r.flush()
	r.report.Grown = r.stored.grown()
	switch {
	case r.stored.err != nil && !errors.Is(r.stored.err, io.EOF):
		r.final(Unreadable, r.stored.err.Error())
	case r.stored.short():
		r.final(Changed, "the object is shorter than it was")
	case errors.Is(failed, io.ErrUnexpectedEOF) && !r.report.Grown:
		r.final(Truncated, "the compressed data end too early")
	case errors.Is(failed, errExpansion):
		r.final(Expansion, failed.Error())
	case failed != nil && !errors.Is(failed, io.ErrUnexpectedEOF):
		r.final(Corrupt, failed.Error())
	case failed == nil && r.split.Unclosed() && !r.report.Grown:
		r.final(Truncated, "the object ends within a container")
	case failed == nil && r.stored.changed(r.entry.Tag):
		r.final(Changed, "the object is not what it was when it was listed")
	}
}

// opensJSON reports whether a part without records looks like the beginning of JSON.
func opensJSON(item Item) bool {
	return len(item.Body) > 0 && (item.Body[0] == '{' || item.Body[0] == '[')
}

func (r *objectReader) close() {
	if r.stored.r != nil {
		r.stored.r.Close() // it was only read
		r.report.Stored = r.entry.Size
		r.stored.r = nil
	}
}

// finish puts the report.
func (r *objectReader) finish() {
	r.put(lastOffset, reportSubject, func() []byte {
		b, err := json.Marshal(&r.report)
		if err != nil {
			panic(err) // strings and numbers
		}
		return b
	})
	if r.progress != nil {
		r.progress.objects.Add(1)
		r.progress.bytes.Add(r.stored.left) // what is not read is done, too
	}
}

// A storedReader reads an object as far as it was planned, and knows what happened.
type storedReader struct {
	r        io.ReadCloser
	left     int64
	hash     *xxhash.Digest
	err      error
	probed   bool
	more     bool
	progress *Progress
}

func (s *storedReader) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	s.err = err
	s.hash.Write(p[:n])
	if s.progress != nil {
		s.progress.bytes.Add(int64(n))
	}
	if n > 0 {
		err = nil
	}
	return n, err
}

// short reports whether there was less than planned.
func (s *storedReader) short() bool { return s.left > 0 && errors.Is(s.err, io.EOF) }

// changed reports whether all was read, and was not what it should be.
func (s *storedReader) changed(tag string) bool {
	return s.left == 0 && strings.HasPrefix(tag, contentPrefix) && contentTag(s.hash.Sum64()) != tag
}

// grown reports whether there is more than planned.
func (s *storedReader) grown() bool {
	if s.left > 0 || s.err != nil || s.r == nil {
		return false
	}
	if !s.probed {
		var b [1]byte
		n, _ := s.r.Read(b[:])
		s.probed, s.more = true, n > 0
	}
	return s.more
}
