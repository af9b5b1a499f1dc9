package socket

import (
	"io"
	"net"
	"testing"
	"time"
)

// movers are the ends of a way that bytes can take: in at one, out of the
// other.
func movers(t *testing.T) (in, out net.Conn, inlet *Inlet, outlet *Outlet, buffers *Buffers) {
	t.Helper()
	pair := func() (net.Conn, net.Conn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		a, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}

		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}

		t.Cleanup(func() { a.Close(); b.Close() })
		return a, b
	}
	in, from := pair()
	out, to := pair()
	buffers = new(Buffers)

	return in, out, NewInlet(from, buffers), NewOutlet(to), buffers
}

func TestInlet_HasNeitherBufferNorPipeWhileNothingComes(t *testing.T) {
	t.Parallel()
	in, out, inlet, outlet, buffers := movers(t)
	if inlet.raw == nil {
		t.Skip("only where sockets are read in the poller's callback")
	}

	const size = 1 << 20
	seen := make(chan bool)
	go func() {
		inlet.Move(outlet, size, func(int64) {})
		inlet.Receive(func([]byte) bool { seen <- true; return true })
		close(seen)
	}()
	sent := make([]byte, size)
	in.Write(sent[:size-1])
	io.ReadFull(out, sent[:size-1])
	await(t, func() bool {
		buffers.mu.Lock()
		defer buffers.mu.Unlock()
		return buffers.pipes == len(buffers.free)
	})
	in.Write(sent[:1])
	io.ReadFull(out, sent[:1])
	in.Write(sent[:100])
	<-seen
	await(t, func() bool { return buffers.lent.Load() == 0 })
	in.Close()
	<-seen
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain")
		}
	}
}

func TestInlet_CopiesWhenThereAreNoPipes(t *testing.T) {
	t.Parallel()
	in, _, inlet, outlet, buffers := movers(t)
	for range maxLarge {
		if p := buffers.takePipe(); p != nil {
			t.Cleanup(func() { buffers.putPipe(p) })
		}
	}

	in.Write(make([]byte, MinMove))
	moved := int64(0)
	if read, write := inlet.Move(outlet, MinMove, func(n int64) { moved += n }); read != nil || write != nil ||
		moved != 0 {
		t.Errorf("%v, %v, %d bytes moved", read, write, moved)
	}
}

func TestInlet_TellsAnEndFromAFailure(t *testing.T) {
	t.Parallel()
	in, _, inlet, outlet, _ := movers(t)
	if !inlet.CanMove(outlet) {
		t.Skip("only where the kernel can move bytes")
	}

	in.(*net.TCPConn).CloseWrite()
	if read, write := inlet.Move(outlet, MinMove, func(int64) {}); read != io.EOF || write != nil {
		t.Errorf("an orderly end is %v, %v", read, write)
	}

	in, _, inlet, outlet, _ = movers(t)
	outlet.Writer.(*net.TCPConn).CloseWrite()
	in.Write(make([]byte, 10))
	if read, write := inlet.Move(outlet, MinMove, func(int64) {}); read != nil || write == nil {
		t.Errorf("a side that takes nothing is %v, %v", read, write)
	}
}

func TestBuffers_LargeBuffersAndPipesAreFew(t *testing.T) {
	t.Parallel()
	var l Buffers
	var buffers []*[]byte

	large, pipes := 0, []*Pipe(nil)
	for range 10 * maxLarge {
		b := l.take(true)
		if buffers = append(buffers, b); len(*b) == largeBuffer {
			large++
		}
		if p := l.takePipe(); p != nil {
			pipes = append(pipes, p)
		}
	}

	if large != maxLarge || len(pipes) > maxLarge {
		t.Errorf("%d large buffers and %d pipes are out", large, len(pipes))
	}
	for _, b := range buffers {
		l.put(b)
	}

	for _, p := range pipes {
		l.putPipe(p)
	}
	if l.lent.Load() != 0 || l.pipes > keptPipes || len(l.free) != l.pipes {
		t.Errorf("%d large buffers are out and %d pipes are left", l.lent.Load(), l.pipes)
	}
}
