package status

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
)

const (
	askTimeout = 3 * time.Second         // of one request
	firstPause = 50 * time.Millisecond   // between the first two requests of Wait; it doubles
	lastPause  = 1000 * time.Millisecond // the longest pause
)

// Healthcheck returns nil if the Pillion process that listens on this machine,
// at the address of cfg, is ready. If cfg turns Pillion's own paths off, an
// accepted connection counts as ready. It takes 3 s at most.
func Healthcheck(ctx context.Context, cfg *config.Config) error {
	address, err := ownAddress(cfg.Process.Listen)
	if err != nil {
		return fmt.Errorf("asking our own listener: %w", err)
	}

	target := url.URL{Scheme: "http", Host: address, Path: cfg.Process.StatusPath + "ready"}
	// The certificate is for a public name and not for 127.0.0.1, so it can't
	// be verified. The request holds no secret, only a path.
	trust := &tls.Config{InsecureSkipVerify: true}
	switch {
	case cfg.Process.StatusPath == "":
		target = url.URL{Scheme: "tcp", Host: address}
	case cfg.Process.Certificate != nil:
		target.Scheme = "https"
	}

	status, err := ask(ctx, &target, trust)
	if err != nil {
		return fmt.Errorf("asking our own listener: %w", err)
	}

	if status != http.StatusOK {
		return fmt.Errorf("asking our own listener: not ready: status %d", status)
	}

	return nil
}

// ownAddress returns the address at which a listener is reached from its own
// machine. A listener on all addresses, IPv4 or IPv6, is reached at 127.0.0.1.
func ownAddress(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}

	if port == "0" {
		return "", errors.New("its port is chosen at start and not known here")
	}

	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}

	return net.JoinHostPort(host, port), nil
}

// Wait returns nil as soon as every URL has answered. An http or https URL has
// answered with any status below 500; tcp://host:port has answered when it
// accepts a connection. Wait returns an error after timeout (0: no timeout) or
// when ctx ends. The error names the URL that did not answer, and why.
func Wait(ctx context.Context, urls []string, timeout time.Duration) error {
	targets := make([]*url.URL, len(urls))
	for i, u := range urls {
		target, err := parse(u)
		if err != nil {
			return err
		}

		targets[i] = target
	}

	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}

	for _, target := range targets {
		if err := wait(ctx, target); err != nil {
			return fmt.Errorf("waiting for %s: %w", target.Redacted(), err)
		}
	}

	return nil
}

// CanWait returns an error if Wait does not accept the URL.
func CanWait(s string) error {
	_, err := parse(s)
	return err
}

// parse parses a URL that Wait accepts.
func parse(s string) (*url.URL, error) {
	if host, port, err := net.SplitHostPort(s); err == nil && host != "" &&
		!strings.HasPrefix(port, "/") {
		return nil, fmt.Errorf("waiting for %q: it needs a scheme, http://%s or tcp://%s", s, s, s)
	}

	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("waiting for a URL: %w", err)
	case u.Scheme == "tcp" && u.Port() != "", (u.Scheme == "http" || u.Scheme == "https") &&
		u.Hostname() != "":
		return u, nil
	}

	return nil, fmt.Errorf("waiting for %q: not an http or https URL, nor tcp://host:port",
		u.Redacted())
}

func wait(ctx context.Context, target *url.URL) error {
	var cause error // of the last request that ended before ctx did
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		status, err := ask(ctx, target, nil)
		if err == nil && status < 500 {
			return nil
		}

		if err == nil {
			err = fmt.Errorf("status %d", status)
		}

		if cause == nil || ctx.Err() == nil {
			cause = err
		}

		select {
		case <-ctx.Done():
			return fmt.Errorf("no good answer in time: %w", cause)
		case <-time.After(pause):
		}
	}
}

// ask sends one GET request on a new connection and returns the status. It
// follows no redirect and uses no proxy. For a tcp URL it connects only, and
// returns 200.
func ask(ctx context.Context, target *url.URL, trust *tls.Config) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if target.Scheme == "tcp" {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", target.Host)
		if err != nil {
			return 0, err
		}

		return http.StatusOK, conn.Close()
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return 0, err
	}

	req.Header.Set("User-Agent", "pillion")
	transport := &http.Transport{TLSClientConfig: trust, DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}

	return res.StatusCode, res.Body.Close()
}
