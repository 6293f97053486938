package credentials

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trailvane/trailvane/pipeline/jetstream/jetstreamtest"
)

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	hosts := []string{"nats", "localhost", "127.0.0.1"}
	now := time.Now()
	wrote, err := MakeTLS(dir, hosts, now)
	if want := []string{CAFile, "keys/ca-key.pem", CertKeyFile, CertFile}; err != nil || !slices.Equal(wrote, want) {
		t.Fatalf("wrote %v, %v; want %v", wrote, err, want)
	}
	for _, c := range []struct {
		why   string
		hosts []string
		after time.Duration
		wrote int
	}{
		{"nothing has changed", hosts, 0, 0},
		{"fewer hosts", hosts[:1], 0, 0},
		{"another host", append(hosts, "nats-2"), 0, 2},
		{"it ends soon", hosts, certTime - renewTime + time.Hour, 2},
	} {
		if wrote, err := MakeTLS(dir, c.hosts, now.Add(c.after)); err != nil || len(wrote) != c.wrote {
			t.Errorf("%s: wrote %v, %v", c.why, wrote, err)
		}
	}
	if wrote, err = MakeTLS(dir, append(hosts, "nats-3"), now); err != nil || len(wrote) != 2 {
		t.Fatal(wrote, err)
	}

	file := filepath.Join(dir, "server.conf")
	config := fmt.Sprintf("tls { cert_file: %q, key_file: %q }\n", filepath.Join(dir, CertFile), filepath.Join(dir, CertKeyFile))
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := jetstreamtest.Start(t, func(o *server.Options) {
		if err := o.ProcessConfigFile(file); err != nil {
			t.Fatal(err)
		}
	})
	url := "tls://" + s.Addr().String()
	nc, err := nats.Connect(url, nats.RootCAs(filepath.Join(dir, CAFile)))
	if err != nil {
		t.Fatalf("with the deployment's authority: %v", err)
	}
	nc.Close()
	if nc, err := nats.Connect(url); err == nil {
		nc.Close()
		t.Error("a client that does not know the authority trusts the server")
	}
	other := t.TempDir()
	if _, err := MakeTLS(other, hosts, now); err != nil {
		t.Fatal(err)
	}
	if nc, err := nats.Connect(url, nats.RootCAs(filepath.Join(other, CAFile))); err == nil {
		nc.Close()
		t.Error("a client of another authority trusts the server")
	}
}
