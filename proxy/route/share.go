package route

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// Numbers is the count of numbers that requests are divided by: from 0 to
// Numbers-1. A share of one hundredth of a percent is one number.
const Numbers = 10_000

// By is the part of a request that decides about its share (LB_SHARE_BY).
type By struct {
	way  way
	name string // of the cookie or field
}

type way uint8

const (
	byRequest way = iota // each request by itself
	byBrowser            // Pillion's cookie with the number
	byCookie             // a hash of a cookie's value
	byHeader             // a hash of a field's value
)

// ByRequest draws a number for each request. It is the zero value.
var ByRequest = By{}

// ByBrowser reads the number from Pillion's cookie, which is set once.
var ByBrowser = By{way: byBrowser}

var errBy = errors.New("is not request, cookie, cookie.NAME or header.NAME")

// ParseBy reads a value of LB_SHARE_BY.
func ParseBy(text string) (By, error) {
	kind, name, named := strings.Cut(text, ".")
	kind = strings.ToLower(kind)
	switch {
	case !named && kind == "request":
		return ByRequest, nil
	case !named && kind == "cookie":
		return ByBrowser, nil
	case !wire.IsToken(name):
		return By{}, errBy
	case kind == "cookie":
		return By{byCookie, name}, nil
	case kind == "header":
		return By{byHeader, http.CanonicalHeaderKey(name)}, nil
	}

	return By{}, errBy
}

// Browser reports whether shares are drawn by Pillion's cookie.
func (b By) Browser() bool { return b.way == byBrowser }

// none is the number of a request that is in no share.
const none = -1

// number returns the number of a request. The first call draws it.
func (q *Request) number(by By) int {
	if q.asked {
		return q.drawn
	}
	q.asked = true

	value, found := "", false
	switch by.way {
	case byBrowser:
		if n, ok := parseNumber(q.Share); ok {
			q.drawn = n
			return n
		}
		q.fresh = true
	case byCookie:
		value, found = cookieValue(q.Header, by.name)
	case byHeader:
		if lines := q.Header[by.name]; len(lines) > 0 {
			value, found = lines[0], true
		}
	}

	switch {
	case found && value != "":
		q.drawn = hashed(value)
	case by.way == byCookie || by.way == byHeader:
		q.drawn = none
	default:
		q.drawn = rand.IntN(Numbers)
	}

	return q.drawn
}

// parseNumber reads the value of the cookie: four digits.
func parseNumber(value string) (n int, ok bool) {
	if len(value) != 4 {
		return 0, false
	}
	for i := range len(value) {
		if value[i] < '0' || value[i] > '9' {
			return 0, false
		}
		n = 10*n + int(value[i]-'0')
	}

	return n, true
}

// hashed returns the number of a value, which is the same in every process:
// FNV-1a, followed by the finalizer of MurmurHash3, which mixes the high bits
// into the low ones.
func hashed(value string) int {
	h := uint64(14695981039346656037)
	for i := range len(value) {
		h = (h ^ uint64(value[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33

	return int(h % Numbers)
}
