package h2

import (
	"net/http"
	"sync"
	"unsafe"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// name is a field name in its two spellings, with its properties.
type name struct {
	lower string // on the wire of HTTP/2; "" is a name that can't be
	key   string // in net/http's maps; "" is a name that must not come from a peer
	index uint8  // of its first entry in HPACK's static table; 0 for none
	slot  uint8  // of the encoder; 0: values are never put into the dynamic table
	kind  kind
}

// kind is what a field means to this package.
type kind uint8

const (
	plain         kind = iota
	pseudo             // begins with a colon
	connection         // belongs to a connection of HTTP/1.1: refused (RFC 9113 section 8.2.2)
	te                 // may hold "trailers" and nothing else (same section)
	host               // :authority is used instead
	contentLength      //
	cookie             // may come in several fields (section 8.2.3)
	trailer            //
	expect             //
	secret             // is never put into a table (RFC 7541 section 7.1.3)
)

// field is one field of a section.
type field struct {
	n     *name
	value string
}

// size counts as RFC 9113 section 6.5.2 and RFC 7541 section 4.1 do.
func (f *field) size() uint32 { return uint32(len(f.n.lower)+len(f.value)) + 32 }

// The names that this package looks up itself.
var (
	nAuthority = &names[0]
	nPath      = &names[1]
	nMethod    = &names[2]
	nScheme    = &names[3]
	nStatus    = &names[4]
	nProtocol  = &names[5]

	nTE            = &names[8]
	nDate          = &names[21]
	nContentLength = &names[26]
	nTrailer       = &names[87]
)

// slots is one more than the number of the encoder's slots.
const slots = 45

// names are the frequent names. The first of them have a slot, because they
// come with the same value in many messages of a connection.
var names = [...]name{
	{lower: ":authority", key: ":authority", index: 1, slot: 1, kind: pseudo},
	{lower: ":path", key: ":path", index: 4, slot: 2, kind: pseudo},
	{lower: ":method", key: ":method", index: 2, kind: pseudo},
	{lower: ":scheme", key: ":scheme", index: 6, kind: pseudo},
	{lower: ":status", key: ":status", index: 8, kind: pseudo},
	{lower: ":protocol", key: ":protocol", kind: pseudo},
	{lower: "content-type", key: "Content-Type", index: 31, slot: 3},
	{lower: "user-agent", key: "User-Agent", index: 58, slot: 4},
	{lower: "te", key: "Te", slot: 5, kind: te},
	{lower: "accept", key: "Accept", index: 19, slot: 6},
	{lower: "accept-encoding", key: "Accept-Encoding", index: 16, slot: 7},
	{lower: "accept-language", key: "Accept-Language", index: 17, slot: 8},
	{lower: "grpc-accept-encoding", key: "Grpc-Accept-Encoding", slot: 9},
	{lower: "grpc-encoding", key: "Grpc-Encoding", slot: 10},
	{lower: "server", key: "Server", index: 54, slot: 11},
	{lower: "x-forwarded-proto", key: "X-Forwarded-Proto", slot: 12},
	{lower: "x-forwarded-host", key: "X-Forwarded-Host", slot: 13},
	{lower: "x-forwarded-for", key: "X-Forwarded-For", slot: 14},
	{lower: "forwarded", key: "Forwarded", slot: 15},
	{lower: "cdn-loop", key: "Cdn-Loop", slot: 16},
	{lower: "cache-control", key: "Cache-Control", index: 24, slot: 17},
	{lower: "date", key: "Date", index: 33, slot: 18},
	{lower: "grpc-status", key: "Grpc-Status", slot: 19},
	{lower: "vary", key: "Vary", index: 59, slot: 20},
	{lower: "x-content-type-options", key: "X-Content-Type-Options", slot: 21},
	{lower: "strict-transport-security", key: "Strict-Transport-Security", index: 56, slot: 22},
	{lower: "content-length", key: "Content-Length", index: 28, slot: 23, kind: contentLength},
	{lower: "alt-svc", key: "Alt-Svc", slot: 24},
	{lower: "content-encoding", key: "Content-Encoding", index: 26, slot: 25},
	{lower: "x-powered-by", key: "X-Powered-By", slot: 26},
	{lower: "accept-ranges", key: "Accept-Ranges", index: 18, slot: 27},
	{lower: "origin", key: "Origin", slot: 28},
	{lower: "referer", key: "Referer", index: 51, slot: 29},
	{lower: "access-control-allow-origin", key: "Access-Control-Allow-Origin", index: 20, slot: 30},
	{lower: "referrer-policy", key: "Referrer-Policy", slot: 31},
	{lower: "content-security-policy", key: "Content-Security-Policy", slot: 32},
	{lower: "x-frame-options", key: "X-Frame-Options", slot: 33},
	{lower: "sec-fetch-mode", key: "Sec-Fetch-Mode", slot: 34},
	{lower: "sec-fetch-site", key: "Sec-Fetch-Site", slot: 35},
	{lower: "sec-fetch-dest", key: "Sec-Fetch-Dest", slot: 36},
	{lower: "sec-ch-ua", key: "Sec-Ch-Ua", slot: 37},
	{lower: "sec-ch-ua-mobile", key: "Sec-Ch-Ua-Mobile", slot: 38},
	{lower: "sec-ch-ua-platform", key: "Sec-Ch-Ua-Platform", slot: 39},
	{lower: "connect-protocol-version", key: "Connect-Protocol-Version", slot: 40},
	{lower: "accept-charset", key: "Accept-Charset", index: 15},
	{lower: "age", key: "Age", index: 21},
	{lower: "allow", key: "Allow", index: 22},
	{lower: "authorization", key: "Authorization", index: 23, kind: secret},
	{lower: "content-disposition", key: "Content-Disposition", index: 25},
	{lower: "content-language", key: "Content-Language", index: 27},
	{lower: "content-location", key: "Content-Location", index: 29},
	{lower: "content-range", key: "Content-Range", index: 30},
	{lower: "cookie", key: "Cookie", index: 32, kind: cookie},
	{lower: "etag", key: "Etag", index: 34},
	{lower: "expect", key: "Expect", index: 35, kind: expect},
	{lower: "expires", key: "Expires", index: 36},
	{lower: "from", key: "From", index: 37},
	{lower: "host", key: "Host", index: 38, kind: host},
	{lower: "if-match", key: "If-Match", index: 39},
	{lower: "if-modified-since", key: "If-Modified-Since", index: 40},
	{lower: "if-none-match", key: "If-None-Match", index: 41},
	{lower: "if-range", key: "If-Range", index: 42},
	{lower: "if-unmodified-since", key: "If-Unmodified-Since", index: 43},
	{lower: "last-modified", key: "Last-Modified", index: 44},
	{lower: "link", key: "Link", index: 45},
	{lower: "location", key: "Location", index: 46},
	{lower: "max-forwards", key: "Max-Forwards", index: 47},
	{lower: "proxy-authenticate", key: "Proxy-Authenticate", index: 48},
	{lower: "proxy-authorization", key: "Proxy-Authorization", index: 49, kind: secret},
	{lower: "range", key: "Range", index: 50},
	{lower: "refresh", key: "Refresh", index: 52},
	{lower: "retry-after", key: "Retry-After", index: 53},
	{lower: "set-cookie", key: "Set-Cookie", index: 55},
	{lower: "via", key: "Via", index: 60},
	{lower: "www-authenticate", key: "Www-Authenticate", index: 61},
	{lower: "traceparent", key: "Traceparent"},
	{lower: "tracestate", key: "Tracestate"},
	{lower: "baggage", key: "Baggage"},
	{lower: "x-request-id", key: "X-Request-Id"},
	{lower: "x-cloud-trace-context", key: "X-Cloud-Trace-Context"},
	{lower: "x-real-ip", key: "X-Real-Ip"},
	{lower: "grpc-message", key: "Grpc-Message"},
	{lower: "grpc-timeout", key: "Grpc-Timeout"},
	{lower: "grpc-status-details-bin", key: "Grpc-Status-Details-Bin"},
	{lower: "grpc-trace-bin", key: "Grpc-Trace-Bin"},
	{lower: "grpc-tags-bin", key: "Grpc-Tags-Bin"},
	{lower: "priority", key: "Priority"},
	{lower: "trailer", key: "Trailer", kind: trailer},
	{lower: "connection", key: "Connection", kind: connection},
	{lower: "proxy-connection", key: "Proxy-Connection", kind: connection},
	{lower: "keep-alive", key: "Keep-Alive", kind: connection},
	{lower: "transfer-encoding", key: "Transfer-Encoding", index: 57, kind: connection},
	{lower: "upgrade", key: "Upgrade", kind: connection},
	{lower: "http2-settings", key: "Http2-Settings", kind: connection},
}

// index finds names.
type index struct {
	byLower map[string]*name
	byKey   map[string]*name

	// byPointer finds a name by the address of its key's bytes, without hashing
	// them. This finds literals of the program, which the linker keeps once,
	// and keys that this package put into a map.
	byPointer [512]*name
}

var known = sync.OnceValue(func() *index {
	x := &index{byLower: make(map[string]*name), byKey: make(map[string]*name)}
	for i := range names {
		n := &names[i]
		x.byLower[n.lower], x.byKey[n.key] = n, n

		at := place(n.key)
		for x.byPointer[at%len(x.byPointer)] != nil {
			at++
		}
		x.byPointer[at%len(x.byPointer)] = n
	}
	return x
})

func place(key string) int {
	return int(uintptr(unsafe.Pointer(unsafe.StringData(key))) * 0x9e3779b97f4a7c15 >> 40 & 511)
}

// nameOf returns the name of a key of a header map, or nil if it can't be sent.
func nameOf(key string) *name {
	x := known()
	for at := place(key); ; at++ {
		n := x.byPointer[at%len(x.byPointer)]
		if n == nil {
			break
		}
		if len(n.key) == len(key) && unsafe.StringData(n.key) == unsafe.StringData(key) {
			return n
		}
	}
	if n := x.byKey[key]; n != nil {
		return n
	}
	if canonical := http.CanonicalHeaderKey(key); canonical != key {
		if n := x.byKey[canonical]; n != nil {
			return n
		}
	}

	lower := lowered(key)
	if !validName(lower) {
		return nil
	}
	return &name{lower: lower, key: key}
}

// receivedName returns the name for bytes from a peer.
func receivedName(p []byte) *name {
	if n := known().byLower[string(p)]; n != nil {
		return n
	}
	s := string(p)
	if !validName(s) {
		return &name{lower: s}
	}
	return &name{lower: s, key: http.CanonicalHeaderKey(s)}
}

func lowered(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// validName reports whether s is a token without upper-case letters (RFC 9113
// section 8.2.1).
func validName(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !wire.Is(c, wire.InToken) || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}
