package proxy

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// ListenerTLS is the TLS configuration for clients: HTTP/2 and HTTP/1.1 by ALPN, with a certificate from two files that
// are looked at again at handshakes, at most once a second. A bad new pair leaves the old one in use. An error says
// that the pair is not usable at all.
func ListenerTLS(certFile, keyFile string) (*tls.Config, error) {
	c := &certificate{cert: certFile, key: keyFile}
	if _, err := c.get(nil); err != nil {
		return nil, fmt.Errorf("loading the certificate of LB_TLS_CERT_FILE and LB_TLS_KEY_FILE: %.200s", err.Error())
	}
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
}

// certificate is a key pair that follows its files.
type certificate struct {
	cert, key string

	mu      sync.Mutex
	checked time.Time
	stamps  [2]time.Time
	pair    *tls.Certificate
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.pair != nil && now.Sub(c.checked) < time.Second {
		return c.pair, nil
	}
	c.checked = now
	stamps := [2]time.Time{modified(c.cert), modified(c.key)}
	if c.pair != nil && stamps == c.stamps {
		return c.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	switch {
	case err == nil:
		c.pair, c.stamps = &pair, stamps
	case c.pair == nil:
		return nil, err
	}
	return c.pair, nil
}

// modified is when a file was last written; zero where there is none.
func modified(path string) time.Time {
	if info, err := os.Stat(path); path != "" && err == nil {
		return info.ModTime()
	}
	return time.Time{}
}
