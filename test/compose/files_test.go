package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/trailvane/trailvane/pipeline/detect/all"
)

// A container is one service of the compose file, with what it has from others merged in.
type container struct {
	Image       string
	Command     []string
	Profiles    []string
	Environment map[string]string
	Ports       []string
	Volumes     []string
	Secrets     []secret
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	SecurityOpt []string `yaml:"security_opt"`
	Restart     string
	Privileged  bool
	User        string
	Healthcheck struct{ Disable bool }
}

// A secret is named, or a source and where it is mounted.
type secret struct{ source, target string }

func (s *secret) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		s.source, s.target = n.Value, n.Value
		return nil
	}
	var long struct{ Source, Target string }
	err := n.Decode(&long)
	s.source, s.target = long.Source, long.Target
	return err
}

type composeFile struct {
	Services map[string]container
	Secrets  map[string]struct{ File string }
	Volumes  map[string]any
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	content, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c composeFile
	if err := yaml.Unmarshal(content, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// Every stage has its container, every detector one of its own, with the secrets of its role and no others.
func TestServicesAndSecrets(t *testing.T) {
	c := readCompose(t)
	want := map[string][]string{ // role and further secrets, by service
		"deploy": {"admin"}, "admin": {"admin"}, "trailvane": {"viewer"}, "ingest": {"ingest", "http-tokens"},
		"normalizer": {"normalizer"}, "aggregator": {"aggregator"}, "pairer": {"pairer"}, "nats": nil, "nats-2": nil, "nats-3": nil,
	}
	secrets := []string{"admin", "viewer", "ingest", "normalizer", "aggregator", "pairer", "http-tokens", "nats-ca"}
	for typ := range all.Detectors() {
		short := strings.ToLower(strings.TrimSuffix(string(typ), "Insight"))
		name := "detector-" + short
		want[name] = []string{name}
		secrets = append(secrets, name)
		if command := strings.Join(c.Services[name].Command, " "); command != "detector --type "+short {
			t.Errorf("%s runs %q", name, command)
		}
	}
	for name, s := range c.Services {
		own, known := want[name]
		if !known {
			if slices.Contains(s.Profiles, "observability") {
				continue
			}
			t.Errorf("what is service %s?", name)
		}
		var has []string
		for _, secret := range s.Secrets {
			has = append(has, secret.source)
			if role := secret.target == "creds"; role != (len(own) > 0 && secret.source == own[0]) {
				t.Errorf("%s has secret %s as %s", name, secret.source, secret.target)
			}
		}
		if len(own) > 0 {
			own = append(slices.Clone(own), "nats-ca")
		}
		slices.Sort(has)
		slices.Sort(own)
		if !slices.Equal(has, own) {
			t.Errorf("%s has secrets %v, want %v", name, has, own)
		}
	}
	for name := range want {
		if _, ok := c.Services[name]; !ok {
			t.Errorf("service %s is missing", name)
		}
	}
	slices.Sort(secrets)
	if got := slices.Sorted(maps.Keys(c.Secrets)); !slices.Equal(got, secrets) {
		t.Errorf("secrets %v, want %v", got, secrets)
	}
	for name, s := range c.Secrets {
		if !strings.HasPrefix(s.File, "./deploy/secrets/") {
			t.Errorf("secret %s is %s, which git does not ignore", name, s.File)
		}
	}
}

var loopback = regexp.MustCompile(`^127\.0\.0\.1:`)

// What an intruder in one container, or a neighbour on the network, would like to find.
func TestContainersAreConfined(t *testing.T) {
	for name, s := range readCompose(t).Services {
		for _, port := range s.Ports {
			if !loopback.MatchString(port) {
				t.Errorf("%s publishes %s on all addresses of the host", name, port)
			}
		}
		for _, v := range s.Volumes {
			if strings.HasPrefix(v, "./") && !strings.HasSuffix(v, ":ro") || strings.Contains(v, "docker.sock") {
				t.Errorf("%s has volume %s", name, v)
			}
		}
		if s.Privileged || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || !slices.Contains(s.CapDrop, "ALL") {
			t.Errorf("%s: privileged %t, security_opt %v, cap_drop %v", name, s.Privileged, s.SecurityOpt, s.CapDrop)
		}
		if slices.Contains(s.Profiles, "observability") {
			continue
		}
		if !s.ReadOnly {
			t.Errorf("%s can write to its file system", name)
		}
		if !strings.Contains(s.Image, ":") {
			t.Errorf("%s: image %s has no version", name, s.Image)
		}
		once := name == "deploy" || slices.Contains(s.Profiles, "tools")
		if strings.HasPrefix(s.Image, "trailvane:") && s.Healthcheck.Disable != once {
			t.Errorf("%s: health check disabled: %t, want %t", name, s.Healthcheck.Disable, once)
		}
		if !once && s.Restart != "unless-stopped" {
			t.Errorf("%s: restart %q", name, s.Restart)
		}
	}
}

// The environment files set only what the compose file asks for.
func TestEnvironmentFiles(t *testing.T) {
	compose, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../../deploy/*.env")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			if !ok || strings.HasPrefix(line, "#") {
				continue
			}
			if name != "COMPOSE_PROFILES" && !strings.Contains(string(compose), "${"+name+":-") {
				t.Errorf("%s sets %s, which nothing asks for", file, name)
			}
			if name == "NATS_CONFIG" {
				if _, err := os.Stat("../../deploy/nats/" + value); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
			if name == "COMPOSE_PROFILES" && !strings.Contains(string(compose), fmt.Sprintf("profiles: [%s]", value)) {
				t.Errorf("%s: there is no profile %s", file, value)
			}
		}
	}
}
