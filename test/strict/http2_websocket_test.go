package strict

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/otlp"
)

// startWith is start with more variables.
func startWith(t *testing.T, target string, env ...string) *binary.Process {
	t.Helper()
	return pillion.Start(t, append(append([]string{"LB_BACKENDS=" + target}, limits...), env...)...)
}

// connecting returns the head of an extended CONNECT for a WebSocket.
func connecting(path string, fields ...pair) []pair {
	return append([]pair{
		{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "http"}, {":authority", "app.example"},
		{":path", path},
		{"sec-websocket-version", "13"},
	}, fields...)
}

// switching returns a backend's 101 for an upgrade, with further field lines.
func switching(r backend.Request, fields ...string) string {
	sum := sha1.Sum([]byte(strings.Join(r.Fields("Sec-WebSocket-Key"), ",") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	fields = append(fields, "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(sum[:]))
	return "HTTP/1.1 101 Switching Protocols\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
}

// text returns a WebSocket text frame of fewer than 126 bytes. A client's frame
// is masked, here with zeros.
func text(s string, masked bool) string {
	if masked {
		return string([]byte{0x81, 0x80 | byte(len(s)), 0, 0, 0, 0}) + s
	}
	return string([]byte{0x81, byte(len(s))}) + s
}

// head reads until the final head of a stream, or its end.
func (c *framed) head(t *testing.T, stream uint32) reply {
	t.Helper()
	var r reply
	for r.status == "" {
		frame, err := c.ReadFrame()
		if err != nil {
			t.Fatalf("%v before a head", err)
		}

		c.housekeeping(frame)
		if head, ok := frame.(*http2.MetaHeadersFrame); ok && head.StreamID == stream {
			r.add(head)
		}
		if cut, ok := frame.(*http2.RSTStreamFrame); ok && cut.StreamID == stream {
			t.Fatalf("RST_STREAM %v before a head", cut.ErrCode)
		}
	}

	return r
}

// read reads n bytes of a stream's data.
func (c *framed) read(t *testing.T, stream uint32, n int) string {
	t.Helper()
	var all strings.Builder
	for all.Len() < n {
		frame, err := c.ReadFrame()
		if err != nil {
			t.Fatalf("%v after %d bytes of %d", err, all.Len(), n)
		}

		c.housekeeping(frame)
		if data, ok := frame.(*http2.DataFrame); ok && data.StreamID == stream {
			all.Write(data.Data())
			if data.StreamEnded() && all.Len() < n {
				t.Fatalf("the stream ended after %d bytes of %d", all.Len(), n)
			}
		}
	}

	return all.String()
}

// sockets starts a backend that answers 101 and greeting in one write, and then
// calls respond.
func sockets(t *testing.T, greeting string, respond func(backend.Request, *backend.Conn)) *backend.Raw {
	t.Helper()
	var raw *backend.Raw
	ready := make(chan struct{})

	raw = backend.StartRaw(t, "sockets", func(c *backend.Conn) {
		<-ready
		r, err := c.ReadRequest()
		if err != nil {
			return
		}

		raw.Requests.Add(r)
		_, _ = io.WriteString(c, switching(r, "Sec-WebSocket-Protocol: chat", "X-App: yes")+greeting)
		respond(r, c)
	})
	close(ready)

	return raw
}

func echo(_ backend.Request, c *backend.Conn) { _, _ = io.Copy(c, c.In) }

// Clients may open WebSockets in streams, because SETTINGS say so (RFC 8441
// section 3).
func TestHTTP2_WebSocketsAreOffered(t *testing.T) {
	t.Parallel()
	c := dialFramed(t, start(t, sockets(t, "", echo).Target()).Address)
	frame, err := c.ReadFrame()
	settings, ok := frame.(*http2.SettingsFrame)
	if err != nil || !ok {
		t.Fatalf("%v %v", frame, err)
	}
	if got, _ := settings.Value(http2.SettingEnableConnectProtocol); got != 1 {
		t.Errorf("SETTINGS_ENABLE_CONNECT_PROTOCOL is %d, want 1", got)
	}
}

// A WebSocket of HTTP/2 becomes an upgrade of HTTP/1.1 for the backend, also if
// other requests to the backend use HTTP/2.
func TestHTTP2_AWebSocketBecomesAnUpgrade(t *testing.T) {
	t.Parallel()
	hello, first := text("hello", false), text("first", true)

	raw := sockets(t, hello, echo)
	for protocol, target := range map[string]string{"http": raw.Target(), "h2c": "h2c://" + raw.Address +
		"?name=sockets"} {
		t.Run(protocol, func(t *testing.T) {
			c := dialFramed(t, start(t, target).Address)
			stream := c.open(connecting("/chat?room=1", pair{"sec-websocket-protocol", "chat, other"},
				pair{"origin", "http://app.example"},
				pair{"sec-websocket-key", "bm90IHRoZSBiYWNrZW5kJ3M="}, pair{"trailer", "x"})...)
			_ = c.WriteData(stream, false, []byte(first)) // before the answer, as a client may
			got := c.head(t, stream)
			if got.status != "200" || got.ended || got.field("sec-websocket-protocol") != "chat" || got.field("x-app") != "yes" {
				t.Fatalf("%v %v", got, got.fields)
			}

			for _, name := range []string{"sec-websocket-accept", "upgrade", "connection", "content-length",
				"transfer-encoding"} {
				if v := got.field(name); v != "" {
					t.Errorf("the answer has %s: %s", name, v)
				}
			}

			if got := c.read(t, stream, len(hello+first)); got != hello+first {
				t.Errorf("came %q", got)
			}

			all := raw.Requests.All()
			r := all[len(all)-1]
			if !strings.HasPrefix(r.Head, "GET /chat?room=1 HTTP/1.1\r\n") || !wholeHead.MatchString(r.Head) {
				t.Errorf("the backend got %q", r.Head)
			}

			for name, want := range map[string]string{"Host": "app.example", "Upgrade": "websocket", "Connection": "Upgrade",
				"Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "chat, other", "Origin": "http://app.example",
				"Content-Length": "", "Transfer-Encoding": "", "Trailer": ""} {
				if got := strings.Join(r.Fields(name), "|"); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}

			key, err := base64.StdEncoding.DecodeString(strings.Join(r.Fields("Sec-WebSocket-Key"), "|"))
			if err != nil || len(key) != 16 || string(key) == "not the backend's" {
				t.Errorf("the key is %q (%v)", key, err)
			}
		})
	}
}

// A WebSocket carries any number of bytes in both directions at once, at the
// speed of the reader.
func TestHTTP2_AWebSocketCarriesMoreThanItsWindows(t *testing.T) {
	t.Parallel()
	raw := sockets(t, "", echo)
	c := dialFramed(t, start(t, raw.Target()).Address)
	stream := c.open(connecting("/")...)
	c.head(t, stream)
	const size, piece = 24 << 10, 10 << 10 // a window of 64 KiB has more than that left when the last round was read
	for round := range 40 {
		frame := "\x82\xfe\x60\x00\x00\x00\x00\x00" + strings.Repeat(string(rune('a'+round%26)), size)
		for rest := frame; rest != ""; rest = rest[min(piece, len(rest)):] {
			_ = c.WriteData(stream, false, []byte(rest[:min(piece, len(rest))]))
		}
		if got := c.read(t, stream, len(frame)); got != frame {
			t.Fatalf("round %d: %d bytes came back changed", round, len(got))
		}
	}
}

func TestHTTP2_EachEndOfAWebSocketReachesTheOther(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 10)
	raw := sockets(t, "", func(r backend.Request, c *backend.Conn) {
		switch {
		case strings.HasPrefix(r.Head, "GET /backend"):
			_, _ = io.WriteString(c, text("bye", false))
			return
		}

		_, err := io.Copy(io.Discard, c.In)
		ended <- err
		_, _ = io.WriteString(c, text("bye", false)) // the client may still listen
	})
	p := start(t, raw.Target())
	t.Run("the backend's", func(t *testing.T) {
		c := dialFramed(t, p.Address)
		got := c.wait(c.open(connecting("/backend")...))
		if got.status != "200" || !got.ended || got.body != text("bye", false) {
			t.Errorf("%v", got)
		}
	})
	for name, end := range map[string]func(*framed, uint32){
		"the client's":      func(c *framed, stream uint32) { _ = c.WriteData(stream, true, nil) },
		"the client's cut":  func(c *framed, stream uint32) { _ = c.WriteRSTStream(stream, http2.ErrCodeCancel) },
		"the connection's ": func(c *framed, _ uint32) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c := dialFramed(t, p.Address)
			stream := c.open(connecting("/client")...)
			c.head(t, stream)
			began := time.Now()
			end(c, stream)

			select {
			case <-ended:
				t.Logf("seen after %v", time.Since(began))
			case <-time.After(await.Limit):
				t.Fatal("the backend saw no end")
			}

			if name == "the client's" {
				if got := c.wait(stream); !got.ended || got.body != text("bye", false) {
					t.Errorf("what the backend said last: %v", got)
				}
			}

			if name == "the client's cut" {
				// it switched unasked: the connection lives, and says so
				if got := c.fetch("/client"); got.status != "502" {
					t.Errorf("the connection's next request: %v", got)
				}
			}
		})
	}
}

// A process that stops sends 1001 to both sides. It ends the stream, and not
// the connection.
func TestHTTP2_AWebSocketEndsWith1001WhenTheProcessStops(t *testing.T) {
	t.Parallel()
	frames := make(chan string, 1)
	raw := sockets(t, "", func(_ backend.Request, c *backend.Conn) {
		first, _ := c.In.Peek(len(text("x", true)))
		_, _ = io.WriteString(c, text("y", false))
		all, _ := io.ReadAll(c.In)
		frames <- string(all[len(first):])
	})
	p := startWith(t, raw.Target(), "LB_DRAIN_TIMEOUT=5s")
	c := dialFramed(t, p.Address)
	stream := c.open(connecting("/")...)
	c.head(t, stream)
	_ = c.WriteData(stream, false, []byte(text("x", true)))
	c.read(t, stream, len(text("y", false)))
	p.Signal(syscall.SIGTERM)
	got := c.wait(stream)
	if got.body != "\x88\x02\x03\xe9" || !got.ended {
		t.Errorf("the stream ended with %v", got)
	}

	select {
	case got := <-frames:
		if want := "\x88\x82\x00\x00\x00\x00\x03\xe9"; got != want {
			t.Errorf("the backend read %q, want %q", got, want)
		}
	case <-time.After(await.Limit):
		t.Error("the backend saw no end")
	}

	if code := p.Wait(10 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// After hundreds of WebSockets that ended in every possible way, no connection
// and no request is left.
func TestHTTP2_WebSocketsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	raw := sockets(t, "", func(r backend.Request, c *backend.Conn) {
		_, _ = c.In.Peek(1) // until the client says anything, or ends
		if strings.HasPrefix(r.Head, "GET /reset") {
			_ = c.Conn.(*net.TCPConn).SetLinger(0)
		}
		if strings.HasPrefix(r.Head, "GET /echo") {
			_, _ = io.Copy(c, c.In)
		}
	})
	const token = "a-long-random-word"
	p := startWith(t, raw.Target(), "LB_STATUS_TOKEN="+token)
	before := descriptors(t, p.PID())
	for range 3 {
		c := dialFramed(t, p.Address)
		streams := map[uint32]string{}
		for i := range 96 { // of 100 that one connection may have
			path := []string{"/echo", "/echo", "/bye", "/reset"}[i%4]
			stream := c.open(connecting(path)...)
			c.head(t, stream)
			streams[stream] = path
		}

		for stream, path := range streams {
			switch {
			case path == "/echo" && stream%8 == 1:
				_ = c.WriteRSTStream(stream, http2.ErrCodeCancel)
			case path == "/echo":
				_ = c.WriteData(stream, true, []byte(text("bye", true)))
			default:
				_ = c.WriteData(stream, false, []byte(text("bye", true)))
			}
		}

		if got := c.fetch("/none"); got.status != "502" { // a switch that nobody asked for
			t.Errorf("the connection's next request: %v", got)
		}

		_ = c.Close()
	}

	await.Until(t, "all connections are closed", func() bool { return descriptors(t, p.PID()) <= before+2 })
	await.Until(t, "no tunnel is open", func() bool { return openTunnels(t, p, token) == 0 })
	began := time.Now()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(10 * time.Second); code != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(began))
	}

	for _, line := range p.Lines() {
		if line.String("message") == "stopped" && (line.Fields["cut_requests"] != 0.0 || line.Fields["cut_tunnels"] != 0.0) {
			t.Errorf("left behind: %v", line.Fields)
		}
	}
}

// descriptors returns how many files and sockets a process has open.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Skip("no /proc")
	}

	return len(open)
}

// openTunnels returns the number of open tunnels.
func openTunnels(t *testing.T, p *binary.Process, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL("/.lb/state.json"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()

	var state struct{ Traffic struct{ Tunnels *int } }
	if err := json.NewDecoder(answer.Body).Decode(&state); err != nil || state.Traffic.Tunnels == nil {
		t.Fatalf("no number of tunnels in state.json: %v", err)
	}
	return *state.Traffic.Tunnels
}

// The spans of a WebSocket over HTTP/2 name the protocol of each side.
func TestHTTP2_AWebSocketIsTraced(t *testing.T) {
	t.Parallel()
	receiver := otlp.Start(t)
	raw := sockets(t, "", echo)
	const trace = "0af7651916cd43dd8448eb211c80319c"
	c := dialFramed(t, startWith(t, raw.Target(), receiver.Environment()...).Address)
	stream := c.open(connecting("/", pair{"traceparent", "00-" + trace + "-b7ad6b7169203331-01"})...)
	c.head(t, stream)
	_ = c.WriteData(stream, true, []byte(text("four", true)))
	c.wait(stream)
	servers, clients := otlp.Split(receiver.Trace(t, trace, 2))
	if len(servers) != 1 || len(clients) != 1 {
		t.Fatalf("%d and %d spans", len(servers), len(clients))
	}

	for name, want := range map[string]any{"http.request.method": "CONNECT", "http.response.status_code": int64(200),
		"network.protocol.version": "2", "lb.tunnel.bytes_in": int64(10), "lb.tunnel.bytes_out": int64(10)} {
		if got := servers[0].Attributes[name]; got != want {
			t.Errorf("server: %s is %v, want %v", name, got, want)
		}
	}

	for name, want := range map[string]any{"http.request.method": "GET", "http.response.status_code": int64(101),
		"network.protocol.version": "1.1", "lb.tunnel.bytes_in": int64(10), "lb.tunnel.bytes_out": int64(10)} {
		if got := clients[0].Attributes[name]; got != want {
			t.Errorf("client: %s is %v, want %v", name, got, want)
		}
	}
}

// Clients that read nothing, not even a close frame, do not delay a process
// that stops.
func TestHTTP2_ShutWindowsDoNotHoldUpAStop(t *testing.T) {
	t.Parallel()
	raw := sockets(t, "", echo)
	p := startWith(t, raw.Target(), "LB_DRAIN_TIMEOUT=20s")
	c := dialFramed(t, p.Address)
	_ = c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	for range 20 {
		c.head(t, c.open(connecting("/")...))
	}

	began := time.Now()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(await.Limit); code != 0 || time.Since(began) > 10*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(began))
	}

	t.Logf("gone after %v", time.Since(began))
}

// Only a 101 opens a stream. Other answers of a backend are forwarded, unless
// they would look like an open WebSocket.
func TestHTTP2_OnlyASwitchOpensAWebSocket(t *testing.T) {
	t.Parallel()
	answers := map[string]struct{ answer, status string }{
		"/403": {backend.Answer(403, "no"), "403"},
		"/302": {backend.Answer(302, "", "Location: /login"), "302"},
		"/200": {backend.Answer(200, "a page"), "502"},
		"/204": {"HTTP/1.1 204 No Content\r\n\r\n", "502"},
		"/101 without an accept": {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
			"502"},
		"/101 with another's": {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", "502"},
		"/101 to something else": {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "502"},
	}
	raw := backend.StartScript(t, "raw", func(r backend.Request) string {
		path := strings.ReplaceAll(strings.Fields(r.Head)[1], "%20", " ")
		return answers[path].answer
	})
	c := dialFramed(t, start(t, raw.Target()).Address)
	for path, want := range answers {
		got := c.wait(c.open(connecting(strings.ReplaceAll(path, " ", "%20"))...))
		if got.status != want.status || !got.ended || want.status == "502" && strings.Contains(got.body, "page") {
			t.Errorf("%s: %v, want %s", path, got, want.status)
		}
	}
}

// connects is the corpus of extended CONNECTs that are no WebSocket, or that
// two parsers may read differently.
func connects() []framedRequest {
	without := func(name, field string) framedRequest {
		var head []pair
		for _, p := range connecting("/") {
			if p.name != field {
				head = append(head, p)
			}
		}
		return framedRequest{name: name, head: head, open: true}
	}
	with := func(name, field, value string) framedRequest {
		c := without(name, field)
		c.head = append([]pair{{field, value}}, c.head...)
		return c
	}
	and := func(name string, fields ...pair) framedRequest {
		return framedRequest{name: name, head: connecting("/", fields...), open: true}
	}

	return []framedRequest{
		without("no path", ":path"),
		without("no authority", ":authority"),
		without("no method", ":method"),
		with("an empty path", ":path", ""),
		with("an asterisk", ":path", "*"),
		with("a path that is a host", ":path", "evil.example:80"),
		with("an absolute path", ":path", "http://evil.example/"),
		with("a path with CR LF", ":path", "/ HTTP/1.1\r\nHost: evil.example\r\n\r\nGET /smuggled"),
		with("a path with a blank", ":path", "/a b"),
		with("an authority with CR LF", ":authority", "app.example\r\nX: y"),
		with("an authority with a user", ":authority", "user@app.example"),
		with("GET with a protocol", ":method", "GET"),
		with("POST with a protocol", ":method", "POST"),
		with("another protocol", ":protocol", "connect-udp"),
		with("h2c as protocol", ":protocol", "h2c"),
		with("an empty protocol", ":protocol", ""),
		with("a protocol with CR LF", ":protocol", "websocket\r\nX: y"),
		with("a list of protocols", ":protocol", "websocket, h2c"),
		and("two protocols", pair{":protocol", "websocket"}),
		and("a length", pair{"content-length", "5"}),
		and("a length of nought", pair{"content-length", "0"}),
		and("a coding", pair{"transfer-encoding", "chunked"}),
		and("a connection field", pair{"connection", "upgrade"}),
		and("an upgrade", pair{"upgrade", "websocket"}),
		and("a host that differs", pair{"host", "evil.example"}),
		and("a value with CR LF", pair{"x", "y\r\n\r\n" + smuggled}),
		{name: "a head that ends the stream", head: connecting("/")},
		{name: "the ordinary CONNECT", head: []pair{{":method", "CONNECT"}, {":authority", "app.example:80"}}, open: true},
	}
}

func TestHTTP2_AmbiguousConnectsAreRefused(t *testing.T) {
	t.Parallel()
	for protocol, r := range recorders(t) {
		t.Run(protocol, func(t *testing.T) {
			s := &fixture{p: start(t, r.target), r: r}
			for _, c := range connects() {
				if problem := s.settled(t, c); problem != "" {
					t.Errorf("%s to %s: %s", c.name, protocol, problem)
				}
			}
		})
	}
	c := dialFramed(t, startWith(t, recorders(t)["http"].target).Address)
	for status, head := range map[string][]pair{
		"501": append([]pair{{":method", "CONNECT"}, {":protocol", "connect-ip"}}, connecting("/")[2:]...),
		"405": {{":method", "CONNECT"}, {":authority", "app.example:80"}},
		"400": connecting("/", pair{"content-length", "5"}),
	} {
		if got := c.wait(c.open(head...)); got.status != status || len(got.field("x-request-id")) != 32 {
			t.Errorf("want %s: %v", status, got)
		}
	}
}

// Backends get the field names in the spelling of RFC 6455, because some know
// no other. HTTP/2 has them in lower case.
func TestHTTP2_NamesOfAWebSocketAreSpelledAsInTheirRFC(t *testing.T) {
	t.Parallel()
	raw := sockets(t, "", echo)
	c := dialFramed(t, start(t, raw.Target()).Address)
	stream := c.open(connecting("/", pair{"sec-websocket-protocol", "chat"}, pair{"sec-websocket-extensions", "x"},
		pair{"sec-websocket-new", "1"})...)
	if got := c.head(t, stream); got.status != "200" || got.field("sec-websocket-protocol") != "chat" {
		t.Errorf("%v", got)
	}

	request := raw.Requests.All()[0].Head
	for _, name := range []string{"Key", "Version", "Protocol", "Extensions", "New"} {
		if !strings.Contains(request, "\r\nSec-WebSocket-"+name+": ") {
			t.Errorf("no Sec-WebSocket-%s in %q", name, request)
		}
	}
}
