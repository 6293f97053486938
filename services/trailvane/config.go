package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/trailvane/trailvane/services/internal/present"
	"github.com/trailvane/trailvane/services/internal/service"
)

// A configFile is the flag --config. The commands that have it are those that the environment configures, too.
type configFile string

const configHelp = "Configuration file (YAML, or JSON, which is YAML): names of flags without dashes in front, and values, as " +
	"'nats: [nats://n1:4222, nats://n2:4222]'. Services can share a file: each takes the keys that it has flags for. Flags come before the environment, " +
	"the environment before the file."

// configFlag is its name.
const configFlag = "config"

// onlyFlag is the variable of flags that neither the environment nor a file sets: what they say is meant for one call, or something else elsewhere.
const onlyFlag = "-"

// nameEnvironment gives flags of services their variables: --tls-ca is TRAILVANE_TLS_CA. An empty variable is none: compose files and
// charts set all that they know, and leave empty what is not wanted.
func nameEnvironment(k *kong.Kong) error {
	for _, n := range k.Model.Leaves(false) {
		for _, f := range n.Flags {
			switch {
			case slices.Contains(f.Envs, onlyFlag):
				f.Envs, f.Value.Tag.Envs = nil, nil
			case f.Name != "help" && flagOf(n, configFlag) != nil:
				name := "TRAILVANE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
				if value, set := os.LookupEnv(name); set && value == "" {
					continue
				}
				f.Envs = []string{name}
				f.Value.Tag.Envs = f.Envs
			}
		}
	}
	return nil
}

// configured returns the commands that have --config.
func configured(app *kong.Application) []*kong.Node {
	return slices.DeleteFunc(app.Leaves(false), func(n *kong.Node) bool { return flagOf(n, configFlag) == nil })
}

func flagOf(n *kong.Node, name string) *kong.Flag {
	if i := slices.IndexFunc(n.Flags, func(f *kong.Flag) bool { return f.Name == name }); i >= 0 {
		return n.Flags[i]
	}
	return nil
}

// A setting is a value of a configuration file.
type setting struct {
	line  int
	value any // string, or []any of strings
}

// readConfigFile is called when flags and environment are known; what they leave open, the file that they name may say.
func readConfigFile(c *kong.Context, trace *kong.Path) error {
	n := c.Selected()
	if trace.App == nil || n == nil || flagOf(n, configFlag) == nil { // once, and only for commands that have one
		return nil
	}
	file, ok := c.FlagValue(flagOf(n, configFlag)).(configFile)
	if !ok || file == "" {
		return nil
	}
	text, err := readBounded(string(file), maxConfig)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	keys, err := parseConfig(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, key := range sortedKeys(keys) {
		if err := checkSetting(c.Model, key, keys[key].value); err != nil {
			return fmt.Errorf("%s, line %d: %w", file, keys[key].line, err)
		}
	}
	c.AddResolver(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, f *kong.Flag) (any, error) {
		s, ok := keys[f.Name]
		if !ok || len(f.Envs) == 0 || slices.ContainsFunc(f.Envs, func(name string) bool { _, set := os.LookupEnv(name); return set }) {
			return nil, nil
		}
		return s.value, nil
	}))
	return nil
}

// checkSetting returns an error if no service has a flag for a key, or one that has cannot read the value, also if it is not the
// one that runs or something hides the value today.
func checkSetting(app *kong.Application, key string, value any) error {
	found := false
	for _, n := range configured(app) {
		f := flagOf(n, key)
		if f == nil || len(f.Envs) == 0 || key == configFlag {
			continue
		}
		found = true
		if err := f.Parse(kong.Scan().PushTyped(value, kong.FlagValueToken), reflect.New(f.Target.Type()).Elem()); err != nil {
			return err // it names the flag
		}
	}
	if !found {
		return fmt.Errorf("there is no key %q; keys are the names of flags, as 'trailvane serve --help' tells them", key)
	}
	return nil
}

// sortedKeys returns the keys by line.
func sortedKeys(keys map[string]setting) []string {
	var all []string
	for k := range keys {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b string) int { return keys[a].line - keys[b].line })
	return all
}

// maxConfig bounds a configuration file, bytes: some dozens of lines are usual.
const maxConfig = 1 << 20

func readBounded(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s is larger than %d bytes", file, most)
	}
	return text, err
}

// parseConfig reads keys and values. Values are texts, as on the command line, or lists of them; nothing is expanded.
func parseConfig(text []byte) (map[string]setting, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	keys := make(map[string]setting)
	if len(doc.Content) == 0 { // nothing but comments
		return keys, nil
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: a file is lines of 'key: value'", top.Line)
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		k, v := top.Content[i], top.Content[i+1]
		if _, twice := keys[k.Value]; twice {
			return nil, fmt.Errorf("line %d: %q is there twice", k.Line, k.Value)
		}
		s := setting{line: k.Line}
		switch {
		case v.Kind == yaml.ScalarNode && v.Tag != "!!null":
			s.value = v.Value
		case v.Kind == yaml.SequenceNode:
			list := []any{}
			for _, e := range v.Content {
				if e.Kind != yaml.ScalarNode {
					return nil, fmt.Errorf("line %d: %q is a list of something else than texts and numbers", e.Line, k.Value)
				}
				list = append(list, e.Value)
			}
			s.value = list
		default:
			return nil, fmt.Errorf("line %d: %q has no value; a value is a text, a number or a list of them", k.Line, k.Value)
		}
		keys[k.Value] = s
	}
	return keys, nil
}

type configCommand struct {
	Check configCheckCommand `cmd:"" help:"Check flags, environment and file of a service without running it, and print what it would run with."`
}

type configCheckCommand struct {
	Command []string `arg:"" passthrough:"" help:"The command with its flags, as you would run it."`
}

// Help is shown below the flags.
func (configCheckCommand) Help() string {
	return "Prints each value, and where it comes from. Names, passwords and tokens in URLs are hidden. Connects nowhere.\n\n" +
		"Example: trailvane config check serve --config trailvane.yaml\n\n" +
		"Exit codes: 0 it is right, 2 it is not."
}

// Run checks.
func (c *configCheckCommand) Run(console console) error {
	args := c.Command
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	exited := false
	parser := newParser(console.out, console.err, func(int) { exited = true })
	k, err := parser.Parse(args)
	if exited { // --help
		return nil
	}
	if err != nil {
		return usageError{err}
	}
	n := k.Selected()
	if n == nil || flagOf(n, configFlag) == nil {
		return usagef("%s has no configuration; services have: %s", strings.Join(args, " "), strings.Join(names(configured(parser.Model)), ", "))
	}
	checked, ok := n.Target.Addr().Interface().(interface{ check() error })
	if !ok {
		return errors.New("the command cannot be checked; please report it")
	}
	if err := checked.check(); err != nil {
		return err
	}
	for _, line := range effective(k, n) {
		if _, err := fmt.Fprintln(console.out, line); err != nil {
			return err
		}
	}
	return nil
}

func names(nodes []*kong.Node) []string {
	var all []string
	for _, n := range nodes {
		all = append(all, words(n))
	}
	return all
}

// words are what a command is on the command line, as "readers list".
func words(n *kong.Node) string {
	if n.Parent == nil || n.Parent.Type != kong.CommandNode {
		return n.Name
	}
	return words(n.Parent) + " " + n.Name
}

// effective lists the values of a command's flags and arguments, and where each comes from.
func effective(k *kong.Context, n *kong.Node) []string {
	from := make(map[*kong.Value]string)
	for _, p := range k.Path {
		switch {
		case p.Flag != nil && p.Resolved:
			from[p.Flag.Value] = "file"
		case p.Flag != nil:
			from[p.Flag.Value] = "flag"
		case p.Positional != nil:
			from[p.Positional] = "argument"
		}
	}
	var rows [][3]string
	width := [2]int{}
	add := func(v *kong.Value, name string) {
		source, ok := from[v]
		for _, env := range v.Tag.Envs {
			if _, set := os.LookupEnv(env); set && !ok {
				source, ok = env, true
			}
		}
		if !ok {
			source = "default"
		}
		row := [3]string{name, shown(name, v.Target), source}
		for i := range width {
			width[i] = max(width[i], len(row[i]))
		}
		rows = append(rows, row)
	}
	for _, f := range n.Flags {
		if f.Name != "help" {
			add(f.Value, f.Name)
		}
	}
	for _, p := range n.Positional {
		add(p, p.Name)
	}
	var lines []string
	for _, r := range rows {
		lines = append(lines, fmt.Sprintf("%-*s  %-*s  %s", width[0], r[0], width[1], r[1], r[2]))
	}
	return lines
}

// maxShown bounds a value, columns.
const maxShown = 300

// shown tells a value without its secrets, and "-" where there is none.
func shown(name string, v reflect.Value) string {
	if v.IsZero() && v.Kind() != reflect.Bool {
		return "-"
	}
	if v.Kind() == reflect.Pointer { // where zero is a value
		v = v.Elem()
	}
	text := fmt.Sprint(v.Interface())
	if list, ok := v.Interface().([]string); ok {
		text = strings.Join(list, ",")
		if name == "nats" {
			text = service.WithoutSecrets(list)
		}
	}
	return present.Safe(text, maxShown)
}
