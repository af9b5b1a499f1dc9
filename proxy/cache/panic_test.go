package cache

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// errFault is how a test sees that a request has panicked.
var errFault = errors.New("a fault")

// startFaulty begins a request that may panic with errFault. As in the proxy,
// the body of its answer is closed in any case.
func (k *kit) startFaulty(lines ...string) *client {
	c := &client{done: make(chan got, 1)}
	r := request("GET", "/x", lines...)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				c.done <- got{err: v.(error)}
			}
		}()
		l := k.lookup(r)
		defer l.Release()
		resp, err := l.Send(r, &wire.Call{ResponseTimeout: time.Minute})
		if err == nil {
			defer resp.Body.Close()
		}
		c.done <- result(l, resp, err)
	}()
	return c
}

// A request that panics before it has an answer ends alone: those that wait for
// the same answer ask for it themselves, at once and together.
func TestCollapse_ALeaderThatPanicsHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	for name, stale := range map[string]bool{"with nothing stored": false, "with a stale answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, faults := newSlow("max-age=1", 1), make(chan bool)
				k := newKit(t, s)
				if stale {
					k.service = always(200, "o", "Cache-Control: max-age=1", `Etag: "1"`)
					k.get("/x")
					k.service = s
					time.Sleep(2 * time.Second)
				}
				answer := s.answer
				s.answer = func(r *http.Request, c *wire.Call) (*http.Response, error) {
					if s.asked.Load() == 1 {
						<-faults
						panic(errFault)
					}
					return answer(r, c)
				}

				leader := k.startFaulty()
				synctest.Wait()
				var others []*client
				for range 100 {
					others = append(others, k.start())
				}
				synctest.Wait()
				if n := s.asked.Load(); n != 1 {
					t.Fatalf("%d fetches at first", n)
				}

				began := time.Now()
				faults <- true
				if g := <-leader.done; g.err != errFault {
					t.Errorf("the leader got %+v", g)
				}
				synctest.Wait()
				s.heads <- says(200, "")
				s.bytes <- "x"
				for _, c := range others {
					if g := <-c.done; g.err != nil || g.content != "x" {
						t.Fatalf("%+v", g)
					}
				}
				if n, waited := s.asked.Load(), time.Since(began); n != 2 || waited > 0 {
					t.Errorf("%d fetches, and a wait of %v", n, waited)
				}
				k.empty()
			})
		})
	}
}

// A fault in the middle of a body ends that body for all that read it, at once,
// whoever of them meets it. What came of it is forgotten.
func TestCollapse_AReaderThatPanicsHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	for name, follower := range map[string]bool{"the leader": false, "another": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSlow("max-age=60", -1)
				k := newKit(t, s)
				answer, faults := s.answer, make(chan bool)
				s.answer = func(r *http.Request, c *wire.Call) (*http.Response, error) {
					resp, err := answer(r, c)
					if err == nil && s.asked.Load() == 1 {
						resp.Body = &faulty{ReadCloser: resp.Body, faults: faults}
					}
					return resp, err
				}

				// The client that does not panic takes nothing at first, so that the
				// other one reads.
				wake := make(chan bool)
				late := func(r io.Reader) error { <-wake; _, err := io.ReadAll(r); return err }
				var leader, other *client
				if follower {
					leader = k.startWith(late)
					synctest.Wait()
					other = k.startFaulty()
				} else {
					leader = k.startFaulty()
					synctest.Wait()
					other = k.startWith(late)
				}
				synctest.Wait()
				s.heads <- says(200, "")
				synctest.Wait()
				s.bytes <- "abc"
				synctest.Wait()

				began := time.Now()
				faults <- true
				close(wake)
				panicked, cut := leader, other
				if follower {
					panicked, cut = other, leader
				}
				if g := <-panicked.done; g.err != errFault {
					t.Errorf("the request with the fault got %+v", g)
				}
				var e *wire.Error
				if g := <-cut.done; !errors.As(g.err, &e) || e.Outcome != wire.Broken || e.Client != wire.NoFault {
					t.Errorf("the other got %+v", g)
				}

				again := k.start()
				s.heads <- says(200, "")
				s.bytes <- "new"
				s.bytes <- ""
				if g := <-again.done; g.err != nil || g.content != "new" {
					t.Errorf("afterwards: %+v", g)
				}
				if waited := time.Since(began); waited > 0 {
					t.Errorf("a wait of %v", waited)
				}
				k.empty()
			})
		})
	}
}

// faulty is a body with a fault after its first bytes.
type faulty struct {
	io.ReadCloser
	faults <-chan bool
	reads  int
}

func (b *faulty) Read(p []byte) (int, error) {
	if b.reads++; b.reads == 1 {
		return b.ReadCloser.Read(p)
	}
	<-b.faults
	panic(errFault)
}

// faultyWriter takes bytes, and has a fault when it is flushed.
type faultyWriter struct{ io.Writer }

func (faultyWriter) Flush() { panic(errFault) }

// A fault of the client's side, met while the answer still grows, leaves the
// answer to the others.
func TestCollapse_AWriterThatPanicsHoldsNobodyBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("max-age=60", -1)
		k := newKit(t, s)
		leader := k.startWith(func(r io.Reader) (err error) {
			defer func() { err, _ = recover().(error) }()
			_, err = r.(io.WriterTo).WriteTo(faultyWriter{io.Discard})
			return err
		})
		synctest.Wait()
		other := k.start()
		synctest.Wait()
		s.heads <- says(200, "")
		synctest.Wait()
		s.bytes <- "abc"
		s.bytes <- "def"
		s.bytes <- ""
		if g := <-other.done; g.err != nil || g.content != "abcdef" {
			t.Errorf("%+v", g)
		}
		if g := <-leader.done; g.err != errFault {
			t.Errorf("the request with the fault got %+v", g)
		}
		k.empty()
	})
}
