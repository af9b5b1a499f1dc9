package cache

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// refreshLimit bounds how long a refresh in the background may take.
const refreshLimit = 30 * time.Second

// personal reports whether the key has values that only the client itself can
// send. Then no refresh runs in the background, and the client's next request
// validates the entry.
func (l *Lookup) personal() bool {
	if l.Authenticated && len(l.Rules.Vary) > 0 {
		return true // a field of the key may be a credential
	}

	return slices.ContainsFunc(l.Rules.Vary, func(name string) bool {
		return (name == "Cookie" || credential(name)) && len(l.view.get(name)) > 0
	})
}

// refresh validates a stale entry in the background, unless a refresh is in
// progress. One that began longer ago than refreshLimit counts as lost, because
// the process may have been stopped since.
func (l *Lookup) refresh(e *entry, head *stored, now time.Time) {
	began := e.refreshing.Load()
	if now.UnixNano()-began < int64(2*refreshLimit) ||
		!e.refreshing.CompareAndSwap(began, now.UnixNano()) {
		return
	}
	r := l.request
	h := make(http.Header, len(e.vary)+1)
	for _, name := range slices.Concat(e.vary, l.Rules.Vary) {
		switch {
		case name == ourCoding && l.Coding != wire.Identity:
			name = "Accept-Encoding" // by which the same coding is chosen
		case name == ourCoding, name == "Cookie", credential(name):
			continue
		}
		if v := l.view.get(name); len(v) > 0 {
			h[name] = cloned(v)
		}
	}
	n := &Lookup{
		Cache: l.Cache, Rules: l.Rules, url: slices.Clone(l.url), key: slices.Clone(l.key),
		hash: l.hash, shard: l.shard, Coding: l.Coding, began: now, alone: true,
	}
	request := &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host: strings.Clone(r.Host), RequestURI: strings.Clone(r.RequestURI), URL: copyURL(r.URL),
		Header: h, Body: http.NoBody, RemoteAddr: strings.Clone(r.RemoteAddr),
	}
	e.hold()
	l.Background(request, func(next wire.Sender, c *wire.Call) {
		defer e.refreshing.Store(0)
		n.renew(request, next, c, e)
	})
}

// renew asks the service for an entry's answer again, and stores the result.
func (l *Lookup) renew(r *http.Request, next wire.Sender, c *wire.Call, e *entry) {
	defer l.Release()
	l.Next, l.request, l.call = next, r, c
	l.view = view{header: r.Header, said: c.Fields, coding: l.Coding}
	f, _, _ := l.fetch() // it waits for nobody
	defer f.close()      // also after a panic
	resp, err := l.ask(f, e, time.Now())
	if err != nil {
		return
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

func copyURL(u *url.URL) *url.URL {
	if u == nil {
		return nil
	}
	n := *u
	n.Host, n.Path = strings.Clone(u.Host), strings.Clone(u.Path)
	n.RawPath, n.RawQuery = strings.Clone(u.RawPath), strings.Clone(u.RawQuery)
	return &n
}
