package h2

import (
	"io"
	"net/http"
	"testing"

	"golang.org/x/net/http2"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// relay is a handler that passes requests on with a transport. Failures are the
// test's, if there is one.
func relay(t *testing.T, to *Transport) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := to.Send(r, &wire.Call{Trailers: wire.TrailerNames(r.Trailer)})
		if err != nil {
			if t != nil {
				t.Errorf("%v", err)
			}
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		h := w.Header()
		for name, values := range resp.Header {
			h[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		if resp.ContentLength < 0 {
			_ = http.NewResponseController(w).Flush()
		}
		if _, err := w.(io.ReaderFrom).ReadFrom(resp.Body); err != nil {
			if t != nil {
				t.Errorf("body: %v", err)
			}
			panic(http.ErrAbortHandler)
		}
		for name, values := range resp.Trailer {
			h[http.TrailerPrefix+name] = values
		}
	})
}

// A call without messages: the request ends by an empty DATA frame, which
// gRPC's servers wait for, and the answer is trailers alone.
func TestRelay_ACallWithoutMessages(t *testing.T) {
	t.Parallel()
	back := backendPeer(t, func(p *peer) {
		for {
			f, err := p.ReadFrame()
			if err != nil {
				return
			}
			head, ok := f.(*http2.MetaHeadersFrame)
			if ok && head.StreamEnded() {
				t.Error("the head ended the request")
			}
			if f.Header().Type != http2.FrameData || !f.Header().Flags.Has(http2.FlagDataEndStream) {
				continue
			}
			p.headers(f.Header().StreamID, true, ":status", "200", "content-type", "application/grpc", "grpc-status", "0")
		}
	})
	p := client(t, &Server{Handler: relay(t, back)})
	for i := range uint32(100) {
		id := 2*i + 1
		p.request(id, false, "content-type", "application/grpc", "te", "trailers")
		if i%2 == 0 {
			_ = p.WritePing(false, [8]byte{})
			p.next()
		}
		_ = p.WriteData(id, true, nil)
		if got := p.fate(id); got != "200" {
			t.Fatal(got)
		}
	}
}
