package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// form is how a variable may be written. parse turns what was given into the text that the field of Config is decoded
// from, or says what is wrong with it: an error that reads on from the value, such as "is not a whole number".
type form struct {
	accepted string
	parse    func(given string) (string, error)
}

// split cuts a list at semicolons, line breaks and commas. Blanks around items and empty items are dropped.
func split(list string) []string {
	items := strings.FieldsFunc(list, func(r rune) bool { return r == ';' || r == ',' || r == '\n' || r == '\r' })
	for i, item := range items {
		items[i] = strings.TrimSpace(item)
	}
	return slices.DeleteFunc(items, func(item string) bool { return item == "" })
}

// isNone reports whether given says that there shall be nothing.
func isNone(given string) bool {
	return strings.EqualFold(given, "none") || strings.EqualFold(given, "off")
}

// orNone also accepts none and off, which decode from zero.
func orNone(f form, zero string) form {
	return form{f.accepted + ", or none", func(given string) (string, error) {
		if isNone(given) {
			return zero, nil
		}
		return f.parse(given)
	}}
}

// anything takes every text as it is.
func anything(accepted string) form {
	return form{accepted, func(given string) (string, error) { return given, nil }}
}

// presence decodes to true whatever is given.
func presence(accepted string) form {
	return form{accepted, func(string) (string, error) { return "true", nil }}
}

// choice takes one of some words, in any case.
func choice(words ...string) form {
	return form{strings.Join(words, ", "), func(given string) (string, error) {
		for _, word := range words {
			if strings.EqualFold(given, word) {
				return word, nil
			}
		}
		return "", errors.New("is none of the accepted words")
	}}
}

// aliased makes more words of a choice mean what its own words mean.
func aliased(f form, alias map[string]string) form {
	return form{f.accepted, func(given string) (string, error) {
		if word, ok := alias[strings.ToLower(given)]; ok {
			return word, nil
		}
		return f.parse(given)
	}}
}

// toggle takes true and false.
func toggle() form { return choice("true", "false") }

// targets takes a list of backends, whose items package discovery reads.
func targets() form {
	return form{"a list of targets, separated by ';'", func(given string) (string, error) {
		items := split(given)
		if len(items) == 0 {
			return "", errors.New("names no backend")
		}
		return strings.Join(items, ","), nil
	}}
}

// words takes a list of some words; none alone is the empty list.
func words(known ...string) form {
	one := choice(known...)
	return form{"a list of " + one.accepted, func(given string) (string, error) {
		var list []string
		for _, item := range split(given) {
			word, err := one.parse(item)
			if err != nil {
				return "", fmt.Errorf("has the item %q, which is none of the accepted words", clip(item))
			}
			if !slices.Contains(list, word) {
				list = append(list, word)
			}
		}
		return strings.Join(list, ","), nil
	}}
}

// pairs takes a list as the OpenTelemetry specification writes it. The reason shows no item: a value may be a secret.
func pairs() form {
	return form{"a list of key=value, separated by ','", func(given string) (string, error) {
		for i, item := range strings.Split(given, ",") {
			key, _, found := strings.Cut(item, "=")
			if empty := strings.TrimSpace(item) == ""; !empty && !(found && isToken(strings.TrimSpace(key))) {
				return "", fmt.Errorf("is not key=value in item %d", i+1)
			}
		}
		return given, nil
	}}
}

// statuses takes a list of status codes and ranges.
func statuses() form {
	return form{"a list of statuses and ranges from 100 to 599, separated by ';'", func(given string) (string, error) {
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

// file takes the path of a file that can be read now.
func file() form {
	return form{"the path of a file that can be read", func(given string) (string, error) { return given, readable(given) }}
}

// secretOf takes a text of at least least bytes.
func secretOf(least int) form {
	return form{fmt.Sprintf("at least %d characters", least), func(given string) (string, error) {
		if len([]rune(given)) < least {
			return "", errors.New("is too short")
		}
		return given, nil
	}}
}

// keys takes a list of secrets, each of at least least bytes.
func keys(least int) form {
	return form{fmt.Sprintf("a list of keys of at least %d bytes each, separated by ';'", least), func(given string) (string, error) {
		list := split(given)
		if len(list) == 0 {
			return "", errors.New("holds no key")
		}
		for i, key := range list {
			if len(key) < least {
				return "", fmt.Errorf("is too short: key %d of %d has %d bytes", i+1, len(list), len(key))
			}
		}
		return given, nil
	}}
}
