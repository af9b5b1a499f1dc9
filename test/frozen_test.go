package test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// A platform may take the CPU away for longer than any limit. What has come
// meanwhile, from clients and from backends, counts as if it had been read in
// time.

// freeze stops a process for longer than its limits, does something meanwhile,
// and lets it go on.
func freeze(p *binary.Process, meanwhile func()) {
	p.Signal(syscall.SIGSTOP)
	<-time.After(time.Second) // the limits are half of it
	meanwhile()
	<-time.After(100 * time.Millisecond) // for what was sent to arrive
	p.Signal(syscall.SIGCONT)
}

// frozenLimits are those that a freeze is longer than.
var frozenLimits = []string{"LB_STALL_TIMEOUT=500ms", "LB_RESPONSE_TIMEOUT=500ms", "LB_RETRIES=0"}

// exchanged makes a request, and gives its status and body, or what went wrong.
func exchanged(c *http.Client, r *http.Request) <-chan string {
	got := make(chan string, 1)
	go func() {
		a, err := exchange(c, r)
		if err != nil {
			got <- err.Error()
			return
		}
		got <- fmt.Sprint(a.StatusCode, " ", a.Text)
	}()

	return got
}

// halves is a body whose second half is sent while the process is frozen.
type halves struct {
	first  io.Reader
	frozen func() io.Reader
	rest   io.Reader
}

func (h *halves) Read(p []byte) (int, error) {
	if n, err := h.first.Read(p); err == nil {
		return n, nil
	}

	if h.rest == nil {
		h.rest = h.frozen()
	}

	return h.rest.Read(p)
}

// delayed gives bytes away when it is told to.
type delayed struct {
	io.Reader
	give <-chan struct{}
}

func (h *delayed) Read(p []byte) (int, error) {
	<-h.give
	return h.Reader.Read(p)
}

// frozenPairs plays over every pair of protocols, each with a program of its
// own.
func frozenPairs(t *testing.T, name string, handler http.HandlerFunc,
	play func(*testing.T, *binary.Process, *http.Client)) {
	for _, scheme := range []string{"http", "h2c"} {
		for protocol, connect := range map[string]func(*testing.T) *http.Client{"http": newClient, "h2c": newH2CClient} {
			t.Run(fmt.Sprintf("%s, %s to %s", name, protocol, scheme), func(t *testing.T) {
				t.Parallel()
				target := scheme + "://" + backend.Start(t, "one", handler).Address
				play(t, pillion.Start(t, append(append(calm, frozenLimits...), "LB_BACKENDS="+target)...), connect(t))
			})
		}
	}
}

func TestFrozen_ABodyThatCameMeanwhileCounts(t *testing.T) {
	t.Parallel()
	arrivals := new(sync.Map) // channels by the path of a request

	handler := func(w http.ResponseWriter, r *http.Request) {
		// When all that was sent has come, the proxy waits for the rest.
		sent, _ := strconv.ParseInt(r.Header.Get("X-Sent"), 10, 64)
		first, _ := io.CopyN(io.Discard, r.Body, sent)
		arrived, _ := arrivals.Load(r.URL.Path)
		close(arrived.(chan struct{}))
		rest, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, first+rest, err)
	}

	for kind, length := range map[string]int{"kept": 4000, "chunked": 4000, "moved": 400_000} {
		frozenPairs(t, kind, handler, func(t *testing.T, p *binary.Process, client *http.Client) {
			path, arrived, give := "/"+p.Address, make(chan struct{}), make(chan struct{})
			arrivals.Store(path, arrived)
			half := strings.Repeat("x", length/2)
			r := newRequest(t, "PUT", p.URL(path), &halves{
				first:  strings.NewReader(half),
				frozen: func() io.Reader { return &delayed{strings.NewReader(half), give} },
			}, "X-Sent", strconv.Itoa(len(half)))
			if kind != "chunked" {
				r.ContentLength = int64(length)
			}

			got := exchanged(client, r)
			soon(t, "the first half", arrived)
			freeze(p, func() { close(give) })
			if a := soon(t, "the answer", got); a != fmt.Sprint("200 ", length, nil) {
				t.Errorf("the answer is %.100q", a)
			}
		})
	}
}

func TestFrozen_AnAnswerThatCameMeanwhileCounts(t *testing.T) {
	t.Parallel()
	arrivals, gifts := new(sync.Map), new(sync.Map) // channels by the path of a request
	half := strings.Repeat("x", 200_000)

	handler := func(w http.ResponseWriter, r *http.Request) {
		arrived, _ := arrivals.Load(r.URL.Path)
		give, _ := gifts.Load(r.URL.Path)
		w.Header().Set("Content-Length", fmt.Sprint(2*len(half)))
		if r.Header.Get("X-Begin") == "body" {
			_, _ = io.WriteString(w, half)
			_ = http.NewResponseController(w).Flush()
		}

		close(arrived.(chan struct{}))
		<-give.(chan struct{})
		if r.Header.Get("X-Begin") != "body" {
			_, _ = io.WriteString(w, half)
		}
		_, _ = io.WriteString(w, half)
	}

	for _, kind := range []string{"head", "body"} {
		frozenPairs(t, kind, handler, func(t *testing.T, p *binary.Process, client *http.Client) {
			path, arrived, give := "/"+p.Address, make(chan struct{}), make(chan struct{})
			arrivals.Store(path, arrived)
			gifts.Store(path, give)

			got := exchanged(client, newRequest(t, "GET", p.URL(path), nil, "X-Begin", kind))
			soon(t, "the request", arrived)
			freeze(p, func() { close(give) })
			if a := soon(t, "the answer", got); a != "200 "+half+half {
				t.Errorf("the answer is %.100q, %d bytes", a, len(a))
			}
		})
	}
}
