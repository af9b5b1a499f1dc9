package h1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/pillion-lb/pillion/proxy/wire"
)

const usualRequest = "GET /products/42?page=1 HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (X11; " +
	"Linux x86_64)\r\n" +
	"Accept: text/html,application/xhtml+xml\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, " +
	"br\r\n" +
	"Cookie: session=0123456789abcdef; theme=dark\r\nConnection: keep-alive\r\nX-Custom: 1\r\n\r\n"

const usualResponse = "HTTP/1.1 200 OK\r\nServer: app\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Type: " +
	"text/html; charset=utf-8\r\n" +
	"Cache-Control: private, max-age=0\r\nVary: Accept-Encoding\r\nContent-Length: 5\r\n\r\n"

func BenchmarkRequestHead(b *testing.B) {
	x := detached()
	x.conn.remote = "-"
	wire := []byte(usualRequest)
	b.ReportAllocs()

	for b.Loop() {
		end, _ := headEnd(wire)
		if err := x.read(x.head.past.text(wire[:end-2])); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResponseHead(b *testing.B) {
	l := &link{t: &Transport{}, request: &http.Request{Method: "GET"}, call: &wire.Call{}}
	wire := []byte(usualResponse)
	b.ReportAllocs()

	for b.Loop() {
		end, _ := headEnd(wire)
		if _, _, _, err := l.parseHead(l.head.past.text(wire[:end-2])); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSerialize(b *testing.B) {
	r, err := readRequest(usualRequest)
	if err != nil {
		b.Fatal(err.reason)
	}

	t, out := &Transport{Address: "b:80"}, make([]byte, 0, 4<<10)
	c := &wire.Call{Fields: []wire.Field{{Name: "X-Forwarded-For", Value: "192.0.2.1"},
		{Name: "Traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.appendRequest(out, r, c, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTransaction is one small GET over loopback, through server and
// transport. Allocations are those of the whole process; client and backend
// make none.
func BenchmarkTransaction(b *testing.B) {
	p := &plainRelay{t: &Transport{Address: loopBackend(b)}}
	defer p.t.CloseIdle()
	addr := serve(b, &Server{Handler: p})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	wire, buf := []byte(usualRequest), make([]byte, 4<<10)
	b.ReportAllocs()

	for b.Loop() {
		c.Write(wire)
		if n, err := c.Read(buf); err != nil || n < 100 {
			b.Fatal(n, err)
		}
	}
}

func loopBackend(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}

	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}

			go func() {
				defer c.Close()
				buf, answer := make([]byte, 4<<10), []byte(usualResponse+"hello")
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					c.Write(answer)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// plainRelay relays small answers and makes nothing of its own.
type plainRelay struct {
	t    *Transport
	call wire.Call
	buf  [4 << 10]byte
}

func (p *plainRelay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp, err := p.t.Send(r, &p.call)
	if err != nil {
		panic(err)
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}

	w.WriteHeader(resp.StatusCode)
	for {
		n, err := resp.Body.Read(p.buf[:])
		w.Write(p.buf[:n])
		if err == io.EOF {
			break
		}
	}

	resp.Body.Close()
}

// BenchmarkNetHTTPRequestHead is the standard library's parser on the same
// bytes.
func BenchmarkNetHTTPRequestHead(b *testing.B) {
	b.ReportAllocs()
	src := &repeated{s: usualRequest}
	r := bufio.NewReader(src)
	for b.Loop() {
		if _, err := http.ReadRequest(r); err != nil {
			b.Fatal(err)
		}
	}
}

type repeated struct {
	s string
	i int
}

func (r *repeated) Read(p []byte) (n int, _ error) {
	n = copy(p, r.s[r.i:])
	r.i = (r.i + n) % len(r.s)
	return n, nil
}
