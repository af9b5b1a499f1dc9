package cache

import (
	"strings"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// directives holds the directives of Cache-Control, or of a field that is
// targeted at this cache, for a shared cache (RFC 9111 section 5.2).
type directives struct {
	noStore         bool
	noCache         bool
	private         bool
	public          bool
	mustRevalidate  bool // or proxy-revalidate, which means the same to a shared cache
	mustUnderstand  bool
	onlyIfCached    bool // in requests
	maxAge          delta
	sMaxAge         delta
	staleIfError    delta
	staleRevalidate delta
}

// delta is the number of seconds of a directive. The zero value means that the
// directive is absent.
type delta struct {
	said bool
	time.Duration
}

// mostSeconds replaces larger numbers (RFC 9111 section 1.2.2).
const mostSeconds = 1 << 31

// parseControl reads the lines of a Cache-Control field. It ignores unknown
// directives. If a directive comes twice, the first one counts.
func parseControl(lines []string) (d directives) {
	for _, line := range lines {
		for line != "" {
			name, value, rest := directive(line)
			line = rest
			d.add(name, value)
		}
	}
	return d
}

// directive cuts the first directive off a line. The value is without its
// quotes. Blanks around the equals sign are not allowed: they stay in name and
// value, so the directive is unknown.
func directive(line string) (name, value, rest string) {
	end := 0
	for end < len(line) && line[end] != ',' && line[end] != '"' {
		end++
	}
	if end < len(line) && line[end] == '"' {
		end = unquoted(line, end+1)
	}
	element := wire.TrimBlanks(line[:end])
	if end < len(line) {
		rest = line[end+1:]
	}
	name, value, _ = strings.Cut(element, "=")
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
	}
	return name, value, rest
}

// unquoted returns the end of the list element in which a quoted string begins
// before i: the next comma outside of quotes.
func unquoted(line string, i int) int {
	quoted := true
	for ; i < len(line); i++ {
		switch {
		case quoted && line[i] == '\\':
			i++
		case line[i] == '"':
			quoted = !quoted
		case !quoted && line[i] == ',':
			return i
		}
	}
	return len(line)
}

// add notes one directive. The field names of private and no-cache are ignored,
// so these count for the whole answer (RFC 9111 sections 5.2.2.4 and 5.2.2.7).
func (d *directives) add(name, value string) {
	switch {
	case wire.EqualFold(name, "no-store"):
		d.noStore = true
	case wire.EqualFold(name, "no-cache"):
		d.noCache = true
	case wire.EqualFold(name, "private"):
		d.private = true
	case wire.EqualFold(name, "public"):
		d.public = true
	case wire.EqualFold(name, "must-revalidate"), wire.EqualFold(name, "proxy-revalidate"):
		d.mustRevalidate = true
	case wire.EqualFold(name, "must-understand"):
		d.mustUnderstand = true
	case wire.EqualFold(name, "only-if-cached"):
		d.onlyIfCached = true
	case wire.EqualFold(name, "max-age"):
		d.maxAge.set(value)
	case wire.EqualFold(name, "s-maxage"):
		d.sMaxAge.set(value)
	case wire.EqualFold(name, "stale-if-error"):
		d.staleIfError.set(value)
	case wire.EqualFold(name, "stale-while-revalidate"):
		d.staleRevalidate.set(value)
	}
}

// set notes the first value. A value that is not a number counts as 0: an
// answer with invalid freshness information is stale (RFC 9111 section 4.2.1).
func (t *delta) set(value string) {
	if t.said {
		return
	}
	t.said = true
	t.Duration, _ = seconds(value)
}

// seconds reads delta-seconds.
func seconds(value string) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	n := int64(0)
	for i := 0; i < len(value); i++ {
		digit := value[i] - '0'
		if digit > 9 {
			return 0, false
		}
		n = min(n*10+int64(digit), mostSeconds)
	}
	return time.Duration(n) * time.Second, true
}

// parseTargeted reads a field of RFC 9213, which is a Dictionary of RFC 9651.
// It reports false for a field that has to be ignored, because it is empty or
// malformed.
func parseTargeted(lines []string) (d directives, ok bool) {
	dictionary, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dictionary.Names()) == 0 {
		return d, false
	}
	for _, name := range dictionary.Names() {
		member, _ := dictionary.Get(name)
		item, isItem := member.(httpsfv.Item)
		if !isItem {
			if isNumeric(name) {
				return directives{}, false
			}
			continue
		}
		if !d.addItem(name, item.Value) {
			return directives{}, false
		}
	}
	return d, true
}

// addItem notes one member of a Dictionary. It reports false if the value of a
// directive in seconds is not a number.
func (d *directives) addItem(name string, value any) bool {
	switch v := value.(type) {
	case int64:
		if v < 0 {
			return !isNumeric(name)
		}
		n := min(v, mostSeconds)
		d.addNumber(name, time.Duration(n)*time.Second)
		return true
	case bool:
		if v && !isNumeric(name) {
			d.add(name, "")
		}
	default:
		if name == "private" || name == "no-cache" {
			d.add(name, "")
		}
	}
	return !isNumeric(name)
}

func (d *directives) addNumber(name string, n time.Duration) {
	switch name {
	case "max-age":
		d.maxAge = delta{true, n}
	case "s-maxage":
		d.sMaxAge = delta{true, n}
	case "stale-if-error":
		d.staleIfError = delta{true, n}
	case "stale-while-revalidate":
		d.staleRevalidate = delta{true, n}
	}
}

// isNumeric reports whether the value of a directive is seconds.
func isNumeric(name string) bool {
	switch name {
	case "max-age", "s-maxage", "stale-if-error", "stale-while-revalidate":
		return true
	}
	return false
}
