package strict

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// Trailers of requests reach backends of both protocols from clients of both,
// announced or not.
func TestHTTP2_TrailersOfRequestsPassInEveryCombination(t *testing.T) {
	t.Parallel()
	var faults await.Values[string]
	say := func(body string, trailers []pair) string {
		values := map[string]string{}
		for _, f := range trailers {
			values[strings.ToLower(f.name)] = f.value
		}
		return fmt.Sprintf("%s sum=%s late=%s", body, values["x-sum"], values["x-late"])
	}

	targets := map[string]string{
		"http": backend.StartScript(t, "raw", func(r backend.Request) string {
			body, trailers, err := unchunk(r.Body)
			if err != nil {
				return backend.Answer(400, err.Error())
			}
			return backend.Answer(200, say(body, trailers))
		}).Target(),
		"h2c": startFramed(t, &faults, func(s seen, a *answerer) {
			a.headers(false, pair{":status", "200"})
			a.data(true, say(s.body, s.trailers))
		}),
	}
	for protocol, target := range targets {
		p := start(t, target)
		for _, announced := range []string{"", "x-sum"} {
			t.Run(fmt.Sprintf("http/1.1 to %s announcing %q", protocol, announced), func(t *testing.T) {
				conn, in := connect(t, p.Address)
				head := "POST / HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
				if announced != "" {
					head += "Trailer: " + announced + "\r\n"
				}

				_, _ = io.WriteString(conn, head+"\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Late: 2\r\n\r\n")
				if status, body, _, err := whole(in, "POST"); status != 200 || body != "hello sum=1 late=2" || err != nil {
					t.Errorf("%d %q %v", status, body, err)
				}
			})
		}

		t.Run("h2c to "+protocol, func(t *testing.T) {
			c := dialFramed(t, p.Address)
			stream := c.open(pseudo("POST", "/", pair{"trailer", "x-sum"})...)
			_ = c.WriteData(stream, false, []byte("hello"))
			_ = c.send(stream, true, []pair{{"x-sum", "1"}, {"x-late", "2"}})
			if got := c.wait(stream); got.status != "200" || got.body != "hello sum=1 late=2" {
				t.Errorf("%v", got)
			}
		})
	}
}

// Trailers of answers reach clients of both protocols from backends of both,
// announced or not.
func TestHTTP2_TrailersOfAnswersPassInEveryCombination(t *testing.T) {
	t.Parallel()
	var faults await.Values[string]

	targets := map[string]string{
		"http": backend.StartScript(t, "raw", func(r backend.Request) string {
			head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
			if strings.HasPrefix(r.Head, "GET /announced ") {
				head += "Trailer: X-Sum\r\n"
			}
			return head + "\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Late: 2\r\n\r\n"
		}).Target(),
		"h2c": startFramed(t, &faults, func(s seen, a *answerer) {
			head := []pair{{":status", "200"}}
			if s.target == "/announced" {
				head = append(head, pair{"trailer", "x-sum"})
			}

			a.headers(false, head...)
			a.data(false, "hello")
			a.headers(true, pair{"x-sum", "1"}, pair{"x-late", "2"})
		}),
	}
	for protocol, target := range targets {
		p := start(t, target)
		for _, path := range []string{"/announced", "/unannounced"} {
			t.Run("h2c from "+protocol+path, func(t *testing.T) {
				got := dialFramed(t, p.Address).fetch(path)
				trailers := map[string]string{}
				for _, f := range got.trailers {
					trailers[f.name] = f.value
				}

				if got.status != "200" || got.body != "hello" || trailers["x-sum"] != "1" || trailers["x-late"] != "2" {
					t.Errorf("%v with %v", got, trailers)
				}
			})
			t.Run("http/1.1 from "+protocol+path, func(t *testing.T) {
				conn, in := connect(t, p.Address)
				_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: app.example\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
				r, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(err)
				}

				body, err := io.ReadAll(r.Body)
				if string(body) != "hello" || err != nil || r.Trailer.Get("X-Sum") != "1" || r.Trailer.Get("X-Late") != "2" {
					t.Errorf("%q %v with %v", body, err, r.Trailer)
				}
			})
		}
	}
}
