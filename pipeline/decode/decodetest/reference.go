package decodetest

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/decode/field"
)

// An Object is a JSON object as encoding/json reads it: the other opinion that fuzz tests compare a decoder with. Of equal
// keys the last one counts.
type Object map[string]any

// Parse reads a record, or the one that it wraps, if nameKey is not in the outer one. Not ok: encoding/json refuses it, or two
// fields may wrap the record, of which the last one counts, which it does not tell.
func Parse(raw, nameKey string) (Object, bool) {
	var quoted string
	if json.Unmarshal([]byte(raw), &quoted) == nil {
		raw = quoted
	}
	o, ok := parse(raw)
	if !ok || o[nameKey] != nil {
		return o, ok
	}
	inner, found := o, 0
	for _, key := range []string{"event", "data", "detail", "_raw", "CloudTrailEvent"} {
		switch v := o[key].(type) {
		case map[string]any:
			inner, ok = v, true
			found++
		case string:
			if strings.HasPrefix(strings.TrimLeft(v, " "), "{") {
				inner, ok = parse(v)
				found++
			}
		}
	}
	return inner, ok && found <= 1
}

func parse(raw string) (Object, bool) {
	d := json.NewDecoder(strings.NewReader(strings.TrimPrefix(raw, "\ufeff")))
	d.UseNumber()
	var o Object
	if d.Decode(&o) != nil || o == nil {
		return nil, false
	}
	_, err := d.Token()
	return o, errors.Is(err, io.EOF)
}

// Text returns a string or number as text, empty if it is absent or null. Not ok: it is something else.
func (o Object) Text(key string) (text string, ok bool) {
	switch v := o[key].(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// Texts says whether all of these are text or absent.
func (o Object) Texts(keys ...string) bool {
	for _, key := range keys {
		if _, ok := o.Text(key); !ok {
			return false
		}
	}
	return true
}

// Flag says whether the field is true, false, that as text, or absent.
func (o Object) Flag(key string) bool {
	switch v := o[key].(type) {
	case nil, bool:
		return true
	case string:
		return v == "" || strings.EqualFold(v, "true") || strings.EqualFold(v, "false")
	}
	return false
}

// Object returns the object under the key, empty if it is absent or null. Not ok: it is something else.
func (o Object) Object(key string) (Object, bool) {
	switch v := o[key].(type) {
	case nil:
		return Object{}, true
	case map[string]any:
		return v, true
	}
	return nil, false
}

// Same demands that a string of an event is the text of a field, cleaned.
func (o Object) Same(t *testing.T, key, got string, limit int) {
	t.Helper()
	text, ok := o.Text(key)
	if want := field.Clean(text, limit); !ok || got != want {
		t.Errorf("%s: got %q, encoding/json reads %q", key, got, want)
	}
}

// SameRequest demands that the request of an event is the object of a field.
func (o Object) SameRequest(t *testing.T, key, got string) {
	t.Helper()
	want, ok := o[key].(map[string]any)
	if !ok {
		return
	}
	if have, ok := parse(got); !ok || !reflect.DeepEqual(map[string]any(have), want) {
		t.Errorf("%s: got %q, encoding/json reads %v", key, got, want)
	}
}
