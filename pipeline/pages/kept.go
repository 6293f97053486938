package pages

import "slices"

// Kept are the things of a table, by slice, with a mark at every slice that has changed since it was written.
type Kept[T comparable] struct {
	*Table
	of      [][]T
	touched []bool
}

// Keep returns a table of n slices that keeps its things.
func Keep[T comparable](name string, n int) *Kept[T] {
	return &Kept[T]{Table: New(name, n), of: make([][]T, n), touched: make([]bool, n)}
}

// Touch marks a slice as changed.
func (k *Kept[T]) Touch(slice int) { k.touched[slice] = true }

// Add puts a thing into a slice, without a mark: it may come from there.
func (k *Kept[T]) Add(slice int, v T) { k.of[slice] = append(k.of[slice], v) }

// Remove takes a thing out of its slice, and marks it.
func (k *Kept[T]) Remove(slice int, v T) {
	list := k.of[slice]
	i, last := slices.Index(list, v), len(list)-1
	list[i] = list[last]
	clear(list[last:])
	k.of[slice] = list[:last]
	k.Touch(slice)
}

// WriteChanged gives out the pages of the slices with a mark, and wipes the marks. The things of a slice are coded in the order
// of compare, each as one entry or more.
func (k *Kept[T]) WriteChanged(
	compare func(a, b T) int, code func(v T, entries [][]byte) ([][]byte, error), changed func(key string, state []byte),
) error {
	for i, touched := range k.touched {
		if !touched {
			continue
		}
		slices.SortFunc(k.of[i], compare)
		var entries [][]byte
		var err error
		for _, v := range k.of[i] {
			if entries, err = code(v, entries); err != nil {
				return err
			}
		}
		k.Write(i, slices.Values(entries), changed)
		k.touched[i] = false
	}
	return nil
}
