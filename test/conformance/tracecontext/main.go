// Command tracecontext is a backend for W3C's trace-context harness. The
// harness asks a service to call it back. A proxy makes no calls of its own, so
// this backend makes them, with exactly the trace fields that it received. So
// the harness sees what the program did to them.
//
//	go run ./tracecontext -listen 127.0.0.1:18000
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:18000", "`address` to listen on")
	flag.Parse()
	s := &http.Server{Addr: *listen, Handler: http.HandlerFunc(relay), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(s.ListenAndServe())
}

// call is a call that the harness asks for.
type call struct {
	URL       string          `json:"url"`
	Arguments json.RawMessage `json:"arguments"`
}

func relay(w http.ResponseWriter, r *http.Request) {
	var calls []call

	// an empty body asks for no calls
	if err := json.NewDecoder(r.Body).Decode(&calls); err != nil && !errors.Is(err, io.EOF) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}

	for _, c := range calls {
		if err := c.make(r); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
	}

	w.Header().Set("Content-Type", "application/json")
	w.Write([]byte("[]"))
}

// make makes the call with the trace fields of r, to this machine only.
func (c call) make(r *http.Request) error {
	u, err := url.Parse(c.URL)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return &net.AddrError{Err: "not a loopback address", Addr: u.Host}
	}

	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, c.URL, bytes.NewReader(c.Arguments))
	if err != nil {
		return err
	}

	out.Header["Content-Type"] = []string{"application/json"}
	for _, name := range []string{"Traceparent", "Tracestate"} {
		if lines := r.Header[name]; lines != nil {
			out.Header[name] = lines
		}
	}

	response, err := http.DefaultClient.Do(out)
	if err != nil {
		return err
	}

	return response.Body.Close()
}
