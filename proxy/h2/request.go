package h2

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// pseudoFields are the pseudo-header fields of a request (RFC 9113 section
// 8.3.1, RFC 8441 section 4).
type pseudoFields struct {
	method, scheme, authority, path, protocol string
	emptyAuthority                            bool // :authority came without a value
}

// of returns the place of a pseudo-field, or nil for an unknown one and for one
// of responses.
func (p *pseudoFields) of(n *name) *string {
	switch n {
	case nMethod:
		return &p.method
	case nPath:
		return &p.path
	case nScheme:
		return &p.scheme
	case nAuthority:
		return &p.authority
	case nProtocol:
		return &p.protocol
	}
	return nil
}

// malformed returns what is wrong with their combination, or "".
func (p *pseudoFields) malformed() string {
	connect := p.method == http.MethodConnect
	switch {
	case p.method == "":
		return "no :method"
	case p.protocol != "" && !connect:
		return ":protocol without CONNECT"
	case connect && p.protocol == "":
		if p.path != "" || p.scheme != "" || p.authority == "" {
			return "CONNECT with :path or :scheme, or without :authority"
		}
	case p.path == "" || p.scheme == "":
		return "no :path or no :scheme"
	}
	return ""
}

// fill makes the request of a field section. It returns why the request is
// malformed (RFC 9113 section 8.1.1), or "". A section that is too large still
// makes a request, of the fields that were kept. It is then refused.
func (x *transaction) fill(d *decoder, end bool) (why string) {
	x.begin(d.oversized)
	if d.malformed {
		return "malformed field name or value"
	}
	var p pseudoFields
	rest, why := p.take(d.fields)
	if why != "" {
		return why
	}
	for i := range rest {
		if why := x.field(&rest[i], &p); why != "" {
			return why
		}
	}
	if why := p.malformed(); why != "" && !x.oversized {
		return why
	}
	if end && x.declared > 0 {
		return "content-length without content"
	}
	return x.complete(&p, end)
}

// take takes the pseudo-fields, which come first and once each, and returns the
// others.
func (p *pseudoFields) take(fields []field) (rest []field, why string) {
	for i := range fields {
		f := &fields[i]
		if f.n.kind != pseudo {
			return fields[i:], ""
		}
		to := p.of(f.n)
		switch {
		case to == nil:
			return nil, "pseudo-field that requests do not have"
		case *to != "" || f.n == nAuthority && p.emptyAuthority:
			return nil, "pseudo-field that comes twice"
		case f.value == "" && f.n != nAuthority:
			return nil, "empty pseudo-field"
		case f.value != wire.TrimBlanks(f.value):
			return nil, "blanks around a pseudo-field"
		}
		*to = f.value
		p.emptyAuthority = f.n == nAuthority && f.value == "" || p.emptyAuthority
	}
	return nil, ""
}

// field takes one field that is no pseudo-field.
func (x *transaction) field(f *field, p *pseudoFields) (why string) {
	switch f.n.kind {
	case pseudo:
		return "pseudo-field behind a field"
	case connection:
		return "field of a connection of HTTP/1.1"
	case te:
		if f.value != "trailers" {
			return "te that is not trailers"
		}
	case cookie:
		x.crumbs = append(x.crumbs, f.value)
		if len(x.crumbs) > 1 {
			return "" // RFC 9113 section 8.2.3: they are joined when all are here
		}
	case contentLength:
		n, ok := wire.ParseLength(f.value)
		if !ok || x.declared >= 0 {
			return "content-length that is malformed or repeated"
		}
		x.declared = n
	case host:
		if p.authority == "" {
			p.authority = f.value
		}
	case expect:
		x.expects = strings.EqualFold(f.value, "100-continue")
	}

	x.values = addField(x.header, x.values, f)
	return ""
}

// addField puts a field into a map. The values of names that come once are
// slices of one piece.
func addField(h http.Header, values []string, f *field) []string {
	n := len(values)
	values = append(values, f.value)
	if old := h[f.n.key]; old != nil {
		h[f.n.key] = append(old, f.value)
	} else {
		h[f.n.key] = values[n : n+1 : n+1]
	}
	return values
}

// complete fills in the rest of the request.
func (x *transaction) complete(p *pseudoFields, end bool) (why string) {
	r := &x.request
	r.Method, r.Host, r.RequestURI, r.Header = p.method, p.authority, p.path, x.header
	r.RemoteAddr, r.TLS = x.c.peerAddress(), x.c.tls
	r.URL = &x.url
	switch {
	case p.method == http.MethodConnect && p.protocol == "":
		x.url = url.URL{Host: p.authority}
		r.RequestURI = p.authority
	case !x.target(p.path):
		return "malformed :path"
	}
	if p.protocol != "" {
		x.header[":protocol"] = []string{p.protocol}
	}
	if len(x.crumbs) > 1 {
		x.header["Cookie"] = []string{strings.Join(x.crumbs, "; ")}
	}
	x.announceTrailers()

	r.ContentLength = x.declared
	if end {
		r.ContentLength, r.Body = 0, http.NoBody
	}
	return ""
}

// announceTrailers moves the names of announced trailers from the Trailer field
// to Request.Trailer, as net/http does.
func (x *transaction) announceTrailers() {
	lists := x.header["Trailer"]
	if lists == nil {
		return
	}
	delete(x.header, "Trailer")
	x.request.Trailer = announced(lists)
}

// announced returns the names in Trailer fields, without those that can't be
// trailers.
func announced(lists []string) http.Header {
	var names http.Header
	for _, list := range lists {
		for element := range strings.SplitSeq(list, ",") {
			n := nameOf(wire.TrimBlanks(element))
			if n == nil || n.kind != plain || !wire.InTrailers(http.CanonicalHeaderKey(n.key)) {
				continue
			}
			if names == nil {
				names = make(http.Header)
			}
			names[http.CanonicalHeaderKey(n.key)] = nil
		}
	}
	return names
}

// target parses :path. It slices an ordinary path and leaves all others to
// net/url.
func (x *transaction) target(path string) bool {
	if path == "" || path == "*" {
		x.url = url.URL{Path: path}
		return true
	}
	if path[0] != '/' {
		return false
	}
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case wire.Is(c, wire.InPath):
		case c == '?' && i+1 < len(path):
			x.url = url.URL{Path: path[:i], RawQuery: path[i+1:]}
			return true
		default:
			u, err := url.ParseRequestURI(path)
			if err != nil {
				return false
			}
			x.url = *u
			return true
		}
	}
	x.url = url.URL{Path: path}
	return true
}
