package credentials

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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

var clusterBlock = regexp.MustCompile(`(?ms)^cluster \{.*^\}`)

// Servers of deploy/nats/cluster.conf let each other in by their certificates, and nobody else.
func TestRoutes(t *testing.T) {
	shipped, err := os.ReadFile("../../../deploy/nats/cluster.conf")
	if err != nil {
		t.Fatal(err)
	}
	block := clusterBlock.FindString(string(shipped))
	folder := func() string {
		dir := t.TempDir()
		if _, err := MakeTLS(dir, []string{"127.0.0.1"}, time.Now()); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	// node runs a server with the secrets of a folder, which knows the first of its cluster. Without certificates it speaks plainly.
	node := func(dir, first string, certificates bool) *server.Server {
		t.Helper()
		config := strings.NewReplacer("/etc/nats-secrets", dir, "0.0.0.0:6222", "127.0.0.1:-1").Replace(block)
		config = regexp.MustCompile(`routes: .*`).ReplaceAllString(config, "routes: ["+first+"]")
		if !certificates {
			config = regexp.MustCompile(`(?s)tls \{.*?\}`).ReplaceAllString(config, "")
		}
		file := filepath.Join(t.TempDir(), "cluster.conf")
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		return jetstreamtest.Start(t, func(o *server.Options) {
			if err := o.ProcessConfigFile(file); err != nil {
				t.Fatal(err)
			}
			o.Host, o.Port, o.JetStream = "127.0.0.1", -1, false
		})
	}
	own, other := folder(), folder()
	a := node(own, "", true)
	first := (&url.URL{Scheme: "nats", Host: a.ClusterAddr().String()}).String()
	plain, stranger, b := node(own, first, false), node(other, first, true), node(own, first, true)
	for b.NumRoutes() == 0 || a.NumRoutes() == 0 { // until the test's time is up
		<-time.After(10 * time.Millisecond)
	}
	<-time.After(2 * time.Second) // the others try again every second
	if plain.NumRoutes() != 0 || stranger.NumRoutes() != 0 || a.NumRemotes() != 1 {
		t.Errorf("routes of a server without certificate: %d, with that of another authority: %d; the first one knows %d others", plain.NumRoutes(),
			stranger.NumRoutes(), a.NumRemotes())
	}
}
