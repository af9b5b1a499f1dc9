package strict

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// burst sends many interim answers in one write, so that all have arrived
// before the first one is processed.
func burst(a *answerer, n int, fields ...pair) {
	var all bytes.Buffer
	f := http2.NewFramer(&all, nil)
	for i := range n {
		block := a.encode(append([]pair{{":status", "104"}, {"upload-offset", fmt.Sprint(i)}}, fields...))
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: a.stream, BlockFragment: block, EndHeaders: true})
	}

	_, _ = all.WriteTo(a.conn)
}

// Any number of interim answers may precede the final one (RFC 9110 section
// 15.2), from backends of both versions, however fast they come. If a flood of
// them would take too much memory, the first ones are dropped, and the final
// answer still arrives.
func TestHTTP2_AnyNumberOfInterimAnswersMayComeFirst(t *testing.T) {
	t.Parallel()
	for _, size := range []struct {
		n, field int
		whole    bool
	}{{20, 10, true}, {150, 10, true}, {3000, 1000, false}} {
		t.Run(fmt.Sprintf("%d of %d bytes", size.n, size.field), func(t *testing.T) {
			t.Parallel()
			var faults await.Values[string]
			target := startFramed(t, &faults, func(_ seen, a *answerer) {
				burst(a, size.n, pair{"x", strings.Repeat("a", size.field)})
				a.headers(false, pair{":status", "201"})
				a.data(true, "done")
			})
			p := start(t, target)

			for version, client := range bothClients(t) {
				var seen, last atomic.Int64
				r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
						var at int64
						if _, err := fmt.Sscan(h.Get("Upload-Offset"), &at); err != nil || code != 104 || at < last.Load() {
							t.Errorf("%s: %d with offset %q after %d", version, code, h.Get("Upload-Offset"), last.Load())
						}
						seen.Add(1)
						last.Store(at)
						return nil
					},
				}), http.MethodPost, p.URL("/"), strings.NewReader("hi"))
				if err != nil {
					t.Fatal(err)
				}

				resp, err := client.Do(r)
				if err != nil {
					t.Fatalf("%s: %v", version, err)
				}

				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusCreated || string(body) != "done" || err != nil {
					t.Errorf("%s: %d %q %v", version, resp.StatusCode, body, err)
				}
				if n := seen.Load(); size.whole && n != int64(size.n) || last.Load() != int64(size.n-1) {
					t.Errorf("%s: %d of %d interim answers, the last of them %d", version, n, size.n, last.Load())
				}
			}

			if peak := peakMemory(t, p.PID()); peak > 256<<10 {
				t.Errorf("%d KiB at the peak", peak)
			}
		})
	}
}

// bothClients returns net/http clients for both versions.
func bothClients(t *testing.T) map[string]*http.Client {
	t.Helper()
	clients := map[string]*http.Client{}
	for version, h2 := range map[string]bool{"HTTP/1.1": false, "h2c": true} {
		var protocols http.Protocols
		protocols.SetHTTP1(!h2)
		protocols.SetUnencryptedHTTP2(h2)
		transport := &http.Transport{Protocols: &protocols, DisableCompression: true, MaxResponseHeaderBytes: 64 << 20}
		t.Cleanup(transport.CloseIdleConnections)
		clients[version] = &http.Client{Transport: transport, Timeout: await.Limit}
	}

	return clients
}

// Trailers that HTTP forbids are left out, for clients and backends of both
// versions. The answer itself is forwarded.
func TestHTTP2_AForbiddenTrailerIsLeftOut(t *testing.T) {
	t.Parallel()
	for name, forbidden := range map[string]pair{
		"a length": {"content-length", "0"}, "a type": {"content-type", "text/html"}, "a cookie": {"set-cookie", "a=b"},
		"a place": {"location", "http://evil.example/"}, "caching": {"cache-control", "max-age=60"},
		"a coding": {"content-encoding", "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var faults await.Values[string]
			framed := startFramed(t, &faults, func(_ seen, a *answerer) {
				a.headers(false, pair{":status", "200"}, pair{"trailer", forbidden.name + ", x-sum"})
				a.data(false, "hello")
				a.headers(true, forbidden, pair{"x-sum", "1"})
			})
			plain := backend.StartScript(t, "raw", func(backend.Request) string {
				return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, " +
					forbidden.name + "\r\n\r\n5\r\nhello\r\n0\r\n" +
					forbidden.name + ": " + forbidden.value + "\r\nX-Sum: 1\r\n\r\n"
			})

			for protocol, target := range map[string]string{"h2c": framed, "http": plain.Target()} {
				p := start(t, target)
				for version, client := range bothClients(t) {
					r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL("/"), nil)
					r.Header.Set("Te", "trailers")
					resp, err := client.Do(r)
					if err != nil {
						t.Fatal(err)
					}

					body, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if string(body) != "hello" || err != nil || len(resp.Trailer) != 1 || resp.Trailer.Get("X-Sum") != "1" {
						t.Errorf("%s from %s: %q %v with trailers %v", version, protocol, body, err, resp.Trailer)
					}
					if resp.Header.Get(forbidden.name) == forbidden.value {
						t.Errorf("%s from %s: the trailer came as a field", version, protocol)
					}
				}
			}
		})
	}
}

// An answer without content, because of its status or method, has no framing
// fields, in HTTP/2 as in HTTP/1.1.
func TestHTTP2_AnAnswerWithoutContentHasNoFraming(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method, status string
		fields         []pair
		length         string // that the client has to see, where it is worth something
	}{
		"HEAD with its length":   {"HEAD", "200", []pair{{"content-length", "8"}}, "8"},
		"HEAD without":           {"HEAD", "200", nil, ""},
		"204 with nought":        {"GET", "204", []pair{{"content-length", "0"}}, ""},
		"204 with a length":      {"GET", "204", []pair{{"content-length", "8"}}, ""},
		"304 with its length":    {"GET", "304", []pair{{"content-length", "8"}}, "8"},
		"304 to a HEAD":          {"HEAD", "304", []pair{{"content-length", "8"}}, "8"},
		"a POST's 204":           {"POST", "204", nil, ""},
		"a DELETE's 204, nought": {"DELETE", "204", []pair{{"content-length", "0"}}, ""},
	} {
		for _, inHead := range []bool{true, false} { // where the stream ends
			t.Run(fmt.Sprint(name, " ", inHead), func(t *testing.T) {
				t.Parallel()
				var faults await.Values[string]
				p := start(t, startFramed(t, &faults, func(s seen, a *answerer) {
					if s.method == "PUT" {
						a.headers(false, pair{":status", "200"})
						a.data(true, "next")
						return
					}
					a.headers(inHead, append([]pair{{":status", c.status}}, c.fields...)...)
					if !inHead {
						a.data(true, "")
					}
				}))

				conn, in := connect(t, p.Address)
				_, _ = io.WriteString(conn, line(c.method+" / HTTP/1.1", "Content-Length: 0"))
				resp, err := http.ReadResponse(in, &http.Request{Method: c.method})
				if err != nil {
					t.Fatal(err)
				}
				if resp.Status[:3] != c.status || resp.TransferEncoding != nil || c.length != "" &&
					resp.Header.Get("Content-Length") != c.length {
					t.Errorf("over HTTP/1.1: %s %v", resp.Status, resp.Header)
				}
				_, _ = io.WriteString(conn, line("PUT / HTTP/1.1", "Content-Length: 0"))
				if status, body, _, err := whole(in, "PUT"); status != 200 || body != "next" || err != nil {
					t.Errorf("then over HTTP/1.1: %d %q %v", status, body, err)
				}

				f := dialFramed(t, p.Address)
				stream := f.next
				f.next += 2
				_ = f.send(stream, true, pseudo(c.method, "/"))
				if got := f.wait(stream); got.status != c.status || !got.ended || got.body != "" || c.length != "" &&
					got.field("content-length") != c.length {
					t.Errorf("over HTTP/2: %v", got)
				}
			})
		}
	}
}
