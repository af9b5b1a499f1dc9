package cache

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// service is a Sender whose answers a test makes.
type service struct {
	asked  atomic.Int32
	answer func(r *http.Request, c *wire.Call) (*http.Response, error)

	mu   sync.Mutex
	last http.Header // as the service sees the latest request
}

func (s *service) Send(r *http.Request, c *wire.Call) (*http.Response, error) {
	s.asked.Add(1)
	h := r.Header.Clone()
	for _, f := range c.Fields {
		delete(h, f.Name)
		if f.Value != "" {
			h[f.Name] = []string{f.Value}
		}
	}
	s.mu.Lock()
	s.last = h
	s.mu.Unlock()
	n := *r
	n.Header = h
	return s.answer(&n, c)
}

// says returns an answer whose fields are lines such as "Cache-Control:
// max-age=60".
func says(status int, content string, lines ...string) *http.Response {
	h := fields(lines...)
	if h["Date"] == nil {
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	return &http.Response{
		StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: h, ContentLength: int64(len(content)),
		Body: io.NopCloser(strings.NewReader(content)),
	}
}

func fields(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}

// always answers everything alike.
func always(status int, content string, lines ...string) *service {
	return &service{answer: func(*http.Request, *wire.Call) (*http.Response, error) {
		return says(status, content, lines...), nil
	}}
}

// kit is a cache in front of a service.
type kit struct {
	t       testing.TB
	cache   *Cache
	rules   *config.Cache
	service wire.Sender
	route   string
	running sync.WaitGroup // refreshes
}

func newKit(t testing.TB, s wire.Sender) *kit {
	return &kit{
		t: t, cache: New(8<<20, 1<<20), service: s,
		rules: &config.Cache{
			Mode: config.CacheOrigin, DefaultTTL: time.Hour, MaxTTL: 24 * time.Hour, StaleIfError: time.Minute,
			Collapse: 5 * time.Second, Targets: []string{"Pillion-Cache-Control", "Cdn-Cache-Control"},
		},
	}
}

// got is an answer and what the cache said about it.
type got struct {
	status  int
	header  http.Header
	content string
	result  Result
	say     string
	age     time.Duration
	stored  bool
	err     error
}

func (g got) hit() bool { return g.result == Hit }

func request(method, target string, lines ...string) *http.Request {
	r := &http.Request{
		Method: method, RequestURI: target, Host: "example.com", ProtoMajor: 1, ProtoMinor: 1, Proto: "HTTP/1.1",
		Header: fields(lines...), Body: http.NoBody,
	}
	r.URL, _ = url.ParseRequestURI(target)
	return r
}

func (k *kit) get(target string, lines ...string) got { return k.do(request("GET", target, lines...)) }

func (k *kit) do(r *http.Request) got {
	l := k.lookup(r)
	defer l.Release()
	resp, err := l.Send(r, &wire.Call{ResponseTimeout: time.Minute})
	return result(l, resp, err)
}

func (k *kit) lookup(r *http.Request) *Lookup {
	l := NewLookup()
	l.Cache, l.Rules, l.Route, l.Scheme, l.Host, l.Next = k.cache, k.rules, k.route, "http", r.Host, k.service
	l.Background = func(r *http.Request, run func(wire.Sender, *wire.Call)) {
		k.running.Go(func() { run(k.service, &wire.Call{}) })
	}
	return l
}

func result(l *Lookup, resp *http.Response, err error) got {
	if err != nil {
		return got{err: err, result: l.Result}
	}
	var content bytes.Buffer
	_, err = io.Copy(&content, resp.Body)
	resp.Body.Close()
	return got{
		status: resp.StatusCode, header: resp.Header, content: content.String(), result: l.Result,
		say: string(l.AppendStatus(nil)), age: l.Age, stored: l.Stored, err: err,
	}
}

// empty fails unless nothing holds memory, and forgets what is stored.
func (k *kit) empty() {
	k.t.Helper()
	k.running.Wait()
	k.cache.PurgeAll()
	if n := k.cache.Bytes(); n != 0 {
		k.t.Errorf("%d bytes are taken for nothing", n)
	}
	for i := range k.cache.store.shards {
		if sh := &k.cache.store.shards[i]; len(sh.resources) != 0 || sh.count != 0 || sh.newest != nil || sh.oldest != nil {
			k.t.Errorf("shard %d is not empty", i)
		}
	}
}
