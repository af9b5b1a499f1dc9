package monitoring

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// instance is a process with every feature that has a metric, and with the
// backends and servers that these features need.
type instance struct {
	*binary.Process
	entered, leave chan struct{} // of the request that occupies the backend of /queue
}

// startInstance starts an instance and sends requests until every metric has a
// value.
func startInstance(t *testing.T) *instance {
	t.Helper()
	s := &instance{entered: make(chan struct{}), leave: make(chan struct{})}
	s.Process = pillion.Start(t, append(s.services(t),
		"LB_STATUS_TOKEN="+token,
		"LB_SESSION_AFFINITY=cookie",
		"LB_CACHE=origin", "LB_CACHE_MAX_OBJECT=8KiB",
		"LB_COMPRESS=gzip",
		"LB_DENY_PATHS=/secret/*",
		"LB_RATE_LIMIT=100000/s",
		"LB_RATE_LIMIT_STORE=redis://127.0.0.1:1",
		"GCE_METADATA_HOST="+machine(t),
		"OTEL_METRICS_EXPORTER=console",
		"OTEL_METRIC_EXPORT_INTERVAL=500",
		"OTEL_TRACES_EXPORTER=otlp",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1/v1/traces",
	)...)

	s.visit(t)
	s.queue(t)

	return s
}

// services returns the variables of the services and their routes.
func (s *instance) services(t *testing.T) []string {
	gone := backend.Start(t, "gone", nil)
	get(t, gone.Target()) // wait until it serves, then close it
	gone.Close()
	app := backend.Start(t, "app", answer)

	var slow atomic.Int64
	first := func(_ http.ResponseWriter, r *http.Request) {
		if slow.Add(1) == 1 { // the first request waits, so a hedge goes to the other endpoint
			select {
			case <-r.Context().Done():
			case <-time.After(await.Limit):
			}
		}
	}
	held := func(http.ResponseWriter, *http.Request) {
		s.entered <- struct{}{}
		<-s.leave
	}

	return []string{
		"LB_BACKENDS=" + app.Target() + ";" + gone.Target(), "LB_MIRROR=shadow",
		"LB_BACKENDS__SHADOW=" + backend.Start(t, "shadow", nil).Target(), "LB_ROUTE__SHADOW=none",
		"LB_BACKENDS__DEAD=" + gone.Target(), "LB_ROUTE__DEAD=/dead", "LB_START_HOLD__DEAD=0s",
		"LB_BACKENDS__SLOW=" + backend.Start(t, "a", first).Target() + ";" + backend.Start(t, "b", first).Target(),
		"LB_ROUTE__SLOW=/slow", "LB_HEDGE__SLOW=1ms", "LB_SESSION_AFFINITY__SLOW=none",
		"LB_BACKENDS__QUEUE=" + backend.Start(t, "held", held).Target(), "LB_ROUTE__QUEUE=/queue",
		"LB_MAX_IN_FLIGHT__QUEUE=1", "LB_QUEUE_TIMEOUT__QUEUE=30s",
		"LB_BACKENDS__PRIVATE=" + app.Target(), "LB_ROUTE__PRIVATE=/private", "LB_AUTH__PRIVATE=" + issuer(t),
		"LB_BACKENDS__CLOUD=run://api.europe-west1", "LB_ROUTE__CLOUD=none",
	}
}

// answer sends answers that the cache stores, that are too large for it, that
// are compressed, and that are not.
func answer(w http.ResponseWriter, r *http.Request) {
	text := strings.Repeat("a text that compresses ", 200)
	w.Header().Set("Content-Type", "text/plain")
	switch r.URL.Path {
	case "/cached":
		w.Header().Set("Cache-Control", "max-age=60")
	case "/large":
		text = strings.Repeat(text, 4)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Type", "image/png")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	}

	fmt.Fprint(w, text)
}

// visit sends requests that the metrics count.
func (s *instance) visit(t *testing.T) {
	t.Helper()
	for range 20 { // some of them try the closed backend first
		get(t, s.URL("/"), "Accept-Encoding", "gzip")
	}
	for path, status := range map[string]int{
		"/cached": 200, "/large": 200, "/secret/x": 404, "/dead": 503, "/slow": 200, "/private": 401,
	} {
		if got, text := get(t, s.URL(path), "Accept-Encoding", "gzip"); got != status {
			t.Errorf("%s: status %d %.100q, want %d", path, got, text, status)
		}
	}
}

// queue sends two requests to a backend with one slot, so that the second one
// is queued until the first one is done.
func (s *instance) queue(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	for range 2 {
		go func() {
			defer func() { done <- struct{}{} }()
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL("/queue"), nil)
			if response, err := client.Do(r); err == nil {
				response.Body.Close()
			}
		}()
	}

	<-s.entered
	await.Until(t, "a request waits", func() bool {
		return strings.Contains(s.metrics(t), `lb_queue_length{lb_service_name="queue"} 1`)
	})
	s.leave <- struct{}{}
	<-s.entered
	s.leave <- struct{}{}
	<-done
	<-done
}

// metrics returns the text of the metrics.
func (s *instance) metrics(t *testing.T) string {
	t.Helper()
	status, text := get(t, s.URL("/.lb/metrics"), "Authorization", "Bearer "+token)
	if status != http.StatusOK {
		t.Fatalf("/.lb/metrics: status %d, want 200", status)
	}

	return text
}

// issuer starts an issuer of tokens and returns LB_AUTH for it.
func issuer(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	mux := http.NewServeMux()
	hs := httptest.NewServer(mux)
	t.Cleanup(hs.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, hs.URL+"/", hs.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{KeyID: "k", Use: "sig", Key: key.Public()}}}
		_ = json.NewEncoder(w).Encode(set)
	})

	return hs.URL + "?audience=app"
}

// machine starts a fake metadata server and returns its address.
func machine(t *testing.T) string {
	t.Helper()
	metadata := server.New(server.Identity{})
	hs := httptest.NewServer(metadata)
	t.Cleanup(hs.Close)
	t.Cleanup(hs.CloseClientConnections)
	t.Cleanup(func() { metadata.SetFault(server.Fault{Mode: server.Gone}) }) // ends waiting requests

	return strings.TrimPrefix(hs.URL, "http://")
}
