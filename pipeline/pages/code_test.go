package pages

import (
	"math"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

func TestCode(t *testing.T) {
	var w Writer
	w.Uint(1 << 63)
	w.Int(-5)
	w.Minute(-1036120320)
	w.Fixed(7)
	w.Fixed32(8)
	w.Float32(1.5)
	w.Floats(math.Inf(-1), 0.25)
	w.Flags(true, false, true)
	r := Reader{B: w.B}
	if v := r.Uint(); v != 1<<63 {
		t.Errorf("Uint = %d", v)
	}
	if v := r.Int(); v != -5 {
		t.Errorf("Int = %d", v)
	}
	if v := r.Minute(); v != schemas.Minute(-1036120320) {
		t.Errorf("Minute = %d", v)
	}
	if v := r.Fixed(); v != 7 {
		t.Errorf("Fixed = %d", v)
	}
	if v := r.Fixed32(); v != 8 {
		t.Errorf("Fixed32 = %d", v)
	}
	if v := r.Float32(); v != 1.5 {
		t.Errorf("Float32 = %v", v)
	}
	var x, y float64
	if r.Floats(&x, &y); !math.IsInf(x, -1) || y != 0.25 {
		t.Errorf("Floats = %v, %v", x, y)
	}
	var a, b, c bool
	if r.Flags(&a, &b, &c); !a || b || !c {
		t.Errorf("Flags = %v, %v, %v", a, b, c)
	}
	if r.Bad || len(r.B) != 0 {
		t.Errorf("%d bytes are left, bad %v", len(r.B), r.Bad)
	}
}

// What was not written says zero, and is bad from there on.
func TestCodeOfNonsense(t *testing.T) {
	long := Writer{}
	long.Int(1 << 40)
	for name, c := range map[string]struct {
		b    []byte
		read func(r *Reader) bool // reports zero
	}{
		"an end inside a number":    {[]byte{0x80}, func(r *Reader) bool { return r.Uint() == 0 }},
		"a number that is too long": {[]byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1}, func(r *Reader) bool { return r.Int() == 0 }},
		"a minute of 40 bits":       {long.B, func(r *Reader) bool { return r.Minute() == 0 }},
		"more than is possible":     {[]byte{9, 1}, func(r *Reader) bool { return r.UpTo(8) == 0 && r.Uint() == 0 }},
		"half a float":              {[]byte{1, 2, 3, 4}, func(r *Reader) bool { return r.Float() == 0 }},
		"half a short float":        {[]byte{1, 2, 3}, func(r *Reader) bool { return r.Float32() == 0 }},
		"a flag that is not there":  {[]byte{4}, func(r *Reader) bool { a, b := true, true; r.Flags(&a, &b); return !a && !b }},
	} {
		r := Reader{B: c.b}
		if !c.read(&r) || !r.Bad || len(r.B) != 0 {
			t.Errorf("%s: bad %v, %d bytes left, or a value", name, r.Bad, len(r.B))
		}
	}
}
