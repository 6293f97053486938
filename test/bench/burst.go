//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/ingest"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
)

const (
	shortestBurst   = 10 * time.Second
	burstTimes      = 20       // the sustained rate
	burstStorage    = "700MB"  // of the deployment: about the least that it can have
	burstRaw        = 64 << 20 // bytes, of the one lane: some seconds of the sustained rate
	burstPartitions = 4
	goalGrowth      = 1.2         // of the median memory of a process in the last quarter, to that in the second
	growthSlack     = 16 << 20    // bytes, which the steps of a garbage collector are
	goalMemory      = int64(12e8) // bytes, of all services together, at any time
	sampleTime      = time.Second

	perChunk      = 200 // records of 1.2 KB: about as large as a chunk may be
	perRead       = 8   // chunks
	burstAccounts = 8
	burstNames    = 60

	// burstMinute is how many chunks of an account are a minute of event time: fixed, so that a longer burst is a longer log, and
	// no denser one.
	burstMinute = 5
)

// A flood is an input of chunks that are made while they are read, at a fraction of what the services need for them: a
// connector that reads files would be the slowest of all stages, and RAW would never be full.
type flood struct {
	makers [perRead]maker
	until  time.Time
	ended  bool
	sent   int // chunks
}

func newFlood(long time.Duration) *flood {
	f := &flood{until: time.Now().Add(long)}
	for i := range f.makers {
		f.makers[i] = newMaker()
	}
	return f
}

// Info says that it is the same input for ever, and of any length.
func (*flood) Info(context.Context) (runner.Info, error) {
	return runner.Info{ID: "flood", First: 1, Last: 1 << 40}, nil
}

// Read makes the next chunks, all at once, and behind the last one the end.
func (f *flood) Read(_ context.Context, after uint64) ([]runner.Record, error) {
	switch {
	case f.ended:
		return nil, io.EOF
	case time.Now().After(f.until):
		f.ended = true
		subject := schemas.RawSubject(0, string(schemas.EndControl))
		return []runner.Record{{Seq: after + 1, Prev: after, Subject: subject, Body: (&schemas.End{Close: true}).Append(nil)}}, nil
	}
	records := make([]runner.Record, perRead)
	var making sync.WaitGroup
	for i := range records {
		place := after + uint64(i)
		making.Go(func() {
			records[i] = runner.Record{
				Seq: place + 1, Prev: place, Subject: schemas.RawSubject(0, "cloudtrail"), Body: f.makers[i].body(int(place)),
			}
		})
	}
	making.Wait()
	f.sent += perRead
	return records, nil
}

// A maker makes chunks.
type maker struct {
	text   []byte   // of the records of a chunk, whose times, ids and accounts are replaced
	cuts   [][2]int // where each record begins and ends in it
	times  []int    // where they are in text
	ids    []int
	owners []int
	chunk  schemas.Chunk
}

// newMaker makes the template.
func newMaker() (m maker) {
	add := func(text string, places *[]int, value string) {
		m.text = append(m.text, text...)
		*places = append(*places, len(m.text))
		m.text = append(m.text, value...)
	}
	for i := range perChunk {
		from := len(m.text)
		add(`{"eventVersion":"1.09","eventTime":"`, &m.times, "2026-03-02T00:00:00Z")
		add(`","eventID":"`, &m.ids, "00000000-0000-4000-8000-000000000000")
		add(`","recipientAccountId":"`, &m.owners, "510000000000")
		m.text = fmt.Appendf(m.text, `","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::510000000000:user/user%d","userName":"user%d",`+
			`"accessKeyId":"AKIAUSER%dEXAMPLE"},"eventSource":"ec2.amazonaws.com","eventName":"InventedCall%d","awsRegion":%q,`+
			`"sourceIPAddress":"192.0.2.%d","userAgent":"aws-sdk-go/1","requestParameters":{"note":%q},"readOnly":%t,`+
			`"eventType":"AwsApiCall","managementEvent":true,"eventCategory":"Management"}`,
			i%40, i%40, i%40, i*7%burstNames, places[i%2], i%40, padding, i%3 > 0)
		m.cuts = append(m.cuts, [2]int{from, len(m.text)})
	}
	return m
}

// body returns the n-th chunk as it travels, before it is packed.
func (m *maker) body(n int) []byte {
	const room = 16 << 10 // for the lengths of the records
	return m.make(n).Append(make([]byte, 0, len(m.text)+room))
}

// make makes the n-th chunk. It is valid until the next one.
func (m *maker) make(n int) *schemas.Chunk {
	id := fmt.Sprint(510000000000 + n%burstAccounts)
	begin := firstDay.Add(time.Duration(n/burstAccounts) * time.Minute / burstMinute)
	m.chunk.Object = fmt.Sprint("flood ", n)
	m.chunk.Records = m.chunk.Records[:0]
	var word []byte
	for k, cut := range m.cuts {
		word = begin.Add(time.Duration(k)*time.Minute/burstMinute/perChunk).AppendFormat(word[:0], time.RFC3339)
		copy(m.text[m.times[k]:], word)
		word = fmt.Appendf(word[:0], "%08x-%04d", n, k)
		copy(m.text[m.ids[k]:], word)
		copy(m.text[m.owners[k]:], id)
		m.chunk.Records = append(m.chunk.Records, schemas.RawRecord{Offset: int64(cut[0]), Body: m.text[cut[0]:cut[1]]})
	}
	return &m.chunk
}

// feeder is the connector as a process of its own: it offers so many records a second for so long, and says what it has fed.
func feeder(ctx context.Context, url, rate, long string, out io.Writer) error {
	r, err := strconv.ParseFloat(rate, 64)
	if err != nil {
		return err
	}
	most, err := time.ParseDuration(long)
	if err != nil {
		return err
	}
	js, err := connect(ctx, url)
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	f := newFlood(most)
	told, err := put(ctx, js, ingest.NewProcessor(), &braked{Source: f, rate: r * float64(len(f.makers[0].body(0))) / perChunk})
	if err != nil {
		return err
	}
	told.Records = int64(f.sent * perChunk)
	return json.NewEncoder(out).Encode(told)
}

// A sample is what one look at the system found.
type sample struct {
	memory  map[string]int64 // of each process, by name
	streams map[string]int64 // bytes of the streams of each kind, together
}

// A burst is what was offered, and what became of it.
type burst struct {
	offered float64 // records, if the connector had never had to wait
	fed     fed
	counted uint64 // records that METRICS tell of, when everything was worked on
	took    time.Duration
	samples []sample
	limits  map[string]int64 // of the streams of each kind, together
}

// benchBurst offers far more than the services can work on, and demands that they stay as small as they are, and lose nothing.
func (b *bench) benchBurst(ctx context.Context, out io.Writer) error {
	measure := min(time.Minute, max(shortestBurst, b.burst/5))
	fmt.Fprintf(os.Stderr, "burst: the sustained rate, for %s\n", measure)
	before, err := b.offer(ctx, 0, measure)
	if err != nil {
		return err
	}
	rate := float64(before.fed.Records) / before.took.Seconds()
	fmt.Fprintf(os.Stderr, "burst: %d times that rate, for %s\n", burstTimes, b.burst)
	r, err := b.offer(ctx, burstTimes*rate, b.burst)
	if err != nil {
		return err
	}
	return r.print(out, rate)
}

// offer runs all stages as processes beside a connector that has so many records a second, or any number if it is 0, for so
// long, and until everything is worked on.
func (b *bench) offer(ctx context.Context, rate float64, long time.Duration) (r *burst, err error) {
	s, err := b.deploy(ctx, "--lanes", "1", "--partitions", strconv.Itoa(burstPartitions), "--storage-limit", burstStorage)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.narrow(ctx); err != nil {
		return nil, err
	}
	for _, v := range services() {
		if _, err := s.run(v.command, v.command); err != nil {
			return nil, err
		}
	}
	if err := s.balanced(ctx); err != nil {
		return nil, err
	}
	count := &counting{seen: make(map[string]schemas.Number)}
	r = &burst{offered: rate * long.Seconds()}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	connector, err := start("connector", filepath.Join(s.home, "connector.log"), self, feederArg, s.url, strconv.FormatFloat(rate, 'f', 0, 64), long.String())
	if err != nil {
		return nil, err
	}
	s.processes = append(s.processes, connector)
	for connector.running() {
		if err := s.alive(connector); err != nil {
			return nil, err
		}
		if time.Since(begun) > long+drainTime {
			return nil, fmt.Errorf("the connector does not end within %s", drainTime)
		}
		if err := r.look(ctx, s); err != nil {
			return nil, err
		}
		if err := count.read(ctx, s.js); err != nil {
			return nil, err
		}
		if err := sleep(ctx, sampleTime); err != nil {
			return nil, err
		}
	}
	s.forget(connector)
	if r.fed, err = toldBy(connector); err != nil {
		return nil, err
	}
	if err := s.drained(ctx); err != nil {
		return nil, err
	}
	r.took = time.Since(begun)
	if err := count.read(ctx, s.js); err != nil {
		return nil, err
	}
	r.counted = count.events
	return r, nil
}

// narrow makes RAW smaller than its share, so that it is full soon.
func (s *system) narrow(ctx context.Context) error {
	stream, err := s.js.Stream(ctx, tvjetstream.RawStream(0))
	if err != nil {
		return err
	}
	c := stream.CachedInfo().Config
	c.MaxBytes = burstRaw
	_, err = s.js.UpdateStream(ctx, c)
	return err
}

// toldBy reads what a connector has said at its end.
func toldBy(p *process) (f fed, err error) {
	said, err := os.ReadFile(p.log)
	if err != nil {
		return f, err
	}
	lines := bytes.Split(bytes.TrimSpace(said), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &f); err != nil || !p.cmd.ProcessState.Success() {
		return f, p.failure()
	}
	return f, nil
}

// look takes a sample.
func (r *burst) look(ctx context.Context, s *system) error {
	now := sample{make(map[string]int64), make(map[string]int64)}
	for _, p := range append([]*process{s.server}, s.processes...) {
		now.memory[p.name] = p.resident()
	}
	r.limits = make(map[string]int64)
	list := s.js.ListStreams(ctx)
	for info := range list.Info() {
		kind := kindOf(info.Config.Name)
		now.streams[kind] += int64(info.State.Bytes)
		r.limits[kind] += info.Config.MaxBytes
	}
	if err := list.Err(); err != nil {
		return err
	}
	r.samples = append(r.samples, now)
	return nil
}

// counting adds up what METRICS tell, while it is written: when the stream is full, the oldest goes.
type counting struct {
	after  uint64
	seen   map[string]schemas.Number
	events uint64
}

// read reads what has come since.
func (c *counting) read(ctx context.Context, js jetstream.JetStream) error {
	source := tvjetstream.NewSource(js, tvjetstream.MetricsStream, tvjetstream.SourceConfig{})
	defer source.Close()
	source.Drain() // it ends where the stream ends now
	for {
		records, err := source.Read(ctx, c.after)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.Prev != c.after {
				return fmt.Errorf("METRICS has lost what is between %d and %d", c.after, r.Seq)
			}
			c.after = r.Seq
			if n, ok := c.seen[r.Producer]; ok && !n.Less(r.Number) {
				continue
			}
			c.seen[r.Producer] = r.Number
			var m schemas.Metrics
			if err := m.Decode(r.Body); err != nil {
				return err
			}
			c.events += m.Events
		}
	}
}

// quarter returns the median of a figure in one quarter of the time, from 0 on.
func (r *burst) quarter(n int, of func(sample) int64) int64 {
	part := r.samples[len(r.samples)*n/4 : max(len(r.samples)*(n+1)/4, len(r.samples)*n/4+1)]
	return int64(median(part, func(s sample) float64 { return float64(of(s)) }))
}

func (r *burst) most(of func(sample) int64) int64 {
	return of(slices.MaxFunc(r.samples, func(a, b sample) int { return cmp.Compare(of(a), of(b)) }))
}

// print writes the tables, and returns an error if a promise is broken.
func (r *burst) print(out io.Writer, rate float64) error {
	if len(r.samples) < 4 {
		return fmt.Errorf("only %d looks at the system", len(r.samples))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	good := true
	check := func(ok bool) string {
		good = good && ok
		return verdict(ok)
	}
	const mb = 1e6
	fmt.Fprintf(w, "burst of %d times the sustained rate of %.0f records/s\n", burstTimes, rate)
	fmt.Fprintf(w, "\nmemory, MB\tmost\tmedian of the first quarter\tsecond\tthird\tlast\tlast / second\tgoal\t\n")
	var names []string
	for name := range r.samples[0].memory {
		names = append(names, name)
	}
	slices.Sort(names)
	services := func(s sample) (sum int64) {
		for name, n := range s.memory {
			if name != "nats-server" {
				sum += n
			}
		}
		return sum
	}
	line := func(name string, of func(sample) int64) {
		second, last := r.quarter(1, of), r.quarter(3, of)
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t≤ %.1f\t%s\n", name, float64(r.most(of))/mb, float64(r.quarter(0, of))/mb,
			float64(second)/mb, float64(r.quarter(2, of))/mb, float64(last)/mb, float64(last)/float64(second), goalGrowth,
			check(float64(last) <= goalGrowth*float64(second)+growthSlack))
	}
	for _, name := range names {
		line(name, func(s sample) int64 { return s.memory[name] })
	}
	line("services together", services)
	fmt.Fprintf(w, "services, at most, MB\t%.0f\t\t\t\t\t\t≤ %.0f\t%s\n", float64(r.most(services))/mb, float64(goalMemory)/mb,
		check(r.most(services) <= goalMemory))

	fmt.Fprintf(w, "\nstreams, MB\tmost\tlimit\t\n")
	for _, kind := range slices.Sorted(maps.Keys(r.limits)) {
		most := r.most(func(s sample) int64 { return s.streams[kind] })
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%s\n", kind, float64(most)/mb, float64(r.limits[kind])/mb, check(most <= r.limits[kind]))
	}
	full := 0
	for _, s := range r.samples {
		if s.streams["RAW"] > r.limits["RAW"]*9/10 {
			full++
		}
	}
	// A burst that RAW could hold has shown nothing.
	fmt.Fprintf(w, "RAW was full\tin %d %% of the looks\t> 0\t%s\n", 100*full/len(r.samples), check(full > 0))
	fmt.Fprintf(w, "\nrecords\t\n")
	fmt.Fprintf(w, "offered\t%.0f\n", r.offered)
	fmt.Fprintf(w, "fed, in %.0f s, %.0f %% of it in puts, which wait while RAW is full\t%d\n", r.fed.Took.Seconds(),
		100*r.fed.Putting.Seconds()/r.fed.Took.Seconds(), r.fed.Records)
	fmt.Fprintf(w, "counted at the end, after %.0f s\t%d\t%s\n", r.took.Seconds(), r.counted, check(r.counted == uint64(r.fed.Records)))
	if err := w.Flush(); err != nil {
		return err
	}
	if !good {
		return errors.New("a promise is broken")
	}
	return nil
}
