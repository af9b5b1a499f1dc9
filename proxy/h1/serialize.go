package h1

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// appendRequest writes a request's head. It trusts no caller: it fails if a
// method, target, host or field could be read as something else. Framing and
// connection fields are made here and never taken from a map. length is the
// body's length, or -1 for chunks.
func (t *Transport) appendRequest(
	out []byte, r *http.Request, c *wire.Call, length int64,
) ([]byte, error) {
	if !wire.IsToken(r.Method) || r.Method == http.MethodConnect {
		return out, wire.ErrMethod
	}

	target := c.Target
	if target == "" {
		target = targetOf(r)
	}
	if target == "" || !wire.Every(target, wire.InTarget) || !wire.ValidEscapes(target) {
		return out, wire.ErrTarget
	}

	host := t.hostOf(r, c)
	if !wire.ValidHost(host) {
		return out, wire.ErrHost
	}

	out = append(out, r.Method...)
	out = append(out, ' ')
	out = append(out, target...)
	out = append(out, " HTTP/1.1\r\nHost: "...)
	out = append(out, host...)
	out = append(out, "\r\n"...)
	out, err := appendCallFields(out, r.Header, c)
	if err != nil {
		return out, err
	}

	out = appendFraming(out, r, c, length)
	out = appendConnection(out, r, c)
	return append(out, "\r\n"...), nil
}

// targetOf returns the received target if it is a path, else the URL's escaped
// form.
func targetOf(r *http.Request) string {
	target := r.RequestURI
	switch {
	case strings.HasPrefix(target, "/"), target == "*" && r.Method == http.MethodOptions:
		return target
	case target != "":
		if o := wire.OriginForm(r.Method, target); o != "" {
			return o
		}
	}

	if r.URL == nil {
		return ""
	}
	if r.URL.Path == "*" && r.Method == http.MethodOptions {
		return "*"
	}

	target = r.URL.EscapedPath()
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	if r.URL.ForceQuery || r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}

	return target
}

// hostOf returns the Host for the backend. An HTTP/1.0 client may not have sent
// one.
func (t *Transport) hostOf(r *http.Request, c *wire.Call) string {
	switch {
	case c.Host != "":
		return c.Host
	case r.Host != "":
		return r.Host
	case r.URL != nil && r.URL.Host != "":
		return r.URL.Host
	}

	return t.Address
}

// appendCallFields merges the attempt's fields into the request's.
func appendCallFields(out []byte, header http.Header, c *wire.Call) ([]byte, error) {
	for name, values := range header {
		key, k, known := spelled(name)
		if !forwarded(k) || replaced(c.Fields, key) {
			continue
		}
		if !known && !wire.IsToken(key) {
			return out, errBadField
		}

		var err error
		if out, err = appendValues(out, key, values); err != nil {
			return out, err
		}
	}

	for i := range c.Fields {
		f := &c.Fields[i]
		key, k, known := spelled(f.Name)
		if f.Value == "" || !forwarded(k) {
			continue
		}

		if !known && !wire.IsToken(key) {
			return out, errBadField
		}

		var err error
		if out, err = appendValue(out, key, f.Value); err != nil {
			return out, err
		}
	}

	return out, nil
}

// forwarded reports whether a field has nothing to do with framing or the
// connection.
func forwarded(k kind) bool { return k <= date }

func replaced(fields []wire.Field, key string) bool {
	for i := range fields {
		if len(fields[i].Name) == len(key) &&
			(fields[i].Name == key || strings.EqualFold(fields[i].Name, key)) {
			return true
		}
	}
	return false
}

// appendFraming writes the fields that tell the end of the body.
func appendFraming(out []byte, r *http.Request, c *wire.Call, length int64) []byte {
	switch {
	case length < 0:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
		if names := announced(c.Trailers); len(names) > 0 {
			out = append(out, "Trailer: "...)
			out = append(out, strings.Join(names, ", ")...)
			out = append(out, "\r\n"...)
		}
	case length > 0,
		r.Method == http.MethodPost,
		r.Method == http.MethodPut,
		r.Method == http.MethodPatch:
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, length, 10)
		out = append(out, "\r\n"...)
	}

	if length != 0 && expects(r) {
		out = append(out, "Expect: 100-continue\r\n"...)
	}

	return out
}

// announced returns the names of the trailers that may be sent, in order.
func announced(trailers []string) []string {
	var names []string
	for _, name := range trailers {
		if key, k := canonical(name); wire.IsToken(key) && (k == plain || k == date) {
			names = append(names, key)
		}
	}

	return names
}

// expects reports whether the client waits for the backend before it sends its
// body.
func expects(r *http.Request) bool {
	v := r.Header["Expect"]
	return len(v) == 1 && wire.EqualFold(v[0], "100-continue")
}

// appendConnection writes the fields for an upgrade, or for trailers if the
// client accepts them.
func appendConnection(out []byte, r *http.Request, c *wire.Call) []byte {
	if c.Upgrade {
		return append(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	}

	for _, v := range r.Header["Te"] {
		for coding := range strings.SplitSeq(v, ",") {
			if wire.EqualFold(wire.TrimBlanks(coding), "trailers") {
				return append(out, "Connection: TE\r\nTE: trailers\r\n"...)
			}
		}
	}

	return out
}

// appendTrailers writes the end of a chunked body. What the head says itself is
// not taken from trailers.
func appendTrailers(out []byte, t http.Header, said wire.Said) ([]byte, error) {
	out = append(out, "0\r\n"...)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		key, k := canonical(name)
		if k != plain && k != date || said.Has(key) {
			continue
		}

		var err error
		if out, err = appendFields(out, key, t[name]); err != nil {
			return out, err
		}
	}

	return append(out, "\r\n"...), nil
}
