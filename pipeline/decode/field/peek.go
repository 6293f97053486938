package field

// Count returns how many keys of the record, or of the record that it wraps, distinctive holds true for. A record
// that cannot be read counts as far as it could.
func Count(record string, distinctive func(key string) bool) int {
	n := 0
	var wrapped Value
	count := func(key string, v Value) {
		if distinctive(key) {
			n++
		}
		if Wraps(key) {
			wrapped = v
		}
	}
	_ = Each(record, count) // how much of it was readable shows in n
	if inner, ok := Wrapped(wrapped); ok && n == 0 {
		_ = Each(inner, count)
	}
	return n
}

// PeekTime returns the time of the record, or of the record that it wraps, under the first of the keys that it has, in Unix
// seconds. Not ok: none of them holds a time.
func PeekTime(record string, keys ...string) (unix int64, ok bool) {
	found := make([]Value, len(keys))
	var wrapped Value
	look := func(key string, v Value) {
		for i, k := range keys {
			if k == key {
				found[i] = v
			}
		}
		if Wraps(key) {
			wrapped = v
		}
	}
	if Each(record, look) != nil {
		return 0, false
	}
	if inner, ok := Wrapped(wrapped); ok && !found[0].Present() {
		clear(found)
		if Each(inner, look) != nil {
			return 0, false
		}
	}
	for i, v := range found {
		if v.Present() {
			var r Reader
			unix = r.Time(keys[i], v)
			return unix, r.Err() == nil
		}
	}
	return 0, false
}
