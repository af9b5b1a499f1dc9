package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Changed returns the settings that differ from their default, also those of
// names. Secrets are masked.
func (c *Config) Changed() (list []Setting) {
	for _, s := range c.settings {
		if s.Origin != "default" {
			list = append(list, s)
		}
	}

	for _, of := range c.scoped {
		for _, s := range of.settings {
			if !strings.HasPrefix(s.Origin, "inherited") {
				list = append(list, s)
			}
		}
	}

	return list
}

// Assignment returns the setting as a line of a shell script or env file. For a
// secret, the line is a comment with a masked value. A value with line breaks
// is written so that a shell reads the same value from the one line.
func (s Setting) Assignment() string {
	switch {
	case s.Value == mask:
		return "# " + s.Name + " (secret, " + oneLine(s.Origin) + ")"
	case s.Value != oneLine(s.Value):
		return s.Name + "=$'" + escaped(s.Value) + "'"
	}

	return s.Name + "='" + strings.ReplaceAll(s.Value, "'", `'\''`) + "'"
}

// escaped is a value as it stands within $'…' (POSIX.1-2024, Shell Command
// Language, section 2.2.4). What can't be shown is in octal digits.
func escaped(value string) string {
	var b strings.Builder
	for len(value) > 0 {
		_, size := utf8.DecodeRuneInString(value)
		one := value[:size]
		switch {
		case one == "\n":
			b.WriteString(`\n`)
		case one == "\t":
			b.WriteString(`\t`)
		case one == "'" || one == `\`:
			b.WriteString(`\` + one)
		case oneLine(one) != one:
			for _, c := range []byte(one) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		default:
			b.WriteString(one)
		}
		value = value[size:]
	}

	return b.String()
}
