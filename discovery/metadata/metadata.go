// Package metadata reads values from the metadata server of Google's platforms,
// which every instance of Cloud Run, Compute Engine and Kubernetes Engine can
// reach.
//
// The process uses only this client. Each question has a deadline, because
// packets may be dropped if there is no metadata server. ErrUndefined
// distinguishes a server without a value from a missing server. The caller
// decides whether and when to ask again. No failure is final, because the
// metadata server may refuse connections in the first seconds of a pod.
package metadata

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
)

const (
	// Deadline bounds one ordinary question. Google's client repeats a failed
	// one for up to 15 s, which is longer than a request can wait.
	Deadline = 2 * time.Second

	// changeWait is how long the server holds a question for a change before it
	// answers anyway.
	changeWait = 30 * time.Second

	// longest is the longest answer that is read. Attribute values end at
	// 256 KiB.
	longest = 512 << 10
)

// ErrUndefined is the error for a value that the server does not have.
var ErrUndefined = errors.New("is not defined")

// Client is a client of one metadata server. Safe for concurrent use.
type Client struct{ client *metadata.Client }

// New makes a client of the server at host, which may have a port. "" is the
// address on Google's platforms. With a nil transport, it makes its own.
func New(host string, transport http.RoundTripper) *Client {
	if transport == nil {
		transport = newTransport()
	}
	return &Client{metadata.NewClient(&http.Client{Transport: exchange{host, transport}})}
}

// newTransport makes a transport without a timeout for a whole request, because
// a wait for a change is long. Every question has a context with a deadline
// instead. It uses no proxy, because the server belongs to this machine.
func newTransport() *http.Transport {
	return &http.Transport{
		DialContext:     (&net.Dialer{Timeout: Deadline}).DialContext,
		IdleConnTimeout: time.Minute,
	}
}

// Get returns a value by its path below /computeMetadata/v1/. It takes at most
// Deadline. The error is ErrUndefined if the server has no such value.
func (c *Client) Get(ctx context.Context, path string) (string, error) {
	value, _, err := c.get(ctx, path, Deadline)
	return value, err
}

// Next returns a value and its ETag. With the ETag of an earlier value, it
// waits until the value has changed, for up to 30 s.
func (c *Client) Next(ctx context.Context, path, etag string) (value, next string, err error) {
	if etag == "" {
		return c.get(ctx, path, Deadline)
	}

	query := url.Values{
		"wait_for_change": {"true"},
		"timeout_sec":     {fmt.Sprint(int(changeWait.Seconds()))},
		"last_etag":       {etag},
	}

	return c.get(ctx, path+"?"+query.Encode(), changeWait+Deadline)
}

func (c *Client) get(ctx context.Context, path string, limit time.Duration) (value, etag string,
	err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	ctx = context.WithValue(ctx, etagKey{}, &etag)
	value, err = c.client.GetWithContext(ctx, path)

	var missing metadata.NotDefinedError
	switch {
	case errors.As(err, &missing):
		path, _, _ = strings.Cut(path, "?")
		return "", "", fmt.Errorf("%s %w", path, ErrUndefined)
	case err != nil:
		return "", "", fmt.Errorf("asking the metadata server, which only Google Cloud has: %w",
			withoutPage(err))
	}

	return value, etag, nil
}

// withoutPage removes the body of an error answer from the error. It may be
// long, and may come from another server.
func withoutPage(err error) error {
	var status *metadata.Error
	switch {
	case !errors.As(err, &status):
		return err
	case status.Code == http.StatusTooManyRequests, status.Code >= http.StatusInternalServerError:
		return fmt.Errorf("status %d", status.Code) // Google's server says that too
	}
	return fmt.Errorf("status %d (is this a machine of Google's?)", status.Code)
}

// etagKey is the context key for the variable that gets the ETag.
type etagKey struct{}

// exchange sends one request of Google's client. It adds what the client lacks:
// it keeps the answer's ETag, bounds the answer's length, and uses the host
// from config. The client would read GCE_METADATA_HOST itself, by other rules.
type exchange struct {
	host string // "" leaves it to the client
	next http.RoundTripper
}

// RoundTrip calls the next transport.
func (e exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	if e.host != "" {
		r = r.Clone(r.Context())
		r.URL.Host, r.Host = e.host, e.host
	}

	res, err := e.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}

	if etag, ok := r.Context().Value(etagKey{}).(*string); ok {
		*etag = res.Header.Get("Etag")
	}

	res.Body = http.MaxBytesReader(nil, res.Body, longest)
	return res, nil
}
