package h1

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
)

// refuse answers a message that no handler gets to see and tells the server's owner. The client learns a status and an
// id to quote, not the reason. The connection ends after it.
func (c *conn) refuse(why *refusal) {
	var random [16]byte
	rand.Read(random[:])
	id := hex.EncodeToString(random[:])
	text := http.StatusText(why.status)
	b := append(c.x.writer.out[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(why.status), 10)
	b = append(b, ' ')
	b = append(b, text...)
	b = append(b, "\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nDate: "...)
	b = append(b, c.server.date()...)
	b = append(b, "\r\nX-Request-Id: "...)
	b = append(b, id...)
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(text)+1), 10)
	b = append(b, "\r\n\r\n"...)
	b = append(b, text...)
	b = append(b, '\n')
	c.write(b)
	c.x.request.Close = false // nobody knows what else the client sends
	c.x.writer.out = b[:0]
	c.report(why.status, id, why.reason)
}

func (c *conn) report(status int, id, reason string) {
	if c.server.Rejected != nil {
		c.server.Rejected(c.c.RemoteAddr(), status, id, reason)
	}
}
