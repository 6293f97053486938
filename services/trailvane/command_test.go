package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

// commandLine runs a command line and returns its exit code and what it printed.
func commandLine(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(""), &o, &e)
	return code, o.String(), e.String()
}

func config(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trailvane.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Each of them is a mistake that the command names, with what is possible, before it connects anywhere.
func TestWrongUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args string // "FILE" is the file
		file string
		env  map[string]string
		want string
	}{
		"partitions":          {args: "deploy --partitions 33", want: "--partitions=33: 1 to 32 are possible"},
		"lanes":               {args: "pairer --lanes=-1", want: "--lanes=-1: 1 to 32"},
		"learn":               {args: "serve --learn 90s", want: "--learn=1m30s: whole minutes"},
		"lateness":            {args: "aggregator --lateness 2h", want: "--lateness=2h0m0s: whole minutes from 0 to 1h"},
		"budget":              {args: "detector --budget NaN", want: "--budget=NaN"},
		"replicas":            {args: "deploy --replicas 2", want: "--replicas=2: 1, 3 and 5"},
		"storage":             {args: "deploy --storage-limit much", want: `"much" is no size such as 10GB`},
		"negative storage":    {args: "deploy --storage-limit=-1GB", want: `"-1GB" is no size`},
		"poll":                {args: "ingest --poll 1ms logs", want: "--poll=1ms: 100ms to 1h"},
		"standard input":      {args: "serve -", want: "standard input cannot be read again"},
		"pattern":             {args: "ingest logs/[", want: "pattern logs/[: syntax error"},
		"nothing to read":     {args: "ingest", want: "name paths to follow, or --http, or both"},
		"embedded replicas":   {args: "serve --replicas 3", want: "the embedded server is one"},
		"sync":                {args: "serve --sync sometimes", want: "--sync=sometimes: 'always', or a time"},
		"port":                {args: "serve --port 70000", want: "--port=70000"},
		"type":                {args: "detector --type ip,address", want: "--type=address: there is no such type; there is Ak, ApiCallRate"},
		"URL":                 {args: "pairer --nats http://host", want: "server 1 of 1 is no URL such as nats://host:4222"},
		"URL with a password": {args: "pairer --nats nats://h,nats://user:secret@:%zz", want: "server 2 of 2 is no URL"},
		"no such file":        {args: "pairer --creds /nowhere.creds", want: "/nowhere.creds"},
		"certificate":         {args: "pairer --tls-cert FILE", want: "one needs the other"},
		"no certificate":      {args: "pairer --tls-ca FILE", file: "lanes: 1\n", want: "--tls-ca: no certificate (PEM) is in"},
		"no key pair":         {args: "pairer --tls-cert FILE --tls-key FILE", want: "--tls-cert, --tls-key: tls: failed to find"},
		"instance":            {args: "pairer --instance a.b/c", want: `--instance="a.b/c"`},
		"listen":              {args: "pairer --listen here", want: `--listen="here" is no address`},
		"level":               {args: "pairer --log-level loud", want: `--log-level must be one of "debug","info","warn","error"`},
		"variable":            {args: "pairer", env: map[string]string{"TRAILVANE_LANES": "two"}, want: "TRAILVANE_LANES"},
		"no such config":      {args: "pairer --config /nowhere.yaml", want: "--config: open /nowhere.yaml"},
		"config by variable":  {args: "pairer", env: map[string]string{"TRAILVANE_CONFIG": "/nowhere.yaml"}, want: "--config: open /nowhere.yaml"},
		"unknown key":         {args: "pairer --config FILE", file: "nats: nats://h\npartition: 3\n", want: `line 2: there is no key "partition"`},
		"config in itself":    {args: "pairer --config FILE", file: "config: x\n", want: `there is no key "config"`},
		"wrong type":          {args: "pairer --config FILE", file: "\npartitions: many\n", want: `line 2: --partitions: expected`},
		"other's wrong type":  {args: "pairer --config FILE", file: "replicas: many\n", want: `line 1: --replicas: expected`},
		"list for a number":   {args: "pairer --config FILE", file: "lanes: [1, 2]\n", want: `line 1: --lanes: expected`},
		"nested":              {args: "pairer --config FILE", file: "nats:\n  url: x\n", want: `line 1: "nats" has no value`},
		"no value":            {args: "pairer --config FILE", file: "lanes:\n", want: `line 1: "lanes" has no value`},
		"twice":               {args: "pairer --config FILE", file: "lanes: 1\nlanes: 2\n", want: `"lanes"`},
		"no mapping":          {args: "pairer --config FILE", file: "- lanes\n", want: `line 1: a file is lines of 'key: value'`},
		"no YAML":             {args: "pairer --config FILE", file: "a: [\n", want: `trailvane.yaml: yaml: line`},
		"value out of bounds": {args: "pairer --config FILE", file: "lanes: 99\n", want: `--lanes=99: 1 to 32`},
		"check of no service": {args: "config check version", want: "version has no configuration; services have: serve, deploy"},
		"checked":             {args: "config check deploy --partitions 33", want: "--partitions=33: 1 to 32 are possible"},
		"yes in a file":       {args: "dead purge --all --config FILE", file: "yes: true\n", want: `line 1: there is no key "yes"`},
		"timeout":             {args: "backup --timeout 0s folder", want: "--timeout=0s: a time above 0"},
		"catalogue":           {args: "normalizer --catalogue FILE", file: "nonsense here\n", want: "--catalogue="},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			file := config(t, c.file)
			code, out, errOut := commandLine(t, strings.Fields(strings.ReplaceAll(c.args, "FILE", file))...)
			if code != exitUsage || !strings.Contains(errOut, c.want) || out != "" || strings.Contains(errOut, "secret") {
				t.Errorf("%s: exit %d, want %d and %q\n%s%s", c.args, code, exitUsage, c.want, out, errOut)
			}
		})
	}
}

// An empty variable is none.
func TestEmptyVariable(t *testing.T) {
	t.Setenv("TRAILVANE_TLS_CA", "")
	t.Setenv("TRAILVANE_PARTITIONS", "")
	if code, out, errOut := commandLine(t, "config", "check", "pairer"); code != 0 || strings.Contains(out, "TRAILVANE_TLS_CA") {
		t.Errorf("exit %d\n%s%s", code, out, errOut)
	}
}

// Flags come before the environment, the environment before the file, the file before the default.
func TestConfigCheck(t *testing.T) {
	file := config(t, `# shared by all services
nats: [nats://user:secret@n1:4222, n2:4222]
partitions: 16
lanes: 4
learn: 48h
replicas: 3
type: [ip, ak]
`)
	t.Setenv("TRAILVANE_CONFIG", file)
	t.Setenv("TRAILVANE_LANES", "5")
	t.Setenv("TRAILVANE_LEARN", "12h")
	code, out, errOut := commandLine(t, "config", "check", "detector", "--learn", "36h", "--listen=:8080")
	want := `nats        nats://hidden@n1:4222,nats://n2:4222  file
creds       -                                     default
tls-ca      -                                     default
tls-cert    -                                     default
tls-key     -                                     default
instance    -                                     default
listen      :8080                                 flag
log-level   info                                  default
partitions  16                                    file
lanes       5                                     TRAILVANE_LANES
learn       36h0m0s                               flag
lateness    -                                     default
budget      -                                     default
config      FILE  TRAILVANE_CONFIG
type        ip,ak                                 file
`
	var lines []string
	for line := range strings.Lines(out) { // the name of the file decides the width
		lines = append(lines, strings.Join(strings.Fields(strings.ReplaceAll(line, file, "FILE")), " "))
	}
	var wanted []string
	for line := range strings.Lines(want) {
		wanted = append(wanted, strings.Join(strings.Fields(line), " "))
	}
	if diff := cmp.Diff(wanted, lines); code != exitOK || diff != "" {
		t.Errorf("exit %d, −want +got:\n%s%s", code, diff, errOut)
	}
	if strings.Contains(out+errOut, "secret") {
		t.Errorf("a password is shown:\n%s%s", out, errOut)
	}
}

// Zero is a value that a flag can say.
func TestZeroIsSaid(t *testing.T) {
	_, out, _ := commandLine(t, "config", "check", "deploy", "--lateness", "0s")
	if !strings.Contains(out, "lateness") || !strings.Contains(strings.Join(strings.Fields(out), " "), "lateness 0s flag") {
		t.Errorf("--lateness 0s is told as\n%s", out)
	}
}

// onlyOnCommandLine are the flags that nothing else sets: they confirm what one call asks about, or share the name of another's.
var onlyOnCommandLine = []string{"dead purge --yes", "dead purge --all", "readers enable --afresh", "tail --type"}

// Every flag of every service is documented with its variable, and can be checked; every help has an example.
func TestHelp(t *testing.T) {
	parser := newParser(new(bytes.Buffer), new(bytes.Buffer), func(int) {})
	services := configured(parser.Model)
	if len(services) < 5 {
		t.Fatalf("%d services", len(services))
	}
	for _, n := range services {
		if _, ok := n.Target.Addr().Interface().(interface{ check() error }); !ok {
			t.Errorf("%s cannot be checked", words(n))
		}
		code, out, _ := commandLine(t, append(strings.Fields(words(n)), "--help")...)
		if code != exitOK || !strings.Contains(out, "Example") || !strings.Contains(out, " trailvane "+words(n)) || !strings.Contains(out, "Exit codes:") {
			t.Errorf("%s --help: exit %d\n%s", words(n), code, out)
		}
		flat := strings.Join(strings.Fields(out), " ")
		for _, f := range n.Flags {
			if f.Name == "help" || slices.Contains(onlyOnCommandLine, words(n)+" --"+f.Name) {
				if len(f.Envs) > 0 {
					t.Errorf("%s takes --%s from the environment, and it is for the command line only", words(n), f.Name)
				}
				continue
			}
			if f.Help == "" || !strings.Contains(strings.ReplaceAll(flat, "[no-]", ""), "--"+f.Name) || !strings.Contains(flat, "($TRAILVANE_"+envOf(f)+")") {
				t.Errorf("%s --help does not tell --%s and its variable", words(n), f.Name)
			}
			if f.HasDefault && !strings.Contains(f.Help, f.Default) && f.PlaceHolder != "" {
				t.Errorf("%s --help does not tell the default of --%s", words(n), f.Name)
			}
		}
	}
	analyze := parser.Model.Children[slices.IndexFunc(parser.Model.Children, func(n *kong.Node) bool { return n.Name == "analyze" })]
	for _, f := range analyze.Flags {
		if len(f.Envs) > 0 {
			t.Errorf("analyze takes --%s from the environment, which is the services'", f.Name)
		}
	}
}

func envOf(f *kong.Flag) string { return strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")) }

func TestSize(t *testing.T) {
	for text, want := range map[string]struct {
		bytes size
		said  string
	}{
		"10GB": {10e9, "10GB"}, "1.5gb": {15e8, "1.5GB"}, "500 MiB": {500 << 20, "524288000B"}, "2TB": {2e12, "2TB"}, "4096": {4096, "4096B"}, "1GiB": {1 << 30, "1073741824B"},
	} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want.bytes || s.String() != want.said {
			t.Errorf("%s: %d, told as %s, %v", text, s, s, err)
		}
	}
	for _, text := range []string{"", "GB", "0", "NaN", "Inf", "1e30", "-1", "10XB", "0.1B"} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %d bytes", text, s)
		}
	}
}
