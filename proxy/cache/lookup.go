package cache

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Lookup is the way of one request through the cache. It is a wire.Sender: it
// answers from memory, or passes the request to Next. The caller fills in the
// first fields, calls Send once, and calls Release when the answer's body is
// closed. A Lookup is used by one goroutine.
type Lookup struct {
	Cache *Cache
	Rules *config.Cache
	// part of the key, because two routes may change a request in different
	// ways
	Route   string
	Service string // that the route uses
	Scheme  string // as the client used it
	Host    string // as the client used it
	Prefix  string // the prefix that a trusted proxy has cut off the path
	// Coding is the coding that the client gets if Pillion compresses.
	Coding wire.Coding
	Next   wire.Sender
	// Mark is the Leader of other requests that wait for this one. It may be
	// nil.
	Mark any
	// Authenticated reports that a gate has authenticated the client. Its
	// credentials may be in any field.
	Authenticated bool
	// Background runs a refresh in a goroutine of its own, with a Sender and a
	// Call for it. With nil, there are no refreshes.
	Background func(r *http.Request, run func(next wire.Sender, c *wire.Call))
	// Outside returns a reference of the service as clients get it. With nil,
	// it is the same.
	Outside func(reference string) string

	// Send writes the fields below.

	Result  Result
	Stored  bool          // the answer is being stored
	Age     time.Duration // of an answer from memory
	TTL     time.Duration // how much longer it is fresh; negative if it is stale
	Forward string        // why the service was asked, as RFC 9211 names it; "" if it was not
	Status  int           // of the service's answer, if the client gets another one
	Detail  string        // more about the result
	Shared  bool          // another request asked the service, and this one got its answer
	Memory  bool          // the answer is from memory
	Leader  any           // the Mark of that other request
	Lingers bool          // the client's answer is complete before Close has read the service's

	request  *http.Request
	call     *wire.Call
	own      wire.Call // what the service is asked with
	asked    asked
	view     view
	url, key []byte
	hash     uint64 // of url
	shard    *shard // of url; nil before the first look
	fields   []wire.Field
	began    time.Time
	looked   time.Time // into the store
	seen     *entry    // what that look found; only for comparison
	alone    bool      // it does not wait for other requests, and they don't wait for it
	marked   bool      // a marker says that answers for this key can't be stored
	passes   bool      // the answer is not stored
	stripped bool      // the service was asked without the client's conditions
	response http.Response
	reader   reader
	coded    wire.Coded // the service's answer
	uncoded  bool       // it is plain for this moment only
	fetched  *fetch     // of an answer that is not stored
}

// Result is what the cache did with a request.
type Result string

// The results, as metrics name them.
const (
	Bypass      Result = "bypass"
	Hit         Result = "hit"
	Stale       Result = "stale"
	Revalidated Result = "revalidated"
	Miss        Result = "miss"
	Collapsed   Result = "collapsed"
)

var lookups = sync.Pool{New: func() any { return new(Lookup) }}

// NewLookup returns an empty Lookup.
func NewLookup() *Lookup { return lookups.Get().(*Lookup) }

// Release returns the Lookup to its pool. The answer must not be used after it.
func (l *Lookup) Release() {
	l.fetched.close()
	url, key, fields := l.url[:0], l.key[:0], l.fields
	clear(fields[:cap(fields)])
	*l = Lookup{}
	l.url, l.key, l.fields = url, key, fields[:0]
	lookups.Put(l)
}

// Send answers the request from memory, or asks Next and stores the answer if
// that is allowed. An error is a *wire.Error.
func (l *Lookup) Send(r *http.Request, c *wire.Call) (*http.Response, error) {
	l.request, l.call, l.began = r, c, time.Now()
	l.Result = Bypass
	l.view = view{header: r.Header, said: c.Fields, coding: l.Coding}
	l.asked.read(r, l.Rules.Credentials)
	if l.Authenticated {
		l.asked.credentials, l.asked.cookies = true, false
	}
	l.makeKey()

	resp, err := l.dispatch()
	if err == nil {
		l.withoutPrivate(resp)
	}
	return resp, err
}

// dispatch treats the request by its kind.
func (l *Lookup) dispatch() (*http.Response, error) {
	switch l.asked.kind {
	case unsafe:
		l.Forward = "method"
		resp, err := l.Next.Send(l.request, l.call)
		if err == nil {
			l.invalidate(resp)
		}
		return resp, err
	case passing:
		l.Forward = "bypass"
		return l.Next.Send(l.request, l.call)
	case refused:
		l.Forward = "request"
		return l.Next.Send(l.request, l.call)
	}
	return l.answer()
}

// makeKey makes the URL and the key. Parameters that are left out of the key
// are removed from the request too.
func (l *Lookup) makeKey() {
	r := l.request
	target := r.RequestURI
	if target == "" && r.URL != nil {
		target = r.URL.RequestURI()
	}
	if len(l.Rules.IgnoreQuery) > 0 {
		short := withoutParameters(target, l.Rules.IgnoreQuery)
		if short != target && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			l.request = shortened(r, short)
			l.call.Target = withoutParameters(l.call.Target, l.Rules.IgnoreQuery)
		}
		target = short
	}
	l.url = appendURL(l.url[:0], l.Scheme, l.Host, target)
	k := append(l.key[:0], l.Route...)
	k = append(k, 0)
	k = append(k, l.Service...)
	k = append(k, 0)
	k = append(k, l.Prefix...)
	for _, name := range l.Rules.Vary {
		k = append(k, 0)
		k = append(k, normal(name, l.view.get(name))...)
	}
	l.key = k
}

// shortened returns a copy of the request with another target of the same path.
func shortened(r *http.Request, target string) *http.Request {
	n := r.WithContext(r.Context())
	n.RequestURI = target
	if r.URL != nil {
		u := *r.URL
		_, u.RawQuery, _ = strings.Cut(target, "?")
		n.URL = &u
	}
	return n
}

// maxLooks is how often a request looks into the store before it asks the
// service by itself. Each look but the first follows a wait.
const maxLooks = 8

// answer finds the answer to a GET or HEAD.
func (l *Lookup) answer() (*http.Response, error) {
	until := l.began.Add(l.Rules.Collapse)
	var joined *flight
	defer func() { joined.leave() }()
	for look, now := 1, l.began; ; look, now = look+1, time.Now() {
		e, other := l.find(now)
		if e != nil {
			if resp := l.fromStore(e, now); resp != nil {
				return resp, nil
			}
		}
		joined.leave()
		joined = nil
		if l.asked.only {
			l.drop(e)
			return l.unsatisfied(), nil
		}
		l.reason(e, other)
		if !l.collapses(e) || look > maxLooks {
			l.alone = true
		}
		f, flight, again := l.fetch()
		if flight == nil && !again {
			return l.ask(f, e, now)
		}
		l.drop(e)
		joined = flight
		if err := l.follow(flight, until); err != nil {
			if err.Client != wire.NoFault {
				return nil, err
			}
			return l.instead(err)
		}
	}
}

// follow waits for the request of another client, if there is one. Without an
// error, the request looks into the store again.
func (l *Lookup) follow(other *flight, until time.Time) *wire.Error {
	if other == nil {
		return nil
	}

	landed, err := other.wait(l.context(), until)
	if err != nil {
		return err
	}

	l.Shared, l.alone = landed, !landed
	if landed {
		l.Leader = other.mark
	}

	return nil
}

// find looks into the store. The entry that it returns is held.
func (l *Lookup) find(now time.Time) (e *entry, other bool) {
	if l.shard == nil {
		l.hash, l.shard = l.Cache.store.place(l.url)
	}
	e, other = l.shard.find(l.hash, l.url, l.key, &l.view, now)
	l.looked, l.seen = now, e
	switch {
	case e == nil:
	case e.marker != nil:
		l.alone, l.marked, l.passes = true, true, now.Before(e.marker.passing)
		return nil, other
	case e.body.broken():
		l.drop(e)
		return nil, other
	}
	return e, other
}

// drop releases an entry.
func (l *Lookup) drop(e *entry) {
	if e != nil {
		e.drop(&l.Cache.store.memory)
	}
}

// context returns the request's context.
func (l *Lookup) context() context.Context { return l.request.Context() }

// fromStore makes an answer of an entry that is fresh, or that may be used
// while it is refreshed. Otherwise it returns nil.
func (l *Lookup) fromStore(e *entry, now time.Time) *http.Response {
	head := e.head.Load()
	left := head.left(now)
	switch {
	case left > 0 && l.Shared:
		l.Result = Collapsed
	case left > 0:
		l.Result, l.Forward = Hit, ""
	case head.refresh > 0 && -left < head.refresh && l.Background != nil && !l.personal():
		l.refresh(e, head, now)
		l.Result, l.Detail = Stale, "stale-while-revalidate"
	default:
		return nil
	}
	return l.serve(e, head, now)
}

// reason notes why the service is asked.
func (l *Lookup) reason(e *entry, other bool) {
	switch {
	case e != nil && l.asked.head, e != nil && l.asked.ranged && e.head.Load().left(time.Now()) > 0:
		l.Forward = "miss"
	case e != nil:
		l.Forward = "stale"
	case other:
		l.Forward = "vary-miss"
	default:
		l.Forward = "uri-miss"
	}
}

// collapses reports whether the request may wait for another one for the same
// answer. It may not if it has credentials, or if the answer would have to be
// validated for each request anyway.
func (l *Lookup) collapses(e *entry) bool {
	if l.alone || l.Rules.Collapse <= 0 || l.asked.head || l.asked.credentials || l.asked.ranged {
		return false
	}
	if e == nil {
		return true
	}
	head := e.head.Load()
	return head.left(head.stored) > 0
}

// fetch begins a fetch, or finds the flight of another request. A request whose
// answer is not stored has neither. again reports that the request has to look
// into the store again.
func (l *Lookup) fetch() (f *fetch, other *flight, again bool) {
	if l.asked.head || l.asked.ranged || l.passes {
		return nil, nil, false
	}
	f, other = l.Cache.begin(l, l.context(), !l.alone)
	return f, other, f == nil && other == nil
}

// patience returns how long the rest of an answer is read for the store after
// its own client has left.
func (l *Lookup) patience() time.Duration {
	if l.call.ResponseTimeout > 0 {
		return l.call.ResponseTimeout
	}
	return time.Minute
}

// unsatisfied returns the answer to only-if-cached if nothing usable is stored
// (RFC 9111 section 5.2.1.7).
func (l *Lookup) unsatisfied() *http.Response {
	l.Result, l.Memory, l.Detail = Miss, true, "only-if-cached"
	l.response = http.Response{
		StatusCode: http.StatusGatewayTimeout, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Cache-Control": {"no-store"}, "Content-Length": {"0"}}, Body: http.NoBody,
	}
	return &l.response
}

// private returns the name of the field that only this cache reads and that is
// not passed on.
func (l *Lookup) private() string {
	if len(l.Rules.Targets) == 0 {
		return ""
	}
	return l.Rules.Targets[0]
}

// withoutPrivate removes that field from an answer of the service. On a route
// without a cache it has no meaning.
func (l *Lookup) withoutPrivate(resp *http.Response) {
	if !l.Memory && l.Rules.On() {
		delete(resp.Header, l.private())
	}
}

// invalidate drops the answers that a request with an unsafe method may have
// changed (RFC 9111 section 4.4).
func (l *Lookup) invalidate(resp *http.Response) {
	if resp.StatusCode < 200 || resp.StatusCode >= 400 {
		return
	}
	store := l.Cache.store
	store.dropURL(l.url)
	for _, name := range [...]string{"Location", "Content-Location"} {
		reference := first(resp.Header, name)
		if reference == "" {
			continue
		}
		if l.Outside != nil {
			reference = l.Outside(reference)
		}
		if other, ok := sameOrigin(string(l.url), reference); ok {
			store.dropURL([]byte(withoutParameters(other, l.Rules.IgnoreQuery)))
		}
	}
}
