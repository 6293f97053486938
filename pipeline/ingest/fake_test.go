package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
)

// objects is a Connector of what a test puts into it.
type objects map[string]string

func (objects) Name() string { return "test" }

func (o objects) List(context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(o)) {
			if !yield(Object{Name: name, Size: int64(len(o[name]))}, nil) {
				return
			}
		}
	}
}

func (o objects) Open(_ context.Context, object Object) (io.ReadCloser, error) {
	content, ok := o[object.Name]
	if !ok {
		return nil, fmt.Errorf("%w: %s is gone", ErrUnreadable, object.Name)
	}
	return io.NopCloser(bytes.NewReader([]byte(content))), nil
}

// detect knows the records with an eventTime, a number of seconds.
func detect(record string) (string, bool) {
	return "cloudtrail", strings.Contains(record, `"eventTime":`)
}

func eventTime(record string) (int64, bool) {
	_, after, ok := strings.Cut(record, `"eventTime":`)
	var t int64
	_, err := fmt.Sscanf(after, "%d", &t)
	return t, ok && err == nil
}
