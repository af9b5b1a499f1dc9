package affinity

import (
	"net/http"
	"slices"
	"strings"
)

// KeepPrivate keeps shared caches from giving one client's cookie to another
// client. from has the response's fields; h gets those that have to change. The
// directive private is that of RFC 9111 section 5.2.2.7. Fields for certain
// caches (RFC 9213) override Cache-Control there, so they are made private as
// well.
func KeepPrivate(from, h http.Header) {
	if lines := from["Cache-Control"]; !isPrivate(lines) {
		h["Cache-Control"] = []string{privately(lines)}
	}

	for name, lines := range from {
		value, isTargeted := targeted(name)
		if isTargeted && !isPrivate(lines) {
			h[name] = []string{value}
		}
	}
}

// targeted returns the value that keeps a response out of the caches that a
// field is for, and whether the field is for certain caches. Such fields are
// those of RFC 9213 section 2.1, Surrogate-Control and Edge-Control of older
// CDNs, and X-Accel-Expires of nginx.
func targeted(name string) (value string, ok bool) {
	switch {
	case name == "Surrogate-Control", name == "Edge-Control":
		return "no-store", true
	case name == "X-Accel-Expires":
		return "0", true
	case strings.HasSuffix(name, "-Cache-Control"):
		return "private", true
	}

	return "", false
}

// isPrivate reports whether directives keep an answer out of shared caches.
func isPrivate(lines []string) bool {
	for _, line := range lines {
		if line == "0" {
			return true // of X-Accel-Expires
		}

		for directive := range strings.SplitSeq(line, ",") {
			name := directiveName(directive)
			if slices.Contains([]string{"private", "no-store"}, name) &&
				!strings.Contains(directive, "=") {
				return true
			}
		}
	}

	return false
}

// privately adds the directive private to the directives, and leaves out those
// that contradict it.
func privately(lines []string) string {
	kept := []string{"private"}
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			switch directiveName(directive) {
			case "", "public", "private", "s-maxage", "proxy-revalidate":
				continue
			}
			kept = append(kept, strings.Trim(directive, " \t"))
		}
	}

	return strings.Join(kept, ", ")
}

// directiveName returns the name of a directive in lower case.
func directiveName(directive string) string {
	name, _, _ := strings.Cut(directive, "=")
	return strings.ToLower(strings.Trim(name, " \t"))
}
