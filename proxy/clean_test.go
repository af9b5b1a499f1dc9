package proxy

import (
	"net/http"
	"testing"
)

func TestClean_TheTraceOfTheCallerIsTheRequests(t *testing.T) {
	t.Parallel()
	x := new(exchange)
	x.begin(New(testConfig(t, "LB_TRUSTED_PROXIES=1"), Options{}), nil,
		request("GET", "/", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	x.clean()
	if x.record.RequestID != "0af7651916cd43dd8448eb211c80319c" || !x.record.TraceID.IsValid() {
		t.Errorf("%+v", x.record)
	}
}

func TestForwarded_DropIsSaidOnce(t *testing.T) {
	t.Parallel()
	log := new(logBook)
	p := New(testConfig(t), Options{Logger: log.Logger()})
	for range 3 {
		x := new(exchange)
		x.begin(p, nil, request("GET", "/", "X-Forwarded-For", "6.6.6.6"))
		x.clean()
	}

	if log.Count("LB_TRUSTED_PROXIES='192.0.2.7/32'") != 1 {
		t.Error("the hint is missing, or repeated")
	}
}

func TestHygiene_OnlyWebSocketsAreUpgrades(t *testing.T) {
	t.Parallel()
	ask := func(change func(*http.Request), fields ...string) bool {
		r := request("GET", "/", fields...)
		if change != nil {
			change(r)
		}
		return wantsWebSocket(r)
	}
	ws := []string{"Connection", "keep-alive, Upgrade", "Upgrade", "WebSocket"}
	if !ask(nil, ws...) {
		t.Error("a WebSocket is refused")
	}

	for name, got := range map[string]bool{
		"h2c":           ask(nil, "Connection", "Upgrade", "Upgrade", "h2c"),
		"two protocols": ask(nil, "Connection", "Upgrade", "Upgrade", "websocket, h2c"),
		"two fields":    ask(nil, append(ws, "Upgrade", "h2c")...),
		"no connection": ask(nil, "Upgrade", "websocket"),
		"a POST":        ask(func(r *http.Request) { r.Method = "POST" }, ws...),
		"a body":        ask(func(r *http.Request) { r.ContentLength = 5 }, ws...),
		"HTTP/1.0":      ask(func(r *http.Request) { r.ProtoMinor = 0 }, ws...),
		"HTTP/2":        ask(func(r *http.Request) { r.ProtoMajor = 2 }, ws...),
	} {
		if got {
			t.Errorf("%s passes for a WebSocket", name)
		}
	}
}
