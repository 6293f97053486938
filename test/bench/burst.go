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
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trailvane/trailvane/pipeline/ingest"
	tvjetstream "github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/schemas"
)

const (
	shortestBurst   = 10 * time.Second
	burstTimes      = 20      // the sustained rate
	burstStorage    = "700MB" // of the deployment: about the least that it can have, so that RAW is full in seconds
	burstPartitions = 4
	goalGrowth      = 1.2         // of the median memory of a process in the last quarter, to that in the second
	growthSlack     = 16 << 20    // bytes, which the steps of a garbage collector are
	goalMemory      = int64(12e8) // bytes, of all services together, at any time
	sampleTime      = time.Second

	perObject     = 10_000 // records
	burstAccounts = 8
	burstNames    = 60
	// burstPace is event time that an object covers; it is fixed, so that a longer burst is a longer log, and no denser one.
	burstPace = 10 * time.Minute
)

// backlog is a connector of a log that is made while it is read: as long as need be, of the same bytes each time.
type backlog struct {
	objects int
	text    []byte // of one object, whose times, ids, account and region are replaced
	times   []int  // where the time of each record is in text, then the other things that differ
	ids     []int
	owners  []int
}

const (
	timeText  = "2026-03-02T00:00:00Z"
	idText    = "00000000-0000-4000-8000-000000000000"
	ownerText = "510000000000"
)

// newBacklog makes the template.
func newBacklog(objects int) *backlog {
	b := &backlog{objects: objects}
	b.text = append(b.text, `{"Records":[`...)
	add := func(text string, places *[]int, value string) {
		b.text = append(b.text, text...)
		*places = append(*places, len(b.text))
		b.text = append(b.text, value...)
	}
	for i := range perObject {
		if i > 0 {
			b.text = append(b.text, ',')
		}
		add(`{"eventVersion":"1.09","eventTime":"`, &b.times, timeText)
		add(`","eventID":"`, &b.ids, idText)
		add(`","recipientAccountId":"`, &b.owners, ownerText)
		b.text = fmt.Appendf(b.text, `","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::510000000000:user/user%d","userName":"user%d",`+
			`"accessKeyId":"AKIAUSER%dEXAMPLE"},"eventSource":"ec2.amazonaws.com","eventName":"InventedCall%d","awsRegion":%q,`+
			`"sourceIPAddress":"192.0.2.%d","userAgent":"aws-sdk-go/1","requestParameters":{"note":%q},"readOnly":%t,`+
			`"eventType":"AwsApiCall","managementEvent":true,"eventCategory":"Management"}`,
			i%40, i%40, i%40, i*7%burstNames, places[i%2], i%40, padding, i%3 > 0)
	}
	b.text = append(b.text, "]}"...)
	return b
}

// Name names the connector.
func (*backlog) Name() string { return "bench" }

// List lists the objects.
func (b *backlog) List(context.Context) iter.Seq2[ingest.Object, error] {
	return func(yield func(ingest.Object, error) bool) {
		for i := range b.objects {
			name := b.name(i)
			if !yield(ingest.Object{Name: name, Size: int64(len(b.text)), Tag: name}, nil) {
				return
			}
		}
	}
}

func (b *backlog) account(i int) string { return fmt.Sprint(510000000000 + i%burstAccounts) }

func (b *backlog) begin(i int) time.Time {
	return firstDay.Add(time.Duration(i/burstAccounts) * burstPace)
}

func (b *backlog) name(i int) string {
	id, at := b.account(i), b.begin(i).Add(burstPace)
	return fmt.Sprintf("AWSLogs/%s/CloudTrail/%s/%s/%s_CloudTrail_%s_%s_%08d.json",
		id, places[0], at.Format("2006/01/02"), id, places[0], at.Format("20060102T1504Z"), i)
}

// Open makes an object.
func (b *backlog) Open(_ context.Context, o ingest.Object) (io.ReadCloser, error) {
	_, number, _ := strings.Cut(strings.TrimSuffix(o.Name, ".json"), "Z_")
	i, err := strconv.Atoi(number)
	if err != nil || b.name(i) != o.Name {
		return nil, errNoObject
	}
	text := bytes.Clone(b.text)
	id, begin := b.account(i), b.begin(i)
	var word []byte
	for k := range perObject {
		at := begin.Add(time.Duration(k) * burstPace / perObject)
		word = at.AppendFormat(word[:0], time.RFC3339)
		copy(text[b.times[k]:], word)
		copy(text[b.ids[k]:], fmt.Appendf(word[:0], "%08d", i))
		copy(text[b.ids[k]+len(idText)-8:], fmt.Appendf(word[:0], "%08d", k))
		copy(text[b.owners[k]:], id)
	}
	return io.NopCloser(bytes.NewReader(text)), nil
}

// feeder is the connector as a process of its own: it reads a backlog of so many objects for so long, or to its end, and says
// what it has fed.
func feeder(ctx context.Context, url, objects, long string, out io.Writer) error {
	n, err := strconv.Atoi(objects)
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
	f := feeding{connector: newBacklog(n), settings: schemas.DefaultSettings(), stop: make(chan struct{})}
	timer := time.AfterFunc(most, func() { close(f.stop) })
	defer timer.Stop()
	told, err := ingestAll(ctx, js, f)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(told)
}

// A sample is what one look at the system found.
type sample struct {
	memory  map[string]int64 // of each process, by name
	streams map[string]int64 // bytes of the streams of each kind, together
}

// A burst is what was offered, and what became of it.
type burst struct {
	offered int64 // records
	fed     fed
	counted uint64 // records that METRICS tell of, when everything was worked on
	took    time.Duration
	samples []sample
	limits  map[string]int64 // of the streams of each kind, together
}

// benchBurst offers far more than the services can work on, and demands that they stay as small as they are, and lose nothing.
func (b *bench) benchBurst(ctx context.Context, out io.Writer) error {
	const fastest = 1_000_000 // records a second, more than any machine of ours can
	measure := min(time.Minute, max(shortestBurst, b.burst/5))
	fmt.Fprintf(os.Stderr, "burst: the sustained rate, for %s\n", measure)
	before, err := b.offer(ctx, int(measure.Seconds()*fastest)/perObject, measure)
	if err != nil {
		return err
	}
	rate := float64(before.fed.Records) / before.took.Seconds()
	objects := int(burstTimes*rate*b.burst.Seconds())/perObject + 1
	fmt.Fprintf(os.Stderr, "burst: %d times that rate, for %s\n", burstTimes, b.burst)
	r, err := b.offer(ctx, objects, b.burst)
	if err != nil {
		return err
	}
	return r.print(out, rate)
}

// offer runs all stages as processes beside a connector that has so many objects to read, for so long, and until everything
// is worked on.
func (b *bench) offer(ctx context.Context, objects int, long time.Duration) (r *burst, err error) {
	s, err := b.deploy(ctx, "--lanes", "1", "--partitions", strconv.Itoa(burstPartitions), "--storage-limit", burstStorage)
	if err != nil {
		return nil, err
	}
	defer s.close()
	for _, v := range services() {
		if _, err := s.run(v.command, v.command); err != nil {
			return nil, err
		}
	}
	if err := s.balanced(ctx); err != nil {
		return nil, err
	}
	count := &counting{seen: make(map[string]schemas.Number)}
	r = &burst{offered: int64(objects) * perObject}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	connector, err := start("connector", filepath.Join(s.home, "connector.log"), self, feederArg, s.url, strconv.Itoa(objects), long.String())
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
	fmt.Fprintf(w, "\nrecords\t\n")
	fmt.Fprintf(w, "there were\t%d\n", r.offered)
	fmt.Fprintf(w, "fed, in %.0f s, in %.0f %% of which the connector waited for RAW\t%d\n", r.fed.Took.Seconds(),
		100*r.fed.Full.Seconds()/r.fed.Took.Seconds(), r.fed.Records)
	fmt.Fprintf(w, "counted at the end, after %.0f s\t%d\t%s\n", r.took.Seconds(), r.counted, check(r.counted == uint64(r.fed.Records)))
	if err := w.Flush(); err != nil {
		return err
	}
	if !good {
		return errors.New("a promise is broken")
	}
	return nil
}
