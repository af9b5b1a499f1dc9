package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/h1"
)

// check is one way to ask an endpoint for its health. It returns in words what the answer was; an error is an answer
// that speaks against the endpoint.
type check interface {
	ask(ctx context.Context, ep *endpoint, deadline time.Time) (string, error)
}

// newCheck reads LB_HEALTH_CHECK, which is not "off".
func (s *service) newCheck() check {
	kind, name, _ := strings.Cut(s.cfg.Health.Check, ":")
	switch kind {
	case "tcp":
		return tcpCheck{}
	case "grpc":
		return grpcCheck{service: s, question: healthRequest(name)}
	}
	return httpCheck{service: s}
}

// tcpCheck is content when a connection is accepted.
type tcpCheck struct{}

func (tcpCheck) ask(ctx context.Context, ep *endpoint, deadline time.Time) (string, error) {
	d := net.Dialer{Deadline: deadline, Control: ep.server.Control()}
	conn, err := d.DialContext(ctx, "tcp", ep.server.Address)
	if err != nil && ep.server.Fallback != "" && errors.Is(err, syscall.ECONNREFUSED) {
		conn, err = d.DialContext(ctx, "tcp", ep.server.Fallback)
	}
	if err != nil {
		return "", probeError(&h1.Error{Outcome: h1.NotSent, Phase: h1.Connect, Timeout: isTimeout(err), Err: err})
	}
	ep.accepted.Store(true)
	conn.Close()
	return "connection accepted", nil
}

// httpCheck asks for a path and looks at the status. Redirects are answers like others.
type httpCheck struct{ service *service }

// probeBody bounds what is read of an answer. What is longer costs the connection.
const probeBody = 64 << 10

func (c httpCheck) ask(ctx context.Context, ep *endpoint, deadline time.Time) (string, error) {
	cfg := &c.service.cfg
	r := probeRequest(ctx, ep, http.MethodGet, cfg.Health.Check)
	resp, err := c.service.send(ep, c.service.probeUpstream(ep), r, deadline)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	status := "status " + strconv.Itoa(resp.StatusCode)
	if !cfg.Health.Status.Has(resp.StatusCode) {
		return "", errors.New(status)
	}
	if _, err := io.CopyN(io.Discard, resp.Body, probeBody); err != nil && err != io.EOF {
		return "", probeError(asError(err))
	}
	return status, nil
}

// probeUpstream is the transport that most traffic takes: HTTP/2 only where that was asked for.
func (s *service) probeUpstream(ep *endpoint) upstream {
	protocol := ep.server.Protocol
	if protocol == config.Auto || protocol == "" {
		protocol = s.cfg.Protocol
	}
	if protocol == config.H2 || protocol == config.H2C {
		return ep.http2
	}
	return ep.http1
}

// probeRequest is a request of our own. There is no client whose Host could be passed on, so it is the target's.
func probeRequest(ctx context.Context, ep *endpoint, method, target string) *http.Request {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		u = &url.URL{Path: target}
	}
	host := ep.host
	if host == "" {
		host = ep.server.Host
	}
	r := &http.Request{
		Method: method, URL: u, RequestURI: u.RequestURI(), Host: host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {"pillion-health-check"}},
	}
	return r.WithContext(ctx)
}

// send makes one exchange of a probe, with the identity that traffic has. One that got no answer on a connection from
// the pool is repeated: the backend may have closed it at that moment, and that is no illness.
func (s *service) send(ep *endpoint, up upstream, r *http.Request, deadline time.Time) (*http.Response, error) {
	call := h1.Call{Deadline: deadline}
	if ep.audience != "" && s.tokens != nil && (ep.server.TLS || ep.loopback) {
		ctx, cancel := context.WithDeadline(r.Context(), deadline)
		token, err := s.tokens.Token(ctx, ep.audience)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("no identity token: %w", err)
		}
		if token != "" {
			call.Fields = []h1.Field{{Name: s.cfg.IdentityHeader, Value: "Bearer " + token}}
		}
	}
	resp, err := up.Send(r, &call)
	if e, ok := errors.AsType[*h1.Error](err); ok && call.Reused && !e.Timeout && e.Outcome != h1.Broken {
		resp, err = up.Send(r, &call)
	}
	if err != nil {
		e := asError(err)
		ep.reached(e)
		return nil, probeError(e)
	}
	ep.accepted.Store(true)
	if resp.StatusCode == http.StatusUnauthorized && ep.server.Run && s.tokens != nil {
		s.tokens.Rejected(ep.audience)
	}
	return resp, nil
}

// probeError says in few words what went wrong; the whole error only where no word is known.
func probeError(e *h1.Error) error {
	dns, unresolved := errors.AsType[*net.DNSError](e)
	switch {
	case e.Timeout && e.Phase == h1.Connect:
		return errors.New("connect timeout")
	case e.Timeout:
		return errors.New("timeout")
	case errors.Is(e, syscall.ECONNREFUSED):
		return errors.New("connection refused")
	case errors.Is(e, syscall.ECONNRESET):
		return errors.New("connection reset")
	case unresolved:
		return fmt.Errorf("no address of %s", dns.Name)
	case e.Outcome == h1.NoAnswer:
		return errors.New("no answer")
	case e.Phase == h1.Body:
		return errors.New("answer cut")
	}
	return e
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
