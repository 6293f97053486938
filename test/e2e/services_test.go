package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/tidwall/gjson"

	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/ingest/objects/objectstest"
	"github.com/trailvane/trailvane/test/ports"
)

// freePort returns a port of 127.0.0.1 that nobody uses now.
func freePort(t *testing.T) int {
	t.Helper()
	port, err := ports.Free()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// natsServer runs a server until the test ends, and returns its URL.
func natsServer(t *testing.T) string {
	t.Helper()
	return jetstreamtest.Start(t, nil).ClientURL()
}

// A serving is a run of a service with a port for its health.
type serving struct {
	*running
	health string
}

func serve(t *testing.T, args ...string) *serving {
	t.Helper()
	listen := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	return &serving{start(t, nil, append(args, "--listen", listen)...), "http://" + listen}
}

// ready waits until a service is.
func (s *serving) ready(t *testing.T) {
	t.Helper()
	last := ""
	within(t, s.Args[1]+" is ready", func() bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.health+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			last = err.Error()
			return false
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		last = string(body)
		return answer.StatusCode == http.StatusOK
	}, &last)
}

// stop tells a service to stop, which it does soon and without an error.
func (s *serving) stop(t *testing.T) {
	t.Helper()
	begun := time.Now()
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r := s.end(t)
	if took := time.Since(begun); r.code != 0 || took > 10*time.Second {
		t.Errorf("%s: exit %d after %s, want 0 soon\n%s", s.Args[1], r.code, took, r.err)
	}
	for line := range strings.Lines(r.err) {
		if level := gjson.Get(line, "level").String(); level != "INFO" && level != "WARN" {
			t.Errorf("%s logs %s", s.Args[1], line)
		}
	}
}

// within waits for a condition, and tells what was last if it does not come.
func within(t *testing.T, what string, condition func() bool, last *string) {
	t.Helper()
	deadline := time.NewTimer(50 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not in time: %s: %s", what, *last)
		}
	}
}

// published returns all insight events of a deployment by subject, which names each once, as soon as those that are wanted are
// among them.
func published(t *testing.T, url string, want map[string]string, options ...nats.Option) map[string]string {
	t.Helper()
	options = append(options, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	defer cancel()
	all := make(map[string]string)
	missing := maps.Clone(want)
	consumer, err := js.OrderedConsumer(ctx, "INSIGHTS", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("%v: missing are\n%s", err, strings.Join(slices.Sorted(maps.Values(missing)), "\n"))
		}
		e := gjson.ParseBytes(m.Data())
		id := e.Get("eventId").String()
		if _, twice := all[id]; twice {
			t.Errorf("published twice: %s", told(e))
		}
		all[id] = told(e)
		delete(missing, id)
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		if len(missing) == 0 && meta.NumPending == 0 {
			return all
		}
	}
}

// told tells an insight event with its time and statistics.
func told(e gjson.Result) string {
	return e.Get("eventTime").String() + " " + inWords(e.Raw)[0] + " " + e.Get("insightDetails.insightContext.statistics").Raw
}

// starts returns the Start events that analyze finds in the company before a time, by id.
func starts(t *testing.T, before string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, e := range found(t) {
		if e.Get("insightDetails.state").String() == "Start" && e.Get("eventTime").String() < before {
			all[e.Get("eventId").String()] = told(e)
		}
	}
	if len(all) == 0 {
		t.Fatal("analyze finds nothing to compare with")
	}
	return all
}

// compareAnalyze compares what services published with what analyze finds in the same logs. Only analyze knows that its input
// ends; so services publish the same Starts, and of the Ends those that need no end of the input, which are no others.
func compareAnalyze(t *testing.T, published map[string]string) {
	t.Helper()
	all := make(map[string]string)
	for _, e := range found(t) {
		all[e.Get("eventId").String()] = told(e)
	}
	for id, is := range published {
		if all[id] != is {
			t.Errorf("published: %s\nanalyze finds: %s", is, all[id])
		}
	}
	for id, want := range starts(t, "3") {
		if _, ok := published[id]; !ok {
			t.Errorf("not published: %s", want)
		}
	}
}

// putByHand puts what no stage would put into the streams of some subjects.
func putByHand(t *testing.T, url string, subjects ...string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range subjects {
		for _, sender := range []string{"", "no number", "somebody.0.g0 18446744073709551615.0"} {
			m := nats.NewMsg(subject)
			m.Data = []byte("hello")
			if sender != "" {
				m.Header["Tv"] = []string{sender}
			}
			if _, err := js.PublishMsg(t.Context(), m); err != nil {
				t.Fatalf("%s: %v", subject, err)
			}
		}
	}
}

// Every stage is a process of its own, all started before there is a deployment. They publish what analyze finds, whatever somebody
// else puts into their streams.
func TestEveryStageAProcess(t *testing.T) {
	url := natsServer(t)
	services := []*serving{
		serve(t, "ingest", "--nats", url, "--poll", "500ms", company),
		serve(t, "normalizer", "--nats", url),
		serve(t, "aggregator", "--nats", url),
		serve(t, "detector", "--nats", url, "--type", "ip,ak"),
		serve(t, "detector", "--nats", url, "--type", "ApiCallRate,ApiErrorRate,PasswordChange,PolicyChange,TrailConcealment"),
		serve(t, "pairer", "--nats", url),
	}
	r := run(t, nil, "deploy", "--nats", url, "--partitions", "4", "--lanes", "2")
	if r.code != 0 || !strings.Contains(r.out, "deployed: 4 partitions, 2 lanes, learning 24h, lateness 15m") {
		t.Fatalf("deploy: exit %d\n%s%s", r.code, r.out, r.err)
	}
	for p := range 4 {
		putByHand(t, url, schemas.EventsSubject(p, "eu-central-1"), schemas.WindowsSubject(p, "eu-central-1", schemas.CountsPane),
			schemas.FindingsSubject(p, "eu-central-1", schemas.IP))
	}
	for _, s := range services {
		s.ready(t)
	}
	if r := run(t, nil, "deploy", "--nats", url); r.code != 0 || !strings.Contains(r.out, "deployed: 4 partitions, 2 lanes") {
		t.Errorf("deploy again: exit %d\n%s%s", r.code, r.out, r.err)
	}
	for _, args := range [][]string{{"pairer"}, {"deploy"}} {
		r := run(t, nil, append(args, "--nats", url, "--partitions", "8")...)
		if r.code != 1 || !strings.Contains(r.err, "--partitions=4, not 8") {
			t.Errorf("%s with other partitions: exit %d\n%s", args, r.code, r.err)
		}
	}
	got := published(t, url, starts(t, "3"))
	for _, s := range services {
		s.stop(t)
	}
	compareAnalyze(t, got)
}

// serve works on a store of its own, is stopped, and goes on where it was when there is more to read.
func TestServe(t *testing.T) {
	const lastDay = "2026-03-11"
	logs, store := t.TempDir(), filepath.Join(t.TempDir(), "store")
	deliver(t, logs, func(day string) bool { return day < lastDay })
	port := freePort(t)
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	args := []string{"serve", "--store", store, "--port", fmt.Sprint(port), "--partitions", "2", "--poll", "500ms", "--sync", "10s", logs}
	s := serve(t, args...)
	s.ready(t)
	before := published(t, url, starts(t, lastDay))
	if second := run(t, nil, args...); second.code != 1 || !strings.Contains(second.err, "in use by another process") {
		t.Errorf("a second one on the store: exit %d\n%s", second.code, second.err)
	}
	s.stop(t)

	deliver(t, logs, func(day string) bool { return day >= lastDay })
	s = serve(t, args...)
	s.ready(t)
	got := published(t, url, starts(t, "3"))
	s.stop(t)
	compareAnalyze(t, got)
	for id, was := range before {
		if diff := cmp.Diff(was, got[id]); diff != "" {
			t.Errorf("published before and changed (−before +after):\n%s", diff)
		}
	}
}

// serve follows an object store: history, then what is put there while it runs, or while it is dead.
func TestServeFollowsStore(t *testing.T) {
	const lastDay = "2026-03-11"
	bucket := objectstest.New(t, "logs")
	put := func(name, path string) error {
		body, err := os.ReadFile(path)
		if err == nil {
			bucket.Put("logs", "company/"+filepath.ToSlash(name), string(body))
		}
		return err
	}
	deliverBy(t, put, func(day string) bool { return day < lastDay })
	port := freePort(t)
	url := fmt.Sprintf("nats://127.0.0.1:%d", port)
	args := []string{"serve", "--store", filepath.Join(t.TempDir(), "store"), "--port", fmt.Sprint(port), "--partitions", "2", "--poll", "500ms",
		"--sync", "10s", "--object-endpoint", bucket.URL, "s3://logs/company/"}
	s := serve(t, args...)
	s.ready(t)
	published(t, url, starts(t, lastDay))
	deliverBy(t, put, func(day string) bool { return day >= lastDay })
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.Wait() // killed
	s = serve(t, args...)
	s.ready(t)
	got := published(t, url, starts(t, "3"))
	s.stop(t)
	compareAnalyze(t, got)
}

// deliver links the files of the company of some days into a folder.
func deliver(t *testing.T, to string, wanted func(day string) bool) {
	t.Helper()
	deliverBy(t, func(name, path string) error {
		target := filepath.Join(to, name)
		return errors.Join(os.MkdirAll(filepath.Dir(target), 0o755), os.Link(path, target))
	}, wanted)
}

// deliverBy hands out the files of the company of some days, which their folders are named by: …/2026/03/11/….
func deliverBy(t *testing.T, put func(name, path string) error, wanted func(day string) bool) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(company, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(company, path)
		if err != nil {
			return err
		}
		parts := strings.Split(filepath.ToSlash(name), "/")
		if len(parts) < 4 {
			return fmt.Errorf("%s has no day", name)
		}
		if !wanted(strings.Join(parts[len(parts)-4:len(parts)-1], "-")) {
			return nil
		}
		n++
		return put(name, path)
	})
	if err != nil || n == 0 {
		t.Fatalf("%d files, %v", n, err)
	}
}
