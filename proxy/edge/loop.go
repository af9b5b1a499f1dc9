package edge

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// A balancer that is among its own backends would forward a request forever.
// CDN-Loop (RFC 8586) prevents that. Each pass adds the service's tag, and a
// request that arrives with the tag three times is refused. The limit is three,
// because balancers of the same name may stand behind each other.

// maxPasses is the number of own tags with which a request is refused.
const maxPasses = 3

// loopTag returns the service's tag in CDN-Loop. All instances of a named
// service share it. Balancers without a name, whose key name begins with a
// slash, may stand behind each other in any number, so each process has its own
// tag.
func loopTag(keyName string) string {
	if strings.HasPrefix(keyName, "/") {
		return "pillion-" + wire.RandomID()[:8]
	}
	sum := sha256.Sum256([]byte("pillion loop " + keyName))
	return "pillion-" + hex.EncodeToString(sum[:4])
}

// Looped reports whether the request has come through this service too often.
func (r *Rules) Looped(fields http.Header) bool {
	passes := 0
	for _, line := range fields["Cdn-Loop"] {
		for entry := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(entry, ";")
			if strings.Trim(name, " \t") == r.loopTag {
				passes++
			}
		}
	}

	return passes >= maxPasses
}

// MarkLoop adds the service's tag to the request.
func (r *Rules) MarkLoop(h *Hop, fields http.Header) {
	tag := r.loopTag
	if before := fields["Cdn-Loop"]; len(before) > 0 {
		tag = strings.Join(before, ", ") + ", " + tag
	}

	h.Say("Cdn-Loop", tag)
}
