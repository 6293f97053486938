//go:build linux

package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/tidwall/gjson"
)

// A counted is what the plain counter found and took, in its reading phase only.
type counted struct {
	Messages int
	Keys     int
	Wall     time.Duration
	CPU      time.Duration // with its server
}

// counter runs the plain counter as a process of its own.
func (b *bench) counter(ctx context.Context) (c counted, err error) {
	dir, err := os.MkdirTemp(b.dir, "counter-")
	if err != nil {
		return c, err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return c, err
	}
	cmd := exec.CommandContext(ctx, self, counterArg, dir, b.logs)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("plain counter: %w", err)
	}
	if err := json.Unmarshal(out, &c); err != nil {
		return c, fmt.Errorf("plain counter: %w", err)
	}
	if c.Messages != b.records {
		return c, fmt.Errorf("plain counter read %d records, not %d", c.Messages, b.records)
	}
	return c, nil
}

// count is the plain counter: it puts every record into a stream of its own server, in files, one message each; then it
// reads them and counts them by account, region, service, event and minute. It keeps no state that would survive it, does
// not know an event twice, and finds nothing: less than that no stream processor can do.
func count(ctx context.Context, dir, logs string, out io.Writer) error {
	s, err := serve(dir)
	if err != nil {
		return err
	}
	defer s.Shutdown()
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	if err != nil {
		return err
	}
	const stream = "RECORDS"
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Subjects: []string{"records"}}); err != nil {
		return err
	}
	messages, err := publish(ctx, js, "records", logs)
	if err != nil {
		return err
	}
	consumer, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true})
	if err != nil {
		return err
	}
	before, begun := self(), time.Now()
	counts := make(map[key]int)
	in, err := consumer.Messages(jetstream.PullMaxMessages(5000))
	if err != nil {
		return err
	}
	for range messages {
		m, err := in.Next()
		if err != nil {
			return err
		}
		counts[keyOf(m.Data())]++
	}
	c := counted{Keys: len(counts), Wall: time.Since(begun), CPU: self() - before}
	in.Stop()
	for _, n := range counts {
		c.Messages += n
	}
	return json.NewEncoder(out).Encode(c)
}

// self returns the CPU time of this process until now.
func self() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err) // the arguments are wrong
	}
	return usageOf(&r).cpu()
}

type key struct{ account, region, service, event, minute string }

// keyOf reads a record in one pass.
func keyOf(record []byte) (k key) {
	gjson.ParseBytes(record).ForEach(func(name, value gjson.Result) bool {
		switch name.Str {
		case "recipientAccountId":
			k.account = value.Str
		case "awsRegion":
			k.region = value.Str
		case "eventSource":
			k.service = value.Str
		case "eventName":
			k.event = value.Str
		case "eventTime":
			k.minute = value.Str[:min(len("2026-03-02T00:00"), len(value.Str))]
		}
		return true
	})
	return k
}

func serve(dir string) (*server.Server, error) {
	s, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		return nil, errors.New("the server does not start")
	}
	return s, nil
}

// publish stores every record below a folder as a message of its own.
func publish(ctx context.Context, js jetstream.JetStream, subject, logs string) (messages int, err error) {
	err = filepath.WalkDir(logs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".gz") {
			return err
		}
		records, err := load(path)
		if err != nil {
			return err
		}
		for _, r := range records {
			if _, err := js.PublishAsync(subject, r, jetstream.WithStallWait(time.Minute)); err != nil {
				return err
			}
		}
		messages += len(records)
		return ctx.Err()
	})
	if err != nil {
		return 0, err
	}
	select {
	case <-js.PublishAsyncComplete():
		return messages, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func load(path string) ([]json.RawMessage, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var all struct{ Records []json.RawMessage }
	return all.Records, json.NewDecoder(z).Decode(&all)
}
