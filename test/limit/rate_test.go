package limit

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/binary"
)

func TestRate_ARefusalIs429WithRetryAfter(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, app(t), "LB_RATE_LIMIT=2/m?name=calm")
	for i, want := range []int{200, 200, 429, 429} {
		resp := get(t, p, "/")
		after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if resp.StatusCode != want || (want == 429) != (err == nil && after > 0 && after <= 30) {
			t.Errorf("request %d: %s, want %d, with Retry-After if refused: %v", i, resp.Status, want, resp.Header)
		}
		if want == 429 && (resp.Header.Get("X-Request-Id") == "" || resp.Header.Get("Cache-Control") != "no-store") {
			t.Errorf("request %d: want X-Request-Id and Cache-Control: no-store: %v", i, resp.Header)
		}
	}

	line := message(p, "access refused")
	if line.String("reason") != "rate:calm" {
		t.Errorf("the reason is %q, want rate:calm", line.String("reason"))
	}
}

func TestRate_APathIsLimitedInEverySpelling(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, app(t), "LB_RATE_LIMIT=2/h?path=/login&method=POST")
	post := func(path string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()

		return resp.StatusCode
	}
	for i, path := range []string{"/login", "/LOGIN?x", "/log%69n", "/%256cogin", "//login/"} {
		want := http.StatusOK
		if i >= 2 {
			want = http.StatusTooManyRequests
		}
		if got := post(path); got != want {
			t.Errorf("%s: status %d, want %d", path, got, want)
		}
	}
	if got := post("/logins"); got != http.StatusOK {
		t.Errorf("another path: status %d, want 200", got)
	}
	if got := get(t, p, "/login").StatusCode; got != http.StatusOK {
		t.Errorf("another method: status %d, want 200", got)
	}
}

// A client is the address that a trusted proxy reports, and a client of IPv6 is
// its /64 network.
func TestRate_ClientsAreThoseThatTrustedProxiesReport(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, app(t), "LB_RATE_LIMIT=1/h", "LB_TRUSTED_PROXIES=127.0.0.0/8")
	for _, c := range []struct {
		client string
		want   int
	}{
		{"203.0.113.1", 200},
		{"203.0.113.2", 200},
		{"203.0.113.1", 429},
		{"2001:db8:0:1::1", 200},
		{"2001:db8:0:1:9:9:9:9", 429}, // the same /64
		{"2001:db8:0:2::1", 200},
		{"nobody", 200},
		{"somebody else", 429}, // all texts that are no address are one client
	} {
		if got := get(t, p, "/", "X-Forwarded-For", c.client).StatusCode; got != c.want {
			t.Errorf("%s: status %d, want %d", c.client, got, c.want)
		}
	}
}

// A request without its key, or with two keys, is counted by its client. A
// client can't avoid the limit by leaving the key out.
func TestRate_RequestsWithoutAKeyAreLimitedByClient(t *testing.T) {
	t.Parallel()
	for by, key := range map[string][]string{
		"header:X-Key": {"X-Key", "a"},
		"cookie:sid":   {"Cookie", "x=1; sid=a"},
	} {
		p := pillion.Start(t, app(t), "LB_RATE_LIMIT=1/h?by="+by)
		for i, c := range []struct {
			fields []string
			want   int
		}{
			{key, 200},
			{key, 429},
			{nil, 200}, // by its client
			{nil, 429},
			{[]string{"X-Key", "b", "X-Key", "c", "Cookie", "sid=b", "Cookie", "sid=c"}, 429},
			{[]string{"X-Key", "", "Cookie", "sid="}, 429},
		} {
			if got := get(t, p, "/", c.fields...).StatusCode; got != c.want {
				t.Errorf("by=%s, request %d: status %d, want %d", by, i, got, c.want)
			}
		}
	}
}

// Every limit counts each request. Retry-After is the longest wait of those
// limits that refuse.
func TestRate_EveryLimitCounts(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, app(t), "LB_RATE_LIMIT=1/s?name=second;3/h?name=hour;1/h?dry=true")
	for i, want := range []int{200, 429, 429, 429} {
		resp := get(t, p, "/")
		if resp.StatusCode != want {
			t.Errorf("request %d: %s, want %d", i, resp.Status, want)
		}
		if after, _ := strconv.Atoi(resp.Header.Get("Retry-After")); i == 3 && after < 1000 {
			t.Errorf("Retry-After is %d, want 1000 at least", after)
		}
	}
}

func TestRate_RoutesThatInheritALimitCountTogether(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, app(t), "LB_ROUTE__A=/a", "LB_SERVICE__A=default", "LB_ROUTE__B=/b", "LB_SERVICE__B=default",
		"LB_ROUTE__C=/c", "LB_SERVICE__C=default", "LB_RATE_LIMIT=2/h", "LB_RATE_LIMIT__C=1/h",
		"LB_ROUTE__D=/d", "LB_SERVICE__D=default", "LB_RATE_LIMIT__D=none")
	for i, c := range []struct {
		path string
		want int
	}{{"/a", 200}, {"/b", 200}, {"/a", 429}, {"/", 429}, {"/c", 200}, {"/c", 429}, {"/d", 200}, {"/d", 200}} {
		if got := get(t, p, c.path).StatusCode; got != c.want {
			t.Errorf("request %d, %s: status %d, want %d", i, c.path, got, c.want)
		}
	}

	line := p.Line("a refusal of route c", func(l binary.Line) bool { return l.String("reason") == "rate:c.limit-1" })
	if line.String("route") != "c" {
		t.Errorf("the route is %q, want c", line.String("route"))
	}
}

// A client with LB_CLIENT_IN_FLIGHT requests in flight gets 429 for another
// one. Other clients are served.
func TestInFlight_ABusyClientIsRefusedAndOthersAreServed(t *testing.T) {
	t.Parallel()
	began, done := make(chan struct{}, 8), make(chan struct{})
	p := pillion.Start(t, slowApp(t, began, done), "LB_CLIENT_IN_FLIGHT=2", "LB_TRUSTED_PROXIES=127.0.0.0/8")
	ended := make(chan int, 2)
	for range 2 {
		go func() { ended <- get(t, p, "/", "X-Forwarded-For", "203.0.113.1").StatusCode }()
		<-began
	}

	resp := get(t, p, "/", "X-Forwarded-For", "203.0.113.1")
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("the third request: %s, want 429 and Retry-After: 1: %v", resp.Status, resp.Header)
	}
	go func() { ended <- get(t, p, "/", "X-Forwarded-For", "203.0.113.2").StatusCode }()
	<-began

	close(done)
	for range 3 {
		if got := <-ended; got != http.StatusOK {
			t.Errorf("a request in flight: status %d, want 200", got)
		}
	}
	if got := get(t, p, "/", "X-Forwarded-For", "203.0.113.1").StatusCode; got != http.StatusOK {
		t.Errorf("after the others have ended: status %d, want 200", got)
	}
	if line := message(p, "access refused"); line.String("reason") != "in_flight" {
		t.Errorf("the reason is %q, want in_flight", line.String("reason"))
	}
}
