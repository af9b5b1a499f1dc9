// Package attribute is a metadata server with one attribute: its value, its
// ETag, and waiting for the next value. A load balancer needs no more to follow
// a list of backends.
package attribute

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// Attribute is a running metadata server. Safe for concurrent use.
type Attribute struct {
	Host string // for GCE_METADATA_HOST

	mu      sync.Mutex
	value   string
	version int
	changed chan struct{}
}

// Start serves value as the instance attribute key until the test ends. Every
// other path gets 404.
func Start(tb testing.TB, key, value string) *Attribute {
	tb.Helper()
	a := &Attribute{value: value, version: 1, changed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /computeMetadata/v1/instance/attributes/"+key, a.serve)

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Metadata-Flavor", "Google")
		if r.Header.Get("Metadata-Flavor") != "Google" {
			http.Error(w, "Metadata-Flavor: Google is missing", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	tb.Cleanup(server.CloseClientConnections)
	tb.Cleanup(server.Close)
	a.Host = strings.TrimPrefix(server.URL, "http://")

	return a
}

// Set changes the value and answers all requests that wait for a change.
func (a *Attribute) Set(value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.value = value
	a.version++
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *Attribute) look() (value, etag string, changed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.value, fmt.Sprintf("%016x", a.version), a.changed
}

func (a *Attribute) serve(w http.ResponseWriter, r *http.Request) {
	value, etag, changed := a.look()
	if q := r.URL.Query(); q.Get("wait_for_change") == "true" && q.Get("last_etag") == etag {
		limit := time.Hour
		if seconds, err := time.ParseDuration(q.Get("timeout_sec") + "s"); err == nil {
			limit = seconds
		}

		select {
		case <-changed:
		case <-time.After(limit):
		case <-r.Context().Done():
		}

		value, etag, _ = a.look()
	}

	w.Header().Set("ETag", etag)
	w.Header().Set("Content-Type", "application/text")
	_, _ = io.WriteString(w, value)
}
