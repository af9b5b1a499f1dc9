package backend

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/discovery"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Trial connects to backends step by step, as a service with its settings does,
// and says how far it came. It is what a user asks before a start.
type Trial struct {
	service *Service
	trust   *trustStore
}

// NewTrial makes the trial of a service's settings.
func NewTrial(cfg config.Service, o Options) *Trial {
	return &Trial{service: New(cfg, o), trust: newTrustStore(cfg)}
}

// Connection is how far a trial came with one backend.
type Connection struct {
	Remote  string        // the address that accepted; "" if none did
	Dialled time.Duration // how long that took
	TLS     *Handshake    // nil: none was completed, or the backend is in clear
	Health  string        // what the health check says, in words; "" if none was asked
	Err     error         // of the step that failed; nil: none did

	limit time.Duration // LB_CONNECT_TIMEOUT
	from  discovery.Backend
}

// Handshake is what a backend with TLS showed.
type Handshake struct {
	Version     string // "TLS 1.3"
	Protocol    string // by ALPN, in words
	Names       []string
	Issuer      string
	Certificate *x509.Certificate
}

// Connect connects to a backend, completes a TLS handshake if its target asks
// for one, and asks the health check if there is one.
func (t *Trial) Connect(ctx context.Context, b discovery.Backend) Connection {
	limit := cmp.Or(t.service.cfg.ConnectTimeout, 3*time.Second)
	c := Connection{limit: limit, from: b}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	conn, err := t.dial(within, &c)
	if err != nil {
		c.Err = err
		return c
	}
	defer conn.Close()

	ep := t.service.newEndpoint(b)
	defer ep.http1.CloseIdle()
	defer ep.http2.CloseIdle()
	if b.TLS {
		if c.Err = t.handshake(within, conn, ep, &c); c.Err != nil {
			return c
		}
	}
	c.Health, c.Err = t.health(ctx, ep)

	return c
}

// dial connects to the address, or to the other one if that refuses.
func (t *Trial) dial(ctx context.Context, c *Connection) (net.Conn, error) {
	began := time.Now()
	d := net.Dialer{Control: c.from.Control()}
	conn, err := d.DialContext(ctx, "tcp", c.from.Address)
	if err != nil && c.from.Fallback != "" && errors.Is(err, syscall.ECONNREFUSED) {
		if second, failed := d.DialContext(ctx, "tcp", c.from.Fallback); failed == nil {
			conn, err = second, nil
		}
	}
	if err != nil {
		return nil, err
	}
	c.Remote, c.Dialled = conn.RemoteAddr().String(), time.Since(began)

	return conn, nil
}

// handshake completes a TLS handshake. The certificate of one that fails is
// noted too, if the backend showed it.
func (t *Trial) handshake(ctx context.Context, conn net.Conn, ep *Endpoint, c *Connection) error {
	protocol := "http/1.1"
	if t.service.overHTTP2(ep) {
		protocol = "h2"
	}
	name := hostOnly(cmp.Or(c.from.SetHost, c.from.Host, c.from.Address))
	settings := t.trust.config(name, protocol)().Clone()
	settings.ClientSessionCache = nil // a resumed session shows no certificate

	secure := tls.Client(conn, settings)
	err := secure.HandshakeContext(ctx)
	state := secure.ConnectionState()
	certificates := state.PeerCertificates
	if failed, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		certificates = failed.UnverifiedCertificates
	}
	if len(certificates) > 0 {
		c.TLS = newHandshake(certificates[0], state)
	}

	switch {
	case err != nil:
		return wire.ExplainHandshake(err)
	case protocol == "h2" && state.NegotiatedProtocol != "h2":
		return wire.ErrNoHTTP2
	}

	return nil
}

func newHandshake(leaf *x509.Certificate, state tls.ConnectionState) *Handshake {
	h := &Handshake{Version: "TLS", Protocol: "HTTP/1.1", Certificate: leaf}
	if state.Version != 0 {
		h.Version = tls.VersionName(state.Version)
	}
	if state.NegotiatedProtocol == "h2" {
		h.Protocol = "HTTP/2"
	}
	h.Names = append(h.Names, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		h.Names = append(h.Names, ip.String())
	}
	if len(h.Names) == 0 {
		h.Names = []string{"no host"}
	}
	h.Issuer = cmp.Or(leaf.Issuer.CommonName, strings.Join(leaf.Issuer.Organization, " "),
		"an issuer without a name")

	return h
}

// health asks the health check once.
func (t *Trial) health(ctx context.Context, ep *Endpoint) (words string, err error) {
	cfg := &t.service.cfg.Health
	if cfg.Check.Kind() == config.NoCheck {
		return "none (LB_HEALTH_CHECK)", nil
	}

	words, err = t.service.newCheck().ask(ctx, ep, time.Now().Add(cfg.Timeout))
	if err != nil {
		return "", fmt.Errorf("the health check %s says: %w", cfg.Check, err)
	}

	return words, nil
}

// Words says what failed and what to do about it.
func (c Connection) Words() string {
	text := c.Err.Error()
	dns, unresolved := errors.AsType[*net.DNSError](c.Err)
	timed, _ := errors.AsType[net.Error](c.Err)
	late := errors.Is(c.Err, os.ErrDeadlineExceeded) || timed != nil && timed.Timeout()

	switch {
	case errors.Is(c.Err, syscall.ECONNREFUSED):
		return "nothing listens there (connection refused)" + c.here()
	case unresolved && dns.IsNotFound:
		return fmt.Sprintf("the name %s has no address: is it right, and known in this network?",
			dns.Name)
	case unresolved:
		return fmt.Sprintf("the name %s cannot be resolved: %s", dns.Name, dns.Err)
	case errors.Is(c.Err, syscall.ENETUNREACH), errors.Is(c.Err, syscall.EHOSTUNREACH):
		return "there is no way to that address from here: " + cause(c.Err)
	case late && c.Remote == "":
		return fmt.Sprintf("it does not accept within LB_CONNECT_TIMEOUT (%s): is a firewall between?",
			c.limit)
	case late && c.Health == "" && c.TLS == nil && c.from.TLS:
		return fmt.Sprintf("the TLS handshake is not over within LB_CONNECT_TIMEOUT (%s)", c.limit)
	}

	if c.from.TLS && strings.HasSuffix(text, "tls: certificate required") {
		return text + "; name a certificate for it in LB_CLIENT_CERT_FILE and LB_CLIENT_KEY_FILE"
	}

	return text
}

// here returns a hint about a loopback address, which in a container is the
// container itself. For other addresses it returns "".
func (c Connection) here() string {
	if !loopback(c.from.Address) {
		return ""
	}

	return "; inside a container, loopback is the container itself: " +
		"a neighbour is reached by its service's name"
}

// cause returns the innermost cause, without addresses.
func cause(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}

	return err.Error()
}
