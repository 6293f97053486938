package actiontrail

import (
	"testing"

	"github.com/trailvane/trailvane/pipeline/decode/decodetest"
)

func TestFormat(t *testing.T)      { decodetest.Run(t, Decoder{}) }
func FuzzDecode(f *testing.F)      { decodetest.Fuzz(f, Decoder{}, nil) }
func BenchmarkDecode(b *testing.B) { decodetest.Benchmark(b, Decoder{}) }
