package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// A balancer that finds itself among its backends would ask itself for ever. CDN-Loop (RFC 8586) tells: each pass adds
// our tag, and the request that carries it three times ends. Three, because balancers of one name may well stand
// behind each other.

// maxPasses is how many tags of ours end a request.
const maxPasses = 3

func loopTag(service string) string {
	sum := sha256.Sum256([]byte("pillion loop " + service))
	return "pillion-" + hex.EncodeToString(sum[:4])
}

// looped reports whether the request came through us too often.
func (p *Proxy) looped(h http.Header) bool {
	passes := 0
	for _, line := range h["Cdn-Loop"] {
		for entry := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(entry, ";")
			if strings.Trim(name, " \t") == p.loopTag {
				passes++
			}
		}
	}
	return passes >= maxPasses
}

// markLoop adds our tag.
func (p *Proxy) markLoop(x *exchange, h http.Header) {
	if before := h["Cdn-Loop"]; len(before) > 0 {
		x.say("Cdn-Loop", strings.Join(before, ", ")+", "+p.loopTag)
		return
	}
	x.say("Cdn-Loop", p.loopTag)
}
