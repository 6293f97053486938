// Package e2e tests the program as its users run it: the real binary, real files, exit codes, and what it prints.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// program is the binary under test, built once.
var program string

// company is a folder of simulated logs with planted attacks, written once; truth says which.
var company, truth string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "trailvane-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code, err := setUp(m, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func setUp(m *testing.M, dir string) (int, error) {
	program = filepath.Join(dir, "trailvane")
	build := exec.Command("go", "build", "-o", program, "github.com/trailvane/trailvane/services/trailvane")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return 1, fmt.Errorf("build: %w", err)
	}
	company = filepath.Join(dir, "company")
	out, err := exec.Command(program, "simulate", company).CombinedOutput()
	if err != nil {
		return 1, fmt.Errorf("simulate: %w\n%s", err, out)
	}
	truth = string(out)
	return m.Run(), nil
}

// A result is what a run of the program left.
type result struct {
	out, err string
	code     int
}

// run runs the program to its end.
func run(t *testing.T, stdin io.Reader, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	var out, errOut bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = stdin, &out, &errOut
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("trailvane %s: %v\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return result{out.String(), errOut.String(), c.ProcessState.ExitCode()}
}

// analyze runs "analyze --output ndjson", which must succeed.
func analyze(t *testing.T, args ...string) result {
	t.Helper()
	r := run(t, nil, append([]string{"analyze", "--output", "ndjson"}, args...)...)
	if r.code != 0 {
		t.Fatalf("analyze %s: exit %d\n%s", strings.Join(args, " "), r.code, r.err)
	}
	return r
}

// inWords tells insight events of any shape shortly.
func inWords(ndjson string) []string {
	var words []string
	for line := range strings.Lines(ndjson) {
		e := gjson.Parse(line)
		first := func(paths ...string) string {
			for _, p := range paths {
				if v := e.Get(p); v.Exists() {
					return v.String()
				}
			}
			return ""
		}
		words = append(words, strings.Join([]string{
			e.Get("recipientAccountId").String(), first("awsRegion", "acsRegion", "region"), e.Get("insightDetails.insightType").String(),
			first("insightDetails.eventName", "insightDetails.insightObject"), e.Get("insightDetails.state").String(),
		}, " "))
	}
	return words
}

// found returns all insight events of the company, analyzed once, in their own shape. What is planted is found among them, which
// TestOverviewStory looks at; here it is enough that the mass deletions are.
func found(t *testing.T) []gjson.Result {
	t.Helper()
	words := analyzed()
	for _, burst := range []string{"ApiCallRateInsight DeleteInstance", "ApiCallRateInsight TerminateInstances"} {
		for _, state := range []string{"Start", "End"} {
			if n := strings.Count(words, " "+burst+" "+state+"\n"); n != 1 {
				t.Fatalf("%d times %s %s in\n%s", n, burst, state, words)
			}
		}
	}
	return everything
}

// everything is what found returns.
var everything []gjson.Result

// analyzed fills everything in, once, and returns it in words, one a line.
var analyzed = sync.OnceValue(func() string {
	out, err := exec.Command(program, "analyze", "--quiet", "--output", "ndjson", "--shape", "native", company).Output()
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(out)) {
		everything = append(everything, gjson.Parse(strings.TrimSpace(line)))
	}
	return strings.Join(inWords(string(out)), "\n") + "\n"
})

// undisturbed returns what analyze prints of the company by default, which runs that were disturbed are compared with.
func undisturbed(t *testing.T) string {
	t.Helper()
	if usual == "" {
		usual = analyze(t, company).out
	}
	return usual
}

// usual is what undisturbed returns.
var usual string

// those returns the events of the company that are chosen, in words.
func those(t *testing.T, chosen func(e gjson.Result) bool) []string {
	t.Helper()
	var lines strings.Builder
	for _, e := range found(t) {
		if chosen(e) {
			lines.WriteString(e.Raw + "\n")
		}
	}
	return inWords(lines.String())
}

// is chooses by the value of a field.
func is(path, value string) func(gjson.Result) bool {
	return func(e gjson.Result) bool { return e.Get(path).String() == value }
}

func every(gjson.Result) bool { return true }

// line returns the line of a summary that begins with a name, without it.
func line(t *testing.T, summary, name string) string {
	t.Helper()
	for l := range strings.Lines(summary) {
		if rest, ok := strings.CutPrefix(l, name+" "); ok {
			return strings.TrimSpace(rest)
		}
	}
	t.Fatalf("the summary has no line %q:\n%s", name, summary)
	return ""
}
