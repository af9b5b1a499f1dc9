package tunnel

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/socket"
)

// tunnelled is a tunnel over loopback connections with both of its ends.
type tunnelled struct {
	*Tunnel
	client, backend net.Conn // as they see it
	buffers         socket.Buffers
	up, down        int64
	done            chan struct{}
}

func openTunnel(t *testing.T, glued ...byte) *tunnelled {
	t.Helper()
	o := &tunnelled{done: make(chan struct{})}
	o.Tunnel = &Tunnel{buffers: &o.buffers}
	o.client, o.Tunnel.client = tcpPair(t)
	backend, ours := tcpPair(t)
	o.backend, o.Tunnel.backend = backend, ours
	o.Tunnel.up.masked = true
	early := bufio.NewReader(io.MultiReader(bytes.NewReader(glued), o.Tunnel.client))
	early.Peek(len(glued))
	go func() {
		o.up, o.down = o.Relay(early)
		o.Tunnel.Close()
		close(o.done)
	}()
	t.Cleanup(func() { o.Tunnel.Close(); <-o.done })

	return o
}

// tcpPair is a connection seen from both sides.
func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}

	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { near.Close(); far.Close() })
	for _, c := range []net.Conn{near, far} {
		c.SetDeadline(time.Now().Add(time.Minute)) // nothing here takes as long
	}

	return near, far
}

// conversation is frames of all lengths, some of which the kernel moves.
func conversation(seed uint64, masked bool) (out []byte) {
	r := rand.New(rand.NewPCG(seed, 0))
	for _, size := range []int{5, 200, 100_000, socket.MinMove - 1, socket.MinMove + 20, 3, 3 << 20, 70_000, 1 << 20, 0,
		2 << 20} {
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = byte(r.Uint32())
		}
		out = append(out, frameOf(2, masked, payload)...)
	}

	return out
}

func TestTunnel_FramesOfAllLengthsPassUnchangedBothWaysAndAreCounted(t *testing.T) {
	t.Parallel()
	up, down := conversation(1, true), conversation(2, false)
	o := openTunnel(t, up[:3]...)
	var all sync.WaitGroup

	for _, way := range []struct {
		from, to net.Conn
		sent     []byte
		want     []byte
	}{{o.client, o.backend, up[3:], up}, {o.backend, o.client, down, down}} {
		all.Go(func() {
			way.from.Write(way.sent)
			halfClose(way.from)
		})
		all.Go(func() {
			if got, err := io.ReadAll(way.to); err != nil || !bytes.Equal(got, way.want) {
				t.Errorf("%d bytes came of %d, or others; %v", len(got), len(way.want), err)
			}
		})
	}

	all.Wait()
	<-o.done
	if o.up != int64(len(up)) || o.down != int64(len(down)) {
		t.Errorf("counted %d up and %d down instead of %d and %d", o.up, o.down, len(up), len(down))
	}
}

func TestTunnel_SlowReaderHoldsTheSenderBackAndLosesNothing(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small frames": 1000, "long frames": 8 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := openTunnel(t)
			sent := bytes.Repeat(frameOf(2, true, make([]byte, size)), max(1, 128<<20/size))
			o.client.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := o.client.Write(sent)
			if err == nil {
				t.Fatalf("nobody reads, and %d bytes could be sent", n)
			}

			go func() {
				o.client.SetWriteDeadline(time.Time{})
				o.client.Write(sent[n:])
				halfClose(o.client)
			}()
			got, err := io.ReadAll(o.backend)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("%d bytes came of %d, or others; %v", len(got), len(sent), err)
			}
		})
	}
}

func TestTunnel_EndsWhileNobodyReads(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small frames": 1000, "long frames": 64 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := openTunnel(t)
			for _, c := range []net.Conn{o.client, o.backend} {
				c.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
				sent := bytes.Repeat(frameOf(2, c == o.client, make([]byte, size)), max(1, 64<<20/size))
				if _, err := c.Write(sent); err == nil {
					t.Fatal("nobody reads, and all could be sent")
				}
			}

			o.finish()
			select {
			case <-o.done:
			case <-time.After(20 * time.Second):
				t.Fatal("the tunnel goes on")
			}
		})
	}
}

// This test and the next one are not parallel: a close frame has closingTime,
// which is short beside the large bodies of other tests.
func TestTunnel_CloseFrameFollowsTheLongFrameInProgress(t *testing.T) {
	o := openTunnel(t)
	long := frameOf(2, false, make([]byte, 4<<20))
	half := len(long) / 2
	if _, err := o.backend.Write(long[:half]); err != nil {
		t.Fatal(err)
	}

	got := make([]byte, half, len(long)+4)
	if _, err := io.ReadFull(o.client, got); err != nil {
		t.Fatal(err)
	}

	o.finish()
	go o.backend.Write(long[half:])
	rest, err := io.ReadAll(o.client)
	if got = append(got, rest...); err != nil || !bytes.Equal(got, append(long, goneDown...)) {
		t.Errorf("%d bytes instead of %d, or others; %v", len(got), len(long)+len(goneDown), err)
	}
}

// Reads of a busy stream seldom end where a frame does. The close frame does
// not wait for one that does.
func TestTunnel_CloseFrameComesAtTheNextBoundaryOfABusyStream(t *testing.T) {
	for name, size := range map[string]int{"short frames": 100, "frames of 16-bit length": 1000, "long frames": 70_000} {
		for _, cut := range []int{1, 3, size / 2} {
			t.Run(fmt.Sprintf("%s, stopped after %d bytes", name, cut), func(t *testing.T) {
				t.Parallel()
				o := openTunnel(t)
				frame := frameOf(2, false, make([]byte, size))
				o.backend.Write(frame[:cut])
				got := make([]byte, cut, len(frame)+4)
				if _, err := io.ReadFull(o.client, got); err != nil {
					t.Fatal(err)
				}

				o.finish()
				next := slices.Concat(frame[cut:], frame, frame[:len(frame)-1])
				go o.backend.Write(next)
				rest, err := io.ReadAll(o.client)
				if got = append(got, rest...); err != nil || !bytes.Equal(got, append(frame, goneDown...)) {
					t.Errorf("%d bytes instead of %d, or others; %v", len(got), len(frame)+len(goneDown), err)
				}
			})
		}
	}
}

// A process that ends while a tunnel is being opened says so behind the answer,
// never before it.
func TestTunnel_NoCloseFrameComesBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	client, theirs := net.Pipe()
	backend, app := net.Pipe()
	var all Set
	n := all.New(theirs, backend)
	if !all.Add(n) {
		t.Fatal("not taken in")
	}

	go io.Copy(io.Discard, app) // ends with the tunnel
	all.End()
	done := make(chan struct{})

	go func() {
		defer close(done)
		io.WriteString(theirs, "the answer")
		n.Answered()
		n.Relay(bufio.NewReader(strings.NewReader("")))
	}()
	if got, _ := io.ReadAll(client); string(got) != "the answer\x88\x02\x03\xe9" {
		t.Errorf("the client got %q", got)
	}

	<-done
}
