package config

import (
	"fmt"
	"io"
	"strings"
)

// Setting is one variable as it counts now.
type Setting struct {
	Name   string
	Value  string // as a user would write it; "***" for a secret, "" for nothing
	Origin string // "environment", "file PATH", "metadata", "default", or "environment, refused"
}

// Settings returns every variable in the order of the table.
func (c *Config) Settings() []Setting { return c.settings }

// settings notes what Explain prints, so that no given value has to be kept.
func (e *environment) settings(c *Config) []Setting {
	list := make([]Setting, 0, len(e.table))
	for _, v := range e.table {
		list = append(list, e.setting(v, c))
	}
	return list
}

func (e *environment) setting(v Variable, c *Config) Setting {
	given, isGiven := e.given[v.Name]
	_, isGood := e.good[v.Name]
	path, isFile := e.given[v.Name+"_FILE"]
	switch {
	case isGiven && v.Secret:
		return Setting{v.Name, mask, e.origin(isGood)}
	case isGiven && e.applies(v):
		return Setting{v.Name, withoutUserInfo(given), e.origin(isGood)}
	case isFile && v.hasFile():
		return Setting{v.Name, mask, "file " + shownPath(path)}
	case v.Name == "LB_BACKENDS" && (c.Platform.ComputeEngine || c.Platform.MetadataHost != ""):
		return Setting{v.Name, "the attribute lb-backends of the instance, else of the project", "metadata"}
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

// Explain writes every variable with its value, where that came from, and what it means. Secrets are masked.
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
		fmt.Fprintf(&b, "%s = %s  [%s]\n    %s\n    Accepted: %s.\n\n", s.Name, oneLine(value), oneLine(s.Origin), v.Sentence, v.Accepted())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Reference is the table as Markdown, one part a section. The README holds it between its reference markers.
func Reference() string {
	var b strings.Builder
	section := ""
	for _, v := range Variables() {
		if v.Section != section {
			section = v.Section
			fmt.Fprintf(&b, "\n### %s\n\n| variable | default | accepted | meaning |\n|---|---|---|---|\n", section)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(v.title()), cell(v.DefaultText()), cell(v.Accepted()), cell(v.meaning()))
	}
	return strings.TrimPrefix(b.String(), "\n")
}

// title is the name, with an S behind those that describe the backend service.
func (v Variable) title() string {
	if v.Service {
		return "`" + v.Name + "` S"
	}
	return "`" + v.Name + "`"
}

func (v Variable) meaning() string {
	text := v.Sentence
	if v.notYet {
		text += " Not supported in this version."
	}
	if v.Example != "" {
		text += " Example: `" + v.Name + "='" + v.Example + "'`"
	}
	return text
}

// cell keeps a text within its cell of a table.
func cell(s string) string { return strings.ReplaceAll(oneLine(s), "|", `\|`) }
