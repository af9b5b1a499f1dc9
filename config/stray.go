package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// isOurs reports whether a name is one of those that only we give a meaning to.
func isOurs(name string) bool { return strings.HasPrefix(name, "LB_") }

// strays finds names that look like ours and are not. One that is misspelt would else be a setting silently ignored.
// Their values are not shown: the name that was meant may be a secret's.
func (e *environment) strays() {
	known := slices.DeleteFunc(Names(), func(name string) bool { return !isOurs(name) })
	for _, name := range slices.Sorted(maps.Keys(e.given)) {
		if !isOurs(name) || slices.Contains(known, name) || isServiceLink(name, e.given[name]) {
			continue
		}
		p := Problem{Variable: name, Given: mask, Reason: "is not a variable of ours; the nearest is " + nearest(name, known)}
		if strings.Contains(name, "__") {
			p.Reason = "has '__' in its name, which is reserved for several backend services and not supported in this version"
		}
		e.problems = append(e.problems, p)
	}
}

// linkHost, linkPort, linkAddress and linkDetail are the names that Kubernetes gives every pod for a Service called lb
// or lb-…, and that Docker gives a container linked to one of such a name. None of ours ends in _PORT or holds _PORT_.
const (
	linkHost    = `^LB_(.*_)?SERVICE_HOST$`
	linkPort    = `^LB_(.*_)?SERVICE_PORT(_.+)?$`
	linkAddress = `^LB_(.*_)?PORT$`
	linkDetail  = `^LB_(.*_)?PORT_[0-9]+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?$`
)

// isServiceLink reports whether a platform put the variable there, for a service that happens to be called like us.
func isServiceLink(name, value string) bool {
	is := func(pattern string) bool { return regexp.MustCompile(pattern).MatchString(name) }
	if is(linkHost) || is(linkPort) || is(linkDetail) {
		return true
	}
	scheme, _, isURL := strings.Cut(value, "://")
	return is(linkAddress) && isURL && (scheme == "tcp" || scheme == "udp" || scheme == "sctp")
}

// nearest is the known name that the fewest slips of the finger turn into name.
func nearest(name string, known []string) string {
	const longest = 64 // of what is compared: no name of ours is longer
	name = name[:min(len(name), longest)]
	return slices.MinFunc(known, func(a, b string) int { return distance(name, a) - distance(name, b) })
}

// distance counts the insertions, deletions, replacements and swaps of neighbours between two names: the optimal
// string alignment distance.
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
