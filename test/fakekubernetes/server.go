// Package fakekubernetes is a fake of a Kubernetes API server that lists and
// watches EndpointSlices. It has pages, bookmarks, expired versions, refusals,
// and watches that end.
package fakekubernetes

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Server is an http.Handler. It is safe for concurrent use.
type Server struct {
	mu        sync.Mutex
	token     string
	slices    map[string]Slice
	version   int
	changes   []change // since oldest
	oldest    int      // the version from which changes are known
	page      int      // items of a page; 0: all
	forbidden []string // verbs
	ended     int      // watches that began before have ended
	news      chan struct{}
	lists     int
	watches   int
}

type change struct {
	version int
	kind    string
	object  json.RawMessage
}

// Slice is an EndpointSlice.
type Slice struct {
	Name, Service, Family string
	Ports                 []Port
	Pods                  []Pod
}

// Port is a port of a slice.
type Port struct {
	Name   string
	Number int
}

// Pod is an endpoint of a slice. The zero value of its conditions is a ready
// pod.
type Pod struct {
	Name, Address       string
	Unready, Ending     bool // a pod that is ending but not unready still serves
	NoReference, Absent bool // it has no targetRef; it has no conditions
}

// New returns a server that requires a token.
func New(token string) *Server {
	return &Server{token: token, slices: map[string]Slice{}, version: 100, oldest: 100, news: make(chan struct{})}
}

// Set adds or replaces a slice.
func (s *Server) Set(slice Slice) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kind := "ADDED"
	if _, known := s.slices[slice.Name]; known {
		kind = "MODIFIED"
	}
	s.slices[slice.Name] = slice
	s.note(kind, slice)
}

// Delete removes a slice.
func (s *Server) Delete(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slice := s.slices[name]
	delete(s.slices, name)
	s.note("DELETED", slice)
}

// Bookmark sends a bookmark to all watches.
func (s *Server) Bookmark() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	object, _ := json.Marshal(map[string]any{"kind": "EndpointSlice",
		"metadata": map[string]any{"resourceVersion": strconv.Itoa(s.version)}})
	s.changes = append(s.changes, change{s.version, "BOOKMARK", object})
	s.wake()
}

// Send sends any line to all watches.
func (s *Server) Send(kind, object string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.changes = append(s.changes, change{s.version, kind, json.RawMessage(object)})
	s.wake()
}

// Forget makes every version but the newest one too old to watch from, and ends
// all watches.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	s.changes, s.oldest = nil, s.version
	s.end()
}

// EndWatches ends all watches.
func (s *Server) EndWatches() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
}

// Forbid refuses verbs: list, watch. Without one it refuses nothing.
func (s *Server) Forbid(verbs ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forbidden = verbs
	s.end()
}

// SetToken replaces the token, as a cluster does from time to time.
func (s *Server) SetToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token = token
	s.end()
}

// SetPage makes lists come in pages of n items.
func (s *Server) SetPage(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.page = n
}

// Asked is how many pages of lists and how many watches were asked for.
func (s *Server) Asked() (lists, watches int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists, s.watches
}

func (s *Server) note(kind string, slice Slice) {
	s.version++
	s.changes = append(s.changes, change{s.version, kind, slice.object(s.version)})
	s.wake()
}

func (s *Server) end() {
	s.ended++
	s.wake()
}

func (s *Server) wake() {
	close(s.news)
	s.news = make(chan struct{})
}

// ServeHTTP answers a list or a watch.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	verb := "list"
	if query.Get("watch") == "1" {
		verb = "watch"
	}

	namespace, ok := strings.CutPrefix(r.URL.Path, "/apis/discovery.k8s.io/v1/namespaces/")
	namespace, ok2 := strings.CutSuffix(namespace, "/endpointslices")
	service, ok3 := strings.CutPrefix(query.Get("labelSelector"), "kubernetes.io/service-name=")

	s.mu.Lock()
	token, forbidden := s.token, slices.Contains(s.forbidden, verb)
	s.mu.Unlock()

	switch {
	case r.Header.Get("Authorization") != "Bearer "+token:
		refuse(w, http.StatusUnauthorized, "Unauthorized")
	case !ok || !ok2 || !ok3 || r.Method != http.MethodGet:
		refuse(w, http.StatusNotFound, "the server could not find the requested resource")
	case forbidden:
		refuse(w, http.StatusForbidden,
			fmt.Sprintf("endpointslices.discovery.k8s.io is forbidden: User \"system:serviceaccount:%s:default\" cannot %s "+
				"resource", namespace, verb))
	case verb == "watch":
		s.watch(w, r, service)
	default:
		s.list(w, query.Get("continue"), service)
	}
}

func refuse(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(status(code, message))
}

func status(code int, message string) map[string]any {
	return map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}
}

func (s *Server) list(w http.ResponseWriter, next, service string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	var names []string
	for name, slice := range s.slices {
		if slice.Service == service {
			names = append(names, name)
		}
	}
	slices.Sort(names)

	from, _ := strconv.Atoi(next)
	to := len(names)
	metadata := map[string]any{"resourceVersion": strconv.Itoa(s.version)}
	if s.page > 0 && from+s.page < to {
		to = from + s.page
		metadata["continue"] = strconv.Itoa(to)
	}

	items := []json.RawMessage{}
	for _, name := range names[min(from, to):to] {
		items = append(items, s.slices[name].object(s.version))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1",
		"metadata": metadata, "items": items})
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request, service string) {
	from, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	_ = flush()
	line := func(kind string, object any) {
		_ = json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": object})
	}

	s.mu.Lock()
	s.watches++
	ended := s.ended
	s.mu.Unlock()
	for {
		s.mu.Lock()
		news, gone, over := s.news, from < s.oldest, s.ended != ended
		var fresh []change
		for _, c := range s.changes {
			if c.version > from {
				fresh = append(fresh, c)
			}
		}
		s.mu.Unlock()

		if gone {
			line("ERROR", status(http.StatusGone, "too old resource version"))
			return
		}
		for _, c := range fresh {
			from = c.version
			if c.kind != "ADDED" && c.kind != "MODIFIED" && c.kind != "DELETED" ||
				strings.Contains(string(c.object), `"kubernetes.io/service-name":"`+service+`"`) {
				line(c.kind, c.object)
			}
		}
		_ = flush()
		if over {
			return
		}

		select {
		case <-r.Context().Done():
			return
		case <-news:
		}
	}
}

// object is the slice as the API has it.
func (s Slice) object(version int) json.RawMessage {
	ports := []map[string]any{}
	for _, p := range s.Ports {
		ports = append(ports, map[string]any{"name": p.Name, "port": p.Number, "protocol": "TCP"})
	}
	endpoints := []map[string]any{}
	for _, p := range s.Pods {
		e := map[string]any{"addresses": []string{p.Address}}
		if !p.Absent {
			e["conditions"] = map[string]any{"ready": !p.Unready && !p.Ending, "serving": !p.Unready, "terminating": p.Ending}
		}
		if !p.NoReference {
			e["targetRef"] = map[string]any{"kind": "Pod", "name": p.Name}
		}
		endpoints = append(endpoints, e)
	}

	object, err := json.Marshal(map[string]any{
		"metadata": map[string]any{
			"name": s.Name, "resourceVersion": strconv.Itoa(version),
			"labels": map[string]any{"kubernetes.io/service-name": s.Service},
		},
		"addressType": s.Family, "ports": ports, "endpoints": endpoints,
	})
	if err != nil {
		panic(err) // made of what can be encoded
	}

	return object
}
