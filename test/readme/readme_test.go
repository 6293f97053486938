// Package readme does what the README tells a newcomer to do, in a fresh clone, and compares what is printed with what the
// README says is printed. After a change that is meant, run it with -update.
package readme

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what is printed into the README")

// git runs git in a folder.
func git(t *testing.T, folder string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "git", args...)
	c.Dir = folder
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// root returns the folder of the repository.
func root(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("SKIP: no git, so there is no clone to make")
	}
	if err := exec.CommandContext(t.Context(), "git", "rev-parse", "--git-dir").Run(); err != nil {
		t.Skip("SKIP: this is no clone itself")
	}
	return git(t, ".", "rev-parse", "--show-toplevel")
}

// clone returns a fresh clone, with what is not committed yet: what a newcomer would get if it were.
func clone(t *testing.T, root string) string {
	t.Helper()
	fresh := filepath.Join(t.TempDir(), "trailvane")
	git(t, root, "clone", "--quiet", "--no-hardlinks", root, fresh)
	for name := range strings.SplitSeq(git(t, root, "ls-files", "-z", "--modified", "--others", "--exclude-standard"), "\x00") {
		if name == "" {
			continue
		}
		to := filepath.Join(fresh, name)
		b, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			if err := os.Remove(to); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o755); err != nil { // the mode of scripts does nobody harm
			t.Fatal(err)
		}
	}
	return fresh
}

// commands returns the lines of the first block of shell commands behind a title.
func commands(t *testing.T, text, title string) []string {
	t.Helper()
	_, section, found := strings.Cut(text, "\n## "+title+"\n")
	if !found {
		t.Fatalf("the README has no section %q", title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var lines []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		lines = append(lines, strings.Split(strings.TrimSpace(m[1]), "\n")...)
	}
	if len(lines) == 0 {
		t.Fatalf("section %q has no commands", title)
	}
	return lines
}

// marked returns the block of output that a comment of a page marks, and what is around it.
func marked(t *testing.T, text, name string) (before, block, after string) {
	t.Helper()
	pattern := "(?s)^(.*<!-- " + name + ": begin[^\n]*-->\n```\n)(.*?)(```\n<!-- " + name + ": end -->.*)$"
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no block %q in\n%.400s", name, text)
	}
	return m[1], m[2], m[3]
}

// shell runs a command as a newcomer would, and returns what it prints to standard output.
func shell(t *testing.T, folder, command string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "sh", "-c", command)
	c.Dir = folder
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s", command, err, &out, &errOut)
	}
	return out.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: builds the program anew")
	}
	repository := root(t)
	fresh := clone(t, repository)
	text := read(t, filepath.Join(fresh, "README.md"))
	all := commands(t, text, "Try it")

	out := shell(t, fresh, all[0])
	table := ""
	if at := regexp.MustCompile(`(?m)^ *SEVERITY`).FindStringIndex(out); at != nil {
		table, _, _ = strings.Cut(out[at[0]:], "\n\n")
	}
	table += "\n"
	before, block, after := marked(t, text, "demo")
	if *update {
		path := filepath.Join(repository, "README.md")
		if err := os.WriteFile(path, []byte(before+table+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if d := cmp.Diff(strings.Split(block, "\n"), strings.Split(table, "\n")); d != "" {
		t.Errorf("%s (-README +printed), -update if it is meant:\n%s", all[0], d)
	}
	printed := regexp.MustCompile(`([0-9]+,[0-9]{3})\s+events\s+in\s+[0-9,]+\s+files`).FindStringSubmatch(out)
	said := regexp.MustCompile(`([0-9]+,[0-9]{3}) events`).FindStringSubmatch(text)
	if printed == nil || said == nil || printed[1] != said[1] {
		t.Errorf("the README says %q, the demo %q", said, printed)
	}

	// The other commands are about logs of the newcomer's own, in a folder "logs".
	shell(t, fresh, all[0]+" --keep logs")
	for _, c := range all[1:] {
		shell(t, fresh, c)
	}
	stretches := len(regexp.MustCompile(`(?m)^(..)?(low|medium|high|critical) `).FindAllString(block, -1))
	if lines := strings.Count(read(t, filepath.Join(fresh, "insights.ndjson")), "\n"); lines != 2*stretches || lines == 0 {
		t.Errorf("insights.ndjson has %d lines, want a Start and an End for each of the %d stretches of\n%s", lines, stretches, block)
	}
	examples(t, repository, fresh, all[0])
}

// examples compares the example on each detector's page with what analyze explains of the demo's logs: its first insight. The logs
// are read once, into a store.
func examples(t *testing.T, repository, fresh, demo string) {
	pages, err := filepath.Glob(filepath.Join(repository, "docs/detectors/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		if name == "README" {
			continue
		}
		compared++
		analyze := strings.Replace(demo, " demo", " analyze --quiet --output explain --types "+name+" --store explained logs", 1)
		first, _, _ := strings.Cut(shell(t, fresh, analyze), "\n\n")
		first = strings.TrimSuffix(first, "\n") + "\n"
		text := read(t, page)
		before, block, after := marked(t, text, "example")
		if *update {
			if err := os.WriteFile(page, []byte(before+first+after), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if d := cmp.Diff(strings.Split(block, "\n"), strings.Split(first, "\n")); d != "" {
			t.Errorf("%s (-page +printed), -update if it is meant:\n%s", page, d)
		}
	}
	if compared < 7 {
		t.Errorf("%d pages of detectors, want one for each of the seven types", compared)
	}
}

// The command is what CI runs, and means every module. It is not run here, because it runs this test.
func TestTest(t *testing.T) {
	repository := root(t)
	text := read(t, filepath.Join(repository, "README.md"))
	all := commands(t, text, "Test it")
	if d := cmp.Diff([]string{"go test work"}, all); d != "" {
		t.Fatalf("(-wanted here +README):\n%s", d)
	}
	ci := read(t, filepath.Join(repository, ".ci", "run"))
	if !regexp.MustCompile(`(?m)^step test go test( -timeout \w+)? work\b`).MatchString(ci) {
		t.Error(".ci/run does not run the README's test command")
	}
	packages := shell(t, repository, strings.Replace(all[0], "go test", "go list", 1))
	for _, module := range []string{"schemas", "pipeline", "services", "test"} {
		if !strings.Contains(packages, "github.com/trailvane/trailvane/"+module) {
			t.Errorf("it leaves out the module %s:\n%s", module, packages)
		}
	}
	one := shell(t, repository, strings.Replace(all[0], "work", "./pipeline/eventtime", 1))
	if !strings.HasPrefix(one, "ok ") {
		t.Errorf("the README says that a line for a package begins with ok, it is\n%s", one)
	}
}
