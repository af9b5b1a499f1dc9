package h2

import (
	"io"
	"sync"
	"time"
)

// uploadBuffers are for copying from a client's body to a backend.
var uploadBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// upload sends the content of a request as it comes. It is the goroutine of a
// call whose content is not in memory. It ends with the stream. A read of the
// client's body that is in progress then returns when that body ends, and its
// bytes are dropped.
func (k *call) upload(content io.Reader) {
	buf := uploadBuffers.Get().(*[]byte)
	defer uploadBuffers.Put(buf)
	for {
		n, err := content.Read(*buf)
		if !k.pass((*buf)[:n], err) {
			return
		}
	}
}

// pass sends the result of a read of the client's body. It reports false if the
// upload is over.
func (k *call) pass(p []byte, err error) (more bool) {
	c := k.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && err != io.EOF {
		k.spoil(err)
		return false
	}
	end := err == io.EOF
	trailers := end && !k.gone && k.trailers()
	_, err = k.send(p, end && !trailers, k.patience())
	switch {
	case err == errTimeout:
		if k.err == nil {
			k.err = err
			k.wakeUp()
		}
		return false
	case err != nil:
		return false
	}
	if trailers {
		c.appendSection(k.id, 0, k.fields, true)
		k.outEnd = true
	}
	if end {
		k.sent(time.Now())
	}
	c.kick()
	return !end
}

// spoil ends the call because of the client's body. The caller holds the mutex.
func (k *call) spoil(err error) {
	if k.gone || k.err != nil || k.inEnd {
		return
	}
	if !k.response.headed {
		k.bodyFail.Store(bodyError(err, 0))
	}
	k.err = err
	k.wakeUp()
}

// patience returns how long the backend may accept none of the content. After
// its answer has begun, there is no limit.
func (k *call) patience() time.Duration {
	if k.response.begun {
		return 0
	}
	return k.transport.StallTimeout
}

// trailers lists the trailers of the request, which are there at the end of its
// body. It reports whether there are any.
func (k *call) trailers() bool {
	k.fields = k.fields[:0]
	said := k.wire.Said()
	for key, values := range k.request.Trailer {
		if n := nameOf(key); n != nil && n.kind == plain && !said.Has(n.key) {
			k.fields = appendFields(k.fields, n, values)
		}
	}
	return len(k.fields) > 0
}

// uploadInline sends content that is in memory and did not fit into the
// windows.
func (k *call) uploadInline(p []byte) { k.pass(p, io.EOF) }
