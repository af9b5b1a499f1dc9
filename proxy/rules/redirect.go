package rules

import (
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// Redirect answers with another URL.
type Redirect struct {
	target config.Target
	base   string // the target's origin and path, without the slash before the rest
	status int
}

// NewRedirect makes the redirect to a target. It returns nil for none.
func NewRedirect(target config.Target, status int) *Redirect {
	if !target.Given() {
		return nil
	}
	base := target.Path
	if target.Rest {
		base = strings.TrimSuffix(base, "/")
	}
	return &Redirect{target: target, base: target.Origin + base, status: status}
}

// Answer returns the redirect for a request with this path and query. prefix is
// that of the route's item: see Rest.
func (d *Redirect) Answer(path, query, prefix string) *http.Response {
	return answer(d.status, http.Header{"Location": {d.location(path, query, prefix)}}, "")
}

func (d *Redirect) location(path, query, prefix string) string {
	location := d.base
	if d.target.Rest {
		rest := Rest(path, prefix)
		if d.base == "" || rest == "" && d.base == d.target.Origin {
			rest = onePlainSlash(rest)
		}
		location += rest
	}

	switch {
	case d.target.HasQuery:
		location += "?" + d.target.Query
	case query != "":
		location += "?" + query
	}
	if d.target.Fragment != "" {
		location += "#" + d.target.Fragment
	}
	return location
}

// onePlainSlash returns a path with exactly one slash at its beginning. It also
// removes backslashes and escaped slashes there, because browsers take "//host"
// and "/\host" for a host, and a server on the way may decode escapes.
func onePlainSlash(path string) string {
	for {
		switch {
		case strings.HasPrefix(path, "/"), strings.HasPrefix(path, `\`):
			path = path[1:]
		case len(path) > 2 && (strings.EqualFold(path[:3], "%2f") || strings.EqualFold(path[:3], "%5c")):
			path = path[3:]
		default:
			return "/" + path
		}
	}
}
