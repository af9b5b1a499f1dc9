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
	askTimeout = 3 * time.Second         // of one question
	firstPause = 50 * time.Millisecond   // between the first two questions of Wait; doubles
	lastPause  = 1000 * time.Millisecond // is not exceeded by the doubling
)

// Healthcheck asks the process that listens by cfg on this machine whether it is ready, and returns nil when it is.
// With own paths turned off it is enough that the listener accepts. It takes 3 s at most.
func Healthcheck(ctx context.Context, cfg *config.Config) error {
	address, err := ownAddress(cfg.Process.Listen)
	if err != nil {
		return fmt.Errorf("asking our own listener: %w", err)
	}
	target := url.URL{Scheme: "http", Host: address, Path: cfg.Process.StatusPath + "ready"}
	// The certificate is made out for a name outside, and all we tell the listener is a path.
	trust := &tls.Config{InsecureSkipVerify: true}
	switch {
	case cfg.Process.StatusPath == "":
		target = url.URL{Scheme: "tcp", Host: address}
	case cfg.Process.TLSCertFile != "":
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

// ownAddress is where a listener on address is reached from its own machine. A listener on all addresses, of either
// family, is on 127.0.0.1 too.
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

// Wait returns nil as soon as every URL has answered: an http or https URL with any status below 500, tcp://host:port
// by accepting a connection. It gives up after timeout (0: never) or when ctx ends, and then says why the URL that it
// waited for last did not answer.
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

// parse reads a URL that can be waited for.
func parse(s string) (*url.URL, error) {
	if host, port, err := net.SplitHostPort(s); err == nil && host != "" && !strings.HasPrefix(port, "/") {
		return nil, fmt.Errorf("waiting for %q: it needs a scheme, http://%s or tcp://%s", s, s, s)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fmt.Errorf("waiting for a URL: %w", err)
	case u.Scheme == "tcp" && u.Port() != "", (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "":
		return u, nil
	}
	return nil, fmt.Errorf("waiting for %q: not an http or https URL, nor tcp://host:port", u.Redacted())
}

func wait(ctx context.Context, target *url.URL) error {
	var cause error // of the last question that ctx did not cut short
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

// ask asks once, on a connection of its own, without following redirects and without a proxy. An accepted tcp
// connection counts as status 200.
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
