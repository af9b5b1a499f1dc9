package h1

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

var (
	errMethod = errors.New("method that cannot be sent")
	errTarget = errors.New("target that cannot be sent")
	errHost   = errors.New("host that cannot be sent")
)

// appendRequest writes a request's head. It trusts nobody: what would be read as something else than a method, a target,
// a host or a field fails, and what frames the message or governs the connection is made here and never taken from a
// map. length is the body's, -1 for chunks.
func (t *Transport) appendRequest(out []byte, r *http.Request, c *Call, length int64) ([]byte, error) {
	if !isToken(r.Method) || r.Method == http.MethodConnect {
		return out, errMethod
	}
	target := targetOf(r)
	if target == "" || !every(target, inTarget) || !escapes(target) {
		return out, errTarget
	}
	host := t.hostOf(r, c)
	if !validHost(host) {
		return out, errHost
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
	out = appendFraming(out, r, length)
	out = appendConnection(out, r, c)
	return append(out, "\r\n"...), nil
}

// targetOf is the received bytes where they are a path, else what the URL escapes to.
func targetOf(r *http.Request) string {
	target := r.RequestURI
	switch {
	case strings.HasPrefix(target, "/"), target == "*" && r.Method == http.MethodOptions:
		return target
	case target != "":
		if o := origin(r.Method, target); o != "" {
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

// escapes says that each "%" in a target's path begins an escape: what does not is a path to some and an error to others.
func escapes(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	for {
		i := strings.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if len(path) < i+3 {
			return false
		}
		if _, digits := parseHex([]byte(path[i+1 : i+3])); digits != 2 {
			return false
		}
		path = path[i+3:]
	}
}

// hostOf is the name that the backend is asked for. An HTTP/1.0 client may have given none.
func (t *Transport) hostOf(r *http.Request, c *Call) string {
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

// appendCallFields merges the overlay into the request's fields.
func appendCallFields(out []byte, header http.Header, c *Call) ([]byte, error) {
	for name, values := range header {
		key, k, known := spelled(name)
		if !forwarded(k) || replaced(c.Fields, key) {
			continue
		}
		if !known && !isToken(key) {
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
		if !known && !isToken(key) {
			return out, errBadField
		}
		var err error
		if out, err = appendValue(out, key, f.Value); err != nil {
			return out, err
		}
	}
	return out, nil
}

// forwarded says that a field means nothing to the message's framing or the connection.
func forwarded(k kind) bool { return k <= date }

func replaced(fields []Field, key string) bool {
	for i := range fields {
		if len(fields[i].Name) == len(key) && (fields[i].Name == key || strings.EqualFold(fields[i].Name, key)) {
			return true
		}
	}
	return false
}

// appendFraming says how the body ends.
func appendFraming(out []byte, r *http.Request, length int64) []byte {
	switch {
	case length < 0:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
		if names := announced(r.Trailer); len(names) > 0 {
			out = append(out, "Trailer: "...)
			out = append(out, strings.Join(names, ", ")...)
			out = append(out, "\r\n"...)
		}
	case length > 0, r.Method == http.MethodPost, r.Method == http.MethodPut, r.Method == http.MethodPatch:
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, length, 10)
		out = append(out, "\r\n"...)
	}
	if length != 0 && expects(r) {
		out = append(out, "Expect: 100-continue\r\n"...)
	}
	return out
}

// announced is the names of the trailers that may be sent, in order.
func announced(t http.Header) []string {
	var names []string
	for name := range t {
		if key, k := canonical(name); isToken(key) && (k == plain || k == date) {
			names = append(names, key)
		}
	}
	slices.Sort(names)
	return names
}

// expects says that the client wants to hear from the backend before it sends its body.
func expects(r *http.Request) bool {
	v := r.Header["Expect"]
	return len(v) == 1 && equalFold(v[0], "100-continue")
}

// appendConnection asks for the upgrade, or for trailers where the client can take them.
func appendConnection(out []byte, r *http.Request, c *Call) []byte {
	if c.Upgrade {
		return append(out, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	}
	for _, v := range r.Header["Te"] {
		for coding := range strings.SplitSeq(v, ",") {
			if equalFold(trimBlanks(coding), "trailers") {
				return append(out, "Connection: TE\r\nTE: trailers\r\n"...)
			}
		}
	}
	return out
}

// appendTrailers writes the end of a chunked body.
func appendTrailers(out []byte, t http.Header) ([]byte, error) {
	out = append(out, "0\r\n"...)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		key, k := canonical(name)
		if k != plain && k != date {
			continue
		}
		var err error
		if out, err = appendFields(out, key, t[name]); err != nil {
			return out, err
		}
	}
	return append(out, "\r\n"...), nil
}
