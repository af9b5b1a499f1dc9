package strict

import (
	"fmt"
	"strings"
)

// request is one case: the bytes that a client sends, and the requests that a
// backend may receive because of them.
type request struct {
	name string
	raw  string
	// requests that are forwarded, in their order, as seen.String writes them;
	// none is a refusal
	as     []string
	fields []string // of the first of them: "Name: value" is there, "-Name" is not
}

// refuse is a case in which no request may be forwarded.
func refuse(name, raw string) request { return request{name: name, raw: raw} }

// accept is a case that is forwarded as one request, with these fields and
// without those that begin with a hyphen.
func accept(name, raw, as string, fields ...string) request {
	return request{name: name, raw: raw, as: []string{as}, fields: fields}
}

// smuggled is the request that an attacker wants a backend to receive.
const smuggled = "GET /smuggled HTTP/1.1\r\nHost: app.example\r\n\r\n"

// asGet and asPost are the simplest requests.
const (
	asGet  = `GET / app.example ""`
	asPost = `POST / app.example "hello"`
)

// line returns a request with a request line and a Host, then fields as given.
func line(requestLine string, fields ...string) string {
	return bare(requestLine, append([]string{"Host: app.example"}, fields...)...)
}

// bare is line without the Host.
func bare(requestLine string, fields ...string) string {
	var b strings.Builder
	for _, l := range append([]string{requestLine}, fields...) {
		b.WriteString(l + "\r\n")
	}
	return b.String() + "\r\n"
}

// get is a GET of the root.
func get(fields ...string) string { return line("GET / HTTP/1.1", fields...) }

// post is a POST to the root with a body, which the fields may or may not
// describe.
func post(body string, fields ...string) string { return line("POST / HTTP/1.1", fields...) + body }

// chunked is a POST with a chunked body, whose framing is given.
func chunked(body string) string { return post(body, "Transfer-Encoding: chunked") }

// withTrailer is a chunked POST with lines after its last chunk.
func withTrailer(lines ...string) string {
	return chunked("5\r\nhello\r\n0\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n")
}

// pair is a field as it was sent.
type pair struct{ name, value string }

// seen is a request that a backend has received completely.
type seen struct {
	method, target, host, body string
	fields, trailers           []pair
}

// String returns what the tables compare: method, target, host and body.
func (s seen) String() string { return fmt.Sprintf("%s %s %s %q", s.method, s.target, s.host, s.body) }

// values returns the values of a field of the head.
func (s seen) values(name string) []string {
	var values []string
	for _, f := range s.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// lacks returns the first expectation about fields that does not hold, or "".
func (s seen) lacks(fields []string) string {
	for _, want := range fields {
		if name, absent := strings.CutPrefix(want, "-"); absent {
			if v := s.values(name); v != nil {
				return fmt.Sprintf("%s: %q is there", name, v)
			}
			continue
		}

		name, value, _ := strings.Cut(want, ": ")
		if v := s.values(name); len(v) != 1 || v[0] != value {
			return fmt.Sprintf("%s is %q, want %q", name, v, value)
		}
	}

	return ""
}
