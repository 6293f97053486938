package ports_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/trailvane/trailvane/test/ports"
)

// A port that is in use, or was given out before, is not given out.
func TestFree(t *testing.T) {
	seen := make(map[int]bool)
	for range 100 {
		port, err := ports.Free()
		if err != nil || seen[port] {
			t.Fatalf("port %d, %v, was given out before: %t", port, err, seen[port])
		}
		seen[port] = true
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}
