package all

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Every folder that has a detector is listed, and nothing else is.
func TestListIsComplete(t *testing.T) {
	files, err := filepath.Glob("../*/detector.go")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, file := range files {
		want = append(want, filepath.Base(filepath.Dir(file)))
	}
	for _, e := range list {
		d := e.make()
		got = append(got, filepath.Base(reflect.TypeOf(d).Elem().PkgPath()))
		if d.Type() != e.kind {
			t.Errorf("%s says that it finds %s, and is listed for %s", got[len(got)-1], d.Type(), e.kind)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("list.go has %v, the folders are %v: run go generate", got, want)
	}
	if len(Detectors()) != len(list) {
		t.Errorf("%d types for %d detectors: two find the same", len(Detectors()), len(list))
	}
}

// The template of a new detector compiles against what detectors share today, and keeps their promises.
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
	mod := strings.Replace(read(filepath.Join(pipeline, "go.mod")), "trailvane/pipeline\n", "trailvane/gizmo\n", 1)
	mod = strings.Replace(mod, "=> ../schemas", "=> "+filepath.Join(filepath.Dir(pipeline), "schemas"), 1)
	mod += "\nrequire github.com/trailvane/trailvane/pipeline v0.0.0\nreplace github.com/trailvane/trailvane/pipeline => " + pipeline + "\n"
	write("go.mod", mod)
	write("go.sum", read(filepath.Join(pipeline, "go.sum")))
	for from, to := range map[string]string{
		"detector.go": "detector.go", "detector_test.go": "detector_test.go", "typical.txt": "testdata/typical.txt",
	} {
		write(to, strings.ReplaceAll(read("template/"+from+".tmpl"), "DETECTOR", "gizmo"))
	}
	for _, args := range [][]string{{"test", ".", "-run", "Scenarios", "-update"}, {"test", "."}, {"vet", "."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	if answer := read(filepath.Join(dir, "testdata/typical.txt")); !strings.Contains(answer, "Start  alice") {
		t.Errorf("the template's scenario finds nothing:\n%s", answer)
	}
}
