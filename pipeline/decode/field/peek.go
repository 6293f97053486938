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
		if Wraps(key, v) {
			wrapped = v
		}
	}
	_ = Each(Open(record), count) // how much of it was readable shows in n
	if inner, ok := Wrapped(wrapped); ok && n == 0 {
		_ = Each(inner, count)
	}
	return n
}

// PeekTime returns the time under the key of the record that names a call: the record itself, or the one that it wraps, as a
// decoder chooses. The second key, which may be empty, stands in for the first. Unix seconds; not ok: there is no time.
func PeekTime(record, nameKey, timeKey, insteadKey string) (unix int64, ok bool) {
	var name, when, instead, wrapped Value
	look := func(key string, v Value) {
		switch {
		case key == nameKey:
			name = v
		case key == timeKey:
			when = v
		case key == insteadKey && key != "":
			instead = v
		case Wraps(key, v):
			wrapped = v
		}
	}
	if Each(Open(record), look) != nil {
		return 0, false
	}
	if inner, ok := Wrapped(wrapped); ok && !name.Present() {
		when, instead = Value{}, Value{}
		if Each(inner, look) != nil {
			return 0, false
		}
	}
	if !when.Present() {
		when = instead
	}
	var r Reader
	unix = r.Time(timeKey, when)
	return unix, r.Err() == nil
}
