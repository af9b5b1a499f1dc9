package config

import (
	"fmt"
	"io"
	"strings"
)

// Setting is one variable with its current value.
type Setting struct {
	Name   string
	Value  string // as a user would write it; "***" for a secret, "" for nothing
	Origin string // "environment", "file PATH", "metadata", "default", or "environment, refused"
}

// Settings returns every variable in the order of the table.
func (c *Config) Settings() []Setting { return c.settings }

// settings makes the list for Explain, so that the given values need not be
// kept.
func (e *environment) settings(c *Config) []Setting {
	list := make([]Setting, 0, len(e.table))
	for _, v := range e.table {
		list = append(list, e.setting(v, c))
	}
	return list
}

// scope holds the settings of one name for Explain.
type scope struct {
	name     string // in small letters
	service  bool
	settings []Setting // given for the name, or inherited from a given value without a name
}

// scopedSettings returns the settings of each name that are not defaults.
func (e *environment) scopedSettings() []scope {
	var list []scope
	for _, name := range e.scopes()[1:] {
		s := scope{name: strings.ToLower(name), service: e.names[name]}
		for _, v := range e.table {
			if v.Route || v.Service && s.service {
				s.settings = append(s.settings, e.scopedSetting(v, name)...)
			}
		}

		list = append(list, s)
	}

	return list
}

// scopedSetting returns the setting of a variable for a name, or nothing if it
// is the default.
func (e *environment) scopedSetting(v Variable, name string) []Setting {
	own := v.named(name)
	given, isGiven := e.given[own.Name]
	_, isGood := e.good[own.Name]
	path, isFile := e.given[own.fileName()]
	text, isInherited := e.good[v.Name]
	switch {
	case isGiven:
		return []Setting{{own.Name, v.shown(given), e.origin(isGood)}}
	case isFile && v.hasFile():
		return []Setting{{own.Name, mask, "file " + shownPath(path)}}
	case isInherited && v.inherited(text):
		return []Setting{{own.Name, v.shown(e.given[v.Name]), "inherited from " + v.Name}}
	}

	return nil
}

// shown returns a value with its secret parts masked.
func (v Variable) shown(given string) string {
	switch {
	case v.masked != nil:
		return v.masked(given)
	case v.Secret:
		return mask
	}

	return withoutUserInfo(given)
}

func (e *environment) setting(v Variable, c *Config) Setting {
	given, isGiven := e.given[v.Name]
	_, isGood := e.good[v.Name]
	path, isFile := e.given[v.Name+"_FILE"]
	switch {
	case isGiven && e.applies(v):
		return Setting{v.Name, v.shown(given), e.origin(isGood)}
	case isFile && v.hasFile():
		return Setting{v.Name, mask, "file " + shownPath(path)}
	case v.Name == "LB_BACKENDS" && (c.Platform.ComputeEngine || c.Platform.MetadataHost != ""):
		return Setting{v.Name, "the attribute lb-backends of the instance, else of the project",
			"metadata"}
	case v.fallback(e) != "" && v.Secret:
		return Setting{v.Name, mask, "default"}
	case v.fallback(e) != "":
		return Setting{v.Name, withoutUserInfo(v.fallback(e)), "default"}
	}

	return Setting{v.Name, "", "default"}
}

func (e *environment) origin(isGood bool) string {
	if isGood {
		return "environment"
	}
	return "environment, refused"
}

// Explain writes every variable with its value, its origin and its meaning.
// Secrets are masked.
func Explain(w io.Writer, c *Config) error {
	var b strings.Builder
	section, rows := "", newEnvironment(nil).rows
	for _, s := range c.Settings() {
		v := rows[s.Name]
		if v.Section != section {
			section = v.Section
			fmt.Fprintf(&b, "# %s\n\n", section)
		}

		value := s.Value
		if value == "" {
			value = "(" + v.DefaultText() + ")"
		}

		fmt.Fprintf(&b, "%s = %s  [%s]\n    %s\n    Accepted: %s.\n\n", s.Name, oneLine(value),
			oneLine(s.Origin), v.Sentence, v.Accepted())
	}

	for _, s := range c.scoped {
		s.explain(&b)
	}

	_, err := io.WriteString(w, b.String())
	return err
}

// explain writes the settings of one name.
func (s scope) explain(b *strings.Builder) {
	kind := "Route"
	if s.service {
		kind = "Service and route"
	}

	fmt.Fprintf(b, "# %s %s\n\n", kind, s.name)
	for _, set := range s.settings {
		fmt.Fprintf(b, "%s = %s  [%s]\n", set.Name, oneLine(set.Value), oneLine(set.Origin))
	}

	b.WriteString("\n")
}

// Reference returns the table as Markdown, by sections. config/README.md has it
// between its reference markers.
func Reference() string {
	var b strings.Builder
	section := ""
	for _, v := range Variables() {
		if v.Section != section {
			section = v.Section
			fmt.Fprintf(&b, "\n### %s\n\n| variable | default | accepted | meaning |\n|---|---|---|---|\n",
				section)
		}

		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(v.title()), cell(v.DefaultText()),
			cell(v.Accepted()), cell(v.meaning()))
	}

	return strings.TrimPrefix(b.String(), "\n")
}

// title returns the name, with an S or R if it has a form for names, and "own"
// if it is not a default for them.
func (v Variable) title() string {
	title := "`" + v.Name + "`"
	switch {
	case v.Route:
		title += " R"
	case v.Service:
		title += " S"
	}

	if v.own {
		title += " own"
	}

	return title
}

func (v Variable) meaning() string {
	text := v.Sentence
	if v.notYet {
		text += " Not supported in this version."
	}

	if v.Example != "" && !v.notYet {
		text += " Example: `" + v.Name + "='" + v.Example + "'`"
	}

	return text
}

// cell escapes a text for a cell of a table.
func cell(s string) string { return strings.ReplaceAll(oneLine(s), "|", `\|`) }
