package compress

import (
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// sayVary adds Accept-Encoding to Vary. It reports whether it was not there
// already.
func sayVary(h http.Header) (added bool) {
	vary := h["Vary"]
	if wire.HasToken(vary, "accept-encoding") || wire.HasToken(vary, "*") {
		return false
	}
	h["Vary"] = append(vary[:len(vary):len(vary)], "Accept-Encoding")

	return true
}

// sayCoding changes the head to that of a compressed answer. This is another
// representation, without a known length and without ranges.
func sayCoding(h http.Header, c wire.Coding) {
	h["Content-Encoding"] = []string{c.String()}
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges")
	weaken(h)
}

// weaken makes a strong entity tag a weak one, because compressing the same
// answer again may give other bytes (RFC 9110 section 8.8.3).
func weaken(h http.Header) {
	if tags := h["Etag"]; len(tags) == 1 && strings.HasPrefix(tags[0], `"`) {
		h["Etag"] = []string{"W/" + tags[0]}
	}
}

// weakensNotModified reports whether a 304 confirms an answer that was
// compressed. The form of the tag in the request shows that.
func weakensNotModified(h http.Header, asked []string, wanted wire.Coding) bool {
	tags := h["Etag"]
	if len(tags) != 1 {
		return false
	}

	weak, strong := false, false
	eachTag(asked, func(tag string) {
		weak = weak || tag == "W/"+tags[0]
		strong = strong || tag == tags[0]
	})
	if weak != strong {
		return weak
	}

	return wanted != wire.Identity
}

// unweakened adds the strong form beside each weak tag of a condition. The
// service knows its answer by the strong tag, and many services compare
// strongly. It reports false if there is no weak tag, or if something is not a
// tag, which is left to the service.
func unweakened(lines []string) (value string, changed bool) {
	weak := false
	for _, line := range lines {
		weak = weak || strings.Contains(line, `W/"`)
	}
	if !weak {
		return "", false
	}

	var out strings.Builder
	sound := true
	eachTag(lines, func(tag string) {
		if out.Len() > 0 {
			out.WriteString(", ")
		}
		out.WriteString(tag)
		strong, weak := strings.CutPrefix(tag, "W/")
		sound = sound && isTag(strong)
		if weak {
			changed = true
			out.WriteString(", ")
			out.WriteString(strong)
		}
	})

	return out.String(), changed && sound
}

// isTag reports whether s is an opaque tag (RFC 9110 section 8.8.3).
func isTag(s string) bool {
	return len(s) > 1 && s[0] == '"' && strings.IndexByte(s[1:], '"') == len(s)-2
}

// eachTag calls f with the elements of a list of entity tags. A tag may contain
// a comma.
func eachTag(lines []string, f func(tag string)) {
	for _, line := range lines {
		for line != "" {
			end, quoted := 0, false
			for end < len(line) && (quoted || line[end] != ',') {
				if line[end] == '"' {
					quoted = !quoted
				}
				end++
			}
			if tag := wire.TrimBlanks(line[:end]); tag != "" {
				f(tag)
			}
			line = line[min(end+1, len(line)):]
		}
	}
}
