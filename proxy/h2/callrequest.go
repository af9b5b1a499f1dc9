package h2

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// list lists the fields of the request, pseudo-fields first (RFC 9113 section
// 8.3.1). The fields of the call are merged into those of the request here, so
// no map of both is made.
func (k *call) list() {
	r, c := k.request, k.wire
	f := append(k.fields[:0],
		field{nMethod, r.Method},
		field{nScheme, k.transport.scheme()},
		field{nAuthority, k.host()},
		field{nPath, cmp.Or(c.Target, path(r))},
	)
	sized := false
	for key, values := range r.Header {
		if replaced(c.Fields, key) {
			continue
		}
		n := nameOf(key)
		if n == nil {
			continue
		}
		switch n.kind {
		case connection, host, pseudo, expect, trailer:
			continue
		case te:
			if wire.HasToken(values, "trailers") {
				f = append(f, field{nTE, "trailers"})
			}
			continue
		case contentLength:
			sized = true
		}
		f = appendFields(f, n, values)
	}
	for i := range c.Fields {
		v := c.Fields[i].Value
		if v == "" || !wire.IsValue(v) {
			continue
		}
		if n := nameOf(c.Fields[i].Name); n != nil && n.kind != pseudo && n.kind != connection {
			f = append(f, field{n, v})
		}
	}
	if !sized && (r.ContentLength > 0 || r.ContentLength == 0 && hasContent(r.Method)) {
		f = append(f, field{nContentLength, strconv.FormatInt(r.ContentLength, 10)})
	}
	if len(c.Trailers) > 0 {
		f = append(f, field{nTrailer, strings.Join(c.Trailers, ", ")})
	}
	k.fields = f
}

// hasContent reports whether the method is one whose requests say that they
// have no content (RFC 9110 section 8.6).
func hasContent(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

func (t *Transport) scheme() string {
	if t.TLS != nil {
		return "https"
	}
	return "http"
}

// host returns the value of :authority. An HTTP/1.0 client may have sent no
// host.
func (k *call) host() string {
	switch {
	case k.wire.Host != "":
		return k.wire.Host
	case k.request.Host != "":
		return k.request.Host
	}
	return k.transport.Address
}

// path returns the request target with the bytes that were received.
func path(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") || r.RequestURI == "*" {
		return r.RequestURI
	}
	if r.Method == http.MethodOptions && r.URL.Path == "" && r.URL.RawQuery == "" {
		return "*" // RFC 9112 section 3.2.4
	}
	return r.URL.RequestURI()
}

func replaced(fields []wire.Field, key string) bool {
	for i := range fields {
		if fields[i].Name == key {
			return true
		}
	}
	return false
}
