package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// form describes the accepted values of a variable. parse turns a given value
// into the text that the field of Config is decoded from. The text of its error
// continues a sentence that begins with the value, such as "is not a whole
// number".
type form struct {
	accepted string
	parse    func(given string) (string, error)
}

// split splits a list at semicolons, line breaks and commas. It drops blanks
// around items, and empty items.
func split(list string) []string {
	items := strings.FieldsFunc(list, func(r rune) bool {
		return r == ';' || r == ',' ||
			r == '\n' || r == '\r'
	})

	for i, item := range items {
		items[i] = strings.TrimSpace(item)
	}

	return slices.DeleteFunc(items, func(item string) bool { return item == "" })
}

// isNone reports whether given is one of the words for nothing.
func isNone(given string) bool {
	return strings.EqualFold(given, "none") || strings.EqualFold(given, "off")
}

// orNone extends a form by the words none and off, which decode from zero.
func orNone(f form, zero string) form {
	return form{f.accepted + ", or none", func(given string) (string, error) {
		if isNone(given) {
			return zero, nil
		}
		return f.parse(given)
	}}
}

// anything is the form that accepts every text.
func anything(accepted string) form {
	return form{accepted, func(given string) (string, error) { return given, nil }}
}

// presence is a form that decodes every given text to true.
func presence(accepted string) form {
	return form{accepted, func(string) (string, error) { return "true", nil }}
}

// choice is the form of one of some words, in upper or lower case.
func choice(words ...string) form {
	return form{strings.Join(words, ", "), func(given string) (string, error) {
		for _, word := range words {
			if strings.EqualFold(given, word) ||
				strings.EqualFold(strings.ReplaceAll(given, "-", "_"), word) {
				return word, nil
			}
		}

		return "", errors.New("is none of the accepted words")
	}}
}

// aliased adds synonyms to a choice.
func aliased(f form, alias map[string]string) form {
	return form{f.accepted, func(given string) (string, error) {
		if word, ok := alias[strings.ToLower(given)]; ok {
			return word, nil
		}
		return f.parse(given)
	}}
}

// explained refuses some words with their own explanation.
func explained(f form, words map[string]string) form {
	return form{f.accepted, func(given string) (string, error) {
		if why, ok := words[strings.ToLower(given)]; ok {
			return "", errors.New(why)
		}

		return f.parse(given)
	}}
}

// hinted adds Pillion's word for a word of other programs to the error of a
// choice.
func hinted(f form, hints map[string]string) form {
	return form{f.accepted, func(given string) (string, error) {
		word, err := f.parse(given)
		if hint, ok := hints[strings.ToLower(given)]; ok && err != nil {
			return "", fmt.Errorf("is called %s here", hint)
		}

		return word, err
	}}
}

// policyForm is the form of the name of a policy, with hints for the names that
// other balancers use.
func policyForm() form {
	var words []string
	for _, p := range Policies() {
		words = append(words, string(p))
	}

	return hinted(choice(words...), map[string]string{
		"least_conn":        string(LeastRequests), // nginx
		"leastconn":         string(LeastRequests), // HAProxy
		"least_connections": string(LeastRequests),
		"least_request":     string(LeastRequests), // Envoy
		"roundrobin":        string(RoundRobin),
		"rr":                string(RoundRobin),
		"p2c":               string(Random2),
	})
}

// toggle is the form of true or false.
func toggle() form { return choice("true", "false") }

// targets is the form of a list of backends. Package discovery reads its items.
func targets() form {
	return form{"a list of targets, separated by ';'", func(given string) (string, error) {
		if slip := slipOfTargets(given); slip != "" {
			return "", errors.New(slip)
		}

		items := split(given)
		switch {
		case isQuoted(given):
			return "", errQuoted
		case len(items) == 0:
			return "", errors.New("names no backend")
		}

		return strings.Join(items, ","), nil
	}}
}

// slipOfTargets returns what is wrong with a list that is written in another
// form, or as another program would have changed it.
func slipOfTargets(given string) string {
	inside, list := strings.CutPrefix(given, "[")
	switch {
	case list && strings.HasPrefix(strings.TrimSpace(inside), `"`):
		return "is a JSON list: write its items without brackets and quotes, separated by ';'"
	case strings.Contains(given, "{{"):
		return "holds a template that nothing has replaced"
	case strings.HasPrefix(given, "{"):
		return "is a JSON object: write a list of targets, separated by ';', such as " +
			"'http://a:80?name=blue'"
	case strings.HasPrefix(given, "- "):
		return "is a YAML list: write its items without dashes, separated by ';'"
	case holdsVariable(given) || strings.HasPrefix(given, "$") || strings.Contains(given, "://$"):
		return "holds a variable that nothing has replaced: " +
			"files of an environment and values of manifests keep '$'"
	case strings.Contains(given, `\n`):
		return `holds the two characters '\n', not the end of a line: separate items by ';'`
	case strings.Contains(given, " #"):
		return "has a comment: files of an environment keep what follows a value in its line"
	}

	return ""
}

// errQuoted is the error for a value that has quotes around it.
var errQuoted = errors.New("begins and ends with a quote of its own: take the two away (docker " +
	"run --env-file and blocks of YAML keep them)")

// isQuoted reports whether a value begins and ends with the same quote.
func isQuoted(given string) bool {
	return len(given) > 1 && (given[0] == '\'' || given[0] == '"') && given[len(given)-1] == given[0]
}

// words is the form of a list of some words. none is the empty list.
func words(known ...string) form {
	one := choice(known...)
	return form{"a list of " + one.accepted, func(given string) (string, error) {
		var list []string
		for _, item := range split(given) {
			word, err := one.parse(item)
			if err != nil {
				return "", fmt.Errorf("has the item %q, which is none of the accepted words",
					clip(item))
			}

			if !slices.Contains(list, word) {
				list = append(list, word)
			}
		}

		return strings.Join(list, ","), nil
	}}
}

// pairs is the form of a list of key=value, as readPairs reads it.
func pairs() form {
	return form{"a list of key=value, separated by ','", func(given string) (string, error) {
		_, err := readPairs(given)
		return given, err
	}}
}

// statuses is the form of a list of status codes and ranges.
func statuses() form {
	return form{"a list of statuses and ranges from 100 to 599, separated by ';'",
		func(given string) (string, error) {
			var set StatusSet
			if err := set.EnvDecode(given); err != nil {
				return "", err
			}

			if set.Empty() {
				return "", errors.New("names no status")
			}

			return given, nil
		}}
}

// file is the form of the path of a readable file.
func file() form {
	return form{"the path of a file that can be read",
		func(given string) (string, error) {
			return given, readable(given)
		}}
}

// pemHead is the beginning of certificates and keys in PEM (RFC 7468).
const pemHead = "-----BEGIN"

// holdsVariable reports whether a part of a text is a variable or a command of
// a shell, a manifest or Compose, which should have been replaced.
func holdsVariable(s string) bool { return strings.Contains(s, "${") || strings.Contains(s, "$(") }

// unreplaced reports whether a whole text is such a variable or command. As a
// secret it would be the same in all deployments, and in the manifest for
// everybody to read.
func unreplaced(s string) bool {
	return strings.HasPrefix(s, "${") && strings.HasSuffix(s, "}") ||
		strings.HasPrefix(s, "$(") && strings.HasSuffix(s, ")") ||
		strings.HasPrefix(s, "{{") && strings.HasSuffix(s, "}}") ||
		strings.HasPrefix(s, "`") && strings.HasSuffix(s, "`")
}

// errUnreplaced is the error for such a secret.
var errUnreplaced = errors.New("is a variable or a command that nothing has replaced: files of " +
	"an environment and values of manifests keep '$' and '`'")

// secretOf is the form of a text of at least least bytes.
func secretOf(least int) form {
	return form{fmt.Sprintf("at least %d characters", least), func(given string) (string, error) {
		switch {
		case unreplaced(given):
			return "", errUnreplaced
		case len([]rune(given)) < least:
			return "", errors.New("is too short")
		}

		return given, nil
	}}
}

// keys is the form of a list of secrets, each of at least least bytes.
func keys(least int) form {
	return form{fmt.Sprintf("a list of keys of at least %d bytes each, separated by ';'", least),
		func(given string) (string, error) {
			list := split(given)
			if len(list) == 0 {
				return "", errors.New("holds no key")
			}

			for i, key := range list {
				if unreplaced(key) {
					return "", errUnreplaced
				}
				if len(key) < least {
					return "", fmt.Errorf("is too short: key %d of %d has %d bytes", i+1, len(list),
						len(key))
				}
			}

			return given, nil
		}}
}
