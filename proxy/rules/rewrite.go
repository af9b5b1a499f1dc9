package rules

import (
	"strings"

	"github.com/pillion-lb/pillion/config"
)

// Rewrite converts the path of a client's request to the path for the service.
// The zero value changes nothing.
type Rewrite struct {
	base  string // "" for a target of "/*", "/v1" for "/v1/*", the whole path for one without a rest
	rest  bool
	given bool
}

// NewRewrite makes the rewrite of a target.
func NewRewrite(target config.RewriteTarget) Rewrite {
	if !target.Given() {
		return Rewrite{}
	}
	if !target.Rest {
		return Rewrite{base: target.Path, given: true}
	}
	return Rewrite{base: strings.TrimSuffix(target.Path, "/"), rest: true, given: true}
}

// Path returns the path for the service. prefix is that of the route's item:
// see Rest. It reports false if dot segments of the path would lead out of the
// target; the request is then refused with 400.
func (w Rewrite) Path(path, prefix string) (string, bool) {
	switch {
	case !w.given, !strings.HasPrefix(path, "/"): // an OPTIONS request for "*" has no path
		return path, true
	case !w.rest:
		return w.base, true
	}

	rest := Rest(path, prefix)
	switch {
	case w.base == "":
		return oneSlash(rest), true
	case rest == "":
		return w.base, true
	case climbs(rest):
		return "", false
	}
	return w.base + rest, true
}

// oneSlash returns a path with exactly one slash at its beginning. A service
// may take "//host/" for a host and use it in a redirect.
func oneSlash(path string) string {
	i := 0
	for i < len(path) && (path[i] == '/' || path[i] == '\\') {
		i++
	}
	if i == 1 && path[0] == '/' {
		return path
	}
	return "/" + path[i:]
}

// Stripped returns the prefix that a rewrite removes from the paths of an item.
// X-Forwarded-Prefix names it, so that the service can make links. It is "" for
// a rewrite that does more than removing a prefix.
func (w Rewrite) Stripped(prefix string) string {
	if !w.rest {
		return ""
	}
	stripped, ok := strings.CutSuffix(prefix, w.base)
	if !ok {
		return ""
	}
	return stripped
}

// JoinPrefix appends a prefix that Pillion removed to one that a trusted proxy
// in front has removed. The latter is ignored unless it is a path.
func JoinPrefix(theirs, ours string) string {
	theirs = strings.TrimRight(theirs, "/")
	if !strings.HasPrefix(theirs, "/") || strings.HasPrefix(theirs, "//") ||
		strings.ContainsAny(theirs, "\\?#, ") {
		return ours
	}
	return theirs + ours
}

// Location returns a redirect of the service as the client has to get it, with
// the prefix that the rewrite has removed. It reports false if the redirect
// stays as it is: it leads to another origin than host, which is the client's,
// or it is relative to the path of the request, or it has the prefix already.
func (w Rewrite) Location(reference, prefix, host string) (string, bool) {
	if !w.rest || prefix == w.base {
		return "", false
	}

	origin, path, ok := cutOwnOrigin(reference, host)
	if !ok {
		return "", false
	}
	if w.base == "" && below(path, prefix) {
		return "", false
	}
	behind, ok := strings.CutPrefix(path, w.base)
	if !ok || !below(path, w.base) {
		return "", false
	}
	if origin == "" && prefix == "" {
		behind = oneSlash(behind)
	}
	return origin + prefix + behind, true
}

// cutOwnOrigin splits a reference into its origin, which may be "", and the
// rest. It reports false if the reference does not lead to host, or has no path
// from the root.
func cutOwnOrigin(reference, host string) (origin, path string, ok bool) {
	if strings.HasPrefix(reference, "/") && !strings.HasPrefix(reference, "//") {
		return "", reference, true
	}

	scheme, behind, found := strings.Cut(reference, "//")
	if !found || scheme != "" && !strings.EqualFold(scheme, "http:") &&
		!strings.EqualFold(scheme, "https:") {
		return "", "", false
	}
	end := strings.IndexAny(behind, "/?#")
	if end < 0 {
		end = len(behind)
	}
	if host == "" || !strings.EqualFold(withoutDefaultPort(behind[:end]), withoutDefaultPort(host)) {
		return "", "", false
	}

	origin = reference[:len(scheme)+len("//")+end]
	if path = behind[end:]; !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return origin, path, true
}

func withoutDefaultPort(authority string) string {
	return strings.TrimSuffix(strings.TrimSuffix(authority, ":80"), ":443")
}

// below reports whether the path of a reference is prefix or below it, by whole
// segments. Every path is below "".
func below(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || strings.IndexByte("/?#", rest[0]) >= 0)
}
