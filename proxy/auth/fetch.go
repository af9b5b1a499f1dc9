package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// fetchLimit bounds a whole fetch.
	fetchLimit = 5 * time.Second
	// mostBytes is the largest key set, and the largest discovery document.
	mostBytes = 1 << 20

	// Bounds of max-age, for which a key set is fresh.
	leastFresh = 5 * time.Minute
	mostFresh  = 24 * time.Hour
)

// place is the location of a key set.
type place struct {
	issuer string // its discovery document names the URL; "" if keys does
	keys   string // URL or path; it takes precedence over the document
}

// newClient makes a client for key sets. It keeps no idle connection, because
// the next fetch is minutes away. It does not follow redirects to another host.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: fetchLimit}).DialContext,
			TLSHandshakeTimeout: fetchLimit,
			DisableKeepAlives:   true,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			first := via[0].URL
			if len(via) > 5 || r.URL.Host != first.Host || r.URL.Scheme != first.Scheme {
				return errors.New("it redirects to another host")
			}
			return nil
		},
	}
}

// fetched is the result of a fetch: the issuer, the text of its keys, and how
// long they are fresh.
type fetched struct {
	issuer string
	text   []byte
	fresh  time.Duration
}

// fetch gets a key set.
func (p place) fetch(ctx context.Context, client *http.Client) (f fetched, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()

	f.issuer = p.issuer
	from := p.keys
	if p.issuer != "" && from == "" {
		if f.issuer, from, err = discover(ctx, client, p.issuer); err != nil {
			return f, err
		}
	}
	if strings.HasPrefix(from, "/") {
		f.text, err = readKeys(from)
		f.fresh = leastFresh
		return f, err
	}
	f.text, f.fresh, err = get(ctx, client, from)

	return f, err
}

// discover reads an issuer's discovery document (OpenID Connect Discovery 1.0,
// section 4). The issuer in it may differ from the configured one by a final
// slash.
func discover(
	ctx context.Context, client *http.Client, issuer string,
) (name, keys string, err error) {
	bare := strings.TrimSuffix(issuer, "/")
	text, _, err := get(ctx, client, bare+"/.well-known/openid-configuration")
	if err != nil {
		return "", "", err
	}

	var document struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return "", "", errors.New("the discovery document is no JSON object")
	}
	if strings.TrimSuffix(document.Issuer, "/") != bare {
		return "", "", errors.New("the discovery document is of another issuer")
	}
	if !secure(document.Keys) {
		return "", "", errors.New("the discovery document has no https jwks_uri")
	}

	return document.Issuer, document.Keys, nil
}

// secure reports whether keys may be fetched from a URL: by https, or from this
// machine.
func secure(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	address, err := netip.ParseAddr(u.Hostname())

	return u.Scheme == "https" ||
		u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && address.IsLoopback())
}

// get reads a document, and returns how long it is fresh. Its errors name the
// host, but contain nothing of the answer.
func get(ctx context.Context, client *http.Client, from string) ([]byte, time.Duration, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Accept", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s answered with status %d", r.URL.Host, resp.StatusCode)
	}

	text, err := io.ReadAll(io.LimitReader(resp.Body, mostBytes+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("the answer of %s was cut: %w", r.URL.Host, err)
	case len(text) > mostBytes:
		return nil, 0, fmt.Errorf("the answer of %s is larger than 1 MiB", r.URL.Host)
	}

	return text, freshness(resp.Header["Cache-Control"]), nil
}

// readKeys reads a key set from a file.
func readKeys(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostBytes+1))
	if err == nil && len(text) > mostBytes {
		err = errors.New("the file is larger than 1 MiB")
	}

	return text, err
}

// freshness returns max-age within its bounds, and the lower bound without it.
func freshness(lines []string) time.Duration {
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
			if !strings.EqualFold(name, "max-age") {
				continue
			}
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil {
				return leastFresh
			}
			return min(mostFresh, max(leastFresh, time.Duration(seconds)*time.Second))
		}
	}

	return leastFresh
}
