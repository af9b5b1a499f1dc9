package h2

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/pillion-lb/pillion/proxy/wire"
)

var errConnect = errors.New("extended CONNECT with a length, or without a stream")

// refuse answers a request without calling the handler, as package h1 does. The
// client gets a status and an id, and the log gets the reason.
func (x *transaction) refuse(status int, reason string) {
	id, text := wire.RandomID(), http.StatusText(status)+"\n"
	w := &x.response
	w.header["X-Request-Id"] = []string{id}
	w.header["Content-Type"] = []string{"text/plain; charset=utf-8"}
	w.header["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(status)
	w.WriteString(text)
	x.server.report(x.request.RemoteAddr, status, id, reason)
}

// report logs a request that no handler gets. The status is 0 if its stream was
// reset.
func (s *Server) report(peer string, status int, id, reason string) {
	if s.Logger != nil {
		s.Logger.Info("request refused",
			"peer", peer, "status", status, "request_id", id, "reason", reason)
	}
}
