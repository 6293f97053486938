package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

// A stage puts a batch into a partition's stream, and the next one reads it.
func Example() {
	dir, err := os.MkdirTemp("", "jetstream")
	check(err)
	defer os.RemoveAll(dir)
	s, err := server.NewServer(&server.Options{
		DontListen: true, JetStream: true, StoreDir: dir, JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 1 << 26,
		NoLog: true, NoSigs: true,
	})
	check(err)
	s.Start()
	defer jetstreamtest.Stop(s)
	if !s.ReadyForConnections(10 * time.Second) {
		panic("server is not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	check(err)
	defer closeConn(nc)
	js, err := natsjs.New(nc)
	check(err)

	ctx := context.Background()
	id := jetstream.Identity{Lanes: 1, Partitions: 1, Lateness: 15, Learn: 1440, Budget: 1}
	check(jetstream.Deploy(ctx, js, jetstream.DefaultTopology(id, "normalizer", "aggregator")))

	sink, err := jetstream.NewSink(js)
	check(err)
	defer sink.Close()
	stored, err := sink.Put(ctx,
		runner.Output{Subject: "events.0.eu-west-1", Body: []byte("a batch"), Producer: "normalizer.0.g0", Number: schemas.Number{Seq: 1}},
		runner.Output{Subject: "events.0.end", Body: []byte("the end"), Producer: "normalizer.0.g0", Number: schemas.Number{Seq: 2}},
	)
	fmt.Println(stored, err)

	source := jetstream.NewSource(js, jetstream.EventsStream(0), jetstream.SourceConfig{})
	defer source.Close()
	source.Drain() // what is stored now is all there will be
	for after := uint64(0); ; {
		records, err := source.Read(ctx, after)
		if errors.Is(err, io.EOF) {
			break
		}
		check(err)
		for _, r := range records {
			fmt.Printf("%d %s %s %d.%d: %s\n", r.Seq, r.Subject, r.Producer, r.Number.Seq, r.Number.Index, r.Body)
			after = r.Seq
		}
	}
	// Output:
	// 2 <nil>
	// 1 events.0.eu-west-1 normalizer.0.g0 1.0: a batch
	// 2 events.0.end normalizer.0.g0 2.0: the end
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
