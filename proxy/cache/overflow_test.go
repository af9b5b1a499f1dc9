package cache

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// TestOverflow_StreamsToAllAndIsNotStored is for a body that turns out too
// large when it is on its way.
func TestOverflow_StreamsToAllAndIsNotStored(t *testing.T) {
	content := strings.Repeat("0123456789abcdef", 200<<10) // 3.2 MiB
	s := always(200, content, "Cache-Control: max-age=60")
	inner := s.answer
	ready := make(chan bool)
	s.answer = func(r *http.Request, c *wire.Call) (*http.Response, error) {
		<-ready
		resp, err := inner(r, c)
		resp.ContentLength = -1
		return resp, err
	}
	k := newKit(t, s)
	var clients []*client
	for range 20 {
		clients = append(clients, k.start())
	}
	for k.waiting("http://example.com/x") < 19 {
		time.Sleep(time.Millisecond)
	}
	close(ready)
	for _, c := range clients {
		if g := <-c.done; g.content != content || g.err != nil {
			t.Errorf("%d bytes, %v", len(g.content), g.err)
		}
	}
	if n := k.cache.Stats(); n.Refused["too_large"] == 0 {
		t.Errorf("%+v", n)
	}
	k.empty()
}

// waiting is how many requests wait for a flight.
func (k *kit) waiting(url string) (n int) {
	hash, sh := k.cache.store.place([]byte(url))
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if u := sh.resource(hash, []byte(url)); u != nil {
		for f := u.flights; f != nil; f = f.next {
			n += int(f.waiting.Load())
		}
	}
	return n
}

func TestOverflow_AClientThatReadsNothingIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("max-age=60", -1)
		k := newKit(t, s)
		fast := k.start()
		synctest.Wait()
		wake := make(chan bool)
		stuck := k.startWith(func(r io.Reader) error {
			<-wake
			_, err := io.Copy(io.Discard, r)
			return err
		})
		synctest.Wait()
		s.heads <- says(200, "")
		synctest.Wait()
		part := strings.Repeat("x", 64<<10)
		began := time.Now()
		for range 64 {
			s.bytes <- part
		}
		s.bytes <- ""
		if g := <-fast.done; len(g.content) != 4<<20 || g.err != nil {
			t.Errorf("%d bytes, %v", len(g.content), g.err)
		}
		if d := time.Since(began); d > 2*slowestReaderWait {
			t.Errorf("the others waited %v", d)
		}
		close(wake)
		if g := <-stuck.done; !errors.Is(g.err, errSlow) {
			t.Errorf("%v", g.err)
		}
		k.empty()
	})
}

// TestUnstorable_IsRememberedForAMoment is for what it costs to ask again and
// again for what can't be stored.
func TestUnstorable_IsRememberedForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := always(200, "private", "Cache-Control: private")
		k := newKit(t, s)
		k.get("/x", "Cookie: a") // says nothing of others
		s.answer = always(200, "public", "Cache-Control: max-age=60").answer
		if g := k.get("/x"); !g.stored {
			t.Error("an answer to somebody keeps one for all from being stored")
		}
		k.cache.PurgeAll()

		s.answer = always(503, "failure").answer
		k.get("/x")
		s.answer = always(200, "public", "Cache-Control: max-age=60").answer
		if g := k.get("/x"); !g.stored {
			t.Error("a failure keeps the next answer from being stored")
		}
		k.cache.PurgeAll()

		s.answer = always(200, "private", "Cache-Control: private").answer
		k.get("/x")
		s.answer = always(200, "public", "Cache-Control: max-age=60").answer
		if g := k.get("/x"); g.stored {
			t.Error("it is forgotten at once")
		}
		time.Sleep(unstorable)
		if g := k.get("/x"); !g.stored {
			t.Error("it is not forgotten")
		}
		k.empty()
	})
}

// TestAlone_AFetchWhoseClientLeavesMakesNoEntry is about a fetch whose answer
// no other request may wait for. It makes an entry only if the answer arrives
// whole.
func TestAlone_AFetchWhoseClientLeavesMakesNoEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("public, max-age=60", 6)
		k := newKit(t, s)
		one := k.start("Cookie: a")
		s.heads <- says(200, "")
		s.bytes <- "abc"
		synctest.Wait()
		if n := k.cache.Objects(); n != 0 {
			t.Errorf("%d objects before it is whole", n)
		}
		one.leave()
		if g := <-one.done; g.err == nil {
			t.Errorf("%+v", g)
		}
		two := k.start("Cookie: b")
		s.heads <- says(200, "")
		s.bytes <- "abc"
		s.bytes <- "def"
		if g := <-two.done; g.content != "abcdef" || !g.stored {
			t.Errorf("%+v", g)
		}
		if g := k.get("/x"); !g.hit() || g.content != "abcdef" {
			t.Errorf("%+v", g)
		}
		k.empty()
	})
}
