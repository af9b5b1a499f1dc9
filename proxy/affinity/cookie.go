package affinity

import "strings"

// maxSessionCookies is how many affinity cookies of one request are verified.
// Browsers send two of one name if their paths differ. Each one costs an HMAC,
// so a request can't have many of them verified.
const maxSessionCookies = 4

// TakeCookie removes every cookie called name from the values of the Cookie
// fields. It returns the remaining fields in the same slice, and appends the
// values of the first few cookies to found. The other bytes stay as they are.
// Pairs are separated by semicolons, as browsers do it (RFC 6265 section
// 4.2.1).
func TakeCookie(fields []string, name string, found []string) (rest, values []string) {
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

// separators are the characters between two pairs.
const separators = "; \t"

// withoutCookie removes every cookie called name from one line, with the
// separators beside it. It reads the line once and copies it once, because a
// client may repeat the cookie thousands of times.
func withoutCookie(line, name string, found []string) (string, []string) {
	var stays pieces
	kept := 0 // nothing was cut after this

	for start, end := 0, 0; start < len(line); start = end + 1 {
		end = len(line)
		if i := strings.IndexByte(line[start:], ';'); i >= 0 {
			end = start + i
		}

		value, ours := cookieValue(line[start:end], name)
		if !ours {
			continue
		}

		if len(found) < maxSessionCookies {
			found = append(found, value)
		}

		stays.add(strings.TrimRight(line[kept:start], separators), len(line))
		kept = len(line) - len(strings.TrimLeft(line[end:], separators))
		end = max(end, kept-1)
	}

	stays.add(line[kept:], len(line))
	return stays.text(), found
}

// pieces are parts of a line, joined by "; ". A single piece is not copied.
type pieces struct {
	first  string
	joined strings.Builder
}

// add appends a piece. limit is an upper bound of the total length.
func (p *pieces) add(piece string, limit int) {
	switch {
	case piece == "":
		return
	case p.first == "":
		p.first = piece
		return
	case p.joined.Len() == 0:
		p.joined.Grow(limit)
		p.joined.WriteString(p.first)
	}

	p.joined.WriteString("; ")
	p.joined.WriteString(piece)
}

func (p *pieces) text() string {
	if p.joined.Len() == 0 {
		return p.first
	}
	return p.joined.String()
}

// cookieValue returns the value of a pair if its name is name, without quotes.
func cookieValue(pair, name string) (value string, ok bool) {
	for pair != "" && (pair[0] == ' ' || pair[0] == '\t') {
		pair = pair[1:]
	}
	if !strings.HasPrefix(pair, name) {
		return "", false // the usual case
	}

	// some servers read "name =value", too
	value, ok = strings.CutPrefix(strings.TrimLeft(pair[len(name):], " \t"), "=")
	return strings.Trim(strings.TrimRight(value, " \t"), `"`), ok
}
