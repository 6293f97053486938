package field

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestWraps(t *testing.T) {
	for _, c := range []struct {
		json string
		want string // what is wrapped, empty if nothing
	}{
		{`{"event":{"a":1}}`, `{"a":1}`},
		{`{"data":{"a":1}}`, `{"a":1}`},
		{`{"detail":{"a":1}}`, `{"a":1}`},
		{`{"_raw":"{\"a\":1}"}`, `{"a":1}`},
		{`{"CloudTrailEvent":" {\"a\":1}"}`, ` {"a":1}`},
		{`{"event":"text","data":{"a":1},"detail":7,"_raw":""}`, `{"a":1}`},
		{`{"event":{"a":1},"data":{"a":2}}`, `{"a":2}`}, // the last one
		{`{"event":"text"}`, ""}, {`{"event":"["}`, ""}, {`{"event":"   "}`, ""}, {`{"event":null}`, ""}, {`{"event":[{}]}`, ""},
		{`{"Event":{"a":1}}`, ""}, {`{"raw":{"a":1}}`, ""},
	} {
		var wrapped Value
		if err := Each(c.json, func(key string, v Value) {
			if Wraps(key, v) {
				wrapped = v
			}
		}); err != nil {
			t.Fatal(err)
		}
		got, ok := Wrapped(wrapped)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s wraps %q, %v, want %q", c.json, got, ok, c.want)
		}
	}
}

func TestOpen(t *testing.T) {
	for _, c := range [][2]string{
		{`{"a":1}`, `{"a":1}`}, {`"{\"a\":1}"`, `{"a":1}`}, {"\"{}\" \n", "{}"}, {`""`, ""}, {`"\"{}\""`, `"{}"`}, // one step
		{`"{}`, `"{}`}, {`"{}"x`, `"{}"x`}, {`"\q"`, `"\q"`}, {`"`, `"`}, {"", ""}, {`["a"]`, `["a"]`},
	} {
		if got := Open(c[0]); got != c[1] {
			t.Errorf("Open(%s) = %s, want %s", c[0], got, c[1])
		}
	}
}

func TestValues(t *testing.T) {
	var v Value
	if err := Each(`{"v":{"a":{"b":"true","b":"Yes"},"c":true,"d":"TRUE","e":1,"f":null,"g":[1,{"h":"]"},"x"],"z":"\u0041"}}`,
		func(_ string, inner Value) { v = inner }); err != nil {
		t.Fatal(err)
	}
	if !v.Within("a", "b").Is("Yes") || v.Within("a", "x").Present() || v.Within("c", "b").Present() ||
		v.Within("a", "b", "c").Present() {
		t.Error("a path leads elsewhere")
	}
	if v.Within("z").Is("A") || v.Within("c").Is("true") || (Value{}).Is("") {
		t.Error("Is compares text without escapes only")
	}
	for key, want := range map[string]bool{"a": false, "c": true, "d": true, "e": false, "f": false, "x": false} {
		if got := v.Within(key).True(); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if json, ok := v.Within("g").Array(); !ok || json != `[1,{"h":"]"},"x"]` {
		t.Errorf("the array is %q, %v", json, ok)
	}
	if _, ok := v.Array(); ok {
		t.Error("an object is an array")
	}
}

func TestEachElement(t *testing.T) {
	for _, c := range [][2]string{
		{`[]`, ""}, {` [ ] `, ""}, {`[1]`, "1"}, {` [ 1 , "a,]" , [2] ,{"b":[]}, null ] `, `1 "a,]" [2] {"b":[]} null`},
	} {
		var got []string
		err := EachElement(c[0], func(v Value) { got = append(got, v.json) })
		if err != nil || strings.Join(got, " ") != c[1] {
			t.Errorf("%s: got %q, %v, want %q", c[0], got, err, c[1])
		}
	}
}

// What encoding/json reads as an array, EachElement reads to the same elements; what it refuses, encoding/json refuses.
func FuzzEachElement(f *testing.F) {
	for _, s := range []string{`[]`, `[1, "a", [2], {"b": null}]`, ` [true,false] `, `[`, `[1,]`, `{}`, `[1]]`, `["\ud83d"]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got []string
		err := EachElement(s, func(v Value) { got = append(got, v.json) })
		var want []json.RawMessage
		if !json.Valid([]byte(s)) || json.Unmarshal([]byte(s), &want) != nil || want == nil {
			return
		}
		if err != nil || len(got) != len(want) {
			t.Fatalf("%q: %d elements, %v, encoding/json reads %d", s, len(got), err, len(want))
		}
		for i := range want {
			if got[i] != string(want[i]) {
				t.Errorf("%q: element %d is %q, encoding/json reads %q", s, i, got[i], want[i])
			}
		}
	})
}
