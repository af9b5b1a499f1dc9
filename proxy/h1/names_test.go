package h1

import (
	"testing"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// Both versions of HTTP leave the same fields out of trailers.
func TestCanonical_TrailersObeyOneLaw(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Authorization", "Cache-Control", "Cdn-Loop", "Content-Encoding", "Content-Range", "Content-Type", "Cookie",
		"Forwarded", "If-Match",
		"If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Location", "Max-Forwards", "Pragma",
		"Proxy-Authenticate",
		"Proxy-Authorization", "Range", "Set-Cookie", "Via", "Www-Authenticate", "X-Forwarded-For", "X-Forwarded-Host",
		"X-Forwarded-Proto",
		"X-Real-Ip", "X-Serverless-Authorization", "Etag", "Server-Timing", "X-Sum", "Grpc-Status", "Age", "Link",
	} {
		if _, k := canonical(name); (k == plain) != wire.InTrailers(name) {
			t.Errorf("%s: kind %d, and in trailers: %v", name, k, wire.InTrailers(name))
		}
	}
}
