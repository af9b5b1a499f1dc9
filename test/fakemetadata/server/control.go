package server

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// control is the part that the real server does not have:
//
//	PUT    /control/values/instance/attributes/KEY   the body becomes the value
//	DELETE /control/values/instance/attributes/KEY
//	PUT    /control/fault                            the body is a fault, see ParseFault
//	DELETE /control/fault
//	PUT    /control/token-life                       the body is a duration such as 20s
//	GET    /control/requests                         how often each path was asked for, as JSON
func (s *Server) control(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "the body is too long", http.StatusRequestEntityTooLarge)
		return
	}

	what := strings.TrimPrefix(r.URL.Path, "/control/")
	path, isValue := strings.CutPrefix(what, "values/")
	switch {
	case isValue && r.Method == http.MethodPut:
		s.Set(path, string(body))
	case isValue && r.Method == http.MethodDelete:
		s.Delete(path)
	case what == "fault" && r.Method == http.MethodPut:
		err = s.controlFault(string(body))
	case what == "fault" && r.Method == http.MethodDelete:
		s.SetFault(Fault{})
	case what == "token-life" && r.Method == http.MethodPut:
		err = s.controlLife(string(body))
	case what == "requests" && r.Method == http.MethodGet:
		s.controlRequests(w)
	default:
		http.NotFound(w, r)
	}

	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (s *Server) controlFault(text string) error {
	f, err := ParseFault(text)
	if err == nil {
		s.SetFault(f)
	}
	return err
}

func (s *Server) controlLife(text string) error {
	d, err := time.ParseDuration(strings.TrimSpace(text))
	if err == nil {
		s.SetTokenLife(d)
	}
	return err
}

func (s *Server) controlRequests(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(s.requests)
}
