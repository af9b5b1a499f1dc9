package rules

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// CORS answers preflights, and sets the fields that allow origins to read an
// answer (the CORS protocol of the Fetch standard). It is read-only, so it is
// safe for concurrent use.
type CORS struct {
	origins     []corsOrigin
	any         bool // every origin, without credentials
	credentials bool

	methods, headers, expose []string // the lines of their fields; nil for none
	anyMethod, anyHeader     bool
	maxAge                   []string
}

// corsOrigin is an origin. With below, it is all origins whose host is below
// its own.
type corsOrigin struct {
	scheme, host string // "https://", "example.com:8443"
	below        bool
}

// NewCORS makes the rules of a route. It returns nil if there are none.
func NewCORS(c config.CORS) *CORS {
	if len(c.Origins) == 0 {
		return nil
	}

	rules := &CORS{
		any:         c.Origins.Any(),
		credentials: c.Credentials,
		methods:     fieldLine(c.Methods),
		headers:     fieldLine(c.Headers),
		expose:      fieldLine(c.Expose),
		anyMethod:   slices.Contains(c.Methods, "*"),
		anyHeader:   slices.Contains(c.Headers, "*"),
		maxAge:      []string{strconv.FormatInt(int64(c.MaxAge/time.Second), 10)},
	}
	for _, origin := range c.Origins {
		scheme, host, _ := strings.Cut(origin, "://")
		host, below := strings.CutPrefix(host, "*.")
		rules.origins = append(rules.origins, corsOrigin{scheme + "://", host, below})
	}
	return rules
}

// fieldLine returns the line of a list field.
func fieldLine(names []string) []string {
	if len(names) == 0 {
		return nil
	}
	return []string{strings.Join(names, ", ")}
}

// IsPreflight reports whether a request is a CORS preflight.
func IsPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) > 0 &&
		len(r.Header["Access-Control-Request-Method"]) > 0
}

// Preflight returns the answer to a preflight. For an origin that is not
// allowed it has none of the CORS fields, which a browser takes as a refusal.
func (c *CORS) Preflight(r *http.Request) *http.Response {
	h := http.Header{}
	if allowed := c.allow(r.Header["Origin"], h); allowed {
		if c.methods != nil {
			h["Access-Control-Allow-Methods"] = c.named(c.methods, c.anyMethod,
				r.Header["Access-Control-Request-Method"])
		}
		if c.headers != nil {
			h["Access-Control-Allow-Headers"] = c.named(c.headers, c.anyHeader,
				r.Header["Access-Control-Request-Headers"])
		}
		h["Access-Control-Max-Age"] = c.maxAge
	}
	c.vary(h, nil)
	return answer(http.StatusNoContent, h, "")
}

// named returns the allowed methods or fields for a preflight. With
// credentials, browsers don't take "*" as a wildcard, so the names that were
// asked for are returned instead.
func (c *CORS) named(line []string, wildcard bool, asked []string) []string {
	if !wildcard || !c.credentials {
		return line
	}
	if len(asked) == 0 {
		return nil
	}
	return []string{strings.Join(asked, ", ")}
}

// Apply sets the CORS fields of an answer, and removes those of the service.
// over and under are as in Headers.Apply.
func (c *CORS) Apply(origin []string, over, under http.Header) {
	removeCORS(over)
	removeCORS(under)
	if c.allow(origin, over) && c.expose != nil {
		over["Access-Control-Expose-Headers"] = c.expose
	}
	c.vary(over, under)
}

func removeCORS(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
}

// allow sets the fields that admit an origin, if it is admitted.
func (c *CORS) allow(origin []string, h http.Header) bool {
	if c.any && !c.credentials {
		h["Access-Control-Allow-Origin"] = anyOrigin
		return true
	}
	if len(origin) != 1 || !c.admits(origin[0]) {
		return false
	}
	h["Access-Control-Allow-Origin"] = origin[:1:1]
	if c.credentials {
		h["Access-Control-Allow-Credentials"] = credentialsAllowed
	}
	return true
}

// Lines of fields with constant values. They are read-only.
var anyOrigin, credentialsAllowed = []string{"*"}, []string{"true"}

// admits reports whether an origin is allowed. Browsers send scheme and host in
// lower case.
func (c *CORS) admits(origin string) bool {
	for i := range c.origins {
		o := &c.origins[i]
		host, ok := strings.CutPrefix(origin, o.scheme)
		if ok && (!o.below && host == o.host || o.below && isBelow(host, o.host)) {
			return true
		}
	}
	return false
}

// isBelow reports whether a host is below another one, as in a.example.com and
// example.com.
func isBelow(host, parent string) bool {
	labels, ok := strings.CutSuffix(host, parent)
	return ok && len(labels) > 1 && labels[0] != '.' && strings.HasSuffix(labels, ".") &&
		wire.ValidHost(host)
}

// vary adds Origin to Vary, unless the answer is the same for all origins.
func (c *CORS) vary(over, under http.Header) {
	if c.any && !c.credentials {
		return
	}

	lines, there := over["Vary"]
	if !there {
		lines = under["Vary"]
	}
	if !wire.HasToken(lines, "origin") && !wire.HasToken(lines, "*") {
		over["Vary"] = slices.Concat(lines, varyOrigin)
	}
}

var varyOrigin = []string{"Origin"}
