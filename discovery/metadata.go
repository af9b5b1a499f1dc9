package discovery

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"cloud.google.com/go/compute/metadata"
)

// metadataDeadline bounds one ordinary question to the metadata server. Google's client repeats a failed one by
// itself for up to 15 s, which is longer than anybody here can wait.
const metadataDeadline = 2 * time.Second

// metadataLimit is the longest answer taken from a metadata server. Attribute values end at 256 KiB.
const metadataLimit = 512 << 10

// undefined is the state of a question that the metadata server answered by saying that there is no such thing.
const undefined = "undefined"

// metadataTransport has no timeout for a whole request, because waiting for a change takes long; every question has a
// context with a deadline instead. It uses no proxy: the server is on this machine.
func metadataTransport() http.RoundTripper {
	return &http.Transport{
		DialContext:     (&net.Dialer{Timeout: metadataDeadline}).DialContext,
		IdleConnTimeout: time.Minute,
	}
}

// metadataClient asks the metadata server through Google's client, which knows where it is (GCE_METADATA_HOST).
type metadataClient struct{ client *metadata.Client }

func newMetadataClient(transport http.RoundTripper) metadataClient {
	return metadataClient{metadata.NewClient(&http.Client{Transport: etagKeeper{transport}})}
}

// get returns a value and its ETag. An error is a *failure.
func (m metadataClient) get(ctx context.Context, path string) (value, etag string, err error) {
	ctx = context.WithValue(ctx, etagKey{}, &etag)
	value, err = m.client.GetWithContext(ctx, path)
	var missing metadata.NotDefinedError
	switch {
	case errors.As(err, &missing):
		path, _, _ = strings.Cut(path, "?")
		return "", "", &failure{undefined, fmt.Errorf("%s is not defined", path)}
	case err != nil:
		return "", "", &failure{"unreachable", fmt.Errorf("asking the metadata server: %w", short(err))}
	}
	return value, etag, nil
}

// short cuts the page that came with an error status: it is whatever stands in the way, and may be long.
func short(err error) error {
	var status *metadata.Error
	if errors.As(err, &status) {
		return fmt.Errorf("status %d (is this a machine of Google's?)", status.Code)
	}
	return err
}

// etagKey is the context key under which a call says where its ETag goes.
type etagKey struct{}

// etagKeeper hands the ETag of a response to the call that asked, which Google's client does not, and limits the
// length of the body, which it reads to the end.
type etagKeeper struct{ next http.RoundTripper }

// RoundTrip is the next transport's, with the ETag handed over and the body limited.
func (k etagKeeper) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := k.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if etag, ok := r.Context().Value(etagKey{}).(*string); ok {
		*etag = res.Header.Get("Etag")
	}
	res.Body = http.MaxBytesReader(nil, res.Body, metadataLimit)
	return res, nil
}
