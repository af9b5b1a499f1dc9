package soak

import (
	"io"
	"net/http"
	"strconv"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// endless is a body of one letter that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// mostGrowth is how much the peak memory may grow, in KiB, for bodies of any
// size.
const mostGrowth = 24 << 10

// TestLarge_BodiesPassInConstantMemory sends large bodies in both directions,
// with and without a length, over both versions of HTTP. If a body were kept
// anywhere, the peak of the resident memory would show it.
func TestLarge_BodiesPassInConstantMemory(t *testing.T) {
	size := *large
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Got", strconv.FormatInt(n, 10))
		if wanted, _ := strconv.ParseInt(r.Header.Get("X-Want"), 10, 64); wanted > 0 {
			if r.Header.Get("X-Length") != "" {
				w.Header().Set("Content-Length", strconv.FormatInt(wanted, 10))
			}
			_, _ = io.CopyN(w, endless{}, wanted)
		}
	})
	var framed http.Protocols
	framed.SetUnencryptedHTTP2(true)

	for protocol, client := range map[string]*http.Client{
		"http1": {Transport: &http.Transport{DisableKeepAlives: true}},
		"h2c":   {Transport: &http.Transport{Protocols: &framed}},
	} {
		t.Run(protocol, func(t *testing.T) {
			defer client.CloseIdleConnections()
			s := start(t, backend.Backends(b), "LB_PROTOCOL="+protocol)
			before := s.status("VmHWM:")
			for _, declared := range []bool{true, false} {
				upload(t, client, s, size, declared)
				download(t, client, s, size, declared)
			}

			after := s.status("VmHWM:")
			t.Logf("%d KiB at the peak before, %d after bodies of %d bytes", before, after, size)
			if after-before > mostGrowth && !binary.Race {
				t.Errorf("bodies of %d bytes took %d KiB of memory, want constant memory", size, after-before)
			}
		})
	}
}

func upload(t *testing.T, client *http.Client, s *subject, size int64, declared bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL("/"), io.LimitReader(endless{}, size))
	if err != nil {
		t.Fatal(err)
	}

	if r.ContentLength = -1; declared {
		r.ContentLength = size
	}

	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("X-Got"); got != strconv.FormatInt(size, 10) {
		t.Errorf("the backend received %s bytes, want %d (declared: %v)", got, size, declared)
	}
}

func download(t *testing.T, client *http.Client, s *subject, size int64, declared bool) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL("/"), nil)
	if err != nil {
		t.Fatal(err)
	}

	r.Header.Set("X-Want", strconv.FormatInt(size, 10))
	if declared {
		r.Header.Set("X-Length", "declared")
	}

	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); n != size || err != nil {
		t.Errorf("received %d bytes, want %d, error %v (declared: %v)", n, size, err, declared)
	}
}
