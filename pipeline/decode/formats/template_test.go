package formats_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The template of a new format compiles against what the formats share today, and passes their kit.
func TestTemplate(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a module")
	}
	pipeline, err := filepath.Abs("../../")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(file string) string {
		t.Helper()
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	// A module of its own that has the requirements of ours, so that nothing is written into the source tree.
	const schemas = "github.com/trailvane/trailvane/schemas"
	mod := strings.Replace(read(filepath.Join(pipeline, "go.mod")), "trailvane/pipeline\n", "trailvane/gizmo\n", 1)
	mod = strings.Replace(mod, "=> ../schemas", "=> "+filepath.Join(filepath.Dir(pipeline), "schemas"), 1)
	mod += "\nrequire github.com/trailvane/trailvane/pipeline v0.0.0\n" +
		"replace github.com/trailvane/trailvane/pipeline => " + pipeline + "\n"
	if !strings.Contains(mod, schemas) {
		t.Fatalf("go.mod has no %s", schemas)
	}
	write("go.mod", mod)
	write("go.sum", read(filepath.Join(pipeline, "go.sum")))
	for from, to := range map[string]string{
		"decoder.go": "decoder.go", "decoder_test.go": "decoder_test.go", "typical.json": "testdata/typical.json",
	} {
		write(to, strings.ReplaceAll(read("template/"+from+".tmpl"), "FORMAT", "gizmo"))
	}
	for _, args := range [][]string{{"test", ".", "-update"}, {"test", "."}, {"vet", "."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
