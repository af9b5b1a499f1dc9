package proxy

import (
	"maps"
	"net/http"

	"github.com/pillion-lb/pillion/proxy/cache"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// caching is the cache's part of an exchange.
type caching struct {
	lookup  *cache.Lookup  // nil if the cache is not used
	behind  wire.Sender    // the Sender behind the cache
	fetched *http.Response // the service's answer, if it gave one
}

// answers returns the Sender for the request: the attempts, the compression in
// front of them, or the cache in front of both. A request that may change what
// another route has stored goes through the cache on every route.
func (x *exchange) answers() wire.Sender {
	rules := &x.route.Cache
	next := wire.Sender(attempting{x})
	coder := x.compressor(next)
	if coder != nil {
		next = coder
	}
	if x.p.cache == nil || x.upgrade || x.grpc || !rules.On() && cache.Safe(x.r.Method) {
		return next
	}

	l := cache.NewLookup()
	l.Cache, l.Rules, l.Next = x.p.cache, rules, behindCache{x}
	l.Route, l.Service = x.route.Name, x.route.Service
	l.Scheme, l.Host = x.hop.Scheme(), x.hop.Host
	l.Prefix = first(x.r.Header, "X-Forwarded-Prefix")
	l.Background = x.refresh
	if x.route.Rewrite.Given() && !cache.Safe(x.r.Method) {
		l.Outside = x.outside
	}
	l.Authenticated = x.who != nil
	if x.span != nil {
		l.Mark = x.span.SpanContext()
	}
	if coder != nil {
		l.Coding = coder.Wanted
	}
	x.lookup, x.behind = l, next

	return l
}

// outside returns a reference of the service with the prefix that the route's
// rewrite has removed.
func (x *exchange) outside(reference string) string {
	if location, ok := x.route.rewrite.Location(reference, x.prefix, x.hop.Host); ok {
		return location
	}

	return reference
}

// behindCache is the Sender that the cache asks. Its answers already have the
// client's origin in Location, so they are stored with it. The origin belongs
// to the key.
type behindCache struct{ *exchange }

// Send asks the Sender behind the cache.
func (b behindCache) Send(r *http.Request, c *wire.Call) (*http.Response, error) {
	resp, err := b.behind.Send(r, c)
	if err == nil {
		b.fetched = resp
		b.hop.OwnOrigin(resp.Header, resp.Header, b.place.Origin, b.place.Host)
	}

	return resp, err
}

// answeredFromMemory ends the attempt if the client gets an answer from memory
// instead of the service's.
func (x *exchange) answeredFromMemory() {
	if x.lookup == nil || !x.lookup.Memory || !x.placed {
		return
	}

	x.endAttempt(x.fetched, nil)
	x.release()
}

// fromMemory reports whether the answer is from the cache's memory, so that it
// belongs to no endpoint.
func (x *exchange) fromMemory() bool { return x.lookup != nil && x.lookup.Memory }

// ownFields returns a copy of the fields that the rules of a route may change.
// The map of an answer from memory is shared by all requests that get it.
func (x *exchange) ownFields(from http.Header) http.Header {
	if x.route.cors == nil && len(x.route.response) == 0 {
		return from
	}

	return maps.Clone(from)
}

// sayCache adds Age to an answer from memory, and Cache-Status.
func (x *exchange) sayCache(from, h http.Header) {
	l := x.lookup
	if l == nil {
		return
	}

	if l.Memory {
		h["Age"] = []string{l.AgeSeconds()}
	}
	if l.Rules.Status && l.Rules.On() {
		theirs := from["Cache-Status"]
		var buf [96]byte
		said := string(l.AppendStatus(buf[:0]))
		h["Cache-Status"] = append(theirs[:len(theirs):len(theirs)], said)
	}
}

// noteCache records what the cache did.
func (x *exchange) noteCache() {
	l := x.lookup
	if l == nil || !l.Rules.On() {
		return
	}

	x.p.cache.Count(l.Result)
	x.route.cached.Add(l.Result)
	r := &x.record
	r.Cache, r.CacheHit, r.CacheStored = l.Result, l.Memory, l.Stored
	r.CacheAge, r.CacheTTL = l.Age, l.TTL
}

// waiting is a body that knows how many bytes have come.
type waiting interface{ Buffered() int }

// showUnwatched flushes the head of an answer that is read for several clients.
// The transport of such an answer has no client's writer that it could flush
// while the backend is silent.
func (x *exchange) showUnwatched(resp *http.Response) (known bool) {
	if x.lookup == nil {
		return false
	}
	b, ok := resp.Body.(waiting)
	if !ok {
		return false
	}

	if f, ok := x.w.(http.Flusher); ok && resp.ContentLength != 0 && b.Buffered() == 0 {
		f.Flush()
	}

	return true
}
