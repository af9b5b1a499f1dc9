package h2

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts the writes that reach a connection.
type counted struct {
	net.Conn
	mu     sync.Mutex
	writes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.writes++
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func TestGathered_WritesOfOneMomentGoOutInOrderAndAsFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		inner := &counted{Conn: near}
		g := gather(inner, time.Minute, false)
		var want []byte
		for i := range 100 {
			p := bytes.Repeat([]byte{byte(i)}, i)
			want = append(want, p...)
			if n, err := g.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("other bytes came; %v", err)
		}
		synctest.Wait()
		if inner.writes > 20 {
			t.Errorf("100 small writes became %d", inner.writes)
		}
		g.Close()
		g.written()
	})
}

func TestGathered_SlowReaderHoldsTheWriterBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		g := gather(near, 0, false)
		sent := 0
		go func() {
			for range 100 {
				n, _ := g.Write(make([]byte, 10<<10))
				sent += n
			}
			g.Close()
		}()
		synctest.Wait()
		if sent > 2*maxGathered {
			t.Errorf("%d bytes were taken though nobody reads", sent)
		}
		if got, err := io.ReadAll(far); len(got) != 1000<<10 || err != nil {
			t.Errorf("%d bytes came, %v", len(got), err)
		}
		g.written()
	})
}

func TestGathered_CloseLetsGoOutWhatWasWrittenBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		g := gather(near, time.Minute, true)
		g.Write([]byte("last words"))
		reading := make(chan error)
		go func() {
			_, err := g.Read(make([]byte, 1))
			reading <- err
		}()
		synctest.Wait()
		g.Close()
		if err := <-reading; !errors.Is(err, net.ErrClosed) {
			t.Errorf("a read that Close ends says %v", err)
		}
		if _, err := g.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a write after Close says %v", err)
		}
		if got, err := io.ReadAll(far); string(got) != "last words" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		g.written()
	})
}

func TestGathered_ClosedConnectionThatTakesNothingEndsSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		g := gather(near, time.Hour, false)
		g.Write([]byte("last words"))
		synctest.Wait()
		began := time.Now()
		g.Close()
		g.written()
		if took := time.Since(began); took > 2*parting {
			t.Errorf("it took %v", took)
		}
	})
}

func TestGathered_StalledWriteEndsTheConnectionForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		g := gather(near, 10*time.Second, false)
		g.Write(make([]byte, 100))
		began := time.Now()
		for range 9 { // progress begins the limit anew
			time.Sleep(9 * time.Second)
			far.Read(make([]byte, 10))
		}
		if _, err := g.Read(make([]byte, 1)); err == nil || time.Since(began) < 90*time.Second {
			t.Errorf("a read ended with %v after %v", err, time.Since(began))
		}
		if _, err := g.Write([]byte("x")); err == nil {
			t.Error("a write after it succeeded")
		}
		far.Close()
		g.Close()
		g.written()
	})
}
