package strict

// upgrades are attempts to get a raw connection through the proxy. Only a
// WebSocket gets one. Other upgrades are removed, and the request is forwarded
// without them.
var upgrades = []request{
	accept("h2c", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), asGet,
		"-Upgrade", "-Http2-Settings", "-Connection"),
	accept("h2c that Connection does not name", get("Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), asGet, "-Upgrade",
		"-Http2-Settings"),
	accept("h2c without settings", get("Connection: Upgrade", "Upgrade: h2c"), asGet, "-Upgrade"),
	accept("h2c in capitals", get("Connection: UPGRADE", "Upgrade: H2C"), asGet, "-Upgrade"),
	accept("h2c beside a WebSocket", get("Connection: Upgrade", "Upgrade: websocket, h2c"), asGet, "-Upgrade"),
	accept("a WebSocket and h2c in two fields", get("Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"), asGet,
		"-Upgrade"),
	accept("TLS", get("Connection: Upgrade", "Upgrade: TLS/1.2"), asGet, "-Upgrade"),
	accept("HTTP/2.0", get("Connection: Upgrade", "Upgrade: HTTP/2.0"), asGet, "-Upgrade"),
	accept("connect-udp", get("Connection: Upgrade", "Upgrade: connect-udp"), asGet, "-Upgrade"),
	accept("nothing", get("Connection: Upgrade", "Upgrade:"), asGet, "-Upgrade"),
	accept("Connection without Upgrade", get("Connection: Upgrade"), asGet, "-Upgrade", "-Connection"),
	accept("a WebSocket that Connection does not name", get("Upgrade: websocket"), asGet, "-Upgrade"),
	accept("a WebSocket by POST", post("", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 0"),
		`POST / app.example ""`, "-Upgrade"),
	accept("a WebSocket with a body", get("Connection: Upgrade", "Upgrade: websocket", "Content-Length: 5")+"hello",
		`GET / app.example "hello"`, "-Upgrade"),
	accept("a WebSocket in HTTP/1.0", line("GET / HTTP/1.0", "Connection: Upgrade", "Upgrade: websocket"), asGet,
		"-Upgrade"),
	accept("h2c with a body", post("hello", "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5"), asPost,
		"-Upgrade"),
	refuse("h2c with CL and TE",
		post("0\r\n\r\n"+smuggled, "Connection: Upgrade", "Upgrade: h2c", "Content-Length: 5", "Transfer-Encoding: chunked")),
	refuse("a WebSocket with CL and TE",
		post("0\r\n\r\n"+smuggled, "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 5",
			"Transfer-Encoding: chunked")),
	refuse("CONNECT with a WebSocket",
		line("CONNECT app.example:80 HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket")),
	{name: "a request behind a refused upgrade", raw: get("Connection: Upgrade", "Upgrade: h2c") + smuggled,
		as: []string{asGet, `GET /smuggled app.example ""`}},
}

// expectations are cases about bodies that a client sends only after a 100.
var expectations = []request{
	refuse("unknown", post("hello", "Expect: 200-maybe", "Content-Length: 5")),
	refuse("empty", post("hello", "Expect:", "Content-Length: 5")),
	refuse("a list", post("hello", "Expect: 100-continue, x", "Content-Length: 5")),
	refuse("with a parameter", post("hello", "Expect: 100-continue;q=1", "Content-Length: 5")),
	refuse("twice", post("hello", "Expect: 100-continue", "Expect: 100-continue", "Content-Length: 5")),
	refuse("without a blank, unknown", post("hello", "Expect:x", "Content-Length: 5")),
	refuse("with CL and TE", post("0\r\n\r\n"+smuggled, "Expect: 100-continue", "Content-Length: 5",
		"Transfer-Encoding: chunked")),
	refuse("with a bad length", post(smuggled, "Expect: 100-continue", "Content-Length: -1")),
	refuse("with a bad chunk", post("x\r\n"+smuggled, "Expect: 100-continue", "Transfer-Encoding: chunked")),
	refuse("in a folded line", post("hello", "Expect:\r\n 100-continue", "Content-Length: 5")),
	accept("the body comes unasked", post("hello", "Expect: 100-continue", "Content-Length: 5"), asPost),
	accept("in capitals", post("hello", "EXPECT: 100-CONTINUE", "Content-Length: 5"), asPost),
	accept("without a body", get("Expect: 100-continue"), asGet),
	accept("in HTTP/1.0", line("POST / HTTP/1.0", "Expect: 100-continue", "Content-Length: 5")+"hello", asPost),
}
