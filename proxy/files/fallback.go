package files

import (
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// wantsPage reports whether a request for a missing file is for a page. Only
// then is the fallback the answer. A browser that gets a page instead of a
// script reports a wrong type, which hides that the script is missing.
//
// A request for a page has text/html in Accept. Browsers also send
// Sec-Fetch-Dest, which tells what the answer is used for. Without that field,
// the ending of a script, a style or an image decides.
func wantsPage(r *http.Request, name string) bool {
	if !acceptsHTML(r.Header["Accept"]) {
		return false
	}
	if dest := r.Header["Sec-Fetch-Dest"]; len(dest) > 0 {
		switch dest[0] {
		case "document", "iframe", "frame", "embed", "object", "empty", "fencedframe":
			return true
		}
		return false
	}

	kind := typeOf(name)
	return kind == unknownType || strings.HasPrefix(kind.mediaType, "text/html")
}

// acceptsHTML reports whether Accept names text/html. "*/*" is not enough.
func acceptsHTML(lines []string) bool {
	for _, line := range lines {
		for element := range strings.SplitSeq(line, ",") {
			mediaRange, parameters, _ := strings.Cut(element, ";")
			if wire.EqualFold(wire.TrimBlanks(mediaRange), "text/html") && wire.Weight(parameters) > 0 {
				return true
			}
		}
	}
	return false
}
