package strict

import (
	"fmt"
	"strings"
)

// to is a GET with further fields that is refused.
func to(name string, fields ...pair) framedRequest {
	return framedRequest{name: name, head: pseudo("GET", "/", fields...)}
}

// of is a request with a complete head that is refused.
func of(name string, head ...pair) framedRequest { return framedRequest{name: name, head: head} }

// with is a POST with DATA frames.
func with(name string, data []string, fields ...pair) framedRequest {
	return framedRequest{name: name, head: pseudo("POST", "/", fields...), data: data}
}

// closing is a POST with trailers.
func closing(name string, trailers ...pair) framedRequest {
	return framedRequest{name: name, head: pseudo("POST", "/"), data: []string{"hello"}, trailers: trailers}
}

// but is a refusal of what follows a request that is complete by its length.
// That request may have been forwarded already.
func (r framedRequest) but(may string) framedRequest {
	r.may = may
	return r
}

// passed is a case that is forwarded.
func (r framedRequest) passed(as string, fields ...string) framedRequest {
	r.as, r.fields = []string{as}, fields
	return r
}

// many returns n fields with different names.
func many(n int) []pair {
	fields := make([]pair, n)
	for i := range fields {
		fields[i] = pair{fmt.Sprint("x", i), "y"}
	}
	return fields
}

var (
	method    = pair{":method", "GET"}
	scheme    = pair{":scheme", "http"}
	authority = pair{":authority", "app.example"}
	path      = pair{":path", "/"}
	length5   = pair{"content-length", "5"}
	hello     = []string{"hello"}
)

// framedRequests is the corpus of HTTP/2 (RFC 9113 section 8). Most cases would
// become a second request if they were written as HTTP/1.1.
var framedRequests = []framedRequest{
	of("no method", scheme, authority, path),
	of("no scheme", method, authority, path),
	of("no path", method, scheme, authority),
	of("two methods", method, pair{":method", "POST"}, scheme, authority, path),
	of("two paths", method, scheme, authority, path, pair{":path", "/smuggled"}),
	of("two schemes", method, scheme, pair{":scheme", "https"}, authority, path),
	of("two authorities", method, scheme, authority, pair{":authority", "evil.example"}, path),
	of("two authorities, of which one is empty", method, scheme, pair{":authority", ""}, authority, path),
	of("two empty authorities", method, scheme, pair{":authority", ""}, pair{":authority", ""}, path),
	of("a pseudo field behind others", method, scheme, authority, pair{"x", "y"}, path),
	of("an unknown pseudo field", method, scheme, authority, path, pair{":x", "y"}),
	of("a response's pseudo field", method, scheme, authority, path, pair{":status", "200"}),
	of("a protocol without CONNECT", method, scheme, authority, path, pair{":protocol", "websocket"}),
	of("an empty method", pair{":method", ""}, scheme, authority, path),
	of("a method with a request", pair{":method", "GET /smuggled HTTP/1.1"}, scheme, authority, path),
	of("a method with a blank", pair{":method", "GET "}, scheme, authority, path),
	of("a method with CR LF", pair{":method", "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\nGET"}, scheme, authority, path),
	of("a method with a NUL", pair{":method", "G\x00ET"}, scheme, authority, path),
	of("a method with a colon", pair{":method", "GET:"}, scheme, authority, path),
	of("CONNECT", pair{":method", "CONNECT"}, authority),
	of("CONNECT with a path", pair{":method", "CONNECT"}, scheme, authority, path),
	of("CONNECT for a protocol", pair{":method", "CONNECT"}, pair{":protocol", "h2c"}, scheme, authority, path),
	of("TRACE", pair{":method", "TRACE"}, scheme, authority, path),
	of("an empty path", method, scheme, authority, pair{":path", ""}),
	of("a path without a slash", method, scheme, authority, pair{":path", "a"}),
	of("a path that is a host", method, scheme, authority, pair{":path", "evil.example/"}),
	of("a path that begins with an at sign", method, scheme, authority, pair{":path", "@evil.example/"}),
	of("a path that is a port", method, scheme, authority, pair{":path", ":80/"}),
	of("an absolute path", method, scheme, authority, pair{":path", "http://evil.example/"}),
	of("an asterisk with GET", method, scheme, authority, pair{":path", "*"}),
	of("a path with a blank", method, scheme, authority, pair{":path", "/a b"}),
	of("a path with a version", method, scheme, authority, pair{":path", "/ HTTP/1.1"}),
	of("a path with CR LF", method, scheme, authority,
		pair{":path", "/ HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /smuggled"}),
	of("a path with LF", method, scheme, authority, pair{":path", "/a\nb"}),
	of("a path with a tab", method, scheme, authority, pair{":path", "/a\tb"}),
	of("a path with a NUL", method, scheme, authority, pair{":path", "/a\x00b"}),
	of("a path with a fragment", method, scheme, authority, pair{":path", "/a#b"}),
	of("a path with UTF-8", method, scheme, authority, pair{":path", "/ü"}),
	of("a path with half an escape", method, scheme, authority, pair{":path", "/%4"}),
	of("a query only", method, scheme, authority, pair{":path", "?a"}),
	of("an authority with a blank", method, scheme, pair{":authority", "app.example evil"}, path),
	of("an authority with a user", method, scheme, pair{":authority", "user@app.example"}, path),
	of("an authority with a path", method, scheme, pair{":authority", "app.example/a"}, path),
	of("an authority with CR LF", method, scheme, pair{":authority", "app.example\r\nX: y"}, path),
	of("an authority with a list", method, scheme, pair{":authority", "app.example,evil.example"}, path),
	of("an authority with a bad port", method, scheme, pair{":authority", "app.example:x"}, path),
	of("an authority with an escape", method, scheme, pair{":authority", "app%2eexample"}, path),
	of("an empty authority", method, scheme, pair{":authority", ""}, path),
	of("neither authority nor host", method, scheme, path),
	of("two hosts", method, scheme, path, pair{"host", "app.example"}, pair{"host", "evil.example"}),
	of("a host with CR LF", method, scheme, path, pair{"host", "app.example\r\nX: y"}),
	to("a host that differs from the authority", pair{"host", "evil.example"}),
	to("connection", pair{"connection", "close"}),
	to("connection: keep-alive", pair{"connection", "keep-alive"}),
	to("connection that names a field", pair{"connection", "x-secret"}, pair{"x-secret", "1"}),
	to("keep-alive", pair{"keep-alive", "timeout=5"}),
	to("proxy-connection", pair{"proxy-connection", "keep-alive"}),
	to("upgrade", pair{"upgrade", "websocket"}),
	to("upgrade to h2c", pair{"upgrade", "h2c"}, pair{"http2-settings", "AAMAAABkAAQAAP__"}),
	with("transfer-encoding: chunked", []string{"0\r\n\r\n" + smuggled}, pair{"transfer-encoding", "chunked"}),
	with("transfer-encoding and a length", []string{"0\r\n\r\n" + smuggled}, pair{"transfer-encoding", "chunked"},
		pair{"content-length", "50"}),
	with("transfer-encoding: identity", hello, pair{"transfer-encoding", "identity"}),
	with("transfer-encoding with CR LF", hello, pair{"x", "y\r\ntransfer-encoding: chunked"}),
	to("te other than trailers", pair{"te", "gzip"}),
	to("te of a list", pair{"te", "trailers, gzip"}),
	to("a name in capitals", pair{"X-Upper", "y"}),
	to("one capital in a name", pair{"x-Upper", "y"}),
	to("an empty name", pair{"", "y"}),
	to("a name with a blank", pair{"x y", "z"}),
	to("a name with a blank at its end", pair{"transfer-encoding ", "chunked"}),
	to("a name with a colon", pair{"x:y", "z"}),
	to("a name with CR LF", pair{"x\r\ny", "z"}),
	to("a name with a request", pair{"x: y\r\n\r\nget /smuggled http/1.1\r\nhost", "z"}),
	to("a name with a NUL", pair{"x\x00", "y"}),
	to("a name with UTF-8", pair{"ü", "y"}),
	to("a name with a bracket", pair{"x[]", "y"}),
	to("a value with CR LF", pair{"x", "y\r\nx-admin: true"}),
	to("a value with a request", pair{"x", "y\r\n\r\n" + smuggled}),
	to("a value with LF", pair{"x", "y\nz"}),
	to("a value with CR", pair{"x", "y\rz"}),
	to("a value with a NUL", pair{"x", "y\x00z"}),
	to("a value with a DEL", pair{"x", "y\x7fz"}),
	to("a cookie with CR LF", pair{"cookie", "a=b\r\nx: y"}),
	with("less than its length", []string{"hell"}, length5),
	with("more than its length", []string{"hello!"}, length5),
	with("more than its length in a second frame", []string{"hello", smuggled}, length5).but(asPost),
	with("a length and no data", nil, length5),
	with("two lengths", hello, length5, pair{"content-length", "0"}),
	with("two lengths, the first nought", []string{smuggled}, pair{"content-length", "0"}, pair{"content-length", "45"}),
	with("a list of lengths", hello, pair{"content-length", "5, 5"}),
	with("a length with a sign", hello, pair{"content-length", "+5"}),
	with("a negative length", hello, pair{"content-length", "-5"}),
	with("a hexadecimal length", hello, pair{"content-length", "0x5"}),
	with("an empty length", hello, pair{"content-length", ""}),
	with("an overflowing length", hello, pair{"content-length", "18446744073709551621"}),
	with("a length with CR LF", hello, pair{"content-length", "5\r\nx: y"}),
	{name: "less than its length, and trailers", head: pseudo("POST", "/", length5), data: []string{"hell"},
		trailers: []pair{{"x", "y"}}},
	closing("a trailer of a length", pair{"content-length", "3"}).passed(asPost),
	closing("a pseudo field in trailers", pair{":path", "/smuggled"}),
	closing("a method in trailers", pair{":method", "GET"}, pair{":path", "/smuggled"}),
	closing("CR LF in a trailer", pair{"x", "y\r\nz: a"}),
	closing("a connection field in trailers", pair{"connection", "close"}).passed(asPost, "-Connection"),
	closing("a coding in trailers", pair{"transfer-encoding", "chunked"}).passed(asPost),
	closing("a name in capitals in trailers", pair{"X-Upper", "y"}),
	closing("a host in trailers", pair{"host", "evil.example"}).passed(asPost),
	closing("an authorization in trailers", pair{"authorization", "Basic x"}).passed(asPost, "-Authorization"),
	closing("an identity in trailers", pair{"x-serverless-authorization", "Bearer x"}).passed(asPost,
		"-X-Serverless-Authorization"),
	closing("an honest trailer", pair{"x", "y"}).passed(asPost),
	to("70 KiB of fields", pair{"x", strings.Repeat("a", 70<<10)}),
	to("257 fields", many(257)...),
	{name: "257 trailers", head: pseudo("POST", "/"), data: hello, trailers: many(257)},
	to("many fields", many(200)...).passed(asGet, "X17: y"),
	of("a host instead of an authority", method, scheme, path, pair{"host", "app.example"}).passed(asGet),
	to("a host that agrees with the authority", pair{"host", "app.example"}).passed(asGet),
	to("te: trailers", pair{"te", "trailers"}).passed(asGet),
	to("cookies in crumbs", pair{"cookie", "a=b"}, pair{"cookie", "c=d"}).passed(asGet),
	to("a value with UTF-8", pair{"x", "ü"}).passed(asGet, "X: ü"),
	to("an empty value", pair{"x", ""}).passed(asGet, "X: "),
	to("no Proxy", pair{"proxy", "http://evil.example"}).passed(asGet, "-Proxy"),
	to("no identity of a stranger", pair{"x-serverless-authorization", "Bearer x"}).passed(asGet,
		"-X-Serverless-Authorization"),
	to("CR LF in escapes", pair{"x", "%0d%0ay"}).passed(asGet, "X: %0d%0ay"),
	of("an escape in the path", method, scheme, authority,
		pair{":path", "/a%0d%0ab%2f?c=%zz"}).passed(`GET /a%0d%0ab%2f?c=%zz app.example ""`),
	of("two slashes", method, scheme, authority,
		pair{":path", "//evil.example/"}).passed(`GET //evil.example/ app.example ""`),
	of("OPTIONS of everything", pair{":method", "OPTIONS"}, scheme, authority,
		pair{":path", "*"}).passed(`OPTIONS * app.example ""`),
	with("a length that holds", []string{"he", "", "llo"}, length5).passed(asPost),
	with("no length", hello).passed(asPost),
	with("no length and an empty frame", []string{""}).passed(`POST / app.example ""`),
	with("data that looks like chunks", []string{"0\r\n\r\n"}).passed(`POST / app.example "0\r\n\r\n"`),
	with("data that looks like a request",
		[]string{smuggled}).passed(`POST / app.example "GET /smuggled HTTP/1.1\r\nHost: app.example\r\n\r\n"`),
	with("a repeated length", hello, length5, length5),
}
