// Package fakegoogle is a fake of the Google APIs that list backends: the
// services of Cloud Run, and the instances and groups of Compute Engine. It has
// access tokens, pages, field masks and faults. Its answers have the form of
// Google's reference.
package fakegoogle

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Server is an http.Handler that answers as run.googleapis.com and
// compute.googleapis.com do. It is safe for concurrent use.
type Server struct {
	mu         sync.Mutex
	services   map[string][]Service // by projects/P/locations/R
	compute    map[string]*project
	fault      *Fault
	hold       chan struct{} // answers wait until it is closed; nil: they don't
	page       int           // 0: as long as the API's
	broken     string        // the token of a page that fails
	unfiltered bool          // see IgnoreFilters
	asked      []string      // method and path of each question
	tokens     map[string]bool
	revoked    map[string]bool
}

// Fault is an answer that replaces all others. Reason is in the details of the
// error. Kind is the reason in the older form of the Compute Engine API.
type Fault struct {
	Code       int
	Reason     string
	Kind       string
	Message    string
	RetryAfter string
}

// New returns a server without services and instances.
func New() *Server {
	return &Server{
		services: map[string][]Service{}, compute: map[string]*project{},
		tokens: map[string]bool{}, revoked: map[string]bool{},
	}
}

// SetFault makes every request fail, until it is called with nil.
func (s *Server) SetFault(f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Hold delays all answers until Release.
func (s *Server) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hold == nil {
		s.hold = make(chan struct{})
	}
}

// Release ends Hold.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hold != nil {
		close(s.hold)
		s.hold = nil
	}
}

// BreakPage makes the page that begins with the item at fail. "" ends this.
func (s *Server) BreakPage(at string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = at
}

// SetPage sets the largest number of items in a page.
func (s *Server) SetPage(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page = n
}

// Revoke refuses the tokens that were used so far.
func (s *Server) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revoked, s.tokens = s.tokens, map[string]bool{}
}

// Asked returns the number of requests.
func (s *Server) Asked() int { return len(s.Questions()) }

// Questions returns the method and the path of each request.
func (s *Server) Questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	hold := s.hold
	s.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	answer, f := s.answer(r)
	if f == nil {
		answer, f = partial(answer, r.URL.Query().Get("fields"))
	}
	if f != nil {
		refuse(w, *f)
		return
	}

	write(w, http.StatusOK, answer)
}

func (s *Server) answer(r *http.Request) (map[string]any, *Fault) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	query := r.URL.Query()
	switch {
	case !strings.HasPrefix(token, "ya29.") || s.revoked[token]:
		return nil, &Fault{Code: http.StatusUnauthorized, Kind: "authError",
			Message: "Request had invalid authentication credentials."}
	case s.fault != nil:
		return nil, s.fault
	case s.broken != "" && query.Get("pageToken") == s.broken:
		return nil, &Fault{Code: http.StatusInternalServerError, Kind: "backendError", Message: "Internal error encountered."}
	}

	s.tokens[token] = true
	if path, ok := strings.CutPrefix(r.URL.Path, "/compute/v1/projects/"); ok {
		return s.askCompute(r, strings.Split(path, "/"))
	}

	return s.askRun(r)
}

// pageOf returns which items a page has, and the token of the next page. key is
// the parameter for the size of a page.
func (s *Server) pageOf(r *http.Request, key string, longest, items int) (from, to int, next string) {
	query := r.URL.Query()
	if s.page > 0 {
		longest = min(longest, s.page)
	}

	size, _ := strconv.Atoi(query.Get(key))
	if size <= 0 || size > longest {
		size = longest
	}
	from, _ = strconv.Atoi(query.Get("pageToken"))
	from = min(from, items)
	if to = min(from+size, items); to < items {
		next = strconv.Itoa(to)
	}

	return from, to, next
}

func refuse(w http.ResponseWriter, f Fault) {
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	e := map[string]any{"code": f.Code, "message": f.Message}
	if f.Kind != "" {
		e["errors"] = []any{map[string]any{"message": f.Message, "domain": "global", "reason": f.Kind}}
	}
	if f.Reason != "" {
		e["details"] = []any{
			map[string]any{"@type": "type.googleapis.com/google.rpc.Help",
				"links": []any{map[string]any{"description": "Google developers console", "url": "https://console.example"}}},
			map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": f.Reason, "domain": "googleapis.com"},
		}
	}
	write(w, f.Code, map[string]any{"error": e})
}

func write(w http.ResponseWriter, code int, answer any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}
