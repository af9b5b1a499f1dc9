package h2

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// app does what its path says.
func app(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/echo":
		w.Header().Set("Trailer", "X-Sum")
		n, _ := io.Copy(w, r.Body)
		w.Header().Set("X-Sum", fmt.Sprint(n, r.Trailer.Get("X-Sum")))
		w.Header().Set(http.TrailerPrefix+"X-Late", "yes")
	case "/early":
		_, _ = io.WriteString(w, "enough")
	case "/half":
		_, _ = io.ReadFull(r.Body, make([]byte, 100))
		_, _ = io.WriteString(w, "enough")
	case "/stream":
		for range 3 {
			_, _ = io.WriteString(w, "some")
			_ = http.NewResponseController(w).Flush()
		}
	case "/hints":
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
	case "/nothing":
		w.WriteHeader(http.StatusNoContent)
	case "/large":
		_, _ = w.Write(make([]byte, 1<<20))
	case "/cut":
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}
}

// farClients are HTTP/2 clients of others, in clear text.
func farClients() map[string]http.RoundTripper {
	standard := new(http.Protocols)
	standard.SetUnencryptedHTTP2(true)

	//lint:file-ignore SA1019 grpc's clients are made of what is deprecated here
	older := &http2.Transport{
		AllowHTTP:          true,
		DisableCompression: true,
		DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
	}

	return map[string]http.RoundTripper{
		"net/http": &http.Transport{Protocols: standard, DisableCompression: true},
		"x/net":    older,
	}
}

// TestFarSides has clients and servers of others speak to ours, and through
// both, in all that HTTP has.
func TestFarSides(t *testing.T) {
	t.Parallel()
	standard := httptest.NewUnstartedServer(http.HandlerFunc(app))
	standard.Config.Protocols = new(http.Protocols)
	standard.Config.Protocols.SetUnencryptedHTTP2(true)
	standard.Start()
	t.Cleanup(standard.Close)
	through := &Transport{Address: standard.Listener.Addr().String()}
	t.Cleanup(through.CloseIdle)

	for side, handler := range map[string]http.Handler{"ours": http.HandlerFunc(app),
		"net/http behind ours": relay(nil, through)} {
		address := serve(t, &Server{Handler: handler})
		for name, client := range farClients() {
			t.Run(name+" to "+side, func(t *testing.T) {
				t.Parallel()
				for _, c := range farCases {
					c.run(t, c.name, client, "http://"+address)
				}
			})
		}
	}
}

type farCase struct {
	name   string
	method string
	path   string
	body   func() io.Reader
	want   string // the body
	status int
	cut    bool
}

var random = func() []byte {
	b := make([]byte, 300<<10)
	_, _ = rand.Read(b)
	return b
}()

var farCases = []farCase{
	{name: "GET", method: "GET", path: "/early", want: "enough", status: 200},
	{name: "HEAD", method: "HEAD", path: "/early", status: 200},
	{name: "204", method: "GET", path: "/nothing", status: 204},
	{name: "1xx", method: "GET", path: "/hints", status: 200},
	{name: "a stream", method: "GET", path: "/stream", want: "somesomesome", status: 200},
	{name: "a large answer", method: "GET", path: "/large", want: string(make([]byte, 1<<20)), status: 200},
	{name: "a small body", method: "POST", path: "/echo", body: func() io.Reader { return strings.NewReader("hello") },
		want: "hello", status: 200},
	{name: "no body after all", method: "POST", path: "/echo", body: func() io.Reader { return io.MultiReader() },
		status: 200},
	{name: "a large body", method: "PUT", path: "/echo", body: func() io.Reader { return bytes.NewReader(random) },
		want: string(random), status: 200},
	{name: "a body of unknown length", method: "POST", path: "/echo",
		body: func() io.Reader { return io.MultiReader(bytes.NewReader(random)) }, want: string(random), status: 200},
	{name: "an answer before the body", method: "POST", path: "/early", body: func() io.Reader { return slowly() },
		want: "enough", status: 200},
	{name: "an answer within the body", method: "POST", path: "/half",
		body: func() io.Reader { return io.MultiReader(bytes.NewReader(random[:20000]), slowly()) }, want: "enough",
		status: 200},
	{name: "a cut answer", method: "GET", path: "/cut", status: 200, cut: true},
}

// slowly is a body that brings something after a while, and more.
func slowly() io.Reader {
	r, w := io.Pipe()
	go func() {
		t := time.NewTimer(2 * time.Millisecond)
		<-t.C
		_, _ = w.Write(random[:50000])
		_ = w.Close()
	}()
	return r
}

func (c farCase) run(t *testing.T, name string, client http.RoundTripper, base string) {
	t.Helper()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), testPatience)
			defer cancel()
			var body io.Reader
			if c.body != nil {
				body = c.body()
			}
			r, err := http.NewRequestWithContext(ctx, c.method, base+c.path, body)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := client.RoundTrip(r)
			if err != nil {
				if !c.cut {
					t.Errorf("%s: %v", name, err)
				}
				return
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			switch {
			case c.cut:
				if err == nil {
					t.Errorf("%s: a cut answer ended well with %q", name, got)
				}
			case err != nil || resp.StatusCode != c.status || string(got) != c.want:
				t.Errorf("%s: %d, %d bytes, %v; want %d and %d bytes", name, resp.StatusCode, len(got), err, c.status, len(c.want))
			case c.path == "/echo" && (resp.Trailer.Get("X-Sum") != fmt.Sprint(len(c.want)) ||
				resp.Trailer.Get("X-Late") != "yes"):
				t.Errorf("%s: trailers %v", name, resp.Trailer)
			}
		})
	}
	all.Wait()
}
