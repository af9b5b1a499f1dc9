package access

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// received is a request as a backend received it.
type received struct {
	path    string
	header  http.Header
	trailer http.Header
}

// recorder is an app with two backends that records requests. The first segment
// of the path selects the answer.
type recorder struct {
	*backend.Server
	second *backend.Server // the other backend, for retries
	mu     sync.Mutex
	all    []received
	hedged chan struct{} // receives a value at the second request for /hedge
}

func newRecorder(t *testing.T, name string) *recorder {
	r := &recorder{hedged: make(chan struct{}, 100)}
	r.Server, r.second = backend.Start(t, name, r.serve), backend.Start(t, name+"-2", r.serve)

	return r
}

func (r *recorder) serve(w http.ResponseWriter, q *http.Request) {
	_, _ = io.Copy(io.Discard, q.Body)
	r.mu.Lock()
	first := !slices.ContainsFunc(r.all, func(s received) bool { return s.path == q.URL.Path })
	r.all = append(r.all, received{q.URL.Path, q.Header.Clone(), q.Trailer.Clone()})
	r.mu.Unlock()

	place, _, _ := strings.Cut(strings.TrimPrefix(q.URL.Path, "/"), "/")
	switch place {
	case "retry":
		if first {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	case "hedge":
		if !first {
			r.hedged <- struct{}{}
			return
		}
		select { // the second request gets the first answer
		case <-r.hedged:
		case <-q.Context().Done():
		}
	case "public":
		w.Header().Set("Cache-Control", "public, max-age=60")
	case "stale":
		w.Header().Set("Etag", `"a"`)
		w.Header().Set("Cache-Control", "public, max-age=0, stale-while-revalidate=60")
	case "ws":
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		sum := sha1.Sum([]byte(q.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(conn,
			"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(sum[:]))
		_ = conn.Close()
	default:
		w.Header().Set("Cache-Control", "max-age=60")
	}
}

func (r *recorder) requests() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// count returns the number of requests for a path.
func (r *recorder) count(path string) (n int) {
	for _, s := range r.requests() {
		if s.path == path {
			n++
		}
	}

	return n
}

// spelledLike reports whether some servers read both names as the same field,
// as CGI does with underscores.
func spelledLike(a, b string) bool {
	plain := func(s string) string { return strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(s)) }
	return plain(a) == plain(b)
}

func values(h http.Header, name string) (all []string) {
	for n, v := range h {
		if spelledLike(n, name) {
			all = append(all, v...)
		}
	}
	return all
}

// Fields with a verified identity, and spellings that a server may read as the
// same field.
var (
	identityFields = []string{"X-User-Id", "X-Forwarded-User", "X-Forwarded-Email", "X-Goog-Iap-Jwt-Assertion",
		"X-Goog-Authenticated-User-Email", "X-Goog-Authenticated-User-Id"}
	spoofedFields = append(slices.Clone(identityFields), "X_User_Id", "X.User.Id", "X_Forwarded_User",
		"x_goog_authenticated_user_email")
)

// spoofedRequest returns a request with the user boss in every identity field,
// in every spelling, and in trailers too if it has a body.
func spoofedRequest(ctx context.Context, t *testing.T, method, url, token string) *http.Request {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = io.NopCloser(strings.NewReader("body"))
	}
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Trailer = http.Header{"X-Checksum": {"good"}}
	}
	for _, name := range spoofedFields {
		r.Header[name] = []string{"boss"}
		if r.Trailer != nil {
			r.Trailer[http.CanonicalHeaderKey(name)] = []string{"boss"}
		}
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}

	return r
}

// identityCases has a case for each way that a request or a copy of it can
// take. times is the number of requests, and received the smallest number that
// reaches the app.
var identityCases = []struct {
	place, method   string
	times, received int
	anonymous       bool // has no token, so it has no verified user
}{
	{"head", "POST", 1, 1, false},
	{"skipped", "POST", 1, 1, true},
	{"open", "POST", 1, 1, true},
	{"retry", "GET", 1, 2, false},
	{"public", "GET", 2, 1, false}, // the second is answered from the cache
	{"stale", "GET", 2, 2, false},  // the same, and the cache asks the app again
	{"hedge", "GET", 1, 2, false},
}

// Identity fields of a client never reach a backend: in no version of HTTP, in
// no place of a request, in no spelling, and in no copy of the request.
func TestAuth_IdentityFieldsOfClientsNeverReachABackend(t *testing.T) {
	t.Parallel()
	app, shadow, i := newRecorder(t, "app"), newRecorder(t, "shadow"), newIssuer(t)
	_, shadowTarget, _ := strings.Cut(backend.Backends(shadow.Server), "=")
	p := pillion.Start(t, backend.Backends(app.Server, app.second), "LB_BACKENDS__SHADOW="+shadowTarget,
		"LB_ROUTE__SHADOW=none", "LB_MIRROR=shadow",
		i.setting()+";iap?audience=/projects/1/x", "LB_AUTH_SKIP=/skipped/*",
		"LB_AUTH_FORWARD=sub:X-User-Id;email:X-Forwarded-Email",
		"LB_RETRY_STATUS=503", "LB_RETRIES=2", "LB_CACHE=origin", "LB_ROUTE__OPEN=/open/*", "LB_SERVICE__OPEN=default",
		"LB_AUTH__OPEN=none",
		"LB_MIRROR__OPEN=none", "LB_ROUTE__HEDGE=/hedge/*", "LB_SERVICE__HEDGE=default", "LB_HEDGE__HEDGE=20ms",
		"LB_MIRROR__HEDGE=none",
		"LB_EJECT_ERRORS=0", "LB_TRUSTED_PROXIES=127.0.0.0/8+host")
	token := i.token(t, "ann", nil)

	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	h1 := &http.Transport{DisableCompression: true}
	h2 := &http.Transport{Protocols: &protocols, DisableCompression: true}
	t.Cleanup(h1.CloseIdleConnections)
	t.Cleanup(h2.CloseIdleConnections)
	for version, transport := range map[string]*http.Transport{"1": h1, "2": h2} {
		for _, c := range identityCases {
			for range c.times {
				credential := token
				if c.anonymous {
					credential = ""
				}
				status := roundTrip(t, transport, c.method, p.URL("/"+c.place+"/"+version), credential)
				if status != http.StatusOK {
					t.Errorf("%s over HTTP/%s: status %d, want 200", c.place, version, status)
				}
			}
		}
	}
	openWebSocket(t, p, "/ws/1", token)
	connectWebSocket(t, p, "/ws/2", token)

	for _, version := range []string{"1", "2"} {
		for _, c := range identityCases {
			path := "/" + c.place + "/" + version
			await.Until(t, fmt.Sprint(c.received, " requests for ", path), func() bool { return app.count(path) >= c.received })
		}
		if n := app.count("/public/" + version); n != 1 {
			t.Errorf("%d requests for /public/%s reached the app, want 1 and one answer from the cache", n, version)
		}
		if n := app.count("/ws/" + version); n != 1 {
			t.Errorf("%d handshakes for /ws/%s, want 1", n, version)
		}
		for _, place := range []string{"/head/", "/skipped/", "/retry/", "/public/"} {
			await.Until(t, "a copy of "+place+version, func() bool { return shadow.count(place+version) > 0 })
		}
	}
	wantVerifiedUsers(t, append(app.requests(), shadow.requests()...))
}

// roundTrip sends a spoofed request, reads the answer, and returns its status.
func roundTrip(t *testing.T, transport http.RoundTripper, method, url, token string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), await.Limit)
	defer cancel()
	resp, err := transport.RoundTrip(spoofedRequest(ctx, t, method, url, token))
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)

	return resp.StatusCode
}

// openWebSocket opens a WebSocket over HTTP/1.1 (RFC 6455 section 4.1).
func openWebSocket(t *testing.T, p *binary.Process, path, token string) {
	t.Helper()
	fields := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", bearer(token)}
	for _, name := range spoofedFields {
		fields = append(fields, name+": boss")
	}
	c := wire.Dial(t, p.Address)
	c.Send(wire.Request("GET", path, "", fields...))
	if head := c.Head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Errorf("%s: %q, want status 101", path, head)
	}
}

// connectWebSocket opens a WebSocket over HTTP/2 (RFC 8441).
func connectWebSocket(t *testing.T, p *binary.Process, path, token string) {
	t.Helper()
	conn := wire.Dial(t, p.Address)
	var block bytes.Buffer
	encode := hpack.NewEncoder(&block)
	write := func(name, value string) {
		_ = encode.WriteField(hpack.HeaderField{Name: strings.ToLower(name), Value: value})
	}
	write(":method", "CONNECT")
	write(":protocol", "websocket")
	write(":scheme", "http")
	write(":authority", "app.example")
	write(":path", path)
	write("sec-websocket-version", "13")
	write("authorization", "Bearer "+token)
	for _, name := range spoofedFields {
		write(name, "boss")
	}

	conn.Send(http2.ClientPreface)
	frames := http2.NewFramer(conn, conn)
	frames.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = frames.WriteSettings()
	_ = frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	for {
		frame, err := frames.ReadFrame()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if head, ok := frame.(*http2.MetaHeadersFrame); ok {
			if status := head.PseudoValue("status"); status != "200" {
				t.Errorf("%s: status %s, want 200", path, status)
			}
			return
		}
	}
}

// wantVerifiedUsers fails the test if a request has the user boss in a field,
// or if X-User-Id is not the verified user, ann. Requests without a token and
// refreshes by the cache have no user.
func wantVerifiedUsers(t *testing.T, all []received) {
	t.Helper()
	trailers := 0
	for _, s := range all {
		for _, name := range identityFields {
			if got := append(values(s.header, name), values(s.trailer, name)...); slices.Contains(got, "boss") {
				t.Errorf("%s: %s is %q, want no boss", s.path, name, got)
			}
		}
		got := values(s.header, "X-User-Id")
		anonymous := strings.HasPrefix(s.path, "/skipped") || strings.HasPrefix(s.path, "/open")
		refresh := strings.HasPrefix(s.path, "/stale") && got == nil
		if !refresh && (anonymous && got != nil || !anonymous && !slices.Equal(got, []string{"ann"})) {
			t.Errorf("%s: X-User-Id is %q, want ann with a token and nothing without", s.path, got)
		}
		if s.trailer.Get("X-Checksum") == "good" {
			trailers++
		}
	}
	if trailers < 6 {
		t.Errorf("%d requests kept their own trailer, want 6 at least", trailers)
	}
}
