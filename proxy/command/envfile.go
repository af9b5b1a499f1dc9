package command

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// largestEnvFile is the largest environment file that is read. The kernel
// limits the environment of a process to a similar size.
const largestEnvFile = 4 << 20

// readEnvFile reads a file like docker run --env-file: one pair a line, without
// quoting or expansion. A name without a value has the value of the process's
// own environment. The notes name the lines that Compose or a shell would read
// differently.
func readEnvFile(path string, environ []string) (pairs, notes []string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()

	text, err := io.ReadAll(io.LimitReader(file, largestEnvFile+1))
	switch {
	case err != nil:
		return nil, nil, err
	case len(text) > largestEnvFile:
		return nil, nil, fmt.Errorf("%s is larger than 4 MiB, which is no file of an environment", path)
	}

	pairs, notes, err = parseEnvFile(string(text), environ)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}

	return pairs, notes, err
}

// parseEnvFile parses the text of such a file.
func parseEnvFile(text string, environ []string) (pairs, notes []string, err error) {
	text = strings.TrimPrefix(text, "\ufeff")
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimLeft(strings.TrimSuffix(line, "\r"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}

		name, value, given := strings.Cut(line, "=")
		if why := badName(name); why != "" {
			return nil, nil, fmt.Errorf("line %d %s", number, why)
		}
		if !given {
			if value, given = inherited(name, environ); !given {
				continue
			}
		} else if note := readDifferently(value); note != "" && isSetting(name) {
			notes = append(notes, fmt.Sprintf("line %d, %s: %s", number, name, note))
		}

		// If a name is given twice, Docker uses the last value.
		pairs = slices.DeleteFunc(pairs, func(p string) bool { return strings.HasPrefix(p, name+"=") })
		pairs = append(pairs, name+"="+value)
	}

	return pairs, notes, nil
}

// badName returns why Docker refuses a name, or "". It does not show the line,
// which may hold a secret.
func badName(name string) string {
	switch {
	case !utf8.ValidString(name) || strings.ContainsRune(name, 0):
		return "is no text in UTF-8"
	case name == "":
		return "has no name before its '='"
	case strings.HasPrefix(name, "export "):
		return "begins with export, which only a shell reads: leave it out"
	case strings.ContainsAny(name, " \t"):
		return "has a blank in its name: a pair is written NAME=value, without blanks around the '='"
	}

	return ""
}

// isSetting reports whether Pillion may read a variable of this name.
func isSetting(name string) bool {
	return strings.HasPrefix(name, "LB_") || strings.HasPrefix(name, "OTEL_") || name == "PORT"
}

// inherited returns the value of a name in the process's environment.
func inherited(name string, environ []string) (string, bool) {
	for _, pair := range environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value, true
		}
	}

	return "", false
}

// readDifferently returns how docker run, Compose and shells differ in reading
// a value, or "" if they agree.
func readDifferently(value string) string {
	quoted := len(value) > 1 && strings.ContainsAny(value[:1], `'"`) && value[len(value)-1] == value[0]
	switch {
	case quoted:
		return "docker run keeps the quotes; Compose and shells take them away"
	case strings.Contains(value, " #"):
		return "Compose and shells take what follows ' #' for a comment; docker run keeps it"
	case strings.Contains(value, "$"):
		return "Compose and shells replace what follows '$'; docker run keeps it"
	case strings.ContainsAny(value, ";&|<>()` \t"):
		return "docker run and Compose take the value as it stands; a shell needs quotes around it"
	}

	return ""
}
