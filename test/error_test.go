package test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
	"github.com/pillion-lb/pillion/test/internal/wire"
)

// wantNothingInside fails when an error answer lacks its request id or says
// anything of what is behind us.
func wantNothingInside(t *testing.T, a answer, secrets ...string) {
	t.Helper()
	if id := a.Header.Get("X-Request-Id"); !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
		t.Errorf("a %d with the request id %q", a.StatusCode, id)
	}

	var everything strings.Builder
	_ = a.Header.Write(&everything)
	everything.WriteString(a.Text)
	for _, s := range append(secrets, "127.0.0.1", "dial", "refused", "goroutine", ".go:", "pillion", "EOF") {
		if strings.Contains(everything.String(), s) {
			t.Errorf("a %d says %q: %s", a.StatusCode, s, everything.String())
		}
	}
}

func TestError_OurOwnAnswersSayStatusAndIDOnly(t *testing.T) {
	t.Parallel()
	silent := silent(t)
	garbage := backend.StartScript(t, "garbage", func(backend.Request) string { return "SSH-2.0-OpenSSH_9.2\r\n\r\n" })

	hangs := backend.StartRaw(t, "hangs", func(c *backend.Conn) { _, _ = io.Copy(io.Discard, c) })
	for name, c := range map[string]struct {
		backends string
		status   []int
	}{
		"closed port":     {"http://" + backend.Closed(t) + "?name=inner-name", []int{502, 503}},
		"no answer":       {silent.Target(), []int{502}},
		"not HTTP":        {garbage.Target(), []int{502}},
		"no head in time": {hangs.Target(), []int{504}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, "LB_BACKENDS="+c.backends, "LB_RESPONSE_TIMEOUT=300ms", "LB_START_HOLD=0s")
			for protocol, client := range map[string]*http.Client{"http/1.1": newClient(t), "h2c": newH2CClient(t)} {
				a := get(t, client, p.URL("/"))
				if a.StatusCode != c.status[0] && a.StatusCode != c.status[len(c.status)-1] {
					t.Errorf("%s: status %d, want %v", protocol, a.StatusCode, c.status)
				}
				wantNothingInside(t, a, "inner-name", "silent", "garbage", "hangs", "SSH")
			}
		})
	}
}

func TestError_WithoutABackendItIs503(t *testing.T) {
	t.Parallel()
	server := backend.StartMany(t, 1)[0]
	p := pillion.Start(t, "LB_BACKENDS="+server.Target("weight=0"))
	a := get(t, newClient(t), p.URL("/"))
	wantStatus(t, a, http.StatusServiceUnavailable)
	wantNothingInside(t, a)
}

func TestError_ASlowHeadIs504AndTheRequestIsNotRepeated(t *testing.T) {
	t.Parallel()
	raw := backend.StartRaw(t, "hangs", func(c *backend.Conn) { _, _ = io.Copy(io.Discard, c) })
	p := pillion.Start(t, "LB_RESPONSE_TIMEOUT=500ms", raw.Environment())

	client := newClient(t)
	for _, method := range []string{"GET", "POST"} {
		began := time.Now()
		a := send(t, client, newRequest(t, method, p.URL("/"), nil))
		wantStatus(t, a, http.StatusGatewayTimeout)
		if took := time.Since(began); took < 500*time.Millisecond || took > 10*time.Second {
			t.Errorf("%s took %v", method, took)
		}
	}
}

func TestError_TheWholeExchangeHasItsOwnLimit(t *testing.T) {
	t.Parallel()
	raw := backend.StartRaw(t, "hangs", func(c *backend.Conn) { _, _ = io.Copy(io.Discard, c) })
	p := pillion.Start(t, "LB_REQUEST_TIMEOUT=500ms", raw.Environment())
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusGatewayTimeout)
}

// Clients that are slow to send take no backend away from others.
func TestError_AnUploadThatTakesTooLongEjectsNoBackend(t *testing.T) {
	t.Parallel()
	b := backend.StartMany(t, 2)

	p := pillion.Start(t, "LB_REQUEST_TIMEOUT=200ms", "LB_EJECT_ERRORS=1", backend.Backends(b...))
	for range 4 {
		c := wire.Dial(t, p.Address)
		c.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nslow")
		if r, _ := c.Response("POST"); r.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("status %d", r.StatusCode)
		}
	}

	if n := count(p, saying("backend ejected", "")); n != 0 {
		t.Errorf("%d backends were ejected", n)
	}
}

func TestError_ADepartedClientIs499InTheLog(t *testing.T) {
	t.Parallel()
	arrived, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	b := backend.Start(t, "one", func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	p := pillion.Start(t, "LB_ACCESS_LOG=on", backend.Backends(b))
	c := wire.Dial(t, p.Address)
	c.Get("/slow")
	soon(t, "the request", arrived)
	c.Reset()
	soon(t, "the backend's end", gone)
	p.Line("an access line of 499", func(l binary.Line) bool { return statusOf(l) == 499 })
}

// statusOf is the status of an access line in Cloud Logging's form, 0 for other
// lines.
func statusOf(l binary.Line) int {
	request, _ := l.Fields["httpRequest"].(map[string]any)
	status, _ := request["status"].(float64)
	return int(status)
}

func TestError_AccessLogSwitches(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/500" {
			w.WriteHeader(500)
		}
	})
	for setting, want := range map[string][]int{"on": {200, 500, 200}, "errors": {500}, "off": nil} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			p := pillion.Start(t, "LB_ACCESS_LOG="+setting, backend.Backends(b))
			client := newClient(t)
			for _, path := range []string{"/", "/500", "/"} {
				get(t, client, p.URL(path))
			}

			p.Signal(terminate)
			p.Wait(await.Limit)
			var got []int
			for _, l := range p.Lines() {
				if status := statusOf(l); status != 0 {
					got = append(got, status)
				}
			}

			if len(got) != len(want) {
				t.Errorf("access lines of %v, want %v", got, want)
			}
		})
	}
}

func TestError_LogsSayTheCauseUnderTheClientsID(t *testing.T) {
	t.Parallel()
	closed := backend.Closed(t)
	p := pillion.Start(t, "LB_ACCESS_LOG=on", "LB_START_HOLD=0s", "LB_BACKENDS=http://"+closed+"?name=gone")
	a := get(t, newClient(t), p.URL("/"))
	id := a.Header.Get("X-Request-Id")
	p.Line("about the request and its cause", func(l binary.Line) bool {
		return id != "" && strings.Contains(l.Text, id) && (strings.Contains(l.Text, "refused") ||
			strings.Contains(l.Text, "connect"))
	})
}

func TestError_BodiesOverTheLimitAre413(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", nil)

	p := pillion.Start(t, "LB_MAX_BODY_BYTES=1KiB", backend.Backends(b))
	for protocol, client := range map[string]*http.Client{"http/1.1": newClient(t), "h2c": newH2CClient(t)} {
		for size, want := range map[int]int{1024: 200, 1025: 413, 4096: 413} {
			body := strings.Repeat("x", size)
			a := send(t, client, newRequest(t, "POST", p.URL("/"), strings.NewReader(body)))
			if a.StatusCode != want {
				t.Errorf("%s: %d bytes: status %d, want %d", protocol, size, a.StatusCode, want)
			}

			a = send(t, client, newRequest(t, "POST", p.URL("/"), io.MultiReader(strings.NewReader(body))))
			if a.StatusCode != want {
				t.Errorf("%s: %d chunked bytes: status %d, want %d", protocol, size, a.StatusCode, want)
			}
		}
	}
}

func TestError_HeadsOverTheLimitAre431(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", nil)
	p := pillion.Start(t, "LB_MAX_HEADER_BYTES=8KiB", backend.Backends(b))
	many := make([]string, 300)
	for i := range many {
		many[i] = "A: b"
	}

	for name, c := range map[string]struct {
		fields []string
		want   int
	}{
		"large enough":    {[]string{"X: " + strings.Repeat("x", 6<<10)}, 200},
		"too large":       {[]string{"X: " + strings.Repeat("x", 9<<10)}, 431},
		"much too large":  {[]string{"X: " + strings.Repeat("x", 200<<10)}, 431},
		"too many fields": {many, 431},
	} {
		conn := wire.Dial(t, p.Address)
		conn.Get("/", c.fields...)
		if r, _ := conn.Response("GET"); r.StatusCode != c.want {
			t.Errorf("%s: status %d, want %d", name, r.StatusCode, c.want)
		}
	}
}

func TestError_AnAnswersHeadOverTheLimitIs502(t *testing.T) {
	t.Parallel()
	raw := backend.StartScript(t, "one", func(backend.Request) string {
		return backend.Answer(200, "", "X: "+strings.Repeat("x", 100<<10))
	})
	p := pillion.Start(t, append(calm, raw.Environment())...)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusBadGateway)
}

// Messages that two readers could take for two different ones end here.
func TestError_AmbiguousRequestsAreRefused(t *testing.T) {
	t.Parallel()
	p, raw := recorded(t, nil)
	for name, sent := range map[string]string{
		"both lengths": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: " +
			"chunked\r\n\r\n0\r\n\r\n",
		"two lengths":        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"signed length":      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
		"odd coding":         "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"twice chunked":      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		"folded line":        "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
		"blank before colon": "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
		"bare LF":            "GET / HTTP/1.1\nHost: x\n\n",
		"no Host":            "GET / HTTP/1.1\r\n\r\n",
		"two Hosts":          "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"bad method":         "G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
		"blank in target":    "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
		"NUL":                "GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
		"bare CR":            "GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
	} {
		c := wire.Dial(t, p.Address)
		c.Send(sent)
		r, _ := c.Response("GET")
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400", name, r.StatusCode)
		}

		if _, err := c.Rest(); err != nil {
			t.Errorf("%s: the connection did not end cleanly: %v", name, err)
		}
	}

	if n := raw.Requests.Len(); n != 0 {
		t.Errorf("the backend saw %d of them: %v", n, raw.Requests.All())
	}
}
