// Package ports finds TCP ports for programs that tests start, which cannot be given a port that is open already.
package ports

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
)

// Ports that systems give to outgoing connections are higher, as those of any listener without a port: between looking and use, one of
// the many connections of tests could get the same.
const (
	first = 18_000
	count = 14_000
)

// next spreads what processes that run at once look at first.
var next atomic.Uint64

func init() { next.Store(uint64(os.Getpid()) * 61) }

// Free returns a port of 127.0.0.1 that nobody uses now, each time another one. The error is that of the last port that was tried, of all.
func Free() (int, error) {
	var failed error
	for range count {
		port := first + int(next.Add(1)%count)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // it is closed at once
		if err == nil {
			return port, l.Close()
		}
		failed = err
	}
	return 0, errors.Join(errors.New("no port is free"), failed)
}
