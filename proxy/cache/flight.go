package cache

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// flight is a request to the service whose head other requests wait for,
// because they may get the same answer. They look into the store again when it
// has landed.
type flight struct {
	key     string
	next    *flight // at the same URL
	waiting atomic.Int32
	landed  chan struct{} // nil while nobody waits
	fetch   *fetch
	mark    any         // of the request to the service
	err     *wire.Error // for all waiting requests too; nil means that they look again
}

// fetch is one request to the service whose answer may be stored. It has a
// context of its own, because its client may leave while others wait.
type fetch struct {
	cache    *Cache
	shard    *shard
	resource *resource
	dropped  uint32
	key      string
	flight   *flight // nil if no request can wait for it
	patience time.Duration

	answer  *http.Response // of the service, while its body is stored
	context fetchContext   // of a fetch with a flight
	gone    atomic.Bool    // the client left
	body    atomic.Pointer[body]
	once    sync.Once
	own     flight // the memory of flight
}

// begin registers a fetch. If collapse allows it and the same answer is being
// fetched already, begin returns that flight, and no fetch. It returns neither
// if an answer has been stored since the request looked: then it has to look
// again.
func (c *Cache) begin(l *Lookup, parent context.Context, collapse bool) (*fetch, *flight) {
	sh := l.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	u := sh.resource(l.hash, l.url)
	if collapse && u != nil {
		for f := u.flights; f != nil; f = f.next {
			if f.key == string(l.key) {
				f.join()
				return nil, f
			}
		}
		if e, _ := u.find(l.key, &l.view, l.looked); e != nil && e != l.seen {
			return nil, nil
		}
	}
	if u == nil {
		u = sh.add(l.hash, l.url)
	}
	u.fetching++
	f := &fetch{cache: c, shard: sh, resource: u, dropped: u.dropped}
	f.key, f.patience = c.keyOf(l.key), l.patience()
	if !collapse {
		return f, nil // no request can wait for it, so it ends with its client
	}
	f.flight = &f.own
	f.flight.key, f.flight.fetch, f.flight.mark = f.key, f, l.Mark
	f.flight.next, u.flights = u.flights, f.flight
	f.context.fetch, f.context.client = f, parent
	return f, nil
}

// keyOf returns a key as a string. Most requests have the key of the request
// before them, and share its memory.
func (c *Cache) keyOf(key []byte) string {
	if last := c.lastKey.Load(); last != nil && *last == string(key) {
		return *last
	}
	k := string(key)
	c.lastKey.Store(&k)
	return k
}

// join counts one more request that waits. The caller holds the lock of the
// shard.
func (f *flight) join() {
	f.waiting.Add(1)
	if f.landed == nil {
		f.landed = make(chan struct{})
	}
}

// check ends the fetch if its client has left and no other request wants the
// answer.
func (f *fetch) check() {
	if f.gone.Load() && !f.wanted() {
		f.context.end()
	}
}

// wanted reports whether other requests want the answer.
func (f *fetch) wanted() bool {
	if f.awaited() {
		return true
	}
	b := f.body.Load()
	return b != nil && b.shared()
}

// land ends the waits for the head. If the service failed, all waiting requests
// get its error, so that they don't go to the service one after the other.
func (f *fetch) land(err *wire.Error) {
	if f == nil || f.flight == nil {
		return
	}
	f.shard.mu.Lock()
	defer f.shard.mu.Unlock()
	if !f.resource.take(f.flight) {
		return
	}
	if err != nil && err.Client == wire.NoFault {
		f.flight.err = err
	}
	if f.flight.landed != nil {
		close(f.flight.landed)
	}
}

// take removes a flight. It reports false if the flight is not there any more.
// The caller holds the lock of the shard.
func (u *resource) take(f *flight) bool {
	for at := &u.flights; *at != nil; at = &(*at).next {
		if *at == f {
			*at, f.next = f.next, nil
			return true
		}
	}
	return false
}

// remember notes that an answer can't be stored. If requests waited for it,
// other answers may be dropped for the note. Otherwise the note uses only free
// memory.
func (f *fetch) remember(l *Lookup, resp *http.Response, now time.Time) {
	needed, failed := l.stripped || f.awaited(), resp.StatusCode >= http.StatusBadRequest
	if l.asked.credentials || failed && !needed {
		return // does not tell anything about the next answer
	}
	m := &marker{until: now.Add(remembering), idle: !needed}
	if !failed && knownCodings(resp.Header["Content-Encoding"]) { // else other clients' may be stored
		m.passing = now.Add(unstorable)
	}
	f.cache.store.mark(f.shard, f.resource, &entry{key: f.key, marker: m}, f.dropped)
}

// awaited reports whether a request waits for the head.
func (f *fetch) awaited() bool { return f.flight != nil && f.flight.waiting.Load() > 0 }

// close ends the fetch. It may be called again.
func (f *fetch) close() {
	if f == nil {
		return
	}
	f.once.Do(func() {
		f.land(nil)
		if f.answer != nil {
			f.answer.Body.Close()
		}
		if f.flight != nil {
			f.context.close()
		}
		f.cache.store.done(f.shard, f.resource)
	})
}

// leave ends what join began. A request that waited for the head still counts
// as waiting until it reads the body or knows that it can't. Otherwise the
// fetch of a client that has left could end between the two.
func (f *flight) leave() {
	if f != nil {
		f.waiting.Add(-1)
		f.fetch.check()
	}
}

// wait waits until a flight has landed, until the given time at most. It
// reports whether it landed, and with which error.
func (f *flight) wait(ctx context.Context, until time.Time) (landed bool, err *wire.Error) {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-f.landed:
		return true, f.err
	case <-t.C:
		return false, nil
	case <-ctx.Done():
		return false, &wire.Error{Outcome: wire.NotSent, Phase: wire.Head, Client: wire.Gone,
			Err: ctx.Err()}
	}
}

// keep begins to store an answer: it makes an entry whose body grows as it is
// read. It returns nil if there is no room, or if the URL was invalidated
// meanwhile; the answer is then passed on as it is. Otherwise mine is the
// answer for the fetch's own client. It is a copy, because the reader that
// reaches the end of the body writes the trailers into the original.
func (f *fetch) keep(resp *http.Response, a *answer, l *Lookup) (mine *http.Response) {
	c := f.cache
	k := &kept{}
	e, b := &k.entry, &k.body
	if !f.fill(k, resp, a, l) {
		c.refuse(noRoom)
		return nil
	}

	k.begin(f, resp)
	r := &l.reader
	b.reader(r)
	mine = &l.response
	*mine = *resp
	r.entry, r.owner, r.context, r.fetched, r.mine = e, f, l.request.Context(), resp, mine
	f.answer = resp
	if f.flight != nil && !c.store.insert(f.shard, f.resource, e, f.dropped) {
		*r, f.answer = reader{}, nil
		e.drop(&c.store.memory)
		return nil
	}

	f.body.Store(b)
	if b.length == 0 {
		f.ended(e, resp, true) // it has no reader
	}
	mine.Body = r
	return mine
}

// fill fills in an entry for an answer, without its body, and holds it. It
// reports false if there is no room.
func (f *fetch) fill(k *kept, resp *http.Response, a *answer, l *Lookup) bool {
	e := &k.entry
	e.key, e.vary = f.key, coded(a.vary, l.coded)
	e.values = choice(e.vary, &l.view)
	if l.uncoded {
		v := l.view.plain()
		e.values, e.standsIn = choice(e.vary, &v), a.stored.Add(standingIn)
	}

	h := storableOf(resp.Header, l.private())
	h.setDate(a.stored)
	length, memory := h.measure()
	size := e.weigh() + memory + int64(len(f.resource.url)) + max(0, resp.ContentLength)
	if !f.cache.store.reserve(f.shard, size) {
		return false
	}

	e.size.Store(size)
	e.hold()
	k.head.status, k.head.length, k.head.freshness = resp.StatusCode, resp.ContentLength, a.freshness
	k.head.packed = h.pack(k.memory(length, resp.ContentLength))
	if lines := resp.Header[l.private()]; len(lines) > 0 {
		k.head.private = cloned(lines)
	}
	e.head.Store(&k.head)

	return true
}

// ended is called when the body of an entry has ended. An incomplete one is
// removed, and so is one with trailers.
func (f *fetch) ended(e *entry, resp *http.Response, complete bool) {
	store := f.cache.store
	if !complete || len(resp.Trailer) > 0 {
		store.discard(f.shard, e)
		return
	}
	if head := e.head.Load(); head.length < 0 {
		e.head.CompareAndSwap(head, head.whole(e.body.size))
	}
	if f.flight == nil { // while it grew, it could end with its client
		store.insert(f.shard, f.resource, e, f.dropped)
	}
}

// sameOrigin returns the URL of a reference in the store's form, if it is at
// the origin of base, which is a URL in that form.
func sameOrigin(base, reference string) (string, bool) {
	from, err := url.Parse(base)
	if err != nil {
		return "", false // a path that no server would name in a reference
	}
	to, err := from.Parse(reference)
	if err != nil || to.Opaque != "" || to.User != nil {
		return "", false
	}
	other := string(appendURL(nil, to.Scheme, to.Host, to.RequestURI()))
	origin := originEnd(base)
	return other, originEnd(other) == origin && other[:origin] == base[:origin]
}

func withoutFragment(url string) string {
	url, _, _ = strings.Cut(url, "#")
	return url
}

// originEnd returns where the path begins in a URL in the store's form.
func originEnd(url string) int {
	i := strings.Index(url, "://") + len("://")
	for i < len(url) && url[i] != '/' {
		i++
	}
	return i
}
