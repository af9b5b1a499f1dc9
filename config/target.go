package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Target is the target of a redirect or of a rewrite. With Rest, the final "*"
// is replaced by the part of the request's path after the prefix of its route's
// item.
type Target struct {
	Origin   string // "https://example.com"; "" for that of the request
	Path     string // of the target, without a final "*": "/articles/", "/index.html"
	Rest     bool   // the target ended in "*"
	Query    string // behind "?"
	HasQuery bool   // the target has its own query, which may be empty
	Fragment string // behind "#"
}

// targetForm describes the target of a redirect.
const targetForm = "a path such as '/articles/*' or a URL such as 'https://example.com/*', in " +
	"which a final '*' is the rest of the path"

// rewriteForm describes the target of a rewrite.
const rewriteForm = "a path such as '/*' or '/v1/*', in which a final '*' is the rest of the " +
	"path, or '/index.html'"

// EnvDecode reads the target of a redirect; "" is none.
func (t *Target) EnvDecode(given string) error {
	*t = Target{}
	if given == "" {
		return nil
	}

	rest := given
	if !strings.HasPrefix(given, "/") {
		var err error
		if t.Origin, rest, err = cutTargetOrigin(given); err != nil {
			return err
		}
	}

	rest, t.Fragment, _ = strings.Cut(rest, "#")
	rest, t.Query, t.HasQuery = strings.Cut(rest, "?")
	if t.Query != "" && !inTarget(t.Query) || t.Fragment != "" && !inTarget(t.Fragment) {
		return errTargetCharacter
	}

	return t.path(rest)
}

var errTargetCharacter = errors.New("holds a character that a URL may not have: write it as '%' " +
	"and two digits")

// path sets the path of a target; "" if a URL has none.
func (t *Target) path(given string) error {
	t.Path, t.Rest = strings.CutSuffix(given, "*")
	switch {
	case hasPlaceholder(given):
		return errors.New("has a '$' before the name of a variable, and there are none; a '*' at its " +
			"end is the rest of the path")
	case t.Rest && !strings.HasSuffix(t.Path, "/"):
		return errors.New("has a '*' that does not stand for whole segments: it follows a '/'")
	case strings.Contains(t.Path, "*"):
		return errors.New("has a '*' before its end")
	case t.Origin == "" && hasLeadingSlashes(t.Path):
		return errors.New("begins with more than one slash, which browsers take for a host")
	case t.Path != "" && !inTarget(t.Path) || strings.Contains(t.Path, `\`):
		return errTargetCharacter
	case hasDotSegment(t.Path):
		return errors.New("has a segment of dots")
	}

	if t.Path == "" {
		t.Path = "/"
	}

	return nil
}

// cutTargetOrigin separates scheme and host from a URL.
func cutTargetOrigin(given string) (origin, rest string, _ error) {
	end := len(given)
	if i := strings.Index(given, "://"); i >= 0 {
		if j := strings.IndexAny(given[i+3:], "/?#"); j >= 0 {
			end = i + 3 + j
		}
	}

	u, err := url.Parse(given[:end])
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.User != nil:
		return "", "", errors.New("is neither a path, which begins with '/', nor an http or https " +
			"URL")
	case hasPlaceholder(given):
		return "", "", errors.New("has a '$' before the name of a variable, and there are none; " +
			"'https://host/*' keeps the path and the query")
	default:
		if _, err := authority().parse(u.Host); err != nil {
			return "", "", fmt.Errorf("has a host that %w", err)
		}
	}

	return u.Scheme + "://" + u.Host, given[end:], nil
}

// RewriteTarget is a Target that is only a path.
type RewriteTarget struct{ Target }

// Given reports whether there is a target.
func (t *Target) Given() bool { return t.Path != "" }

// String returns the target as a user would write it.
func (t Target) String() string {
	s := t.Origin + t.Path
	if t.Rest {
		s += "*"
	}

	if t.HasQuery {
		s += "?" + t.Query
	}

	if t.Fragment != "" {
		s += "#" + t.Fragment
	}

	return s
}

// EnvDecode reads the target of a rewrite; "" is none.
func (t *RewriteTarget) EnvDecode(given string) error {
	if given != "" && !strings.HasPrefix(given, "/") {
		return errors.New("does not begin with '/'")
	}

	if strings.ContainsAny(given, "?#") {
		return errors.New("has a query or a fragment: a rewrite keeps the request's query")
	}

	return t.Target.EnvDecode(given)
}

// placeholders are what other programs write behind a "$" for a part of the
// request. Paths may have other words there, such as /odata/$metadata.
var placeholders = [...]string{
	"1", "2", "3", "4", "5", "6", "7", "8", "9", "{", "request_uri", "uri", "host", "http_host",
	"server_name", "scheme", "args", "is_args", "query_string", "document_uri", "path",
}

// hasPlaceholder reports whether a target has a variable of another program.
func hasPlaceholder(target string) bool {
	for rest := target; ; {
		_, name, found := strings.Cut(rest, "$")
		if !found {
			return false
		}
		for _, p := range placeholders {
			if strings.HasPrefix(name, p) {
				return true
			}
		}
		rest = name
	}
}

// hasLeadingSlashes reports whether a path begins with two slashes, also
// escaped ones and backslashes.
func hasLeadingSlashes(path string) bool {
	behind, ok := strings.CutPrefix(path, "/")
	lower := strings.ToLower(behind)
	return ok && (strings.HasPrefix(lower, "/") || strings.HasPrefix(lower, `\`) ||
		strings.HasPrefix(lower, "%2f") || strings.HasPrefix(lower, "%5c"))
}

// hasDotSegment reports whether a path has "." or ".." as a segment, also with
// escapes.
func hasDotSegment(path string) bool {
	plain := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(path)
	for segment := range strings.SplitSeq(plain, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}

	return false
}

// inTarget reports whether s may be in a request target, with every "%"
// beginning an escape.
func inTarget(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>#^`{|}", c) >= 0:
			return false
		case c == '%' && !isEscape(s[i:]):
			return false
		}
	}
	return true
}

// isEscape reports whether s begins with "%" and two hexadecimal digits.
func isEscape(s string) bool {
	return len(s) > 2 && s[0] == '%' && strings.IndexByte(hexDigits, s[1]) >= 0 &&
		strings.IndexByte(hexDigits, s[2]) >= 0
}

const hexDigits = "0123456789abcdefABCDEF"

// redirectTarget is the form of the target of a redirect.
func redirectTarget() form {
	return form{targetForm, func(given string) (string, error) {
		return given, new(Target).EnvDecode(given)
	}}
}

// rewriteTarget is the form of the target of a rewrite.
func rewriteTarget() form {
	return form{rewriteForm, func(given string) (string, error) {
		return given, new(RewriteTarget).EnvDecode(given)
	}}
}
