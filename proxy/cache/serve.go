package cache

import (
	"net/http"
	"time"
)

// serve makes an answer of an entry, which then belongs to the answer. It
// returns nil if the entry's body broke off.
func (l *Lookup) serve(e *entry, head *stored, now time.Time) *http.Response {
	l.Memory, l.Age, l.TTL = true, head.age(now), head.left(now)
	l.response = http.Response{
		StatusCode: head.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: head.header(), ContentLength: head.length,
	}
	conditional := l.asked.conditional && head.status == http.StatusOK
	if conditional && notModified(l.request, head.header(), now) {
		l.response.StatusCode, l.response.ContentLength = http.StatusNotModified, 0
		l.response.Header = withoutContent(head.header())
		return l.bodyless(e)
	}
	if l.asked.head {
		return l.bodyless(e)
	}
	s, w := span{}, whole
	if l.asked.ranged && e.body.complete() {
		s, w = rangeOf(l.request, head, now)
	}
	if w == nothing {
		l.response.StatusCode, l.response.ContentLength = http.StatusRequestedRangeNotSatisfiable, 0
		l.response.Header = ranged(head.header(), contentRange(s, w, head.length), 0)
		return l.bodyless(e)
	}
	if !e.body.reader(&l.reader) {
		return nil
	}
	l.reader.entry, l.reader.context = e, l.context()
	l.response.Body = &l.reader
	if w == part {
		l.reader.skip(s.start, s.length)
		l.response.StatusCode, l.response.ContentLength = http.StatusPartialContent, s.length
		l.response.Header = ranged(head.header(), contentRange(s, w, head.length), s.length)
	}
	return &l.response
}

// bodyless completes an answer that has no body.
func (l *Lookup) bodyless(e *entry) *http.Response {
	l.drop(e)
	l.response.Body = http.NoBody
	return &l.response
}

// ranged returns the fields of a 206 or a 416.
func ranged(h http.Header, field string, length int64) http.Header {
	n := make(http.Header, len(h)+2)
	for name, values := range h {
		n[name] = values
	}
	n["Content-Range"], n["Content-Length"] = []string{field}, []string{decimal(length)}
	return n
}
