package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/detect/all"
)

// Every detector finds something in the traffic, or its line would compare nothing; and two runs say the same.
func TestDigest(t *testing.T) {
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		if err := digest(out); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() {
		t.Errorf("two runs differ:\n%s%s", &first, &second)
	}
	if n := strings.Count(first.String(), "\n"); n != len(all.Detectors()) {
		t.Errorf("%d lines for %d detectors", n, len(all.Detectors()))
	}
	if strings.Contains(first.String(), " 0 findings") {
		t.Errorf("a detector finds nothing:\n%s", &first)
	}
}
