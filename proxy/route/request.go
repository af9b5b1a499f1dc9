package route

import "net/http"

// Request holds the parts of a request that decide about its route, and what
// Find notes about them. It may be reused for another request after Reset. It
// belongs to one goroutine.
type Request struct {
	Method string
	Host   string // with or without port
	Path   string // as received, without the query
	Query  string // as received, without "?"
	Header http.Header
	Share  string // value of the share cookie, "" without one

	asked bool // the number is known
	fresh bool // the number was drawn, because no cookie had one
	drawn int

	host  []byte  // in lower case, without port and final dot
	path  []byte  // in normal form
	other []byte  // in another reading
	roots []*node // of the hosts that fit, by precedence
}

// keptMemory is the largest buffer that is kept for the next request. Clients
// decide how long their paths are, and many requests are in progress at a time.
const keptMemory = 4 << 10

// Reset drops the request and keeps its memory, unless that is large.
func (q *Request) Reset() {
	*q = Request{host: kept(q.host), path: kept(q.path), other: kept(q.other), roots: q.roots[:0]}
}

func kept(buffer []byte) []byte {
	if cap(buffer) > keptMemory {
		return nil
	}

	return buffer[:0]
}

// Drawn returns the number that was drawn for a browser without one. It reports
// false if no number was needed.
func (q *Request) Drawn() (n int, drawn bool) { return q.drawn, q.fresh }

// prepare converts host and path to their normal forms.
func (q *Request) prepare() {
	q.host = lower(q.host[:0], q.Host)
	if q.Path == "" {
		q.path = append(q.path[:0], '/') // of a target in absolute form (RFC 9112 section 3.2.1)
	} else {
		q.path = normal(q.path[:0], q.Path)
	}
}

// lower appends a host in lower case, without port and final dot.
func lower(to []byte, host string) []byte {
	if host == "" || host[0] == '[' {
		return to // no item has an IPv6 address as its host
	}
	for i := 0; i < len(host) && host[i] != ':'; i++ {
		c := host[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		to = append(to, c)
	}
	if n := len(to); n > 0 && to[n-1] == '.' {
		to = to[:n-1]
	}

	return to
}
