package cloudtrail

import (
	"os"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

func BenchmarkDecode(b *testing.B) {
	raw, err := os.ReadFile("testdata/typical.json")
	if err != nil {
		b.Fatal(err)
	}
	s := string(raw)
	b.SetBytes(int64(len(s)))
	b.ReportAllocs()
	for b.Loop() {
		if err := (Decoder{}).Decode(s, func(e *schemas.Event) {}); err != nil {
			b.Fatal(err)
		}
	}
}
