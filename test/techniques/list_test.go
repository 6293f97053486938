package techniques

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/trailvane/trailvane/schemas"
)

// A technique is one entry of the list of what is expected.
type technique struct {
	path     string   // of its file or folder in the data sets
	does     string   // in words
	labelled []string // insight types, with their qualifiers, as the labels of the data set have them
	expected []expectation
}

// An expectation is a line about one insight, told or not.
type expectation struct {
	verdict string
	insight
	why string
}

// An insight is told by its type, and its object unless that is an address or a key.
type insight struct{ kind, object string }

// The verdicts. A technique without any insight has one line, with the verdict none.
const (
	found   = "found"   // told, in disguise too
	strange = "strange" // told, but not in disguise
	rule    = "rule"    // not told: it is none by the rules of the type
	miss    = "miss"    // not told, though one would like to know
	none    = "none"
)

// told returns what is to be told of the technique.
func (x technique) told(disguise bool) map[insight]bool {
	all := map[insight]bool{}
	for _, e := range x.expected {
		if e.verdict == found || e.verdict == strange && !disguise {
			all[e.insight] = true
		}
	}
	return all
}

// label returns what the labels say of an insight type: its qualifier, and whether there is any.
func (x technique) label(kind string) (qualifier string, ok bool) {
	for _, l := range x.labelled {
		if rest, ok := strings.CutPrefix(l, kind); ok {
			return rest, true
		}
	}
	return "", false
}

// list reads the committed list.
func list(t *testing.T) (all []technique) {
	t.Helper()
	content, err := os.ReadFile("expected.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || word == "#":
			continue
		case word == "technique":
			all = append(all, technique{path: rest})
			continue
		case len(all) == 0:
			t.Fatalf("a line before the first technique: %s", line)
		}
		x := &all[len(all)-1]
		switch word {
		case "does":
			x.does = rest
		case "labelled":
			x.labelled = strings.Fields(rest)
		default:
			x.expected = append(x.expected, parse(t, line))
		}
	}
	return all
}

// parse reads an expectation.
func parse(t *testing.T, line string) (e expectation) {
	t.Helper()
	what, why, ok := strings.Cut(line, ": ")
	words := strings.Fields(what)
	if !ok || len(words) == 0 || len(words) > 3 || !slices.Contains([]string{found, strange, rule, miss, none}, words[0]) {
		t.Fatalf("what does this mean: %s", line)
	}
	words = append(words, "", "")
	return expectation{words[0], insight{words[1], words[2]}, why}
}

// TestList: every entry is complete, and says something of every type that its labels name.
func TestList(t *testing.T) {
	types := map[string]bool{}
	for _, kind := range schemas.InsightTypes() {
		types[short(kind)] = true
	}
	paths := map[string]bool{}
	for _, x := range list(t) {
		if paths[x.path] || x.does == "" || len(x.expected) == 0 {
			t.Errorf("%s: twice, without words or without expectations", x.path)
		}
		paths[x.path] = true
		for _, e := range x.expected {
			if (e.verdict == none) != (e.kind == "") || e.verdict == none && len(x.expected) > 1 || e.kind != "" && !types[e.kind] {
				t.Errorf("%s: %s %q makes no sense", x.path, e.verdict, e.kind)
			}
		}
		for _, l := range x.labelled {
			kind := strings.TrimRight(strings.SplitN(l, "~", 2)[0], "?")
			if !slices.ContainsFunc(x.expected, func(e expectation) bool { return e.kind == kind }) {
				t.Errorf("%s: labelled %s, and nothing is said about it", x.path, l)
			}
		}
	}
	if len(paths) < 36 {
		t.Errorf("%d techniques in the list, want 36", len(paths))
	}
}

// short returns a type without the word that all have in common.
func short(kind schemas.InsightType) string { return strings.TrimSuffix(string(kind), "Insight") }
