package cache

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// span is a part of a body.
type span struct{ start, length int64 }

// wanted is the part of a complete body that a client wants.
type wanted uint8

const (
	whole wanted = iota
	part
	nothing // the range is not there
)

// rangeOf reads the Range of a request for a stored answer (RFC 9110 section
// 14.2). A request with several ranges, with another unit than bytes, or with
// an If-Range that does not hold gets the whole body.
func rangeOf(r *http.Request, head *stored, now time.Time) (span, wanted) {
	lines := r.Header["Range"]
	if len(lines) != 1 || r.Method != http.MethodGet || head.status != http.StatusOK ||
		head.length < 0 ||
		first(head.header(), "Content-Encoding") != "" || !ifRange(r, head.header(), now) {
		return span{}, whole
	}
	unit, set, ok := strings.Cut(lines[0], "=")
	if !ok || !strings.EqualFold(unit, "bytes") || strings.ContainsRune(set, ',') {
		return span{}, whole
	}
	return parseRange(strings.Trim(set, " \t"), head.length)
}

// parseRange reads one range: "5-9", "5-" or "-5".
func parseRange(set string, size int64) (span, wanted) {
	from, to, ok := strings.Cut(set, "-")
	if !ok {
		return span{}, whole
	}
	if from == "" {
		n, ok := position(to)
		switch {
		case !ok:
			return span{}, whole
		case n == 0 || size == 0:
			return span{}, nothing
		}
		n = min(n, size)
		return span{size - n, n}, part
	}
	start, ok := position(from)
	if !ok {
		return span{}, whole
	}
	end := size - 1
	if to != "" {
		n, ok := position(to)
		if !ok || n < start {
			return span{}, whole
		}
		end = min(n, end)
	}
	if start >= size {
		return span{}, nothing
	}
	return span{start, end - start + 1}, part
}

// position reads digits. A number that is too large counts as the largest one.
func position(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = 1<<63 - 1
	}
	return n, true
}

// ifRange reports whether the part that the client has belongs to the stored
// answer (RFC 9110 section 13.1.5). Tags are compared strongly.
func ifRange(r *http.Request, h http.Header, now time.Time) bool {
	lines := r.Header["If-Range"]
	if len(lines) == 0 {
		return true
	}
	if len(lines) != 1 {
		return false
	}
	tag := first(h, "Etag")
	if strings.HasPrefix(lines[0], `"`) {
		return lines[0] == tag
	}
	if strings.HasPrefix(lines[0], "W/") {
		return false
	}
	date, ok := parseDate(lines[0], now)
	modified, known := dateOf(h["Last-Modified"], now)
	return ok && known && date.Equal(modified)
}

// contentRange writes the field of a 206 or a 416.
func contentRange(s span, w wanted, size int64) string {
	b := append(make([]byte, 0, 48), "bytes "...)
	if w == nothing {
		b = append(b, '*')
	} else {
		b = strconv.AppendInt(b, s.start, 10)
		b = append(b, '-')
		b = strconv.AppendInt(b, s.start+s.length-1, 10)
	}
	return string(strconv.AppendInt(append(b, '/'), size, 10))
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }
