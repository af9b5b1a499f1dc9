package proxy

import "strings"

// takeCookie removes every cookie called name from the values of the Cookie fields. It returns what remains of the
// fields (in the same slice) and appends the values of what it took to found. Everything else keeps its bytes. Pairs
// are separated as browsers do it, by a semicolon (RFC 6265 section 4.2.1).
func takeCookie(fields []string, name string, found []string) (rest, values []string) {
	rest = fields[:0]
	for _, line := range fields {
		if strings.Contains(line, name) {
			line, found = withoutCookie(line, name, found)
		}
		if line != "" {
			rest = append(rest, line)
		}
	}
	return rest, found
}

// withoutCookie cuts the cookie called name out of one line, with one of the separators beside it.
func withoutCookie(line, name string, found []string) (string, []string) {
	for start := 0; start < len(line); {
		end := len(line)
		if i := strings.IndexByte(line[start:], ';'); i >= 0 {
			end = start + i
		}
		value, ok := cookieValue(line[start:end], name)
		if !ok {
			start = end + 1
			continue
		}
		found = append(found, value)
		before := strings.TrimRight(line[:start], "; \t")
		after := strings.TrimLeft(line[end:], "; \t")
		switch start = len(before); {
		case before == "":
			line = after
		case after == "":
			line = before
		default:
			line = before + "; " + after
			start += 2
		}
	}
	return line, found
}

// cookieValue is the value of a pair if that is the cookie called name. Quotes around it are taken off.
func cookieValue(pair, name string) (value string, ok bool) {
	for pair != "" && (pair[0] == ' ' || pair[0] == '\t') {
		pair = pair[1:]
	}
	if !strings.HasPrefix(pair, name) {
		return "", false // as a rule, without a closer look
	}
	value, ok = strings.CutPrefix(strings.TrimLeft(pair[len(name):], " \t"), "=") // some servers read "name =value", too
	return strings.Trim(strings.TrimRight(value, " \t"), `"`), ok
}
