package catalog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/trailvane/trailvane/schemas"
)

// Bounds of a file that extends the catalogue. The catalogue that comes with the program has 200 lines and 500 names; these
// leave room for all actions of AWS, and keep what a mistaken file costs to some megabytes.
const (
	MaxFile  = 4 << 20
	maxLines = 20_000
	maxLine  = 4 << 10
	maxRules = 50_000
	maxWord  = 128 // the longest service name has 40 bytes, the longest operation 70
)

// parse reads the lines of a file. Every rule stands once in it.
func parse(file string) ([]rule, error) {
	if len(file) > MaxFile {
		return nil, fmt.Errorf("%d bytes: at most %d are possible", len(file), MaxFile)
	}
	var rules []rule
	first := make(map[rule]int) // line of each subject and condition
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(file, "\ufeff")) {
		if number++; number > maxLines {
			return nil, fmt.Errorf("line %d: at most %d lines are possible", number, maxLines)
		}
		more, err := parseLine(strings.TrimRight(line, "\r\n"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for _, r := range more {
			key := r.subject()
			key.condition = r.condition.folded()
			if at, twice := first[key]; twice {
				return nil, fmt.Errorf("line %d: %s of %s stands in class %s already, in line %d", number, r.call(), r.service, r.class, at)
			}
			first[key] = number
		}
		if rules = append(rules, more...); len(rules) > maxRules {
			return nil, fmt.Errorf("line %d: at most %d operations are possible", number, maxRules)
		}
	}
	return rules, nil
}

// parseLine reads one line: a class, a tier, a service and names.
func parseLine(line string) ([]rule, error) {
	if len(line) > maxLine {
		return nil, fmt.Errorf("%d bytes long: at most %d are possible", len(line), maxLine)
	}
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(words[0], "#") {
		return nil, nil
	}
	for _, w := range words {
		if err := checkWord(w); err != nil {
			return nil, err
		}
	}
	class, err := parseClass(words[0])
	if err != nil {
		return nil, err
	}
	if len(words) < 4 {
		return nil, errors.New("a line is CLASS TIER SERVICE NAME…, with one name at least")
	}
	g, err := parseTier(words[1], class)
	if err != nil {
		return nil, err
	}
	var rules []rule
	for _, w := range words[3:] {
		r := rule{service: words[2], class: class, grade: g}
		if r.name, r.condition, err = parseName(w); err != nil {
			return nil, err
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func checkWord(w string) error {
	if len(w) > maxWord {
		return fmt.Errorf("a word of %d bytes: at most %d are possible", len(w), maxWord)
	}
	for i := 0; i < len(w); i++ {
		if w[i] <= ' ' || w[i] > '~' {
			return fmt.Errorf("%q: letters, digits and signs of ASCII are possible", w)
		}
	}
	return nil
}

func parseClass(word string) (schemas.Class, error) {
	for c := schemas.PolicyClass; c <= schemas.TrailClass; c++ {
		if word == c.String() {
			return c, nil
		}
	}
	return 0, fmt.Errorf("unknown class %q: there are policy, password and trail", word)
}

// restores is the word for what switches logging on again.
const restores = "restores"

func parseTier(word string, class schemas.Class) (grade, error) {
	for t := schemas.NoTier; t <= schemas.CoreTier; t++ {
		if word == t.String() {
			return grade{tier: t}, nil
		}
	}
	switch {
	case word != restores:
		return grade{}, fmt.Errorf("unknown tier %q: there are core, adjacent, indirect and none, for trails also %s", word, restores)
	case class != schemas.TrailClass:
		return grade{}, fmt.Errorf("only operations of the class trail can be %s", restores)
	}
	return grade{restores: true}, nil
}

// parseName reads NAME, NAME?PARAMETER or NAME?PARAMETER=VALUE.
func parseName(word string) (name string, c condition, err error) {
	name, demand, conditional := strings.Cut(word, "?")
	if !conditional {
		demand = "any"
	}
	parameter, value, valued := strings.Cut(demand, "=")
	outer, inner, within := strings.Cut(parameter, ".")
	if name == "" || outer == "" || within && (inner == "" || strings.Contains(inner, ".")) || valued && value == "" {
		return "", c, fmt.Errorf("%q is none of NAME, NAME?PARAMETER, NAME?PARAMETER=VALUE", word)
	}
	if BaseName(name) != name {
		return "", c, fmt.Errorf("%q: leave out the API version, it does not count", name)
	}
	switch {
	case !conditional:
		return name, c, nil
	case within:
		return name, condition{outer: outer, name: inner, value: value}, nil
	}
	return name, condition{name: outer, value: value}, nil
}

func (c condition) folded() condition {
	return condition{strings.ToLower(c.outer), strings.ToLower(c.name), strings.ToLower(c.value)}
}

// call returns the name and its condition, as a line has them.
func (r rule) call() string {
	s := r.name
	if r.condition == (condition{}) {
		return s
	}
	s += "?"
	if r.condition.outer != "" {
		s += r.condition.outer + "."
	}
	s += r.condition.name
	if r.condition.value != "" {
		s += "=" + r.condition.value
	}
	return s
}

// String returns the rule as a line.
func (r rule) String() string {
	tier := r.grade.tier.String()
	if r.grade.restores {
		tier = restores
	}
	return r.class.String() + " " + tier + " " + r.service + " " + r.call()
}
