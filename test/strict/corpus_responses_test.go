package strict

import "strings"

// evil is an answer that a malicious backend wants another client to receive.
const evil = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"

// ok is a 200 with field lines as they are.
func ok(body string, fields ...string) string { return bare("HTTP/1.1 200 OK", fields...) + body }

// responses is the corpus of HTTP/1.1 answers.
var responses = []response{
	broken("CL and TE", ok("5\r\nhello\r\n0\r\n\r\n", "Content-Length: 15", "Transfer-Encoding: chunked")),
	broken("TE and CL", ok("0\r\n\r\n"+evil, "Transfer-Encoding: chunked", "Content-Length: 5")),
	broken("two lengths that differ", ok("hello"+evil, "Content-Length: 5", "Content-Length: 6")),
	broken("two lengths that agree", ok("hello", "Content-Length: 5", "Content-Length: 5")),
	broken("a list of lengths", ok("hello", "Content-Length: 5, 5")),
	broken("a length with a sign", ok("hello", "Content-Length: +5")),
	broken("a negative length", ok("hello", "Content-Length: -5")),
	broken("a hexadecimal length", ok("hello", "Content-Length: 0x5")),
	broken("an empty length", ok("hello", "Content-Length:")),
	broken("an overflowing length", ok("hello", "Content-Length: 18446744073709551621")),
	broken("a length with a NUL", ok("hello", "Content-Length: 5\x00")),
	broken("TE gzip", ok("hello", "Transfer-Encoding: gzip")),
	broken("TE gzip, chunked", ok("0\r\n\r\n", "Transfer-Encoding: gzip, chunked")),
	broken("TE identity", ok("hello", "Transfer-Encoding: identity")),
	broken("TE twice", ok("0\r\n\r\n", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
	broken("TE in HTTP/1.0", bare("HTTP/1.0 200 OK", "Transfer-Encoding: chunked")+"0\r\n\r\n"),
	broken("TE with a vertical tab", ok("0\r\n\r\n", "Transfer-Encoding: \vchunked")),
	broken("no version", bare("200 OK")+"hello"),
	broken("HTTP/2.0", bare("HTTP/2.0 200 OK", "Content-Length: 0")),
	broken("HTTP/1.2", bare("HTTP/1.2 200 OK", "Content-Length: 0")),
	broken("HTTP/1.10", bare("HTTP/1.10 200 OK", "Content-Length: 0")),
	broken("lower case", bare("http/1.1 200 OK", "Content-Length: 0")),
	broken("ICY", bare("ICY 200 OK", "Content-Length: 0")),
	broken("two blanks before the status", bare("HTTP/1.1  200 OK", "Content-Length: 0")),
	broken("a tab before the status", bare("HTTP/1.1\t200 OK", "Content-Length: 0")),
	broken("a status of two digits", bare("HTTP/1.1 20 OK", "Content-Length: 0")),
	broken("a status of four digits", bare("HTTP/1.1 2000 OK", "Content-Length: 0")),
	broken("a status with a sign", bare("HTTP/1.1 +20 OK", "Content-Length: 0")),
	broken("a status below 100", bare("HTTP/1.1 099 OK", "Content-Length: 0")),
	broken("a status of letters", bare("HTTP/1.1 abc OK", "Content-Length: 0")),
	broken("no status", bare("HTTP/1.1", "Content-Length: 0")),
	broken("a NUL in the reason", bare("HTTP/1.1 200 O\x00K", "Content-Length: 0")),
	broken("a CR in the reason", bare("HTTP/1.1 200 O\rK", "Content-Length: 0")),
	ended("HTTP/0.9", "<html>smuggled</html>"),
	ended("HTTP/0.9 with lines", "<html>\r\nsmuggled\r\n\r\n</html>\r\n"),
	broken("an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	ended("HTTP/2 settings", "\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
	ended("a TLS alert", "\x15\x03\x03\x00\x02\x02\x16"),
	broken("a request", smuggled),
	broken("an empty line before", "\r\n"+ok("hello", "Content-Length: 5")),
	broken("a folded line", ok("hello", "Content-Length: 5", "X: y", " z")),
	broken("a folded length", ok("hello", "Content-Length:", " 5")),
	broken("LF only", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
	broken("one bare LF", "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 5\r\n\r\nhello"),
	broken("a bare CR", ok("hello", "Content-Length: 5", "X: y\rz")),
	broken("a NUL", ok("hello", "Content-Length: 5", "X: \x00")),
	broken("a blank before a colon", ok("hello", "Content-Length : 5")),
	broken("a blank in a name", ok("hello", "Content-Length: 5", "X Y: z")),
	broken("a line without a colon", ok("hello", "Content-Length: 5", "X")),
	broken("a name of UTF-8", ok("hello", "Content-Length: 5", "Ü: x")),
	broken("257 fields", ok("", strings.Split("Content-Length: 0|"+strings.Repeat("X: y|", 255)+"X: y", "|")...)),
	broken("a head of 70 KiB", ok("", "Content-Length: 0", "X: "+strings.Repeat("a", 70<<10))),
	broken("a head without an end", "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("a", 200<<10)),
	ended("nothing", ""),
	ended("half a status line", "HTTP/1.1 20"),
	ended("half a head", "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n"),
	ended("less than its length", ok("hello", "Content-Length: 50")),
	ended("no byte of a body", ok("", "Content-Length: 5")),
	ended("half a chunk", ok("5\r\nhel", "Transfer-Encoding: chunked")),
	ended("no last chunk", ok("5\r\nhello\r\n", "Transfer-Encoding: chunked")),
	ended("no end of trailers", ok("5\r\nhello\r\n0\r\nX: y\r\n", "Transfer-Encoding: chunked")),
	broken("a bad chunk size", ok("x\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
	broken("a chunk size with 0x", ok("0x5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
	broken("a chunk size with a blank", ok("5 \r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
	broken("an overflowing chunk size", ok("10000000000000005\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
	broken("a chunk size that ends with LF", ok("5\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
	broken("a chunk longer than its size", ok("5\r\nhello!\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
	broken("an extension that is too long",
		ok("5;"+strings.Repeat("a", 2<<10)+"\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked")),
	fine("a length in trailers", ok("5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", "Transfer-Encoding: chunked"),
		"200 hello"),
	fine("a coding in trailers", ok("5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding: chunked"),
		"200 hello"),
	fine("a cookie in trailers", ok("5\r\nhello\r\n0\r\nSet-Cookie: a=b\r\n\r\n", "Transfer-Encoding: chunked"),
		"200 hello"),
	fine("a bad announcement of trailers", ok("5\r\nhello\r\n0\r\nX: y\r\n\r\n", "Transfer-Encoding: chunked",
		"Trailer: Content-Length, X Y, X"), "200 hello"),
	broken("a folded trailer", ok("5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n", "Transfer-Encoding: chunked")),
	broken("a NUL in a trailer", ok("5\r\nhello\r\n0\r\nX: \x00\r\n\r\n", "Transfer-Encoding: chunked")),
	broken("an unasked 101", bare("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade",
		"Upgrade: websocket")+"smuggled"),
	broken("an unasked 101 to h2c", bare("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: h2c")),
	broken("a bare 101", bare("HTTP/1.1 101 Switching Protocols")),
	fine("a flood of 100", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000)+ok("hello", "Content-Length: 5"),
		"200 hello"),
	fine("a flood of 103", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 100)+ok("hello",
		"Content-Length: 5"), "200 hello"),
	broken("a 103 with a length", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello"+evil),
	broken("a 100 with chunks", "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+evil),
	fine("an answer behind the answer", ok("hello", "Content-Length: 5")+evil, "200 hello"),
	fine("garbage behind the answer", ok("hello", "Content-Length: 5")+"\x00\x01\x02", "200 hello"),
	fine("an answer behind chunks", ok("5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked")+evil, "200 hello"),
	fine("an answer behind an empty one", ok("", "Content-Length: 0")+evil, "200 "),
	fine("204 with a body", bare("HTTP/1.1 204 No Content")+evil, "204 "),
	fine("204 with a length and a body", bare("HTTP/1.1 204 No Content", "Content-Length: 8")+"smuggled", "204 "),
	fine("304 with a body", bare("HTTP/1.1 304 Not Modified", "Content-Length: 8")+"smuggled", "304 "),
	fine("204 with chunks", bare("HTTP/1.1 204 No Content", "Transfer-Encoding: chunked")+"0\r\n\r\n", "204 "),
	fine("204 with two lengths", bare("HTTP/1.1 204 No Content", "Content-Length: 0", "Content-Length: 5"), "204 "),
	fine("204 with a length of letters", bare("HTTP/1.1 204 No Content", "Content-Length: abc"), "204 "),
	fine("304 with CL and TE", bare("HTTP/1.1 304 No", "Content-Length: 5", "Transfer-Encoding: chunked"), "304 "),
	fine("304 with TE gzip, chunked", bare("HTTP/1.1 304 No", "Transfer-Encoding: gzip, chunked"), "304 "),
	fine("304 in HTTP/1.0 with TE", bare("HTTP/1.0 304 No", "Transfer-Encoding: chunked"), "304 "),
	fine("a 100 with a length of zero",
		"HTTP/1.1 100 Continue\r\nContent-Length: 0\r\n\r\n"+ok("hello", "Content-Length: 5"), "200 hello"),
	fine("a 103 with CL and TE", "HTTP/1.1 103 Hints\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"+
		ok("hello", "Content-Length: 5"), "200 hello"),
	{name: "HEAD with CL and TE", method: "HEAD", raw: ok("", "Content-Length: 8", "Transfer-Encoding: chunked"),
		as: "200 "},
	{name: "HEAD with two lengths", method: "HEAD", raw: ok("", "Content-Length: 8", "Content-Length: 9"), as: "200 "},
	{name: "HEAD with TE gzip", method: "HEAD", raw: ok("", "Transfer-Encoding: gzip, chunked"), as: "200 "},
	{name: "HEAD with a body", method: "HEAD", raw: ok("smuggled", "Content-Length: 8"), as: "200 "},
	{name: "HEAD with an answer behind", method: "HEAD", raw: ok("", "Content-Length: 8") + evil, as: "200 "},
	{name: "a body until the end", raw: ok("hello"), end: true, as: "200 hello"},
	{name: "a body until the end in HTTP/1.0", raw: bare("HTTP/1.0 200 OK") + "hello", end: true, as: "200 hello"},
	fine("no blank behind the status", "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", "200 hello"),
	fine("a 103 before", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+ok("hello", "Content-Length: 5"), "200 hello"),
}

// status is the one pseudo field of an answer.
func status(code string) pair { return pair{":status", code} }

// framedResponses is the corpus of HTTP/2 answers.
var framedResponses = []response{
	misframed("no status", func(a *answerer) { a.headers(true, pair{"x", "y"}) }),
	misframed("an empty status", func(a *answerer) { a.headers(true, status("")) }),
	misframed("a status of letters", func(a *answerer) { a.headers(true, status("abc")) }),
	misframed("a status of two digits", func(a *answerer) { a.headers(true, status("20")) }),
	misframed("a status with a sign", func(a *answerer) { a.headers(true, status("+200")) }),
	misframed("a status with a reason", func(a *answerer) { a.headers(true, status("200 OK")) }),
	misframed("a status of four digits", func(a *answerer) { a.headers(true, status("2000")) }),
	misframed("a status with CR LF", func(a *answerer) { a.headers(true, status("200\r\nX: y")) }),
	misframed("two statuses", func(a *answerer) { a.headers(true, status("200"), status("404")) }),
	misframed("a status behind a field", func(a *answerer) { a.headers(true, pair{"x", "y"}, status("200")) }),
	misframed("a request's pseudo field", func(a *answerer) { a.headers(true, status("200"), pair{":path", "/"}) }),
	misframed("an unasked 101", func(a *answerer) { a.headers(false, status("101")) }),
	misframed("an interim head that ends the stream", func(a *answerer) { a.headers(true, status("103")) }),
	misframed("a name in capitals", func(a *answerer) { a.headers(true, status("200"), pair{"X-Upper", "y"}) }),
	misframed("a name with a blank", func(a *answerer) { a.headers(true, status("200"), pair{"x y", "z"}) }),
	misframed("a name with a colon", func(a *answerer) { a.headers(true, status("200"), pair{"x:y", "z"}) }),
	misframed("a value with CR LF", func(a *answerer) { a.headers(true, status("200"), pair{"x", "y\r\nz: a"}) }),
	misframed("a value with a NUL", func(a *answerer) { a.headers(true, status("200"), pair{"x", "y\x00"}) }),
	misframed("a value with LF", func(a *answerer) { a.headers(true, status("200"), pair{"x", "y\nz"}) }),
	misframed("less than its length", func(a *answerer) {
		a.headers(false, status("200"), pair{"content-length", "50"})
		a.data(true, "hello")
	}),
	misframed("more than its length", func(a *answerer) {
		a.headers(false, status("200"), pair{"content-length", "3"})
		a.data(true, "hello")
	}),
	misframed("two lengths", func(a *answerer) {
		a.headers(false, status("200"), pair{"content-length", "5"}, pair{"content-length", "6"})
		a.data(true, "hello")
	}),
	misframed("a length with a sign", func(a *answerer) {
		a.headers(false, status("200"), pair{"content-length", "+5"})
		a.data(true, "hello")
	}),
	misframed("a list of lengths", func(a *answerer) {
		a.headers(false, status("200"), pair{"content-length", "5, 5"})
		a.data(true, "hello")
	}),
	misframed("a pseudo field in trailers", func(a *answerer) {
		a.headers(false, status("200"))
		a.data(false, "hello")
		a.headers(true, status("200"))
	}),
	misframed("CR LF in a trailer", func(a *answerer) {
		a.headers(false, status("200"))
		a.data(false, "hello")
		a.headers(true, pair{"x", "y\r\nz: a"})
	}),
	misframed("trailers that do not end", func(a *answerer) {
		a.headers(false, status("200"))
		a.data(false, "hello")
		a.headers(false, pair{"x", "y"})
	}),
	misframed("data before the head", func(a *answerer) { a.data(true, "smuggled") }),
	misframed("a reset", func(a *answerer) { _ = a.WriteRSTStream(a.stream, 2) }),
	misframed("a reset in the body", func(a *answerer) {
		a.headers(false, status("200"))
		a.data(false, "hello")
		_ = a.WriteRSTStream(a.stream, 2)
	}),
	misframed("an end of the connection in the body", func(a *answerer) {
		a.headers(false, status("200"))
		a.data(false, "hello")
		_ = a.conn.Close()
	}),
	misframed("a head of 70 KiB",
		func(a *answerer) { a.headers(true, status("200"), pair{"x", strings.Repeat("a", 70<<10)}) }),
	misframed("an unasked push", func(a *answerer) {
		_ = a.WriteRawFrame(5, 4, a.stream, []byte{0, 0, 0, 2})
	}),
	{name: "a 103 before", as: "200 hello", frames: func(a *answerer) {
		a.headers(false, status("103"), pair{"link", "</a>"})
		a.headers(false, status("200"))
		a.data(true, "hello")
	}},
	{name: "an honest trailer", as: "200 hello", frames: func(a *answerer) {
		a.headers(false, status("200"))
		a.data(false, "hello")
		a.headers(true, pair{"x", "y"})
	}},
	{name: "304 with the length of another answer", as: "304 ", frames: func(a *answerer) {
		a.headers(true, status("304"), pair{"content-length", "70000"})
	}},
	{name: "304 with a body", as: "304 ", frames: func(a *answerer) {
		a.headers(false, status("304"), pair{"content-length", "8"})
		a.data(true, "smuggled")
	}},
	{name: "204 with a length", as: "204 ", frames: func(a *answerer) {
		a.headers(true, status("204"), pair{"content-length", "8"})
	}},
	{name: "connection fields", as: "200 hello", frames: func(a *answerer) {
		a.headers(false, status("200"), pair{"connection", "close"}, pair{"keep-alive", "timeout=5"})
		a.data(true, "hello")
	}},
	{name: "a coding", as: "200 0\r\n\r\n", frames: func(a *answerer) {
		a.headers(false, status("200"), pair{"transfer-encoding", "chunked"})
		a.data(true, "0\r\n\r\n")
	}},
}
