package config

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Access decides which requests of a route are allowed.
type Access struct {
	Methods    []string    `env:"LB_ALLOW_METHODS"` // nil: all that a proxy serves; GET includes HEAD
	AllowPaths AccessPaths `env:"LB_ALLOW_PATHS"`   // nil: all
	DenyPaths  AccessPaths `env:"LB_DENY_PATHS"`
	AllowFrom  Networks    `env:"LB_ALLOW_FROM"` // nil: all
	DenyFrom   Networks    `env:"LB_DENY_FROM"`
}

// AccessPath is a path of a rule about access: "/x", or "/x/*", which takes /x
// and everything below.
type AccessPath string

// Prefix returns the path without a final "/*", and whether it had one. The
// prefix of "/*" is "".
func (p AccessPath) Prefix() (path string, below bool) {
	return strings.CutSuffix(string(p), "/*")
}

// AccessPaths are the paths of one rule.
type AccessPaths []AccessPath

// EnvDecode reads a list of paths.
func (p *AccessPaths) EnvDecode(given string) error {
	*p = nil
	for _, item := range split(given) {
		path, err := accessPath(item)
		if err != nil {
			return fmt.Errorf("has the item %q, which %w", clip(item), err)
		}
		*p = append(*p, path)
	}
	if len(*p) == 0 && given != "" {
		return errors.New("names no path")
	}

	return nil
}

// accessPath reads one path. A path that no request can have is refused,
// because paths are compared byte by byte.
func accessPath(item string) (AccessPath, error) {
	path, _ := strings.CutSuffix(item, "/*")
	switch {
	case !strings.HasPrefix(item, "/"):
		return "", errors.New("does not begin with '/'")
	case strings.Contains(path, "*"):
		return "", errors.New("has a '*' that is not its end '/*'")
	case strings.ContainsAny(path, "?#"):
		return "", errors.New("is more than a path")
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`\;"<>^{|}`+"`", c) >= 0 {
			return "", fmt.Errorf("has the character %q, which is escaped in a path or read in "+
				"two ways", c)
		}
	}
	if item == "/" || item == "/*" {
		return AccessPath(item), nil
	}
	for i, segment := range strings.Split(path[1:], "/") {
		last := i > 0 && segment == "" && strings.HasSuffix(path, "/") && item == path
		if segment == "" && !last || segment == "." || segment == ".." {
			return "", errors.New("has an empty segment, '.' or '..', which no request keeps")
		}
	}

	return AccessPath(item), nil
}

// Networks are networks of clients.
type Networks []netip.Prefix

// privateNetworks returns the networks of the word private: RFC 1918, RFC 4193,
// loopback and link-local addresses.
func privateNetworks() []string {
	return []string{
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16",
		"fc00::/7", "::1/128", "fe80::/10",
	}
}

// EnvDecode reads a list of networks, addresses and the word private.
func (n *Networks) EnvDecode(given string) error {
	*n = nil
	for _, item := range split(given) {
		items := []string{item}
		if strings.EqualFold(item, "private") {
			items = privateNetworks()
		}
		for _, item := range items {
			p, err := network(item)
			if err != nil || p.Addr().Is4In6() {
				return fmt.Errorf("has the item %q, which is neither a network nor the word "+
					"private", clip(item))
			}
			*n = append(*n, p)
		}
	}
	if len(*n) == 0 && given != "" {
		return errors.New("names no network")
	}

	return nil
}

// accessVariables returns the rows about allowed methods, paths and clients.
func accessVariables() []Variable {
	rows := []Variable{
		{Name: "LB_ALLOW_METHODS", Shown: "all but CONNECT and TRACE", Example: "GET;POST",
			form: orAll(allowedMethods()),
			Sentence: "Methods that may come in; others get 405. GET includes HEAD. Preflights " +
				"that LB_CORS_ORIGINS answers need no leave."},
		{Name: "LB_ALLOW_PATHS", Shown: "all", Example: "/api/*;/healthz",
			form: orAll(accessPaths()),
			Sentence: "Paths that may come in; others get 404. /x is that path alone, /x/* takes " +
				"/x and all below. A path that servers may read in two ways (//, /../, %2F, ;) " +
				"is none of them."},
		{Name: "LB_DENY_PATHS", Default: "none", Example: "/admin/*;/metrics",
			form: orNone(accessPaths(), ""),
			Sentence: "Paths that get 404, whatever LB_ALLOW_PATHS says. A path is one of them in " +
				"every spelling: capitals, escapes, //, /../ and the like are read as the most " +
				"lenient server does. A path of more than 2 KiB that is spelt in such a way " +
				"gets 404 as well."},
		{Name: "LB_ALLOW_FROM", Shown: "all", Example: "10.0.0.0/8;203.0.113.7",
			form: orAll(networks()),
			Sentence: "Networks of clients that may come in; others get 403. private is RFC 1918, " +
				"unique local, loopback and link-local addresses. The client is the one that " +
				"LB_TRUSTED_PROXIES settles."},
		{Name: "LB_DENY_FROM", Default: "none", Example: "198.51.100.0/24",
			form:     orNone(networks(), ""),
			Sentence: "Networks of clients that get 403, whatever LB_ALLOW_FROM says."},
	}
	for i := range rows {
		rows[i].Route = true
	}

	return inSection(accessSection, false, rows)
}

// orAll extends a form by the word all, which decodes from the empty text.
func orAll(f form) form {
	return form{f.accepted + ", or all", func(given string) (string, error) {
		if strings.EqualFold(given, "all") {
			return "", nil
		}
		if isNone(given) {
			return "", errors.New("would let nothing in; the word for no list is all")
		}

		return f.parse(given)
	}}
}

// allowedMethods takes a list of methods.
func allowedMethods() form {
	return form{"a list of methods separated by ';'", func(given string) (string, error) {
		var list []string
		for _, item := range split(given) {
			switch method := strings.ToUpper(item); {
			case method == "*":
				return "", errors.New("has '*'; the word for all methods is all")
			case !isMethod(method):
				return "", fmt.Errorf("has the item %q, which is no method", clip(item))
			case method == http.MethodConnect || method == http.MethodTrace:
				return "", fmt.Errorf("has the item %s, which a proxy does not serve", method)
			case !slices.Contains(list, method):
				list = append(list, method)
			}
		}
		if len(list) == 0 {
			return "", errors.New("names no method")
		}

		return strings.Join(list, ","), nil
	}}
}

// isMethod reports whether a text may be a method. "*" and "GET|POST" are
// tokens, but whoever writes them means several methods.
func isMethod(s string) bool { return isToken(s) && !strings.ContainsAny(s, "*|") }

// accessPaths takes a list of paths.
func accessPaths() form {
	return form{"a list of paths such as '/x' or '/x/*', separated by ';'",
		func(given string) (string, error) { return given, new(AccessPaths).EnvDecode(given) }}
}

// networks takes a list of networks.
func networks() form {
	return form{"a list of networks such as '10.0.0.0/8', addresses and the word private, " +
		"separated by ';'",
		func(given string) (string, error) { return given, new(Networks).EnvDecode(given) }}
}
