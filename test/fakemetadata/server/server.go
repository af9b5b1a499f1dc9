// Package server is a metadata server as Cloud Run and Compute Engine have one,
// for tests and laptops. It serves attributes that can be waited for, the
// region, the project, and tokens that look signed and are not. A control part
// under /control/ sets values and faults over HTTP; the methods of Server do
// the same from Go.
//
// Paths here are those below /computeMetadata/v1/, such as
// "instance/attributes/lb-backends".
package server

import (
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// root is where the metadata tree begins.
const root = "/computeMetadata/v1/"

// Server is the metadata server, an http.Handler. Safe for concurrent use.
type Server struct {
	mu       sync.Mutex
	values   map[string]string
	changed  chan struct{} // closed at the next change of a value
	fault    Fault
	repaired chan struct{} // closed when the fault changes
	life     time.Duration
	minted   int
	requests map[string]int
}

// Identity is what a Server says about the machine it serves.
type Identity struct {
	Region        string // "europe-west1"
	ProjectID     string
	ProjectNumber string
	Email         string // of the service account
}

// New returns a server for a machine with id. Empty fields get made-up values.
func New(id Identity) *Server {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	number := or(id.ProjectNumber, "123456789012")
	project := or(id.ProjectID, "fake-project")

	return &Server{
		values: map[string]string{
			"project/project-id":                        project,
			"project/numeric-project-id":                number,
			"instance/id":                               "4242424242424242424",
			"instance/region":                           "projects/" + number + "/regions/" + or(id.Region, "europe-west1"),
			"instance/zone":                             "projects/" + number + "/zones/" + or(id.Region, "europe-west1") + "-1",
			"instance/service-accounts/default/email":   or(id.Email, "fake@"+project+".iam.gserviceaccount.com"),
			"instance/service-accounts/default/aliases": "default\n",
			"instance/service-accounts/default/scopes":  "https://www.googleapis.com/auth/cloud-platform\n",
			"universe/universe-domain":                  "googleapis.com",
		},
		changed:  make(chan struct{}),
		repaired: make(chan struct{}),
		life:     time.Hour,
		requests: map[string]int{},
	}
}

// Set sets the value of path and answers the requests that wait for a change.
func (s *Server) Set(path, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[path] = value
	s.wake()
}

// Delete removes the value of path and answers the requests that wait for a
// change.
func (s *Server) Delete(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.values, path)
	s.wake()
}

func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// SetTokenLife sets the lifetime of new identity tokens. The default is an
// hour.
func (s *Server) SetTokenLife(life time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = life
}

// Requests returns the number of requests for path, including those that a
// fault answered. Identity tokens are counted as
// "instance/service-accounts/default/identity?audience=" and the audience.
func (s *Server) Requests(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[path]
}

// ServeHTTP answers as the real server does: only with the Metadata-Flavor
// field, and never through a proxy.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/control/") {
		s.control(w, r)
		return
	}

	s.count(r)
	if !s.pass(w, r) {
		return
	}

	w.Header().Set("Metadata-Flavor", "Google")
	w.Header().Set("Server", "Metadata Server for VM")

	path, ok := strings.CutPrefix(r.URL.Path, root)
	switch {
	case r.URL.Path == "/":
		io.WriteString(w, "computeMetadata/\n")
	case r.Header.Get("Metadata-Flavor") != "Google" || r.Header.Get("X-Forwarded-For") != "":
		http.Error(w, "missing Metadata-Flavor: Google, or a forwarded request", http.StatusForbidden)
	case !ok:
		http.NotFound(w, r)
	case strings.HasPrefix(path, account) && strings.HasSuffix(path, "/identity"):
		s.identity(w, r)
	case strings.HasPrefix(path, account) && strings.HasSuffix(path, "/token"):
		s.accessToken(w)
	default:
		s.value(w, r, path)
	}
}

func (s *Server) count(r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, root)
	if audience := r.URL.Query().Get("audience"); audience != "" {
		path += "?audience=" + audience
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[path]++
}

// value answers with a value, a directory, or 404. With wait_for_change it
// waits until the value differs from the one that last_etag stands for, or
// timeout_sec have passed.
func (s *Server) value(w http.ResponseWriter, r *http.Request, path string) {
	if r.URL.Query().Get("wait_for_change") == "true" && !s.await(w, r, path) {
		return
	}

	value, ok, _ := s.read(path)
	if !ok {
		http.NotFound(w, r)
		return
	}

	w.Header().Set("Content-Type", "application/text")
	w.Header().Set("ETag", etag(value))
	io.WriteString(w, value)
}

// await waits for a change. It reports false if the client has gone, or a fault
// has answered the request.
func (s *Server) await(w http.ResponseWriter, r *http.Request, path string) bool {
	query := r.URL.Query()
	limit := time.Hour
	if sec, err := strconv.Atoi(query.Get("timeout_sec")); err == nil && sec >= 0 {
		limit = time.Duration(sec) * time.Second
	}

	timer := time.NewTimer(limit)
	defer timer.Stop()

	last := query.Get("last_etag")
	for {
		value, ok, changed := s.read(path)
		if last == "" {
			last = etag(value)
		}
		if !ok || etag(value) != last {
			return true
		}

		select {
		case <-changed:
		case <-timer.C:
			return true
		case <-s.faulty():
			if !s.pass(w, r) {
				return false
			}
		case <-r.Context().Done():
			return false
		}
	}
}

// read returns the value of path, or the names below it if it ends with a
// slash. changed is closed at the next change.
func (s *Server) read(path string) (value string, ok bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if value, ok = s.values[path]; ok || !strings.HasSuffix(path, "/") {
		return value, ok, s.changed
	}

	names := map[string]bool{}
	for p := range s.values {
		if rest, below := strings.CutPrefix(p, path); below {
			name, _, deeper := strings.Cut(rest, "/")
			if deeper {
				name += "/"
			}
			names[name] = true
		}
	}

	for _, name := range slices.Sorted(maps.Keys(names)) {
		value += name + "\n"
	}

	return value, len(names) > 0, s.changed
}

// etag stands for a value. The same value always has the same one.
func etag(value string) string {
	h := fnv.New64a()
	io.WriteString(h, value)
	return fmt.Sprintf("%016x", h.Sum64())
}
