package route

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// Grammar describes an item in words.
const Grammar = "items [host][/path][?condition&…] separated by ';': a host is www.example.com, " +
	"*.example.com or //name, a path /exact or /prefix/*, a condition method=, header.NAME, " +
	"cookie.NAME, query.NAME or share="

// split splits a list of items at semicolons, line breaks and commas.
func split(list string) []string {
	var items []string
	for item := range strings.FieldsFuncSeq(list, func(r rune) bool {
		return r == ';' || r == ',' || r == '\n' || r == '\r'
	}) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}

	return items
}

// parse reads one item. The text of the error continues a sentence that begins
// with the item.
func parse(text string) (*Item, error) {
	i := &Item{Text: text, share: noShare}
	where, conditions, conditional := strings.Cut(text, "?")
	host, path, err := splitHost(where)
	if err != nil {
		return nil, err
	}
	if err := i.setHost(host); err != nil {
		return nil, err
	}
	if err := i.setPath(path); err != nil {
		return nil, err
	}
	if !conditional {
		return i, nil
	}

	for condition := range strings.SplitSeq(conditions, "&") {
		if err := i.setCondition(condition); err != nil {
			return nil, err
		}
	}

	return i, nil
}

// splitHost separates the host from an item. A host without a dot needs two
// slashes before it, because it could also be a path whose slash was forgotten.
func splitHost(where string) (host, path string, _ error) {
	if strings.Contains(where, "://") {
		return "", "", errors.New("has a scheme; a host stands alone: 'www.example.com/api/*'")
	}
	if rest, ok := strings.CutPrefix(where, "//"); ok {
		host, path = rest, ""
		if slash := strings.IndexByte(rest, '/'); slash >= 0 {
			host, path = rest[:slash], rest[slash:]
		}
		if host == "" {
			return "", "", errors.New("has no host behind '//'")
		}

		return host, path, nil
	}
	if where == "" || where[0] == '/' {
		return "", where, nil
	}
	if strings.ContainsAny(where, "^$()`|\\") {
		return "", "", errors.New("is a regular expression or a rule of another program: " +
			"all paths below /api are written '/api/*'")
	}
	if method, path, ok := strings.Cut(where, " "); ok {
		if path = strings.TrimSpace(path); strings.HasPrefix(path, "/") &&
			strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
			return "", "", fmt.Errorf("begins with a method: write '%s?method=%s'", path, method)
		}
		return "", "", errors.New("holds a blank; in a path it is written as %20")
	}

	host = where
	if slash := strings.IndexByte(where, '/'); slash >= 0 {
		host, path = where[:slash], where[slash:]
	}
	if !strings.Contains(host, ".") {
		return "", "", fmt.Errorf("begins neither with '/' nor with a host that has a dot; "+
			"write '/%[1]s' for a path, '//%[1]s' for a host of one label", where)
	}

	return host, path, nil
}

// hostCharacters are the characters of a label of a host.
const hostCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-_"

func (i *Item) setHost(host string) error {
	if strings.ContainsAny(host, ":[]@") {
		return errors.New("has a port or an IPv6 address in its host; write the name alone")
	}
	if host == "." {
		return errors.New("has a host that is no name")
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if rest, ok := strings.CutPrefix(host, "*."); ok {
		i.wild, host = true, rest
	}
	if strings.Contains(host, "*") {
		return errors.New("has a star that is not the first label of its host: '*.example.com'")
	}

	for label := range strings.SplitSeq(host, ".") {
		if host != "" && (label == "" || len(label) > 63 || strings.Trim(label, hostCharacters) != "") {
			return errors.New("has a host that is no name (an international one is written as xn--…)")
		}
	}
	if len(host) > 253 || i.wild && host == "" {
		return errors.New("has a host that is no name")
	}
	i.host = host

	return nil
}

func (i *Item) setPath(path string) error {
	if path == "" {
		path = "/*"
	}
	path, i.below = strings.CutSuffix(path, "/*")
	if path == "" && !i.below {
		path = "/"
	}

	switch {
	case strings.Contains(path, ".*"), strings.Contains(path, "*") && strings.ContainsAny(path, "(|["):
		return errors.New("is a regular expression: all paths below /api are written '/api/*'")
	case strings.Contains(path, "/*."):
		return errors.New("has a star before the end of a name; a star stands only at the end, " +
			"as in '/api/*', for all paths below, and %2A is the character")
	case strings.Contains(path, "*"):
		return fmt.Errorf("has a star that is no whole last segment: "+
			"write '%s/*', or %%2A for the character",
			strings.TrimRight(path[:strings.IndexByte(path, '*')], "/"))
	case strings.Contains(path, "//") || i.below && strings.HasSuffix(path, "/"):
		return errors.New("has an empty segment")
	case strings.ContainsAny(path, "{}"):
		return errors.New("has a '{' or '}', and no part of a path is a variable; " +
			"all paths below /api are written '/api/*', and %7B is the character")
	case strings.ContainsAny(path, `\#`) || !wire.Every(path, wire.InTarget):
		return errors.New("holds a character that a path may not have; others are written as %20")
	case !wire.ValidEscapes(path):
		return errors.New("has a '%' that is no escape; a literal one is %25")
	}

	p := read(nil, normal(nil, "/"+strings.TrimPrefix(path, "/")), decodes)
	if path == "" {
		p = nil
	}
	if err := readAlike(path, string(p)); err != nil {
		return err
	}
	i.path = string(p)
	i.depth = strings.Count(i.path, "/")

	return nil
}

// readAlike refuses a path that servers read in different ways, because
// requests with such a path are refused.
func readAlike(given, decoded string) error {
	upper := strings.ToUpper(given)
	if strings.Contains(upper, "%2F") || strings.Contains(upper, "%5C") ||
		strings.Contains(upper, "%3B") {
		return errors.New("holds %2F, %5C or %3B, which servers read in different ways")
	}
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment == "." || segment == ".." {
			return errors.New("has the segment '.' or '..'")
		}
	}

	return nil
}

func (i *Item) setCondition(condition string) error {
	key, value, given := strings.Cut(condition, "=")
	if key == "share" && value != "" {
		return i.setShare(value)
	}

	var words []string
	if given {
		var err error
		if words, err = splitWords(value); err != nil {
			return err
		}
	}

	kindName, name, named := strings.Cut(key, ".")
	switch {
	case key == "method" && value != "":
		return i.setMethods(words)
	case named && name != "" && kindName == "header":
		return i.setHeader(name, words)
	case named && kindName == "cookie" && wire.IsToken(name):
		return appendField(&i.fields, field{cookie, name, words})
	case named && name != "" && kindName == "query":
		name, err := decodeWord(name)
		if err != nil {
			return err
		}

		return appendField(&i.query, field{query, name, words})
	}

	return fmt.Errorf("has the condition %q, which is none of method=GET, header.NAME, "+
		"cookie.NAME, query.NAME (with or without =value) and share=5%%", condition)
}

func (i *Item) setMethods(methods []string) error {
	if i.method != nil {
		return errors.New("says method twice; write method=GET|POST")
	}
	for _, m := range methods {
		if !wire.IsToken(m) || m == "*" {
			return fmt.Errorf("has the method %q, which is none", m)
		}
		if upper := strings.ToUpper(m); upper != m {
			return fmt.Errorf("has the method %q; methods are compared with their case: method=%s", m, upper)
		}
	}
	i.method = methods

	return nil
}

func (i *Item) setHeader(name string, words []string) error {
	switch {
	case !wire.IsToken(name):
		return fmt.Errorf("has the header %q, which is no name", name)
	case strings.EqualFold(name, "host"):
		return errors.New("has the header host; a host stands before the path: 'www.example.com/*'")
	case strings.EqualFold(name, "cookie"):
		return errors.New("has the header cookie; one cookie is cookie.NAME")
	}

	return appendField(&i.fields, field{header, http.CanonicalHeaderKey(name), words})
}

func appendField(fields *[]field, f field) error {
	for _, other := range *fields {
		if other.kind == f.kind && other.name == f.name {
			return fmt.Errorf("says %s%s twice; write %[1]s%[2]s=one|other", kindNames[f.kind], f.name)
		}
	}
	*fields = append(*fields, f)

	return nil
}

func (i *Item) setShare(value string) error {
	number, percent := strings.CutSuffix(value, "%")
	whole, fraction, pointed := strings.Cut(number, ".")
	n, err := strconv.ParseUint(whole, 10, 16)
	switch {
	case i.share != noShare:
		return errors.New("says share twice")
	case !percent:
		return fmt.Errorf("has the share %q without a percent sign", value)
	case err != nil || pointed && (len(fraction) < 1 || len(fraction) > 2):
		return fmt.Errorf("has the share %q, which is not from 0%% to 100%% in steps of 0.01%%", value)
	}

	hundredths := 0
	if pointed {
		h, err := strconv.ParseUint((fraction + "0")[:2], 10, 16)
		if err != nil {
			return fmt.Errorf("has the share %q, which is no number", value)
		}
		hundredths = int(h)
	}
	if i.share = int(n)*100 + hundredths; i.share > Numbers {
		return fmt.Errorf("has the share %q, which is more than 100%%", value)
	}

	return nil
}

// splitWords reads the values of a condition.
func splitWords(value string) ([]string, error) {
	words := strings.Split(value, "|")
	for n, w := range words {
		word, err := decodeWord(w)
		if err != nil {
			return nil, err
		}
		words[n] = word
	}

	return words, nil
}

// decodeWord replaces escapes.
func decodeWord(word string) (string, error) {
	if !strings.Contains(word, "%") {
		return word, nil
	}
	var b strings.Builder
	for n := 0; n < len(word); n++ {
		if word[n] != '%' {
			b.WriteByte(word[n])
			continue
		}
		c, ok := escaped(word[n:])
		if !ok {
			return "", fmt.Errorf("has a '%%' in %q that is no escape; a literal one is %%25", word)
		}
		b.WriteByte(c)
		n += 2
	}

	return b.String(), nil
}
