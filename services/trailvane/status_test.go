package main

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/pipeline/jetstream"
	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
	"github.com/trailvane/trailvane/pipeline/runner"
	"github.com/trailvane/trailvane/schemas"
	"github.com/trailvane/trailvane/services/internal/broker"
	"github.com/trailvane/trailvane/services/internal/dead"
	"github.com/trailvane/trailvane/services/internal/status"
)

// serverWithLetters runs a server on a free port. If it is deployed, its DEAD holds a letter of ingest and two of the normalizer,
// of which the last can be replayed.
func serverWithLetters(t *testing.T, deployed bool) (url string) {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{
		Dir: jetstreamtest.Dir(t), Host: "127.0.0.1", Port: -1, MaxStore: 1 << 40, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Shutdown)
	url = b.ClientURL()
	if !deployed {
		return url
	}
	if code, _, errOut := commandLine(t, "deploy", "--nats", url, "--partitions", "1", "--lanes", "1"); code != exitOK {
		t.Fatalf("deploy: exit %d, %s", code, errOut)
	}
	js, err := b.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	defer js.Conn().Close()
	sink, err := jetstream.NewSink(js)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	good := `{"eventVersion":"1.08","userIdentity":{"type":"Root","accountId":"123456789012","arn":"arn:aws:iam::123456789012:root"},` +
		`"eventTime":"2026-01-07T05:40:00Z","eventSource":"ec2.amazonaws.com","eventName":"StopInstances","awsRegion":"eu-west-1",` +
		`"sourceIPAddress":"192.0.2.1","eventID":"e","eventType":"AwsApiCall","recipientAccountId":"123456789012"}`
	for i, l := range []schemas.DeadLetter{
		{Stage: "ingest", Object: "a.gz", Size: -1, Reason: "corrupt", Error: "broken"},
		{Stage: "normalizer", Object: "b\x1b[2J.json", Size: 3, Reason: "malformed", Error: "no \x1b]0;x\a record", Raw: []byte("{\x1b}")},
		{Stage: "normalizer", Object: "c.json", Size: int64(len(good)), Reason: "future", Error: "too early", Raw: []byte(good)},
	} {
		o := runner.Output{
			Subject: schemas.DeadSubject(l.Stage), Body: l.Append(nil),
			Producer: runner.Producer(l.Stage, "0", "", 0), Number: schemas.Number{Seq: uint64(i + 1)},
		}
		if _, err := sink.Put(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return url
}

func TestStatusCommand(t *testing.T) {
	url := serverWithLetters(t, false)
	code, out, errOut := commandLine(t, "status", "--nats", url)
	if code != exitAttention || !strings.HasPrefix(out, "nothing here: ") || errOut != "" {
		t.Errorf("nothing deployed: exit %d, %q, %q", code, out, errOut)
	}

	url = serverWithLetters(t, true)
	code, out, _ = commandLine(t, "status", "--nats", url)
	if code != exitAttention || !strings.HasPrefix(out, "needs attention: nobody works on normalizer; ") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d, %q", code, out)
	}
	code, out, _ = commandLine(t, "status", "--nats", url, "--json")
	var s status.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != exitAttention || s.Healthy || s.Dead.Total != 3 || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d, %v: %s", code, err, out)
	}

}

// A command that ends does not wait for a server for ever.
func TestNoServer(t *testing.T) {
	for _, args := range []string{
		"status", "dead list", "dead purge 1", "readers list", "readers enable a", "backup FOLDER", "restore FOLDER", "deploy",
	} {
		args := strings.Fields(strings.ReplaceAll(args, "FOLDER", filepath.Join(t.TempDir(), "backup")))
		code, _, errOut := commandLine(t, append(args, "--nats", "nats://127.0.0.1:1", "--timeout", "50ms")...)
		if code != exitFailed || !strings.Contains(errOut, "did not answer within 50ms") {
			t.Errorf("%s: exit %d, %q", args, code, errOut)
		}
	}
}

func TestDeadCommands(t *testing.T) {
	url := serverWithLetters(t, true)
	run := func(wantCode int, want string, args ...string) string {
		t.Helper()
		code, out, errOut := commandLine(t, append(append([]string{"dead"}, args...), "--nats", url)...)
		if text := out + errOut; code != wantCode || !strings.Contains(text, want) {
			t.Errorf("dead %s: exit %d, want %d and %q in %q", strings.Join(args, " "), code, wantCode, want, text)
		} else if strings.Contains(text, "\x1b") && !strings.Contains(strings.Join(args, " "), "--raw") {
			t.Errorf("dead %s: not escaped: %q", strings.Join(args, " "), text)
		}
		return out
	}
	if out := run(exitOK, `b\x1b[2J.json`, "list"); strings.Count(out, "\n") != 4 {
		t.Errorf("got list %s", out)
	}
	out := run(exitOK, `"reason":"malformed"`, "list", "--reason", "malformed", "--stage", "normalizer", "--since", "1h", "--json")
	var v dead.View
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Letter != 2 || v.Lane == nil || *v.Lane != 0 {
		t.Errorf("got %+v, %v", v, err)
	}
	run(exitOK, "No dead letters.", "list", "--stage", "ingest", "--reason", "malformed")
	run(exitOK, `{\x1b}`, "show", "2")
	if out := run(exitOK, "{\x1b}", "show", "2", "--raw"); out != "{\x1b}" {
		t.Errorf("got record %q", out)
	}
	run(exitFailed, "there is no letter 9", "show", "9")

	run(exitUsage, "name letters, or select them", "replay")
	run(exitAttention, "1 could be replayed; nothing was changed, 2 cannot be", "replay", "1", "2", "3", "--dry-run")
	run(exitOK, "letter 3 replayed into lane 0 as cloudtrail; events: 1, from 2026-01-07T05:40:00Z", "replay", "--reason", "future")
	run(exitAttention, "letter 3 is not there", "replay", "3")

	run(exitUsage, "one of these", "purge")
	run(exitUsage, "one of these", "purge", "1", "--all")
	run(exitUsage, "say --yes", "purge", "--all")
	t.Setenv("TRAILVANE_YES", "true")
	run(exitUsage, "say --yes", "purge", "--all")
	t.Setenv("TRAILVANE_ALL", "true")
	run(exitUsage, "one of these", "purge")
	run(exitOK, "2 dead letters would be taken away", "purge", "--all", "--dry-run")
	run(exitOK, "no dead letter is selected", "purge", "--older-than", "1h", "--yes")
	run(exitOK, "1 dead letter taken away", "purge", "1", "--yes")
	run(exitOK, "1 dead letter taken away", "purge", "--stage", "normalizer", "--yes")
	run(exitOK, "No dead letters.", "list")
}
