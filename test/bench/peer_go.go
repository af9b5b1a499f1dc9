//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"time"
)

// newGoPeer is one of the two proxies that live inside the bench: this program
// in another role.
func newGoPeer(role string) (peer, error) {
	path, err := os.Executable()
	return peer{name: role, binary: path, command: func(s setup) (*exec.Cmd, error) {
		if s.GRPC {
			return nil, errors.New("does not speak gRPC")
		}

		arg, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}

		cmd := exec.Command(path, role, string(arg))
		cmd.Env = environment("GOMAXPROCS=1")
		return cmd, nil
	}}, err
}

// runReverseProxy is the main function of the standard library's proxy, tuned:
// a pool as large as the load, pooled copy buffers, no client hints added.
func runReverseProxy(arg string) error {
	return serveGoPeer(arg, func(targets []*url.URL, t *http.Transport) http.Handler {
		return &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(targets[rand.IntN(len(targets))])
				r.Out.Host = r.In.Host
			},
			Transport:  t,
			BufferPool: &buffers{},
			ErrorLog:   log.New(os.Stderr, "", 0),
		}
	})
}

// runArticle is the main function of a design from tutorials: one shared proxy
// whose Director is replaced for every request. Two concurrent requests may get
// each other's backends. It is measured for its cost, and is no example.
func runArticle(arg string) error {
	return serveGoPeer(arg, func(targets []*url.URL, _ *http.Transport) http.Handler {
		//lint:ignore SA1019 the design is measured as it was published
		proxy := &httputil.ReverseProxy{Director: func(*http.Request) {}}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			target := targets[rand.IntN(len(targets))]

			//lint:ignore SA1019 and so is its race
			proxy.Director = func(r *http.Request) {
				r.URL.Scheme = target.Scheme
				r.URL.Host = target.Host
				r.Host = target.Host
			}
			proxy.ServeHTTP(w, r)
		})
	})
}

func serveGoPeer(arg string, handler func([]*url.URL, *http.Transport) http.Handler) error {
	var s setup
	if err := json.Unmarshal([]byte(arg), &s); err != nil {
		return err
	}

	var targets []*url.URL
	for _, b := range s.Backends {
		targets = append(targets, &url.URL{Scheme: s.scheme(), Host: b})
	}

	transport := &http.Transport{
		MaxIdleConns: 0, MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Hour,
		DisableCompression: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
	}
	if s.TLS {
		pem, err := os.ReadFile(s.CA)
		if err != nil {
			return err
		}

		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return fmt.Errorf("no certificate in %s", s.CA)
		}

		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
		http.DefaultTransport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
	}

	l, err := net.Listen("tcp4", s.Listen.String())
	if err != nil {
		return err
	}

	go exitWithParent()
	return (&http.Server{Handler: handler(targets, transport)}).Serve(l)
}

// buffers is a httputil.BufferPool.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
