package h1

import "net/http"

// kind is what a field means to the parser and to the serialisers.
type kind uint8

// plain fields mean nothing here. routing fields decide how a message is understood, by whom, or on whose behalf, and
// so may not come in a trailer section (RFC 9110 section 6.5.1). All kinds from date up are not the callers' to set.
const (
	plain kind = iota
	routing
	date
	host
	contentLength
	transferEncoding
	connection
	upgrade
	expect
	trailer
	te
	keepAlive
	hopByHop
)

// fieldName is one of the names that one meets daily, in one line of the processor's cache.
type fieldName struct {
	lower  [4]uint64 // the name in lower case: its first 24 bytes, and its last eight again
	key    string    // as net/http keys its maps
	kind   kind
	number uint8 // in the table
	_      [14]byte
}

// canonical is a field name in the form that net/http keys its maps with, and its kind. The names of the table cost no
// memory.
func canonical(name string) (string, kind) {
	key, k, _ := spelled(name)
	return key, k
}

// spelled is canonical, and says whether the name is one of the table's and so a token for certain.
func spelled(name string) (key string, k kind, known bool) {
	if n := names.find(name); n != nil {
		return n.key, n.kind, true
	}
	return http.CanonicalHeaderKey(name), plain, false
}

// nameTable is a hash table with open addressing, of at least four times as many places as names, that never changes. The
// places are bytes, so that the part of it that is in daily use stays in the processor's nearest cache.
type nameTable struct {
	places [512]uint8 // one more than the number of the name; 0 is free
	names  []fieldName
}

// place is where the search for a name begins. Length and three letters tell all names of the table apart; the letters'
// case does not count.
func (t *nameTable) place(name string) uint32 {
	n := len(name)
	x := uint32(n) | uint32(name[n/2]|0x20)<<8 | uint32(name[n/3]|0x20)<<16 | uint32(name[(n-1)*3/4]|0x20)<<24
	return x * 2654435761 >> 23
}

// find is nil for a name that is not in the table. The case of letters does not count.
func (t *nameTable) find(name string) *fieldName {
	if name == "" || len(name) > maxName {
		return nil
	}
	lower, ok := lowered(name)
	if !ok {
		return nil
	}
	for i := t.place(name); ; i = (i + 1) % uint32(len(t.places)) {
		number := int(t.places[i]) - 1
		if number < 0 || number >= len(t.names) {
			return nil
		}
		if n := &t.names[number]; len(n.key) == len(name) && n.lower == lower {
			return n
		}
	}
}

// maxName is the length of the longest name that a table can have.
const maxName = 32

// lowered is a name in lower case, in the form of the table. It is not ok with a control character in it, the only bytes
// that would be taken for others.
func lowered(s string) (w [4]uint64, ok bool) {
	n := len(s)
	if n < 8 {
		for i := n - 1; i >= 0; i-- {
			if s[i] < ' ' {
				return w, false
			}
			w[0] = w[0]<<8 | uint64(s[i]|0x20)
		}
		return w, true
	}
	const spaces = 0x2020202020202020
	low := uint64(0) // bit 5 or 6 of a byte is set in all that are not control characters, and in no other below 0x80
	for i := 0; i < 3 && 8*i+8 <= n; i++ {
		x := word(s[8*i : 8*i+8])
		low |= spaces &^ (x | x>>1)
		w[i] = x | spaces
	}
	x := word(s[n-8:])
	low |= spaces &^ (x | x>>1)
	w[3] = x | spaces
	return w, low == 0
}

// word is eight bytes at once.
func word(t string) uint64 {
	_ = t[7]
	return uint64(t[0]) | uint64(t[1])<<8 | uint64(t[2])<<16 | uint64(t[3])<<24 |
		uint64(t[4])<<32 | uint64(t[5])<<40 | uint64(t[6])<<48 | uint64(t[7])<<56
}

// tabulate makes the table.
func tabulate(kinds map[kind][]string) *nameTable {
	t := new(nameTable)
	for k, keys := range kinds {
		for _, key := range keys {
			i := t.place(key)
			for t.places[i] != 0 {
				i = (i + 1) % uint32(len(t.places))
			}
			lower, _ := lowered(key)
			t.names = append(t.names, fieldName{lower: lower, key: key, kind: k, number: uint8(len(t.names))})
			t.places[i] = uint8(len(t.names))
		}
	}
	return t
}

// maxNames is how many names the table may have: block notes in two words which of them a head holds.
const maxNames = 128

var names = tabulate(map[kind][]string{
	plain: {
		"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges",
		"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
		"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
		"Access-Control-Request-Headers", "Access-Control-Request-Method", "Age", "Allow", "Alt-Svc", "Baggage",
		"Content-Disposition", "Content-Language", "Content-Location", "Content-Security-Policy", "Dnt",
		"Early-Data", "Etag", "Expires", "From", "Grpc-Message", "Grpc-Status", "Last-Modified", "Link", "Origin",
		"Priority", "Referer", "Referrer-Policy", "Retry-After", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile",
		"Sec-Ch-Ua-Platform", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Fetch-User",
		"Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Key", "Sec-Websocket-Protocol",
		"Sec-Websocket-Version", "Server", "Server-Timing", "Strict-Transport-Security", "Traceparent", "Tracestate",
		"Upgrade-Insecure-Requests", "User-Agent", "Vary", "Warning", "X-Cloud-Trace-Context",
		"X-Content-Type-Options", "X-Frame-Options", "X-Powered-By", "X-Request-Id", "X-Requested-With",
		"X-Xss-Protection",
	},
	routing: {
		"Authorization", "Cache-Control", "Cdn-Loop", "Content-Encoding", "Content-Range", "Content-Type", "Cookie",
		"Forwarded", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Location",
		"Max-Forwards", "Pragma", "Proxy-Authenticate", "Proxy-Authorization", "Range", "Set-Cookie", "Via",
		"Www-Authenticate", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip",
		"X-Serverless-Authorization",
	},
	date:             {"Date"},
	host:             {"Host"},
	contentLength:    {"Content-Length"},
	transferEncoding: {"Transfer-Encoding"},
	connection:       {"Connection"},
	upgrade:          {"Upgrade"},
	expect:           {"Expect"},
	trailer:          {"Trailer"},
	te:               {"Te"},
	keepAlive:        {"Keep-Alive"},
	hopByHop: {
		"Http2-Settings", "Proxy-Connection",
	},
})
