package test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/otlp"
)

// serverSpan waits for the SERVER span of a caller's request. Its CLIENT span
// ends earlier and may come in another export.
func serverSpan(t *testing.T, r *otlp.Receiver, c caller) (found *otlp.Span) {
	t.Helper()
	await.Until(t, "the SERVER span of a trace is there", func() bool {
		for _, s := range r.All() {
			if s.Trace == c.Trace && s.Server {
				found = s
			}
		}
		return found != nil
	})

	return found
}

// TestCache_FollowersLinkToTheirLeader makes two requests for the same answer
// at once.
func TestCache_FollowersLinkToTheirLeader(t *testing.T) {
	t.Parallel()
	asked, goOn := make(chan bool, 9), make(chan bool)
	b := caching(t, func(w http.ResponseWriter, _ *http.Request) {
		asked <- true
		<-goOn
		_, _ = io.WriteString(w, "done")
	})
	receiver := otlp.Start(t)
	p := startCache(t, b, append(receiver.Environment(), "LB_STATUS_TOKEN="+watchword,
		"OTEL_METRICS_EXPORTER=prometheus")...)
	leader, follower := newCaller(), newCaller()
	done := make(chan string, 2)
	ask := func(c caller) {
		a, err := exchange(newClient(t), newRequest(t, "GET", p.URL("/"+fresh), nil, "Traceparent", c.Field()))
		if err != nil {
			t.Error(err)
			done <- ""
			return
		}
		done <- a.Header.Get("Cache-Status")
	}
	go ask(leader)
	soon(t, "the leader's request", asked)
	go ask(follower)
	await.Until(t, "both are in", func() bool {
		return sum(metricsText(t, p.URL("")), "http_server_active_requests") >= 2
	})
	close(goOn)
	said := []string{soon(t, "an answer", done), soon(t, "an answer", done)}
	if b.Hits() > 1 || !slices.Contains(said, "pillion; fwd=uri-miss; stored") {
		t.Fatalf("not one request: %q", said)
	}

	first, second := serverSpan(t, receiver, leader), serverSpan(t, receiver, follower)
	if len(first.Links) != 0 ||
		second.Attributes["lb.cache.result"] == "collapsed" && !slices.Equal(second.Links, []string{first.ID}) {
		t.Errorf("the leader %s links to %q, the follower (%v) to %q", first.ID, first.Links,
			second.Attributes["lb.cache.result"], second.Links)
	}
}

// TestCache_ARefreshHasATraceOfItsOwn checks that a refresh has its own trace
// with the CLIENT span, and a link to the request that caused it.
func TestCache_ARefreshHasATraceOfItsOwn(t *testing.T) {
	t.Parallel()
	b := caching(t, nil)
	receiver := otlp.Start(t)
	p := startCache(t, b, receiver.Environment()...)
	target := p.URL("/?Cache-Control=max-age%3D0,stale-while-revalidate%3D600&Etag=%22a%22")
	get(t, newClient(t), target)
	c := newCaller()
	a := get(t, newClient(t), target, "Traceparent", c.Field())
	if !strings.Contains(a.Header.Get("Cache-Status"), "stale-while-revalidate") {
		t.Fatalf("%v", a.Header)
	}
	cause := serverSpan(t, receiver, c)

	var refresh *otlp.Span
	await.Until(t, "the refresh is recorded", func() bool {
		for _, s := range receiver.All() {
			if s.Name == "cache refresh" {
				refresh = s
			}
		}
		return refresh != nil
	})
	if refresh.Server || refresh.Client || refresh.Trace == c.Trace || refresh.Parent != "" ||
		!slices.Equal(refresh.Links, []string{cause.ID}) || refresh.Attributes["http.response.status_code"] != int64(200) {
		t.Errorf("%+v, caused by %s", refresh, cause.ID)
	}
	spans := receiver.Trace(t, refresh.Trace, 2)
	if client := spans[len(spans)-1]; !client.Client || client.Parent != refresh.ID {
		t.Errorf("%+v", client)
	}
}

// TestCache_CountsByRoute has several routes, because with one route the
// metrics have no label.
func TestCache_CountsByRoute(t *testing.T) {
	t.Parallel()
	b := caching(t, nil)
	p := startCache(t, b, "LB_STATUS_TOKEN="+watchword, "LB_ROUTE__NEWS=/news/*")
	for _, path := range []string{"/", "/news/a", "/news/a"} {
		get(t, newClient(t), p.URL(path+fresh))
	}
	text := metricsText(t, p.URL(""))
	for series, want := range map[string]int64{
		`lb_cache_requests_total{lb_cache_result="hit",lb_route_name="news"`:     1,
		`lb_cache_requests_total{lb_cache_result="miss",lb_route_name="news"`:    1,
		`lb_cache_requests_total{lb_cache_result="miss",lb_route_name="default"`: 1,
		`lb_cache_requests_total{lb_cache_result="hit",lb_route_name="default"`:  0,
	} {
		if got := sum(text, series); got != want {
			t.Errorf("%s: %d, want %d", series, got, want)
		}
	}
}
