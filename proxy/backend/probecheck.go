package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// check is one way to probe an endpoint. It returns the result in words. An
// error is a result that speaks against the endpoint.
type check interface {
	ask(ctx context.Context, ep *Endpoint, deadline time.Time) (string, error)
}

// newCheck makes the check of LB_HEALTH_CHECK, which is not "off".
func (s *Service) newCheck() check {
	switch check := s.cfg.Health.Check; check.Kind() {
	case config.TCPCheck:
		return tcpCheck{}
	case config.GRPCCheck:
		return grpcCheck{service: s, question: healthRequest(check.Target())}
	}

	return httpCheck{service: s}
}

// tcpCheck passes if a connection is accepted.
type tcpCheck struct{}

func (tcpCheck) ask(ctx context.Context, ep *Endpoint, deadline time.Time) (string, error) {
	d := net.Dialer{Deadline: deadline, Control: ep.server.Control()}
	conn, err := d.DialContext(ctx, "tcp", ep.server.Address)
	if err != nil && ep.server.Fallback != "" && errors.Is(err, syscall.ECONNREFUSED) {
		// The refusal remains the error: a machine without IPv6 has no address
		// from which to dial ::1.
		if second, failed := d.DialContext(ctx, "tcp", ep.server.Fallback); failed == nil {
			conn, err = second, nil
		}
	}

	if err != nil {
		return "", probeError(
			&wire.Error{
				Outcome: wire.NotSent,
				Phase:   wire.Connect,
				Timeout: isTimeout(err),
				Err:     err,
			},
		)
	}

	ep.accepted.Store(true)
	conn.Close()
	return "connection accepted", nil
}

// httpCheck sends a GET and looks at the status. Redirects are not followed.
type httpCheck struct{ service *Service }

// probeBody is how much of an answer is read. A longer answer costs its
// connection.
const probeBody = 64 << 10

func (c httpCheck) ask(ctx context.Context, ep *Endpoint, deadline time.Time) (string, error) {
	cfg := &c.service.cfg
	r := probeRequest(ctx, ep, http.MethodGet, cfg.Health.Check.Target())
	resp, err := c.service.send(ep, c.service.probeTransport(ep), r, deadline)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	status := "status " + strconv.Itoa(resp.StatusCode)
	if !cfg.Health.Status.Has(resp.StatusCode) {
		return "", errors.New(status)
	}

	if _, err := io.CopyN(io.Discard, resp.Body, probeBody); err != nil && err != io.EOF {
		return "", probeError(wire.AsError(err))
	}

	return status, nil
}

// probeTransport returns the transport that most traffic uses: HTTP/2 only if
// it is configured.
func (s *Service) probeTransport(ep *Endpoint) Transport {
	if s.overHTTP2(ep) {
		return ep.http2
	}

	return ep.http1
}

// probeRequest makes the request of a probe. There is no client's Host, so it
// has the target's.
func probeRequest(ctx context.Context, ep *Endpoint, method, target string) *http.Request {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		u = &url.URL{Path: target}
	}

	host := ep.Host
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

// send sends the request of a probe with the identity of traffic. If a
// connection from the pool brings no answer, the request is repeated: the
// backend may have closed it just then, which says nothing about its health.
func (s *Service) send(
	ep *Endpoint, up Transport, r *http.Request, deadline time.Time,
) (*http.Response, error) {
	call := wire.Call{Deadline: deadline}
	if s.needsToken(ep) {
		ctx, cancel := context.WithDeadline(r.Context(), deadline)
		err := s.addToken(ctx, ep, &call)
		cancel()
		if err != nil {
			return nil, fmt.Errorf("no identity token: %w", err)
		}
	}

	resp, err := up.Send(r, &call)
	if e, ok := errors.AsType[*wire.Error](err); ok && call.Reused && !e.Timeout &&
		e.Outcome != wire.Broken {
		resp, err = up.Send(r, &call)
	}

	if err != nil {
		e := wire.AsError(err)
		ep.reached(e)
		return nil, probeError(e)
	}

	ep.accepted.Store(true)
	s.noteRejectedToken(ep, resp)
	return resp, nil
}

// probeError returns a short text for an error. An error without such a text is
// returned as it is.
func probeError(e *wire.Error) error {
	dns, unresolved := errors.AsType[*net.DNSError](e)
	switch {
	case e.Shortage():
		return e // not an answer of the endpoint, see prober.ask
	case e.Timeout && e.Phase == wire.Connect:
		return errors.New("connect timeout")
	case e.Timeout:
		return errors.New("timeout")
	case errors.Is(e, syscall.ECONNREFUSED):
		return errors.New("connection refused")
	case errors.Is(e, syscall.ECONNRESET):
		return errors.New("connection reset")
	case unresolved:
		return fmt.Errorf("no address of %s", dns.Name)
	case e.Outcome == wire.NoAnswer && !says(e.Err):
		return errors.New("no answer")
	case e.Phase == wire.Body:
		return errors.New("answer cut")
	}

	return e
}

// says reports whether the cause of an error says more than that a connection
// ended, as that the backend speaks another version of HTTP.
func says(cause error) bool {
	_, network := errors.AsType[*net.OpError](cause)

	return !network && !errors.Is(cause, io.EOF) && !errors.Is(cause, io.ErrUnexpectedEOF)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}
