package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
)

// securedServer runs a server that knows the roles of 'trailvane credentials', and returns its URL and the folder of credentials.
func securedServer(t *testing.T) (url, folder string) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "credentials")
	if r := run(t, nil, "credentials", "--regions", "eu-central-1", folder); r.code != 0 {
		t.Fatalf("credentials: exit %d\n%s", r.code, r.err)
	} else if r.err != "" {
		t.Errorf("it warns of a folder that it has made: %s", r.err)
	}
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if r := run(t, nil, "credentials", folder); r.code != 0 || !strings.Contains(r.err, "chmod 700") {
		t.Errorf("in a folder that others can enter: exit %d, %q", r.code, r.err)
	}
	s := jetstreamtest.Start(t, func(o *server.Options) {
		if err := o.ProcessConfigFile(filepath.Join(folder, "nats-auth.conf")); err != nil {
			t.Fatal(err)
		}
	})
	return "nats://" + s.Addr().String(), folder
}

// Every service works with its own credentials, and does nothing that they do not allow. So do the commands that people use.
func TestCredentials(t *testing.T) {
	url, folder := securedServer(t)
	as := func(role string) []string {
		return []string{"--nats", url, "--creds", filepath.Join(folder, role+".creds")}
	}
	command := func(role string, args ...string) result {
		t.Helper()
		r := run(t, nil, append(args, as(role)...)...)
		if strings.Contains(strings.ToLower(r.err), "permissions violation") {
			t.Errorf("%s as %s:\n%s", args, role, r.err)
		}
		return r
	}
	if r := command("admin", "deploy", "--partitions", "2", "--lanes", "2"); r.code != 0 {
		t.Fatalf("deploy: exit %d\n%s", r.code, r.err)
	}
	var services []*serving
	start := func(role string, args ...string) { services = append(services, serve(t, append(args, as(role)...)...)) }
	start("ingest", "ingest", "--poll", "500ms", "--http", fmt.Sprintf("127.0.0.1:%d", freePort(t)), company)
	for _, stage := range []string{"normalizer", "aggregator", "pairer"} {
		start(stage, stage)
	}
	for _, name := range []string{"ak", "apicallrate", "apierrorrate", "ip", "passwordchange", "policychange", "trailconcealment"} {
		start("detector-"+name, "detector", "--type", name)
	}
	for _, s := range services {
		s.ready(t)
	}
	got := published(t, url, starts(t, "3"), nats.UserCredentials(filepath.Join(folder, "viewer.creds")), nats.CustomInboxPrefix("_INBOX.viewer"))
	compareAnalyze(t, got)
	last := ""
	within(t, "status as viewer", func() bool {
		r := command("viewer", "status")
		last = r.out + r.err
		return r.code == 0
	}, &last)
	for _, args := range [][]string{{"dead", "list"}, {"readers", "list"}} {
		if r := command("viewer", args...); r.code != 0 {
			t.Errorf("%s as viewer: exit %d\n%s", args, r.code, r.err)
		}
	}
	for _, s := range services {
		if m := s.metrics(t); sum(m, "trailvane_stream_limit_bytes") == 0 && s.Args[1] != "ingest" {
			t.Errorf("%s tells nothing of its streams", s.Args[1:])
		}
		s.stop(t)
		if strings.Contains(strings.ToLower(s.err.String()), "permissions violation") {
			t.Errorf("%s wanted more than its credentials allow:\n%s", s.Args[1:], s.err.String())
		}
	}
}
