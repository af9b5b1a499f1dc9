package h1

import (
	"net/http"
	"strconv"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// refuse answers a message that no handler gets, and calls Rejected. The client
// gets a status and an id, but not the reason. The connection ends after the
// answer.
func (c *conn) refuse(why *refusal) {
	id := wire.RandomID()
	if why == notHTTP && c.fresh {
		c.x.request.Close = false
		c.report(0, id, why.reason)
		return
	}

	text := wire.ErrorText(why.status, id)

	b := append(c.x.writer.out[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(why.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(why.status)...)
	b = append(b, "\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nDate: "...)
	b = append(b, c.server.date()...)
	b = append(b, "\r\nX-Request-Id: "...)
	b = append(b, id...)
	if why.status == http.StatusServiceUnavailable {
		b = append(b, "\r\nRetry-After: 1"...)
	}

	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	b = append(b, "\r\n\r\n"...)
	b = append(b, text...)
	c.write(b)
	c.x.request.Close = false // what follows is unknown
	c.x.writer.out = b[:0]
	if why != refusedMemory {
		c.report(why.status, id, why.reason)
	}
}

func (c *conn) report(status int, id, reason string) {
	if c.server.Rejected != nil {
		c.server.Rejected(c.c.RemoteAddr(), status, id, reason)
	}
}
