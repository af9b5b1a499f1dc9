package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// isOurs reports whether a name is reserved for Pillion.
func isOurs(name string) bool { return strings.HasPrefix(name, "LB_") }

// strays finds names that begin with LB_ and are in no row of the table.
// Otherwise a misspelt setting would be ignored silently. Their values are not
// shown, because they may be secrets.
func (e *environment) strays() {
	known := ourNames()
	for _, name := range e.unknown() {
		e.problems = append(e.problems, Problem{
			Variable: name, Given: mask,
			Reason: "is not a variable of Pillion" + meant(name, known) + e.separated(name),
		})
	}
}

// separated says how a name behind a variable is written, if an unknown
// variable looks like one with a single underscore, and that a list in a file
// is a target.
func (e *environment) separated(full string) string {
	if full == "LB_BACKENDS_FILE" {
		return "; a list in a file is the target file:///path"
	}

	for _, base := range e.namedBases() {
		name, found := strings.CutPrefix(full, base+"_")
		if !found || !isName(name) {
			continue
		}
		if _, declared := e.names[name]; declared || base == "LB_BACKENDS" || base == "LB_ROUTE" {
			return fmt.Sprintf("; for a service or route called %s it is %s%s%s",
				strings.ToLower(name), base, separator, name)
		}
	}

	return ""
}

// ourNames returns the names in the table that begin with LB_.
func ourNames() []string {
	return slices.DeleteFunc(Names(), func(name string) bool { return !isOurs(name) })
}

// unknown returns the given names that begin with LB_ and are in no row of the
// table.
func (e *environment) unknown() (names []string) {
	known := ourNames()
	for _, name := range slices.Sorted(maps.Keys(e.given)) {
		if isOurs(name) && !slices.Contains(known, name) && !strings.Contains(name, separator) &&
			!e.isServiceLink(name) {
			names = append(names, name)
		}
	}

	return names
}

// foreignNames are parts of variables of other programs, and Pillion's
// variables for the same. The first part that a name contains counts.
var foreignNames = [...]struct{ part, meant string }{
	{"UPSTREAM", "LB_BACKENDS"}, {"TARGET", "LB_BACKENDS"}, {"SERVER", "LB_BACKENDS"},
	{"ENDPOINT", "LB_BACKENDS"}, {"BACKEND", "LB_BACKENDS"}, {"URL", "LB_BACKENDS"},
	{"STICK", "LB_SESSION_AFFINITY"}, {"SESSION", "LB_SESSION_AFFINITY"},
	{"COOKIE", "LB_AFFINITY_COOKIE"}, {"AFFINITY", "LB_SESSION_AFFINITY"},
	{"WEIGHT", "the key ?weight= of a target"}, {"KEEPALIVE", "LB_IDLE_TIMEOUT"},
	{"BODY", "LB_MAX_BODY_BYTES"}, {"DEBUG", "LB_LOG_LEVEL"},
	{"HEALTH", "LB_HEALTH_CHECK"}, {"PROBE", "LB_HEALTH_CHECK"},
	{"TRUST", "LB_TRUSTED_PROXIES"}, {"REAL_IP", "LB_TRUSTED_PROXIES"},
	{"ALGORITHM", "LB_POLICY"}, {"STRATEGY", "LB_POLICY"}, {"BALANC", "LB_POLICY"},
	{"RETR", "LB_RETRIES"}, {"ATTEMPT", "LB_RETRIES"},
	{"TIMEOUT", "LB_RESPONSE_TIMEOUT or LB_REQUEST_TIMEOUT"},
	{"GZIP", "LB_COMPRESS"}, {"RATE", "LB_RATE_LIMIT"}, {"REDIS", "LB_RATE_LIMIT_STORE"},
	{"CORS", "LB_CORS_ORIGINS"}, {"LOG", "LB_LOG_LEVEL or LB_ACCESS_LOG"},
	{"TRAC", "OTEL_TRACES_EXPORTER"}, {"METRIC", "OTEL_METRICS_EXPORTER"},
	{"DASHBOARD", "LB_STATUS_TOKEN"}, {"ADMIN", "LB_STATUS_TOKEN"},
	{"PORT", "PORT"}, {"BIND", "PORT or LB_LISTEN"}, {"ADDR", "PORT or LB_LISTEN"},
}

// meant suggests a name for an unknown one: a name that differs in few letters,
// one with more or fewer words, or the one for a word of other programs.
func meant(name string, known []string) string {
	if near := Nearest(name, known, "LB_"); near != "" {
		return "; the nearest is " + near
	}

	for _, f := range foreignNames {
		if strings.Contains(name, f.part) {
			return "; " + f.meant + " is meant, perhaps"
		}
	}

	return ""
}

// Nearest returns the known word that a misspelt one is nearest to, or "" if
// all are too different. A prefix that all words have says nothing about that.
func Nearest(word string, known []string, prefix string) string {
	best := nearest(word, known)
	far := distance(word[:min(len(word), 64)], best)
	if far <= 2 && far <= max(1, (len(word)-len(prefix))/3) {
		return best
	}

	// LB_HEALTH_CHECK_PATH has more letters of LB_HEALTH_CHECK_HEALTHY than of
	// LB_HEALTH_CHECK, but it is a longer form of the second.
	longer, shorter := "", []string(nil)
	for _, k := range known {
		if strings.HasPrefix(word, k+"_") && len(k) > len(longer) {
			longer = k
		}
		if strings.HasPrefix(k, word+"_") {
			shorter = append(shorter, k)
		}
	}

	switch {
	case longer != "":
		return longer
	case len(shorter) == 1:
		return shorter[0]
	case far <= max(1, (len(word)-len(prefix))/3):
		return best
	}

	return ""
}

// noBackends adds the problem that there is no backend, unless a misspelt
// LB_BACKENDS was reported already, or the value of a variable by which the
// route needs none. It also mentions variables such as
// BACKENDS, which may have been meant.
func (e *environment) noBackends() {
	for _, action := range [...]string{"LB_REDIRECT", "LB_RESPOND", "LB_FILES"} {
		if e.given[action] != "" {
			return
		}
	}
	unknown := e.unknown()
	for name := range e.given {
		base, _, named := strings.Cut(name, separator)
		stray := slices.Contains(unknown, name) || named && isOurs(name) && e.rows[base].Name == ""
		if stray && strings.Contains(meant(base, ourNames()), "LB_BACKENDS") {
			return
		}
	}

	reason := "is not set, and this machine has no metadata that could name backends " +
		"(LB_BACKENDS='demo://3' is a first try; in a shell the value needs quotes, because ';' and " +
		"'&' end a command)"
	for _, name := range slices.Sorted(maps.Keys(e.given)) {
		upper := strings.ReplaceAll(strings.ToUpper(name), "-", "_")
		switch upper {
		case "LB_BACKENDS", "BACKENDS", "BACKEND", "LBBACKENDS", "UPSTREAMS", "UPSTREAM":
			reason = "is not set, but " + name + " is: was it meant?"
		}
	}
	e.missing("LB_BACKENDS", reason)
}

// The names that Kubernetes gives every pod for a Service called lb or lb-…,
// and Docker gives a container with a link of such a name. No variable of the
// table ends in _PORT or contains _PORT_.
const (
	linkHost    = `^LB_(.*_)?SERVICE_HOST$`
	linkPort    = `^LB_(.*_)?SERVICE_PORT(_.+)?$`
	linkAddress = `^LB_(.*_)?PORT$`
	linkDetail  = `^LB_(.*_)?PORT_[0-9]+_(TCP|UDP|SCTP)` +
		`(_PROTO|_ADDR|_PORT|_PORT_START|_PORT_END|_START|_END)?$`
	linkName = `^LB_(.*_)?NAME$`
)

// isServiceLink reports whether a platform has set the variable, for a service
// that is called lb.
func (e *environment) isServiceLink(name string) bool {
	is := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(name) }
	switch value := e.given[name]; {
	case is(linkHost) || is(linkPort) || is(linkDetail):
		return true
	case is(linkAddress):
		scheme, _, isURL := strings.Cut(value, "://")
		return isURL && (scheme == "tcp" || scheme == "udp" || scheme == "sctp")
	case is(linkName):
		return isLinkName(value)
	}

	return e.isLinkedVariable(name)
}

// isLinkedVariable reports whether a name is one of ALIAS_ENV_*, by which
// Docker passes on the environment of a linked container. Docker always sets
// ALIAS_NAME too; without that, the name is a typing error.
func (e *environment) isLinkedVariable(name string) bool {
	for at := 0; ; {
		next := strings.Index(name[at:], "_ENV_")
		if next < 0 {
			return false
		}

		at += next
		if isLinkName(e.given[name[:at]+"_NAME"]) {
			return true
		}

		at += len("_ENV")
	}
}

// isLinkName reports whether a value has Docker's form for a linked container:
// /CONTAINER/ALIAS.
func isLinkName(value string) bool {
	container, alias, ok := strings.Cut(strings.TrimPrefix(value, "/"), "/")
	return ok && strings.HasPrefix(value, "/") && container != "" && alias != "" &&
		!strings.Contains(alias, "/")
}

// nearest returns the known name with the smallest distance from name.
func nearest(name string, known []string) string {
	const longest = 64 // of the compared texts; no name in the table is longer
	name = name[:min(len(name), longest)]
	return slices.MinFunc(known, func(a, b string) int {
		return distance(name, a) - distance(name,
			b)
	})
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between two names: the optimal string alignment distance.
func distance(a, b string) int {
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}

	for i := 1; i <= len(a); i++ {
		older, old, row = old, row, older
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}

			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
	}

	return row[len(b)]
}
