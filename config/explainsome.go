package config

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// PrintTable writes the table of the variables as Markdown, or as a JSON Schema
// of the environment. It reports whether the flag asks for one of them.
func PrintTable(w io.Writer, flag string) bool {
	switch flag {
	case "--markdown":
		fmt.Fprint(w, Reference())
	case "--json":
		fmt.Fprint(w, Schema())
	default:
		return false
	}

	return true
}

// ExplainSome implements "explain": without arguments it writes all variables,
// with --changed those that differ from their default, else the named ones. An
// error describes wrong arguments.
func ExplainSome(w io.Writer, c *Config, args []string) error {
	if len(args) == 0 {
		return Explain(w, c)
	}
	if len(args) == 1 && args[0] == "--changed" {
		for _, s := range c.Changed() {
			fmt.Fprintln(w, s.Assignment())
		}

		return nil
	}

	for _, name := range args {
		base, _, _ := strings.Cut(strings.ToUpper(name), separator)
		if !slices.Contains(Names(), base) {
			return fmt.Errorf("explain does not know %q%s", clip(oneLine(name)), meant(base, Names()))
		}
	}

	rows := newEnvironment(nil).rows
	for _, name := range args {
		base, scope, _ := strings.Cut(strings.ToUpper(name), separator)
		found := false
		for _, s := range c.settings {
			if s.Name == base && scope == "" {
				found = true
				s.explain(w, rows[base])
			}
		}
		for _, of := range c.scoped {
			for _, s := range of.settings {
				own, named, _ := strings.Cut(s.Name, separator)
				if own == base && (scope == "" || named == scope) {
					found = true
					s.explain(w, rows[base])
				}
			}
		}
		if !found {
			return fmt.Errorf("%s is not set in this environment; explain %s says what holds",
				clip(oneLine(name)), strings.TrimSuffix(base, "_FILE"))
		}
	}

	return nil
}

// explain writes a setting with its meaning.
func (s Setting) explain(w io.Writer, v Variable) {
	value := s.Value
	if value == "" {
		value = "(" + v.DefaultText() + ")"
	}

	fmt.Fprintf(w, "%s = %s  [%s]\n    %s\n    Accepted: %s.\n\n",
		s.Name, oneLine(value), oneLine(s.Origin), v.Sentence, v.Accepted())
}

// Schema returns a JSON Schema of the environment, with which editors complete
// and check env files and manifests.
func Schema() string {
	properties, forms := map[string]any{}, map[string]any{}
	for _, v := range Variables() {
		of := map[string]any{
			"type":        "string",
			"description": v.Sentence + " Accepted: " + v.Accepted() + ".",
		}
		if v.Default != "" && !v.Secret {
			of["default"] = v.Default
		}
		if v.Example != "" {
			of["examples"] = []string{v.Example}
		}

		properties[v.Name] = of
		if v.Service || v.Route {
			forms["^"+v.Name+separator+"[A-Z0-9]+(_[A-Z0-9]+)*$"] = of
		}
		if v.hasFile() {
			properties[v.fileName()] = map[string]any{
				"type": "string", "description": "A file that holds " + v.Name + ".",
			}
		}
	}

	foreign := func(name string) bool { return !isOurs(name) }
	text, err := json.MarshalIndent(map[string]any{
		"$schema":    "https://json-schema.org/draft/2020-12/schema",
		"title":      "The environment of Pillion",
		"type":       "object",
		"properties": properties, "patternProperties": forms,
		// Any other name belongs to another program, unless it begins with LB_.
		"propertyNames": map[string]any{"anyOf": []any{
			map[string]any{"not": map[string]any{"pattern": "^LB_"}},
			map[string]any{"enum": slices.DeleteFunc(sortedKeys(properties), foreign)},
			map[string]any{"pattern": "^LB_.*" + separator + "."},
		}},
	}, "", "  ")
	if err != nil {
		return "" // can't happen, because all values can be encoded
	}

	return string(text) + "\n"
}

func sortedKeys(m map[string]any) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)

	return keys
}
