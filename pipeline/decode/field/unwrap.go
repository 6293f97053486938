package field

// Wraps says whether a field of that name may carry the whole record, as an object or as JSON text. A decoder looks into it
// when the record itself does not name a call. One wrapping is one name here:
//
//	event   {"__topic__": …, "event": "<JSON>"} of Log Service, {"source": …, "event": {…}} of samples
func Wraps(key string) bool { return key == "event" }

// Wrapped returns the JSON of a record that travels inside another, and whether v holds one. A record in a record in a
// record is not unwrapped: nobody writes that, and one step needs no bound.
func Wrapped(v Value) (json string, ok bool) {
	if json, ok = v.Object(); ok {
		return json, true
	}
	json, ok = v.Unquote()
	return json, ok && json != ""
}
