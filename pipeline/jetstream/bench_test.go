//go:build unix

package jetstream_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/schemas"
)

// Rates on a shared machine are noise; the processor time of server and client together is what is compared.

// cpu returns the processor time of this process, which runs the server too.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs the loop and reports processor time per message and per megabyte of bodies.
func measure(b *testing.B, messages, size int, f func()) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(messages * size))
	n, begin := 0, cpu()
	for b.Loop() {
		f()
		n++
	}
	used := float64(cpu() - begin)
	b.ReportMetric(used/1e3/float64(n*messages), "cpu-µs/msg")
	b.ReportMetric(used/1e3/(float64(n*messages*size)/1e6), "cpu-µs/MB")
}

func randomBody(n int) []byte {
	body := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range body {
		body[i] = byte(r.Uint32())
	}
	return body
}

// benchServer is a server and a connection, in the process or by TCP.
func benchServer(b *testing.B, change func(*server.Options)) natsjs.JetStream {
	b.Helper()
	inProcess := true
	s := jetstreamtest.Start(b, func(o *server.Options) {
		o.DontListen, o.JetStreamMaxMemory = true, 4<<30
		if change != nil {
			change(o)
		}
		inProcess = o.DontListen
	})
	if inProcess {
		return connect(b, s)
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { closeConn(nc) })
	js, err := natsjs.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	return js
}

func tcp(o *server.Options) { o.DontListen = false }

func fillStream(b *testing.B, js natsjs.JetStream, n, size int) {
	b.Helper()
	sink := newSink(b, js)
	body := randomBody(size)
	out := outputs("events.0.eu-west-1", 1, n)
	for i := range out {
		out[i].Body = body
	}
	put(b, sink, out...)
}

func BenchmarkSourceRead(b *testing.B) {
	const total = 128 << 20
	for _, size := range []int{1 << 10, 20 << 10, 256 << 10} {
		for name, change := range map[string]func(*server.Options){"memory": nil, "tcp": tcp} {
			for _, ahead := range []int{2 << 20, 4 << 20, 8 << 20} {
				b.Run(fmt.Sprintf("size=%d/conn=%s/ahead=%d", size, name, ahead), func(b *testing.B) {
					js := benchServer(b, change)
					deploy(b, js)
					n := min(total/size, 20_000)
					fillStream(b, js, n, size)
					source := jetstream.NewSource(js, "EVENTS_0", jetstream.SourceConfig{Bytes: ahead})
					defer source.Close()
					measure(b, n, size, func() {
						for after := uint64(0); after < uint64(n); {
							records, err := source.Read(b.Context(), after)
							if err != nil {
								b.Fatal(err)
							}
							after = records[len(records)-1].Seq
						}
					})
				})
			}
		}
	}
}

// The client library's ordered consumer, for comparison.
func BenchmarkOrderedConsumer(b *testing.B) {
	const total = 128 << 20
	for _, size := range []int{1 << 10, 20 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			js := benchServer(b, nil)
			deploy(b, js)
			n := min(total/size, 20_000)
			fillStream(b, js, n, size)
			measure(b, n, size, func() {
				c, err := js.OrderedConsumer(b.Context(), "EVENTS_0", natsjs.OrderedConsumerConfig{})
				if err != nil {
					b.Fatal(err)
				}
				it, err := c.Messages(natsjs.PullMaxMessagesWithBytesLimit(256, 4<<20))
				if err != nil {
					b.Fatal(err)
				}
				for range n {
					m, err := it.Next()
					if err != nil {
						b.Fatal(err)
					}
					if _, err := m.Metadata(); err != nil {
						b.Fatal(err)
					}
				}
				it.Stop()
			})
		})
	}
}

// purged keeps a benchmark's stream from growing without end.
func purged(b *testing.B, js natsjs.JetStream, streams ...string) func() {
	n := 0
	return func() {
		if n++; n%50 == 0 {
			b.StopTimer()
			for _, s := range streams {
				if err := openStream(b, js, s).Purge(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
	}
}

func BenchmarkSinkPut(b *testing.B) {
	for _, size := range []int{1 << 10, 20 << 10, 256 << 10} {
		for _, count := range []int{1, 8, 64} {
			for name, change := range map[string]func(*server.Options){"memory": nil, "tcp": tcp} {
				b.Run(fmt.Sprintf("size=%d/outputs=%d/conn=%s", size, count, name), func(b *testing.B) {
					js := benchServer(b, change)
					deploy(b, js)
					sink, body, trim := newSink(b, js), randomBody(size), purged(b, js, "EVENTS_0", "EVENTS_1")
					out := outputs("events.0.eu-west-1", 1, count)
					for i := range out {
						out[i].Body = body
						if i%2 == 1 {
							out[i].Subject = "events.1.eu-west-1"
						}
					}
					measure(b, count, size, func() {
						put(b, sink, out...)
						trim()
					})
				})
			}
		}
	}
}

// The extension library's publisher, one batch per Put and stream, for comparison.
func BenchmarkFastPublisher(b *testing.B) {
	for _, size := range []int{1 << 10, 20 << 10, 256 << 10} {
		for _, count := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("size=%d/outputs=%d", size, count), func(b *testing.B) {
				js := benchServer(b, nil)
				deploy(b, js)
				body, trim := randomBody(size), purged(b, js, "EVENTS_0")
				measure(b, count, size, func() {
					p, err := jetstreamext.NewFastPublisher(js)
					if err != nil {
						b.Fatal(err)
					}
					for range count - 1 {
						if _, err := p.Add("events.0.x", body); err != nil {
							b.Fatal(err)
						}
					}
					if ack, err := p.Commit(b.Context(), "events.0.x", body); err != nil || ack.BatchSize != uint64(count) {
						b.Fatal(ack, err)
					}
					trim()
				})
			})
		}
	}
}

func BenchmarkStoreCommit(b *testing.B) {
	for _, keys := range []int{1, 100, 500} {
		for _, size := range []int{1 << 10, 64 << 10} {
			for name, change := range map[string]func(*server.Options){
				"default": nil, "always": func(o *server.Options) { o.SyncAlways = true },
			} {
				b.Run(fmt.Sprintf("keys=%d/size=%d/sync=%s", keys, size, name), func(b *testing.B) {
					js := benchServer(b, change)
					deploy(b, js)
					store, err := jetstream.OpenStore(b.Context(), js, "normalizer")
					if err != nil {
						b.Fatal(err)
					}
					if _, _, err := store.Load(b.Context(), "0"); err != nil {
						b.Fatal(err)
					}
					changed := map[string][]byte{}
					for i := range keys {
						changed[fmt.Sprint("slice.", i)] = randomBody(size)
					}
					seq := uint64(0)
					measure(b, keys, size, func() {
						seq++
						if err := store.Commit(b.Context(), "0", schemas.Checkpoint{Seq: seq}, changed); err != nil {
							b.Fatal(err)
						}
					})
				})
			}
		}
	}
}

func BenchmarkStoreLoad(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("keys=1500/size=%d", size), func(b *testing.B) {
			js := benchServer(b, nil)
			deploy(b, js)
			store, err := jetstream.OpenStore(b.Context(), js, "normalizer")
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := store.Load(b.Context(), "0"); err != nil {
				b.Fatal(err)
			}
			for part := range 3 {
				changed := map[string][]byte{}
				for i := range 500 {
					changed[fmt.Sprint("slice.", part*500+i)] = randomBody(size)
				}
				if err := store.Commit(b.Context(), "0", schemas.Checkpoint{Seq: 1}, changed); err != nil {
					b.Fatal(err)
				}
			}
			measure(b, 1500, size, func() {
				_, state, err := store.Load(b.Context(), "0")
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for range state {
					n++
				}
				if n != 1500 {
					b.Fatal(n)
				}
			})
		})
	}
}
