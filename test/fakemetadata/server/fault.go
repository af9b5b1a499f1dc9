package server

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Fault is a fault of the server. It applies to requests that arrive during the
// fault, and to those that wait for a change.
type Fault struct {
	Mode  Mode
	Delay time.Duration // of slow
}

// Mode is a kind of misbehaviour.
type Mode string

// The kinds of misbehaviour.
const (
	None  Mode = ""      // behave
	Drop  Mode = "drop"  // never answer, as behind a firewall
	Slow  Mode = "slow"  // answer after Delay
	Error Mode = "500"   // an internal error
	Gone  Mode = "404"   // nothing is there
	HTML  Mode = "html"  // status 200 and a page, as captive portals answer
	Reset Mode = "reset" // close the connection without an answer
)

// ParseFault reads "drop", "slow 3s", "500", "404", "html", "reset" or "" for
// none.
func ParseFault(s string) (Fault, error) {
	mode, rest, _ := strings.Cut(strings.TrimSpace(s), " ")
	f := Fault{Mode: Mode(mode)}
	switch f.Mode {
	case Slow:
		d, err := time.ParseDuration(rest)
		if err != nil {
			return Fault{}, fmt.Errorf("reading the delay of a fault: %w", err)
		}
		f.Delay = d

		return f, nil
	case None, Drop, Error, Gone, HTML, Reset:
		if rest == "" {
			return f, nil
		}
	}

	return Fault{}, fmt.Errorf("%q is no fault", s)
}

// SetFault sets the fault of the server, or ends it. When it changes, dropped
// requests are handled again.
func (s *Server) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
	close(s.repaired)
	s.repaired = make(chan struct{})
}

// faulty is closed when the fault changes.
func (s *Server) faulty() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repaired
}

// pass applies the fault and reports whether the request may be answered
// properly.
func (s *Server) pass(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	f, repaired := s.fault, s.repaired
	s.mu.Unlock()

	switch f.Mode {
	case Drop:
		select {
		case <-repaired:
			return s.pass(w, r)
		case <-r.Context().Done():
			return false
		}
	case Slow:
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			return false
		}
	case Error:
		http.Error(w, "internal error", http.StatusInternalServerError)
		return false
	case Gone:
		http.NotFound(w, r)
		return false
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!DOCTYPE html><html><body>Please sign in; this is <b>not</b> what you asked for.</body></html>")
		return false
	case Reset:
		panic(http.ErrAbortHandler)
	}

	return true
}
