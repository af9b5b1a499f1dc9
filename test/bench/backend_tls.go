//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"time"
)

// serveTLS answers over TLS, one goroutine per connection. It blocks.
func serveTLS(listeners []*net.TCPListener, certFile, keyFile string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return err
	}

	conf := &tls.Config{Certificates: []tls.Certificate{cert}}
	failed := make(chan error)
	for _, l := range listeners {
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					failed <- err
					return
				}
				go serveTLSConn(tls.Server(conn, conf))
			}
		}()
	}

	return <-failed
}

func serveTLSConn(conn *tls.Conn) {
	defer conn.Close()
	answers := map[content]*answer{}
	buf := make([]byte, 16<<10)

	n := 0
	for {
		i := bytes.Index(buf[:n], blankLine)
		if i < 0 {
			m, err := conn.Read(buf[n:])
			if err != nil || n+m == len(buf) {
				return
			}
			n += m
			continue
		}

		head := i + len(blankLine)
		req, err := parseRequest(buf[:head])
		if err != nil {
			return
		}

		buffered := min(int64(n-head), req.upload)
		if _, err := io.CopyN(io.Discard, conn, req.upload-buffered); err != nil {
			return
		}

		n = copy(buf, buf[head+int(buffered):n])
		a := answers[req.answer]
		if a == nil {
			a = newAnswer(req.answer.bytes(), unkept)
			answers[req.answer] = a
		}

		if _, err := conn.Write(a.stamp(time.Now())); err != nil || req.close {
			return
		}
	}
}
