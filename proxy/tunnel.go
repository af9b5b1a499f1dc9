package proxy

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/h1"
)

// tunnels are the upgraded connections: they outlive every limit and end with one of their sides, or at the end of the
// process with a close frame.
type tunnels struct {
	loans h1.Loans
	mu    sync.Mutex
	open  map[*tunnel]struct{}
	ended bool
}

func (t *tunnels) init() { t.open = make(map[*tunnel]struct{}) }

// between makes a tunnel, which is not open yet.
func (t *tunnels) between(client clientSide, backend io.ReadWriteCloser) *tunnel {
	return &tunnel{client: client, backend: backend, loans: &t.loans, up: border{masked: true}}
}

// add takes a tunnel in; a process that is ending takes none. The way to the client is held until answered, so that no
// close frame of ours comes before the answer.
func (t *tunnels) add(n *tunnel) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return false
	}
	n.down.mu.Lock()
	t.open[n] = struct{}{}
	return true
}

func (t *tunnels) remove(n *tunnel) {
	t.mu.Lock()
	delete(t.open, n)
	t.mu.Unlock()
}

// end asks every tunnel to end and admits no more. It returns how many there were.
func (t *tunnels) end() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	var all sync.WaitGroup
	for n := range t.open {
		all.Go(n.finish) // each may have to wait for its client to take the frame
	}
	all.Wait()
	return len(t.open)
}

func (t *tunnels) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// tunnel is one WebSocket: two streams of frames, each relayed by a goroutine of its own.
type tunnel struct {
	client  clientSide
	backend io.ReadWriteCloser
	down    border // frames towards the client
	up      border // frames towards the backend
	ending  atomic.Bool
	loans   *h1.Loans
}

// answered says that the client has its answer.
func (t *tunnel) answered() { t.down.mu.Unlock() }

// clientSide is a connection that HTTP/1.1 gave up, or a stream of HTTP/2.
type clientSide interface {
	io.ReadWriteCloser
	SetWriteDeadline(time.Time) error
}

// tunnel relays an upgraded connection until both sides are done.
func (x *exchange) tunnel(ep *endpoint, resp *http.Response) {
	backend, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || !x.upgrade {
		x.unswitched(ep, resp, errUnasked)
		return
	}
	if x.stream != nil {
		x.tunnelStream(ep, resp, backend)
		return
	}
	defer backend.Close()
	head := upgradeHead(x, ep, resp)
	conn, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.endAttempt(ep, resp, &h1.Error{Outcome: h1.Broken, Phase: h1.Head, Err: err})
		x.fail(ending{http.StatusBadGateway, "us", "upgrade"}, err)
		return
	}
	defer conn.Close()
	x.started = true
	x.record.Status = http.StatusSwitchingProtocols
	t := x.p.tunnels.between(conn, backend)
	if !x.p.tunnels.add(t) {
		x.endAttempt(ep, resp, nil)
		return
	}
	defer x.p.tunnels.remove(t)
	conn.SetDeadline(time.Time{})
	_, err = conn.Write(head)
	t.answered()
	if err != nil {
		x.record.Ended = "client/tunnel"
		x.endAttempt(ep, resp, &h1.Error{Outcome: h1.Broken, Phase: h1.Body, Client: h1.Gone, Err: err})
		return
	}
	in, out := t.relay(buffered.Reader)
	x.record.BytesIn, x.record.BytesOut = in, out
	x.endTunnelSpan(ep, resp, in, out)
}

var errUnasked = errors.New("101 to a request that asked for no upgrade")

// upgradeHead is the 101 as the client gets it.
func upgradeHead(x *exchange, ep *endpoint, resp *http.Response) []byte {
	h := make(http.Header, len(resp.Header)+2)
	copyResponse(h, resp.Header)
	x.bind(ep, resp.StatusCode, h, h)
	delete(h, "Content-Length")
	head := []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
	for name, values := range h {
		for _, v := range values {
			head = append(head, name...)
			head = append(head, ": "...)
			head = append(head, v...)
			head = append(head, "\r\n"...)
		}
	}
	return append(head, "\r\n"...)
}

// lingering is how long the second half of a tunnel may go on after the first has ended.
const lingering = 5 * time.Second

// farewell is how long a tunnel that was asked to end has for its closing handshake.
const farewell = time.Second

// relay moves both streams and returns how many bytes went up and down. When one side ends, the other is told by a
// half-close, and gets a little time to finish.
func (t *tunnel) relay(glued *bufio.Reader) (up, down int64) {
	var both sync.WaitGroup
	stop := time.AfterFunc(0, func() {})
	stop.Stop()
	var once sync.Once
	half := func() { once.Do(func() { stop = time.AfterFunc(lingering, t.close) }) }
	early, _ := glued.Peek(glued.Buffered())
	both.Go(func() {
		up = t.copy(t.backend, t.client, &t.up, early)
		halfClose(t.backend)
		half()
	})
	down = t.copy(t.client, t.backend, &t.down, nil)
	halfClose(t.client)
	half()
	both.Wait()
	stop.Stop()
	return up, down
}

// copy relays one stream, early bytes first, until it ends. Where it can, it does so without leaving the poller's
// callback of the side that is read; it leaves it for whatever may have to wait, and for what is left of a long frame:
// the kernel moves that, because nobody has to look at it.
func (t *tunnel) copy(to io.Writer, from io.Reader, b *border, early []byte) (n int64) {
	in, out := h1.NewInlet(from, t.loans), h1.NewOutlet(to)
	defer in.Rest()
	rest, read, write := early, error(nil), error(nil)
	long := func() bool { return b.left >= h1.MinMove && in.CanMove(out) }
	take := func(p []byte) bool {
		var m int
		m, write = b.offer(out, p)
		n, rest = n+int64(m), p[m:]
		return len(rest) == 0 && write == nil && !t.ending.Load() && !long()
	}
	for {
		if ending := t.ending.Load(); write == nil && (len(rest) > 0 || ending) {
			write = b.pass(out, rest, ending)
			n += int64(len(rest))
			if rest = nil; write == nil && !ending && t.ending.Load() {
				continue // whoever ended the tunnel meanwhile could not say so
			}
		}
		switch {
		case write != nil:
			t.close()
			return n
		case read != nil:
			return n
		}
		rest = nil
		if before := n; long() {
			read, write = in.Move(out, int64(b.left), func(m int64) { n += m; b.skip(m) })
			if n > before || read != nil || write != nil {
				continue
			}
		}
		read = in.Receive(take)
	}
}

// finish ends the tunnel with close frames, and with the connections themselves a second later.
func (t *tunnel) finish() {
	if t.ending.Swap(true) {
		return
	}
	limit := time.Now().Add(farewell)
	t.client.SetWriteDeadline(limit)
	if b, ok := t.backend.(interface{ SetWriteDeadline(time.Time) error }); ok {
		b.SetWriteDeadline(limit)
	}
	t.down.interrupt(t.client)
	t.up.interrupt(t.backend)
	time.AfterFunc(farewell, t.close)
}

func (t *tunnel) close() {
	t.client.Close()
	t.backend.Close()
}

// halfClose says that nothing more comes, where the connection can say so.
func halfClose(c any) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		h.CloseWrite()
	}
}

// endTunnelSpan ends the attempt's span with what went through.
func (x *exchange) endTunnelSpan(ep *endpoint, resp *http.Response, in, out int64) {
	if x.client != nil {
		x.client.SetAttributes(attrBytesIn.Int64(in), attrBytesOut.Int64(out))
		x.span.SetAttributes(attrBytesIn.Int64(in), attrBytesOut.Int64(out))
	}
	x.endAttempt(ep, resp, nil)
}
