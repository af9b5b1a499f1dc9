package cache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// slow is a service whose answers a test lets go on step by step.
type slow struct {
	service
	heads chan *http.Response
	bytes chan string // "" ends the body; closing it breaks it
}

func newSlow(control string, length int64) *slow {
	s := &slow{heads: make(chan *http.Response), bytes: make(chan string)}
	s.answer = func(r *http.Request, c *wire.Call) (*http.Response, error) {
		select {
		case resp := <-s.heads:
			if resp == nil {
				return nil, &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Err: errors.New("reset")}
			}
			resp.Header.Set("Cache-Control", control)
			resp.ContentLength = length
			resp.Body = &slowBody{s: s, context: c.ContextOf(r), left: length}
			return resp, nil
		case <-c.ContextOf(r).Done():
			return nil, &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Client: wire.Gone, Err: c.ContextOf(r).Err()}
		}
	}
	return s
}

// answerAll lets n requests have their answers: the head, and then one byte.
func (s *slow) answerAll(n int) {
	for range n {
		s.heads <- says(200, "")
		s.bytes <- "x"
	}
}

// waitFor waits until all clients have their answers.
func waitFor(clients []*client) {
	for _, c := range clients {
		<-c.done
	}
}

type slowBody struct {
	s       *slow
	context context.Context
	rest    string
	left    int64 // of a known length
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	for b.rest == "" {
		select {
		case bytes, ok := <-b.s.bytes:
			if !ok {
				return 0, &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Err: errors.New("cut")}
			}
			if bytes == "" {
				return 0, io.EOF
			}
			b.rest = bytes
		case <-b.context.Done():
			return 0, &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Client: wire.Gone, Err: b.context.Err()}
		}
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	b.left -= int64(n)
	return n, nil
}

func (b *slowBody) Close() error { return nil }

// client is a request in progress.
type client struct {
	leave context.CancelFunc
	done  chan got
}

func (k *kit) start(lines ...string) *client { return k.startWith(nil, lines...) }

// startWith begins a request whose client takes the body by what take does.
func (k *kit) startWith(take func(io.Reader) error, lines ...string) *client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{cancel, make(chan got, 1)}
	r := request("GET", "/x", lines...).WithContext(ctx)
	go func() {
		defer cancel()
		l := k.lookup(r)
		defer l.Release()
		resp, err := l.Send(r, &wire.Call{ResponseTimeout: time.Minute})
		if err == nil && take != nil {
			err = take(resp.Body)
			resp.Body.Close()
			c.done <- got{err: err, result: l.Result}
			return
		}
		c.done <- result(l, resp, err)
	}()
	return c
}

func TestCollapse_EqualMissesMakeOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("max-age=60", -1)
		k := newKit(t, s)
		var clients []*client
		for range 1000 {
			clients = append(clients, k.start())
		}
		synctest.Wait()
		s.heads <- says(200, "")
		s.bytes <- "one "
		synctest.Wait()
		s.bytes <- "two"
		s.bytes <- ""
		leaders := 0
		for _, c := range clients {
			g := <-c.done
			if g.content != "one two" || g.err != nil {
				t.Fatalf("%+v", g)
			}
			if g.result == Miss {
				leaders++
			} else if g.result != Collapsed || g.say != "pillion; fwd=uri-miss; collapsed" && !strings.Contains(g.say, "hit") {
				t.Fatalf("%+v", g)
			}
		}
		if n := s.asked.Load(); n != 1 || leaders != 1 {
			t.Errorf("%d fetches, %d leaders", n, leaders)
		}
		k.empty()
	})
}

// TestCollapse_ALeaderWhoLeavesFailsNoOtherRequest: requests that wait for the
// fetch of another request are answered, at whatever moment the client of that
// one leaves.
func TestCollapse_ALeaderWhoLeavesFailsNoOtherRequest(t *testing.T) {
	for _, moment := range []string{"before the head", "after the head", "in the middle"} {
		for _, length := range []int64{-1, 6} {
			synctest.Test(t, func(t *testing.T) {
				s := newSlow("max-age=60", length)
				k := newKit(t, s)
				leader := k.startWith(func(r io.Reader) error {
					_, err := io.ReadFull(r, make([]byte, 3))
					return err
				})
				synctest.Wait()
				var others []*client
				for range 10 {
					others = append(others, k.start())
				}
				synctest.Wait()
				at := func(now string) {
					synctest.Wait()
					if now == moment {
						leader.leave()
						synctest.Wait()
					}
				}
				at("before the head")
				s.heads <- says(200, "")
				at("after the head")
				s.bytes <- "abc"
				at("in the middle")
				s.bytes <- "def"
				if length < 0 {
					s.bytes <- ""
				}
				for _, c := range others {
					if g := <-c.done; g.content != "abcdef" || g.err != nil {
						t.Fatalf("left %s: %+v", moment, g)
					}
				}
				<-leader.done
				if n := s.asked.Load(); n != 1 {
					t.Errorf("left %s: %d fetches", moment, n)
				}
				k.empty()
			})
		}
	}
}

func TestCollapse_AFetchThatNobodyWantsEnds(t *testing.T) {
	for _, moment := range []string{"before the head", "in the body"} {
		synctest.Test(t, func(t *testing.T) {
			s := newSlow("max-age=60", 6)
			k := newKit(t, s)
			leader := k.start()
			synctest.Wait()
			follower := k.start()
			synctest.Wait()
			if moment == "in the body" {
				s.heads <- says(200, "")
				s.bytes <- "abc"
				synctest.Wait()
			}
			leader.leave()
			synctest.Wait()
			follower.leave()
			if g := <-leader.done; g.err == nil {
				t.Errorf("%s: %+v", moment, g)
			}
			<-follower.done
			k.empty()
		})
	}
}

func TestCollapse_AnswersThatMayNotBeStoredAreForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("no-store", 1)
		k := newKit(t, s)
		var clients []*client
		for range 100 {
			clients = append(clients, k.start())
		}
		synctest.Wait()
		if n := s.asked.Load(); n != 1 {
			t.Fatalf("%d at first", n)
		}
		s.heads <- says(200, "")
		synctest.Wait()
		if n := s.asked.Load(); n != 100 {
			t.Fatalf("%d after the first head", n)
		}
		for range 99 {
			s.heads <- says(200, "")
		}
		for range 100 {
			s.bytes <- "x"
		}
		for _, c := range clients {
			if g := <-c.done; g.err != nil || g.stored {
				t.Fatalf("%+v", g)
			}
		}
		again := []*client{k.start(), k.start()} // nobody waits now
		synctest.Wait()
		if n := s.asked.Load(); n != 102 {
			t.Errorf("%d when it is known", n)
		}
		s.answerAll(len(again))
		waitFor(again)
		k.empty()
	})
}

func TestCollapse_UsersNeitherLeadNorFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("public, max-age=60", 1)
		k := newKit(t, s)
		clients := []*client{k.start("Cookie: a"), k.start("Cookie: a"), k.start("Authorization: a"), k.start()}
		synctest.Wait()
		if n := s.asked.Load(); n != 4 {
			t.Errorf("%d fetches", n)
		}
		s.answerAll(len(clients))
		waitFor(clients)
		k.empty()
	})
}

func TestCollapse_NobodyWaitsLongerThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("max-age=60", 1)
		k := newKit(t, s)
		clients := []*client{k.start(), k.start(), k.start()}
		time.Sleep(k.rules.Collapse - time.Millisecond)
		synctest.Wait()
		if n := s.asked.Load(); n != 1 {
			t.Errorf("%d before", n)
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if n := s.asked.Load(); n != 3 {
			t.Errorf("%d after", n)
		}
		s.answerAll(len(clients))
		waitFor(clients)
		k.empty()
	})
}

func TestCollapse_AFailureIsForAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("max-age=60", 1)
		k := newKit(t, s)
		var clients []*client
		for range 100 {
			clients = append(clients, k.start())
		}
		synctest.Wait()
		s.heads <- nil
		for _, c := range clients {
			if g := <-c.done; g.err == nil {
				t.Fatalf("%+v", g)
			}
		}
		if n := s.asked.Load(); n != 1 {
			t.Errorf("a service that fails was asked %d times", n)
		}
		k.empty()
	})
}

func TestCollapse_AllUseWhatIsStaleWhenTheServiceFails(t *testing.T) {
	for _, status := range []int{0, 503} {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t, always(200, "old", "Cache-Control: max-age=1"))
			k.get("/x")
			time.Sleep(2 * time.Second)
			s := newSlow("no-store", 0)
			k.service = s
			var clients []*client
			for range 100 {
				clients = append(clients, k.start())
			}
			synctest.Wait()
			if status == 0 {
				s.heads <- nil
			} else {
				s.heads <- says(status, "")
			}
			for _, c := range clients {
				if g := <-c.done; g.result != Stale || g.content != "old" {
					t.Fatalf("%+v", g)
				}
			}
			if n := s.asked.Load(); n != 1 {
				t.Errorf("a service that fails was asked %d times", n)
			}
			k.empty()
		})
	}
}

func TestCollapse_ABodyThatBreaksBreaksForAllAndIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("max-age=60", -1)
		k := newKit(t, s)
		clients := []*client{k.start(), k.start()}
		synctest.Wait()
		s.heads <- says(200, "")
		s.bytes <- "abc"
		synctest.Wait()
		close(s.bytes)
		for _, c := range clients {
			if g := <-c.done; g.err == nil || g.content != "abc" {
				t.Errorf("%+v", g)
			}
		}
		if n := k.cache.Objects(); n != 0 {
			t.Errorf("%d objects", n)
		}
		k.empty()
	})
}

func TestCollapse_VariantsAreAskedForOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("max-age=60", 1)
		k := newKit(t, s)
		clients := []*client{k.start("Foo: 1"), k.start("Foo: 2"), k.start("Foo: 1"), k.start("Foo: 2")}
		synctest.Wait()
		for range 2 {
			s.heads <- says(200, "", "Vary: Foo")
			s.bytes <- "x"
		}
		for _, c := range clients {
			if g := <-c.done; g.err != nil || g.content != "x" {
				t.Errorf("%+v", g)
			}
		}
		if n := s.asked.Load(); n != 2 {
			t.Errorf("%d fetches", n)
		}
		k.empty()
	})
}

// TestCollapse_ASlowLeaderHoldsNobodyBack has the leader's client take nothing.
func TestCollapse_ASlowLeaderHoldsNobodyBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow("max-age=60", -1)
		k := newKit(t, s)
		wake := make(chan bool)
		leader := k.startWith(func(r io.Reader) error {
			<-wake
			all, err := io.ReadAll(r)
			if string(all) != "abcdef" {
				t.Errorf("the leader got %q", all)
			}
			return err
		})
		synctest.Wait()
		follower := k.start()
		synctest.Wait()
		s.heads <- says(200, "")
		s.bytes <- "abc"
		s.bytes <- "def"
		s.bytes <- ""
		if g := <-follower.done; g.content != "abcdef" {
			t.Errorf("%+v", g)
		}
		close(wake)
		<-leader.done
		k.empty()
	})
}

// TestCollapse_Storm is for the race detector: clients who come and go, and a
// service that answers in every way.
func TestCollapse_Storm(t *testing.T) {
	s := &service{}
	s.answer = func(r *http.Request, _ *wire.Call) (*http.Response, error) {
		switch n := s.asked.Load() % 7; {
		case n == 0:
			return nil, &wire.Error{Outcome: wire.NoAnswer, Phase: wire.Head, Err: errors.New("reset")}
		case n == 1:
			return says(200, "private", "Cache-Control: private"), nil
		case n == 2 && r.Header.Get("If-None-Match") != "":
			return says(304, "", "Cache-Control: max-age=0", `Etag: "a"`), nil
		case n == 3:
			resp := says(200, strings.Repeat("x", 1<<18), "Cache-Control: max-age=0", `Etag: "a"`)
			resp.ContentLength = -1
			return resp, nil
		case n == 4:
			return says(503, "no"), nil
		}
		return says(200, strings.Repeat("x", 1<<17), "Cache-Control: max-age=60", "Vary: Foo"), nil
	}
	k := newKit(t, s)
	k.cache = New(1<<20, 1<<20)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for n := range 200 {
				c := k.startWith(func(r io.Reader) error {
					_, err := io.CopyN(io.Discard, r, int64(n%5)*60000)
					return err
				}, "Foo: "+decimal(int64(i%3)))
				if n%3 == 0 {
					c.leave()
				}
				<-c.done
				if n%50 == 0 {
					k.cache.PurgeAll()
				}
				if b := k.cache.Bytes(); b > 1<<20 {
					t.Errorf("%d bytes", b)
				}
			}
		})
	}
	all.Wait()
	k.empty()
}
