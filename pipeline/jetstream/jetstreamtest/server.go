// Package jetstreamtest runs NATS servers with JetStream in tests.
package jetstreamtest

import (
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"
)

const (
	readyTime  = 10 * time.Second
	removeTime = 5 * time.Second
)

// VerifyNoLeaks is the TestMain of a package that runs servers: it fails if goroutines outlive the tests. A server that is shut down
// while it opens a new file of a stream may forget the goroutine that writes that file; there is nothing that a test could wait for.
func VerifyNoLeaks(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.(*msgBlock).flushLoop"))
}

// Start runs a server until the test ends; the test may shut it down before. It has a free port of 127.0.0.1 and JetStream, with room for
// 20 GB of files in a folder of its own, unless change, which may be nil, has it otherwise.
func Start(tb testing.TB, change func(*server.Options)) *server.Server {
	tb.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, JetStreamMaxStore: 20 << 30, JetStreamMaxMemory: 64 << 20}
	if change != nil {
		change(o)
	}
	o.NoLog, o.NoSigs = true, true
	if o.StoreDir == "" {
		o.StoreDir = Dir(tb)
	}
	s, err := server.NewServer(o)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	tb.Cleanup(func() { Stop(s) })
	if !s.ReadyForConnections(readyTime) {
		tb.Fatal("the server is not ready")
	}
	return s
}

// Stop shuts a server down and returns when that has happened.
func Stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// Dir returns a folder for a server's streams, which is removed when the test ends. A server that is shut down in the middle of an
// atomic batch may still write a file of it afterwards, so that removing takes patience, which [testing.T.TempDir] has not.
func Dir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "trailvane-test-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		var err error
		for until := time.Now().Add(removeTime); time.Now().Before(until); <-time.After(10 * time.Millisecond) {
			if err = os.RemoveAll(dir); err == nil {
				return
			}
		}
		tb.Errorf("remove what a server has stored: %v", err)
	})
	return dir
}
