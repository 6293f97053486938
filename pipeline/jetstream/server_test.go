package jetstream_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
)

func TestMain(m *testing.M) {
	jetstreamtest.VerifyNoLeaks(m)
}

// startServer runs a server on a directory, without a port. The caller may stop it before the test ends.
func startServer(tb testing.TB, dir string) *server.Server {
	tb.Helper()
	return jetstreamtest.Start(tb, func(o *server.Options) { o.DontListen, o.StoreDir = true, dir })
}

// startServerAt runs a server on a directory and a TCP port, so that a connection finds its successor; -1 is a free port.
func startServerAt(tb testing.TB, dir string, port int) *server.Server {
	tb.Helper()
	return jetstreamtest.Start(tb, func(o *server.Options) { o.Port, o.StoreDir = port, dir })
}

// connectAt returns a JetStream context on a TCP connection that comes back quickly.
func connectAt(tb testing.TB, url string) natsjs.JetStream {
	tb.Helper()
	nc, err := nats.Connect(url, nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(-1))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeConn(nc) })
	js, err := natsjs.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

// connect returns a JetStream context on an in-process connection that ends with the test.
func connect(tb testing.TB, s *server.Server) natsjs.JetStream {
	tb.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeConn(nc) })
	js, err := natsjs.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	return js
}

func closeConn(nc *nats.Conn) {
	closed := make(chan struct{})
	nc.SetClosedHandler(func(*nats.Conn) { close(closed) })
	nc.Close()
	<-closed
}

func startJetStream(tb testing.TB) natsjs.JetStream {
	tb.Helper()
	return connect(tb, startServer(tb, jetstreamtest.Dir(tb)))
}
