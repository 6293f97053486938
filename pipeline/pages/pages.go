// Package pages keeps keyed state in values of bounded size.
//
// A processor groups its entries into a fixed number of slices by hash, so that a commit changes few keys however many
// entries there are, and writes a slice whole when one of its entries has changed. A slice that has outgrown one value is
// continued in further pages; each page stands for itself, so they can be read in any order. A page that is no longer
// needed is written empty, because state keys are never deleted. [Writer] and [Reader] code entries that are many or hot in few bytes.
package pages

import (
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
	"strings"
)

// Size is the size at which a page is full: half of what a broker's message may hold. An entry that is larger has a page of
// its own and must fit into a message.
const Size = 512 << 10

// A Table is one kind of entries of a processor. It remembers how many pages each slice has had.
type Table struct {
	name  string
	pages []int
}

// New returns a table of n slices. Its keys are "<name>.<slice>.<page>"; the name has no dot.
func New(name string, n int) *Table { return &Table{name: name, pages: make([]int, n)} }

// Slices returns the number of slices.
func (t *Table) Slices() int { return len(t.pages) }

// Slice returns the slice of a hash. It uses the upper half, because the lower bits choose partitions.
func (t *Table) Slice(hash uint64) int { return int(hash >> 32 % uint64(len(t.pages))) }

// Write gives out the pages of a slice that holds exactly these entries.
func (t *Table) Write(slice int, entries iter.Seq[[]byte], changed func(key string, state []byte)) {
	var page []byte
	n := 0
	flush := func() {
		changed(t.key(slice, n), page)
		page = nil
		n++
	}
	for e := range entries {
		if len(page) > 0 && len(page)+len(e) > Size {
			flush()
		}
		page = binary.AppendUvarint(page, uint64(len(e)))
		page = append(page, e...)
	}
	if len(page) > 0 {
		flush()
	}
	used := n
	for n < t.pages[slice] {
		flush()
	}
	t.pages[slice] = used
}

// Owns reports whether a state key is one of this table's.
func (t *Table) Owns(key string) bool {
	name, _, ok := strings.Cut(key, ".")
	return ok && name == t.name
}

// Read returns the entries of a page that [Table.Write] gave out, which alias state. An error means that the state is not
// one of this table's.
func (t *Table) Read(key string, state []byte, entry func(slice int, e []byte) error) error {
	slice, page, err := t.parse(key)
	if err != nil {
		return err
	}
	if len(state) == 0 {
		return nil
	}
	t.pages[slice] = max(t.pages[slice], page+1)
	for len(state) > 0 {
		size, n := binary.Uvarint(state)
		if n <= 0 || size > uint64(len(state)-n) {
			return fmt.Errorf("state %s: an entry is cut short", key)
		}
		if err := entry(slice, state[n:n+int(size)]); err != nil {
			return fmt.Errorf("state %s: %w", key, err)
		}
		state = state[n+int(size):]
	}
	return nil
}

func (t *Table) key(slice, page int) string {
	return t.name + "." + strconv.Itoa(slice) + "." + strconv.Itoa(page)
}

func (t *Table) parse(key string) (slice, page int, err error) {
	f := strings.Split(key, ".")
	if len(f) == 3 && f[0] == t.name {
		slice, err = strconv.Atoi(f[1])
		if err == nil {
			page, err = strconv.Atoi(f[2])
		}
		if err == nil && slice >= 0 && slice < len(t.pages) && page >= 0 && t.key(slice, page) == key {
			return slice, page, nil
		}
	}
	return 0, 0, fmt.Errorf("state %q is no page of %s", key, t.name)
}
