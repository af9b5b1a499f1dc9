//go:build linux

package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// runSink is the main function of a process that takes OTLP traces over HTTP,
// like a collector, and counts them. GET /count answers with the number of
// spans so far.
func runSink(string) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}

	go exitWithParent()
	if err := json.NewEncoder(os.Stdout).Encode([]string{l.Addr().String()}); err != nil {
		return err
	}

	var spans atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		spans.Add(int64(countSpans(b)))
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	mux.HandleFunc("POST /", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, spans.Load()) })

	return http.Serve(l, mux)
}

// exportedSpans asks the sink how many spans it has, once their number no
// longer grows.
func (b *bench) exportedSpans() int {
	last := -1
	for range 15 {
		res, err := http.Get("http://" + b.sink + "/count")
		if err != nil {
			return 0
		}

		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		n, err := strconv.Atoi(string(text))
		if err != nil || n == last {
			return n
		}

		last = n
		time.Sleep(2 * time.Second)
	}

	return last
}

// countSpans walks an ExportTraceServiceRequest: resource_spans is field 1,
// its scope_spans field 2, theirs spans field 2 (opentelemetry-proto).
func countSpans(b []byte) int {
	n := 0
	eachField(b, 1, func(resource []byte) {
		eachField(resource, 2, func(scope []byte) {
			eachField(scope, 2, func([]byte) { n++ })
		})
	})
	return n
}

// eachField calls f with every length-delimited field of this number in a
// protobuf message. It stops where the message is broken.
func eachField(b []byte, number uint64, f func([]byte)) {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return
		}

		b = b[n:]
		switch tag & 7 {
		case 0:
			_, n = binary.Uvarint(b)
			if n <= 0 {
				return
			}
		case 1:
			n = 8
		case 5:
			n = 4

		case 2:
			length, m := binary.Uvarint(b)
			if m <= 0 || length > uint64(len(b)-m) {
				return
			}

			n = m + int(length)
			if tag>>3 == number {
				f(b[m:n])
			}
		default:
			return
		}

		if n > len(b) {
			return
		}

		b = b[n:]
	}
}
