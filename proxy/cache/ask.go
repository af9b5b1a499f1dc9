package cache

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// ask sends the request to the service. e is the stored answer that is stale,
// or nil. f is nil for a request whose answer is not stored. ask releases both,
// unless the answer keeps them. asked is the time now.
func (l *Lookup) ask(f *fetch, e *entry, asked time.Time) (*http.Response, error) {
	l.Result, l.Shared = Miss, false
	c, validates := l.prepare(f, e)
	resp, err := l.send(f, e, c)
	came := time.Now()
	l.coded, l.uncoded = c.Coded, c.Uncoded

	if stale := l.insteadOf(resp, err, e, came); stale != nil {
		if resp != nil {
			resp.Body.Close()
		}
		f.land(errService)
		f.close()
		return stale, nil
	}
	switch {
	case err != nil:
		f.land(wire.AsError(err))
		f.close()
		l.drop(e)
		return nil, err
	case f == nil:
		l.drop(e)
		return resp, nil
	case validates && resp.StatusCode == http.StatusNotModified:
		return l.validated(f, e, resp, asked, came)
	}
	l.supersede(f, e, resp.StatusCode)
	l.drop(e)
	return l.take(f, resp, asked, came), nil
}

// send asks the service. After a panic it ends the fetch, so that the requests
// that wait for the answer look again at once, and releases e.
func (l *Lookup) send(f *fetch, e *entry, c *wire.Call) (resp *http.Response, err error) {
	returned := false
	defer func() {
		if !returned {
			f.close()
			l.drop(e)
		}
	}()
	resp, err = l.Next.Send(l.request, c)
	returned = true

	return resp, err
}

// errService makes the waiting requests use the stale answer, as the request
// did that they waited for.
var errService = &wire.Error{
	Outcome: wire.Broken, Phase: wire.Head, Err: errors.New("the service failed"),
}

// prepare makes the call with which the service is asked. It has a context of
// its own, because other clients may want the answer after this one has left.
func (l *Lookup) prepare(f *fetch, e *entry) (c *wire.Call, validates bool) {
	if f == nil {
		return l.call, false
	}
	l.own = *l.call
	if f.flight != nil {
		l.own.Context = &f.context
	}
	l.fields = append(l.fields[:0], l.call.Fields...)
	switch {
	case e != nil && hasValidator(e.head.Load().header()):
		l.fields = conditions(l.fields, e.head.Load().header())
		validates = true
	case l.asked.conditional && !l.asked.credentials && !l.marked:
		l.fields = unconditional(l.fields)
		l.stripped = true
	}
	l.own.Fields = l.fields
	return &l.own, validates
}

// failed reports whether a status is a failure of the service (RFC 5861 section
// 4).
func failed(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout:
		return true
	}
	return false
}

// usable reports whether a stale answer may be used because the service fails.
func (l *Lookup) usable(head *stored, now time.Time) bool {
	left := head.left(now)
	return left > 0 || head.ifError > 0 && -left < head.ifError
}

// insteadOf returns the stale answer that a client gets when the service
// failed, or nil if there is none. The entry then belongs to the answer.
func (l *Lookup) insteadOf(resp *http.Response, err error, e *entry, now time.Time) *http.Response {
	switch {
	case e == nil, err == nil && !failed(resp.StatusCode):
		return nil
	case err != nil && wire.AsError(err).Client != wire.NoFault:
		return nil
	}
	head := e.head.Load()
	if !l.usable(head, now) {
		return nil
	}
	stale := l.serve(e, head, now)
	if stale == nil {
		return nil
	}
	l.Result, l.Detail = Stale, "stale-if-error"
	if resp != nil {
		l.Status = resp.StatusCode
	}
	return stale
}

// instead returns the stale answer for a request that waited for another one,
// which failed.
func (l *Lookup) instead(err *wire.Error) (*http.Response, error) {
	now := time.Now()
	e, _ := l.shard.find(l.hash, l.url, l.key, &l.view, now)
	if e == nil || e.marker != nil {
		return nil, err
	}
	if stale := l.insteadOf(nil, err, e, now); stale != nil {
		return stale, nil
	}
	l.drop(e)
	return nil, err
}

// validated handles the 304 that confirms the stored answer (RFC 9111 section
// 4.3.4). It does not compare the tag of the 304, because only this answer's
// validators were sent, and a server that compresses may send another tag.
func (l *Lookup) validated(
	f *fetch, e *entry, resp *http.Response, asked, came time.Time,
) (*http.Response, error) {
	old := e.head.Load()
	fresh := old.updated(resp.Header, l.private(), came)
	a := l.readAnswer(fresh.with(resp.Header["Age"], l.private()), asked, came)
	if !l.asked.credentials {
		a.assume(&http.Response{StatusCode: fresh.status, Header: fresh.header()}, l.Rules)
	}
	a.settle()
	fresh.freshness = a.freshness
	switch {
	case a.noStore || a.private:
		l.Cache.store.discard(f.shard, e)
	case l.choosesBy(e, resp.Header):
		h := fresh.header()
		h["Vary"] = slices.Concat(h["Vary"], cloned(resp.Header["Vary"]))
		l.Cache.store.discard(f.shard, e)
	case l.asked.credentials && !l.forAll(fresh.header(), &a):
		// It says nothing about what other clients may get.
	default:
		l.Stored = l.Cache.store.refit(f.shard, e, old, fresh)
	}

	resp.Body.Close()
	f.close()
	answer := l.serve(e, fresh, came)
	if answer == nil { // its body was still growing, and broke off
		l.drop(e)
		return nil, &wire.Error{Outcome: wire.Broken, Phase: wire.Body, Err: errAborted}
	}
	l.Status, l.Result = resp.StatusCode, Revalidated
	return answer, nil
}

// choosesBy reports whether the Vary of a 304 names a field by which the entry
// was not chosen. Requests that differ in that field must not get the entry any
// more.
func (l *Lookup) choosesBy(e *entry, h http.Header) bool {
	names, ok := varyNames(h["Vary"])
	if !ok {
		return true
	}
	return slices.ContainsFunc(coded(names, l.coded), func(name string) bool {
		return name != ourCoding && !slices.Contains(e.vary, name)
	})
}

// supersede drops a stale answer that a newer one replaces. Otherwise it would
// still be used when the service fails, although its page may have been removed
// or made private since.
func (l *Lookup) supersede(f *fetch, e *entry, status int) {
	if e == nil || l.asked.credentials {
		return
	}
	switch {
	case status < http.StatusBadRequest, status == http.StatusUnauthorized,
		status == http.StatusForbidden, status == http.StatusNotFound, status == http.StatusGone,
		status == http.StatusUnavailableForLegalReasons:
		l.Cache.store.discard(f.shard, e)
	}
}

// take stores an answer of the service if it may be stored. The client gets the
// answer as it is, or a 304 if it has it already.
func (l *Lookup) take(f *fetch, resp *http.Response, asked, came time.Time) *http.Response {
	a := l.readAnswer(resp, asked, came)
	if !l.asked.credentials {
		a.assume(resp, l.Rules)
	}
	a.settle()
	mine := resp
	if l.mayStore(resp, &a) {
		if kept := f.keep(resp, &a, l); kept != nil {
			mine, l.Stored = kept, true
		}
	}
	if !l.Stored {
		l.fetched = f
		f.remember(l, resp, came) // before the waiting requests go on
	}
	f.land(nil)
	if l.stripped && mine.StatusCode == http.StatusOK && notModified(l.request, mine.Header, came) {
		mine = l.unmodified(mine)
	}
	return mine
}

// unmodified turns an answer into the 304 that the client asked for. If the
// answer is being stored, Close reads its body to the end.
func (l *Lookup) unmodified(resp *http.Response) *http.Response {
	if l.Stored {
		n := resp.ContentLength
		l.Lingers = n < 0 || int64(l.reader.Buffered()) < n
		l.reader.wanted, l.reader.left = true, 0
	} else {
		l.response = *resp
		l.response.Body = emptied{resp.Body}
	}
	n := &l.response
	n.StatusCode, n.Status, n.ContentLength = http.StatusNotModified, "", 0
	n.Header = withoutContent(resp.Header)
	return n
}

// emptied is a body that is closed without being read.
type emptied struct{ io.Closer }

// Read returns io.EOF.
func (emptied) Read([]byte) (int, error) { return 0, io.EOF }
