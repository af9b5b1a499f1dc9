package compress

import (
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// mediaTypes are patterns of media types, in lower case.
type mediaTypes []mediaType

// mediaType is a pattern. A star for the type is "". For a star at the
// beginning of the subtype, subtype holds only its end.
type mediaType struct {
	kind    string
	subtype string
	suffix  bool // subtype is only the end
}

func newMediaTypes(patterns []string) mediaTypes {
	types := make(mediaTypes, 0, len(patterns))
	for _, p := range patterns {
		var m mediaType
		m.kind, m.subtype, _ = strings.Cut(p, "/")
		if m.kind == "*" {
			m.kind = ""
		}
		m.subtype, m.suffix = strings.CutPrefix(m.subtype, "*")
		types = append(types, m)
	}

	return types
}

// have reports whether a pattern matches the media type of a Content-Type. No
// star matches text/event-stream, because small events compress badly. No
// pattern matches gRPC, which compresses its messages itself.
func (types mediaTypes) have(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	kind, subtype, found := strings.Cut(wire.TrimBlanks(media), "/")
	if !found || subtype == "" || strings.IndexByte(subtype, '/') >= 0 ||
		hasPrefixFold(subtype, "grpc") {
		return false
	}

	events := wire.EqualFold(subtype, "event-stream")
	for i := range types {
		m := &types[i]
		if m.kind != "" && !wire.EqualFold(kind, m.kind) {
			continue
		}
		if m.suffix && !events && hasSuffixFold(subtype, m.subtype) ||
			!m.suffix && wire.EqualFold(subtype, m.subtype) {
			return true
		}
	}

	return false
}

func hasPrefixFold(s, lower string) bool {
	return len(s) >= len(lower) && wire.EqualFold(s[:len(lower)], lower)
}

func hasSuffixFold(s, lower string) bool {
	return len(s) >= len(lower) && wire.EqualFold(s[len(s)-len(lower):], lower)
}
