package test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// TestCache_ACodingThatOthersCannotReadIsNotStored: the key knows some codings
// only, so clients that name others share a variant with those that name none.
func TestCache_ACodingThatOthersCannotReadIsNotStored(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Encoding")
		w.Header().Set("Cache-Control", "max-age=60")
		for _, coding := range []string{"compress", "dcz", "gzip"} {
			if strings.Contains(r.Header.Get("Accept-Encoding"), coding) {
				w.Header().Set("Content-Encoding", coding)
				break
			}
		}
		_, _ = io.WriteString(w, "content")
	})
	p := startCache(t, b)
	client := newClient(t)
	for _, c := range []struct{ accepts, coding string }{
		{"compress", "compress"}, {"", ""}, {"other", ""}, {"gzip, dcz", "dcz"}, {"gzip", "gzip"},
	} {
		a := get(t, client, p.URL("/"), "Accept-Encoding", c.accepts)
		if said := a.Header.Get("Content-Encoding"); said != c.coding {
			t.Errorf("Accept-Encoding: %s gets %q, %v", c.accepts, said, a.Header["Cache-Status"])
		}
	}
	if a := get(t, client, p.URL("/"), "Accept-Encoding", "gzip"); !isHit(a) {
		t.Errorf("a known coding is not stored: %v", a.Header)
	}
}

// TestCache_ItsOwnFieldIsNotPassedOn holds for requests that bypass it, too.
func TestCache_ItsOwnFieldIsNotPassedOn(t *testing.T) {
	t.Parallel()
	b := caching(t, nil)
	target := "/?Pillion-Cache-Control=max-age%3D60"
	p := startCache(t, b)
	for version, client := range clients(t) {
		for _, c := range [][]string{
			{"POST"}, {"OPTIONS"}, {"GET", "Cache-Control", "no-store"}, {"GET", "X-Original-URL", "/x"},
			{"GET", "If-Match", "*"}, {"GET", "Authorization", "x"}, {"HEAD"}, {"GET", "Range", "bytes=0-1"}, {"GET"},
		} {
			a := send(t, client, newRequest(t, c[0], p.URL(target), nil, c[1:]...))
			if said := a.Header["Pillion-Cache-Control"]; said != nil {
				t.Errorf("%s %v: %q", version, c, said)
			}
		}
	}
	off := pillion.Start(t, "LB_BACKENDS="+b.Target(), "LB_ROUTE__ON=/on", "LB_CACHE__ON=origin")
	for _, method := range []string{"GET", "POST"} {
		a := send(t, newClient(t), newRequest(t, method, off.URL(target), nil))
		if a.Header.Get("Pillion-Cache-Control") == "" {
			t.Errorf("%s: on a route without a cache it is not Pillion's", method)
		}
	}
}

// TestCache_InvalidatesWhatALocationNames resolves references as clients do:
// with the prefix that the route removes, and in every form.
func TestCache_InvalidatesWhatALocationNames(t *testing.T) {
	t.Parallel()
	b := caching(t, nil)
	p := pillion.Start(t, "LB_BACKENDS__API="+b.Target(), "LB_ROUTE__API=/api/*", "LB_REWRITE__API=/*",
		"LB_CACHE=origin", "LB_CACHE_IGNORE_QUERY=utm_*")
	client := newClient(t)
	item := p.URL("/api/items/5" + fresh)
	query := strings.ReplaceAll(fresh, "%", "%25")
	for reference, gone := range map[string]bool{
		"/items/5": true, "5": true, "../items/./5": true, "/items/x/../5": true,
		"//" + p.Address + "/items/5": true, "HTTP://" + p.Address + "/items/5": true,
		"http://" + p.Address + "/items/5": true, "http://example.com/items/5": false,
		"https://" + p.Address + "/items/5": false, "/other/5": false,
	} {
		for _, field := range []string{"Location", "Content-Location"} {
			get(t, client, item)
			by := fmt.Sprintf("/api/items/?%s=%s%s", field, reference, query)
			send(t, client, newRequest(t, "POST", p.URL(by), nil))
			if a := get(t, client, item); isHit(a) == gone {
				t.Errorf("%s: %s: %v", field, reference, a.Header["Cache-Status"])
			}
		}
	}
	send(t, client, newRequest(t, "POST", p.URL("/api/items/?Location=5"+query+"%26utm_x=1"), nil))
	if a := get(t, client, item); isHit(a) {
		t.Errorf("with an ignored parameter: %v", a.Header["Cache-Status"])
	}
}

// TestCache_ALongURLCounts: what is remembered of answers that can't be stored
// holds their URLs.
func TestCache_ALongURLCounts(t *testing.T) {
	t.Parallel()
	const urls, length = 50, 40 << 10
	b := caching(t, nil)
	p := startCache(t, b, "LB_CACHE_SIZE=64MiB", "LB_STATUS_TOKEN="+watchword)
	client := newClient(t)
	for n := range urls {
		get(t, client, p.URL(fmt.Sprintf("/%d%s", n, strings.Repeat("x", length))))
	}
	if counted := sum(metricsText(t, p.URL("")), "lb_cache_bytes"); counted < urls*length {
		t.Errorf("%d URLs of %d bytes count as %d bytes", urls, length, counted)
	}
}
