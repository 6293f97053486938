// Package layers holds the code to the layers that ARCHITECTURE.md draws. A rule that only a document knows is broken
// by the third newcomer; here each one fails with its reason.
//
// Run it with -count=1: it reads the other modules, which the test cache does not see.
package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const home = "github.com/trailvane/trailvane/"

// A pkg is one package of ours, without its tests.
type pkg struct {
	Dir        string
	ImportPath string
	Imports    []string // direct
	Deps       []string // direct and indirect
	GoFiles    []string
}

// name is the path below the repository: "pipeline/pair".
func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, home) }

// kit reports whether the package is a test kit, which only tests use.
func (p pkg) kit() bool { return strings.HasSuffix(p.ImportPath, "test") }

// load lists our packages, once for all tests.
func load(t *testing.T) []pkg {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var list = sync.OnceValues(func() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-json=Dir,ImportPath,Imports,Deps,GoFiles",
		"./schemas/...", "./pipeline/...", "./services/...", "./test/...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the output of go list: %w", err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		return nil, fmt.Errorf("go list found only %d packages: the rules would hold for nothing", len(all))
	}
	return all, nil
})

// under reports whether a path is one of the roots, or below one.
func under(p string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return p == r || strings.HasPrefix(p, r+"/") })
}

// standard reports whether an import path is of the standard library: its first element has no dot.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}

// TestModules: schemas ← pipeline ← services ← test. Each depends only on those to its left.
func TestModules(t *testing.T) {
	order := []string{"schemas", "pipeline", "services", "test"}
	for _, p := range load(t) {
		module, _, _ := strings.Cut(p.name(), "/")
		place := slices.Index(order, module)
		for _, dep := range p.Deps {
			other, _, _ := strings.Cut(strings.TrimPrefix(dep, home), "/")
			if strings.HasPrefix(dep, home) && slices.Index(order, other) > place {
				t.Errorf("%s depends on %s: a module depends only on those to its left in %s",
					p.name(), strings.TrimPrefix(dep, home), strings.Join(order, " ← "))
			}
		}
	}
}

// TestSchemas: anybody who reads our streams may use schemas, so it brings nothing but msgpack.
func TestSchemas(t *testing.T) {
	for _, p := range load(t) {
		if !under(p.name(), "schemas") || p.kit() {
			continue
		}
		for _, dep := range p.Deps {
			if !standard(dep) && !under(dep, home+"schemas", "github.com/vmihailenco") {
				t.Errorf("%s depends on %s: schemas is the standard library and msgpack only, so that any reader of the streams can use it",
					p.name(), dep)
			}
		}
	}
}

// TestBroker: in the pipeline only package jetstream knows NATS; everything else runs on any runner.Source, Sink and Store.
func TestBroker(t *testing.T) {
	for _, p := range load(t) {
		if !under(p.name(), "pipeline") || under(p.name(), "pipeline/jetstream") {
			continue
		}
		for _, dep := range p.Deps {
			if under(dep, "github.com/nats-io", "github.com/synadia-io") {
				t.Errorf("%s reaches %s: only pipeline/jetstream knows the broker", p.name(), dep)
			}
		}
	}
}

// impure are the packages of the pipeline that touch the world: the loop, its adapters, and the test kits.
func impure(p pkg) bool {
	return under(p.name(), "pipeline/runner", "pipeline/jetstream", "pipeline/memory") || p.kit()
}

// forbidden are the imports that a processor must not have, and why.
var forbidden = map[string]string{
	"net":           "no network (net/netip is fine)",
	"net/http":      "no network",
	"os":            "no files, no environment: input comes as records, settings as Settings",
	"os/exec":       "no processes",
	"os/signal":     "life cycle belongs to services",
	"os/user":       "no environment",
	"math/rand":     "no randomness: a replay must give the same bytes",
	"math/rand/v2":  "no randomness: a replay must give the same bytes",
	"crypto/rand":   "no randomness: a replay must give the same bytes",
	"hash/maphash":  "its seed differs from process to process: use xxhash",
	"sync":          "one goroutine works on a partition: there is nothing to lock",
	"sync/atomic":   "one goroutine works on a partition: there is nothing to share",
	"context":       "nothing in it waits",
	"log":           "return the error, or make a dead letter",
	"log/slog":      "return the error, or make a dead letter",
	"runtime":       "the result must not depend on the machine",
	"runtime/debug": "the result must not depend on the machine",
	"plugin":        "detectors and formats are lists in the source",
	"testing":       "test code lives in _test.go files and in kits",
	"encoding/gob":  "wire and state are msgpack, described in schemas",
}

// excepted are imports that one package may have, and why.
var excepted = map[[2]string]string{
	{"pipeline/ingest", "context"}:     "ingest.Source waits for bytes, on behalf of the runner",
	{"pipeline/ingest", "sync/atomic"}: "ingest.Progress is shown while the stage works; nothing that it puts out depends on it",
}

// allowed are the modules that pure code may use: each is a line in docs/decisions/0002-dependencies.md, keeps no
// state and draws no random numbers as we call it.
var allowed = []string{
	"github.com/cespare/xxhash/v2",
	"github.com/google/uuid",
	"github.com/klauspost/compress",
	"github.com/tidwall/gjson",
	"github.com/vmihailenco/msgpack/v5",
}

// TestPure: what a processor puts out is a function of its state and the record. So it and what it calls have no way
// to the world.
func TestPure(t *testing.T) {
	for _, p := range load(t) {
		if !under(p.name(), "pipeline") || impure(p) {
			continue
		}
		for _, imp := range p.Imports {
			why, ok := forbidden[imp]
			if ok && excepted[[2]string{p.name(), imp}] == "" {
				t.Errorf("%s imports %s: %s", p.name(), imp, why)
			}
			if strings.HasPrefix(imp, home) || standard(imp) || under(imp, allowed...) {
				continue
			}
			t.Errorf("%s imports %s: pure code uses a closed list of modules; add it there with a line in the decision on dependencies",
				p.name(), imp)
		}
		if slices.Contains(p.Deps, home+"pipeline/jetstream") || slices.Contains(p.Deps, home+"pipeline/memory") {
			t.Errorf("%s depends on an adapter of the runner: processors know runner's types only", p.name())
		}
	}
}

// forbiddenCalls are functions of harmless packages that a processor must not use, and why.
var forbiddenCalls = map[string]map[string]string{
	"time": {
		"Now": clock, "Since": clock, "Until": clock, "Sleep": clock, "After": clock, "AfterFunc": clock,
		"Tick": clock, "NewTimer": clock, "NewTicker": clock, "Local": zone, "LoadLocation": zone,
	},
	"math": {
		"Exp": inexact, "Exp2": inexact, "Expm1": inexact, "Pow": inexact, "Log": inexact, "Log2": inexact, "Log10": inexact,
		"Log1p": inexact, "Sin": inexact, "Cos": inexact, "Tan": inexact, "Sinh": inexact, "Cosh": inexact, "Tanh": inexact,
		"Atan": inexact, "Atan2": inexact, "Erf": inexact, "Erfc": inexact, "Gamma": inexact, "Lgamma": inexact, "Cbrt": inexact,
		"Hypot": inexact,
	},
}

const (
	clock   = "time comes from records; only the runner has a clock"
	zone    = "times are UTC; the machine's zone must not matter"
	inexact = "its last bits differ between processors, and then state and output do: use pipeline/model's tables"
)

// TestPureCalls looks at the source of pure code: no clock, no goroutine, no inexact mathematics.
func TestPureCalls(t *testing.T) {
	for _, p := range load(t) {
		if !under(p.name(), "pipeline") || impure(p) {
			continue
		}
		for _, name := range p.GoFiles {
			file := filepath.Join(p.Dir, name)
			for _, complaint := range inspect(t, file, nil) {
				t.Errorf("%s/%s:%s", p.name(), name, complaint)
			}
		}
	}
}

// inspect returns what pure code must not do, with its line. Source may be nil: the file is read.
func inspect(t *testing.T, name string, source any) []string {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	imported := map[string]string{} // local name to path
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		local := path.Base(p)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		imported[local] = p
	}
	var found []string
	complain := func(n ast.Node, format string, args ...any) {
		found = append(found, fmt.Sprintf("%d: %s", set.Position(n.Pos()).Line, fmt.Sprintf(format, args...)))
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			complain(n, "starts a goroutine: one loop per partition, owned by the runner")
		case *ast.SelectStmt:
			complain(n, "selects: its choice is random")
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok {
				break
			}
			if why := forbiddenCalls[imported[x.Name]][n.Sel.Name]; why != "" {
				complain(n, "%s.%s: %s", imported[x.Name], n.Sel.Name, why)
			}
		}
		return true
	})
	return found
}

// A family is a folder in which each folder is one more of a kind.
type family struct {
	root   string
	shared []string // what its members may use together
	lists  []string // packages whose work it is to know all members
	why    string
}

var families = []family{
	{
		root: "pipeline/detect", lists: []string{"all"},
		why: "detectors never import each other, so that one can be changed, left out or run alone; what two need belongs to pipeline/model",
	},
	{
		root: "pipeline/decode", shared: []string{"field"}, lists: []string{"formats"},
		why: "formats never import each other, so that one can be changed or left out; what two need belongs to pipeline/decode/field",
	},
}

// TestFamilies: the members of a family do not know each other.
func TestFamilies(t *testing.T) {
	all := load(t)
	for _, f := range families {
		members := 0
		for _, p := range all {
			member, ok := f.member(p.name())
			if !ok {
				continue
			}
			members++
			for _, imp := range p.Imports {
				other, ok := f.member(strings.TrimPrefix(imp, home))
				if ok && strings.HasPrefix(imp, home) && other != member {
					t.Errorf("%s imports %s: %s", p.name(), strings.TrimPrefix(imp, home), f.why)
				}
			}
		}
		if members == 0 {
			t.Logf("%s has no members yet", f.root)
		}
	}
}

// member returns the member of the family that a package belongs to: the folder right below the root.
func (f family) member(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, f.root+"/")
	if !ok {
		return "", false
	}
	member, _, _ := strings.Cut(rest, "/")
	if slices.Contains(f.shared, member) || slices.Contains(f.lists, member) || strings.HasSuffix(member, "test") {
		return "", false
	}
	return member, true
}

// TestKits: test kits, and package testing, are for tests and for module test only.
func TestKits(t *testing.T) {
	for _, p := range load(t) {
		if p.kit() || under(p.name(), "test") {
			continue
		}
		for _, imp := range p.Imports {
			if imp == "testing" || strings.HasPrefix(imp, home) && strings.HasSuffix(imp, "test") {
				t.Errorf("%s imports %s: test kits are used by _test.go files and by module test only", p.name(), imp)
			}
		}
	}
}

// TestRunner: the loop knows no stage, and its adapters know nothing but the loop's types.
func TestRunner(t *testing.T) {
	for _, p := range load(t) {
		if !under(p.name(), "pipeline/runner", "pipeline/jetstream", "pipeline/memory") {
			continue
		}
		for _, imp := range p.Imports {
			if strings.HasPrefix(imp, home) && !under(imp, home+"schemas", home+"pipeline/runner", home+"pipeline/jetstream", home+"pipeline/memory") {
				t.Errorf("%s imports %s: the runner and its adapters know no stage", p.name(), strings.TrimPrefix(imp, home))
			}
		}
	}
}

// TestTelemetry: one package knows OpenTelemetry; the others are told by plain functions, so that the core runs without it.
func TestTelemetry(t *testing.T) {
	const only = "services/internal/telemetry"
	for _, p := range load(t) {
		if under(p.name(), only, "test") {
			continue
		}
		for _, imp := range p.Imports {
			if under(imp, "go.opentelemetry.io", "github.com/prometheus") {
				t.Errorf("%s imports %s: only %s knows telemetry", p.name(), imp, only)
			}
		}
		for _, dep := range p.Deps {
			if under(dep, "go.opentelemetry.io") && under(p.name(), "schemas", "pipeline") {
				t.Errorf("%s reaches %s: the pipeline knows no telemetry", p.name(), dep)
			}
		}
	}
}

// TestInspect shows that the look at the source finds what it is for.
func TestInspect(t *testing.T) {
	tests := []struct {
		name, body string
		want       int
	}{
		{"clock", `import "time"; var _ = time.Now()`, 1},
		{"renamed clock", `import clock "time"; var _ = clock.Since`, 1},
		{"clock as a value", `import "time"; var now = time.Now`, 1},
		{"another Now", `import "time"; type c struct{ Now func() time.Time }; func f(x c) { x.Now() }`, 0},
		{"harmless time", `import "time"; var _ = time.Unix(0, 0).UTC()`, 0},
		{"goroutine", `func f() { go f() }`, 1},
		{"select", `func f(c chan int) { select { case <-c: default: } }`, 1},
		{"logarithm", `import "math"; var _ = math.Log(2)`, 1},
		{"root", `import "math"; var _ = math.Sqrt(2) + math.Floor(2)`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := inspect(t, "x.go", "package x\n"+tt.body); len(got) != tt.want {
				t.Errorf("inspect(%s) = %q, want %d complaints", tt.body, got, tt.want)
			}
		})
	}
}
