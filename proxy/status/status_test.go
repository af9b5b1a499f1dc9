package status

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/backend"
)

const token = "0123456789abcdef"

func handler() *Handler {
	l := NewLifecycle()
	l.Answered()
	return &Handler{
		Prefix:    "/.lb/",
		Lifecycle: l,
		Token:     config.NewSecret(token),
		State:     func() State { return State{Backends: []backend.State{{Name: "blue", State: backend.Eligible}}} },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "requests 1\n")
		}),
	}
}

// behind serves h in front of an app that answers 418 to everything.
func behind(t *testing.T, h *Handler) string {
	t.Helper()
	server := httptest.NewServer(h.Before(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})))
	t.Cleanup(server.Close)
	return server.URL
}

func do(t *testing.T, method, url, authorization string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(content)
}

func TestMatch_TakesThreeTargetsByteForByteAndNothingElse(t *testing.T) {
	t.Parallel()
	h := handler()
	for _, target := range []string{"/.lb/started", "/.lb/ready", "/.lb/live", "/.lb/ready?", "/.lb/live?x=/../y"} {
		if !h.Match(target) {
			t.Errorf("%q is not ours", target)
		}
	}
	for _, target := range []string{
		"", "/", "*", "/.lb", "/.lb/", "/.lb/?ready", "/.lb/Ready", "/.lb/ready/", "/.lb//ready", "//.lb/ready",
		"/.lb/ready#x", "/.lb/ready;x", "/%2elb/ready", "/.lb%2fready", "/.lb/read%79", "/x/../.lb/ready", "/.lb/./ready",
		"/.lb/x/../ready", "/.LB/ready", "http://host/.lb/ready", "/.lb/metrics", "/.lb/state.json", "/.lb/ready ",
		"\\.lb/ready",
	} {
		if h.Match(target) {
			t.Errorf("%q is ours", target)
		}
	}
}

func TestMatch_WithoutAPrefixNothingIsOurs(t *testing.T) {
	t.Parallel()
	h := handler()
	h.Prefix = ""
	for _, target := range []string{"", "/", "ready", "/ready", "/.lb/ready"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI = target
		r.Header.Set("Authorization", "Bearer "+token)
		if h.Match(target) || h.Owns(r) {
			t.Errorf("%q is ours", target)
		}
	}
}

func TestHandler_AnswersFollowTheLifecycle(t *testing.T) {
	t.Parallel()
	h := handler()
	h.Lifecycle = NewLifecycle()
	url := behind(t, h)
	want := func(stage string, started, ready int) {
		t.Helper()
		for name, status := range map[string]int{"started": started, "ready": ready, "live": 200} {
			if res, _ := do(t, http.MethodGet, url+"/.lb/"+name, ""); res.StatusCode != status {
				t.Errorf("%s: %s is %d, want %d", stage, name, res.StatusCode, status)
			}
		}
	}
	want("at the begin", 503, 503)
	h.Lifecycle.Answered()
	want("with backends", 200, 200)
	h.Lifecycle.Stop()
	want("at the end", 200, 503)
}

func TestLifecycle_StartsWithoutBackendsAfterFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := NewLifecycle()
		time.Sleep(startLimit - 1)
		if l.Started() || l.Ready() {
			t.Error("started too early")
		}
		time.Sleep(time.Nanosecond)
		if !l.Started() || !l.Ready() {
			t.Error("not started after 5 s")
		}
	})
}

func TestHandler_AnswersAreShortPlainAndNotStored(t *testing.T) {
	t.Parallel()
	url := behind(t, handler())
	res, content := do(t, http.MethodGet, url+"/.lb/ready?from=probe", "")
	if content != "ready\n" || res.Header.Get("Cache-Control") != "no-store" ||
		res.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("got %q, %v", content, res.Header)
	}
	if res, content = do(t, http.MethodHead, url+"/.lb/ready", ""); res.StatusCode != 200 || content != "" ||
		res.ContentLength != 6 {
		t.Errorf("HEAD: got %d %q %d", res.StatusCode, content, res.ContentLength)
	}
}

func TestHandler_OtherMethodsAreRefused(t *testing.T) {
	t.Parallel()
	url := behind(t, handler())
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "BREW"} {
		for _, name := range []string{"ready", "state.json"} {
			if res, _ := do(t, method, url+"/.lb/"+name, "Bearer "+token); res.StatusCode != 405 ||
				res.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: got %d %v", method, name, res.StatusCode, res.Header)
			}
		}
	}
}

func TestHandler_PagesAreThereOnlyForTheToken(t *testing.T) {
	t.Parallel()
	url := behind(t, handler())
	for _, page := range []string{"", "state.json", "metrics"} {
		for _, test := range []struct {
			authorization, query string
			status               int
		}{
			{"Bearer " + token, "", 200},
			{"bearer " + token, "", 200},
			{"", "?token=" + token, 200},
			{"", "?x=1&token=%30123456789abcdef", 200},
			{"Basic dXNlcjpwYXNz", "?token=" + token, 200},
			{"", "", 418},
			{"Bearer", "", 418},
			{"Bearer wrong", "", 418},
			{token, "", 404}, // the right token never reaches the app, however it is written
			{"Basic " + token, "", 404},
			{"Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+token)), "", 404},
			{"", "?token=", 418},
			{"", "?token=" + token[1:], 418},
			{"", "?token=wrong&token=" + token, 404},
			{"", "?token=%zz", 418},
			{"", "?" + token, 404},
			{"", "?a;TOKEN=" + token, 404},
		} {
			res, content := do(t, http.MethodGet, url+"/.lb/"+page+test.query, test.authorization)
			want := test.status
			if page == "" && want == 200 && strings.Contains(test.query, "token=") {
				want = 303 // and the token leaves the address
			}
			if res.StatusCode != want {
				t.Errorf("%q %q %q: got %d", page, test.authorization, test.query, res.StatusCode)
			}
			if strings.Contains(content, token) {
				t.Errorf("%q tells the token", page)
			}
		}
	}
	for _, target := range []string{"/.lb/other?token=" + token, "/.lb/" + token, "/.lb/x/" + token + "/y", "/?token=" +
		token, "/.lb/state.json/?x=1&token=%30123456789abcdef"} {
		if res, content := do(t, http.MethodGet, url+target, ""); res.StatusCode != 404 || strings.Contains(content, token) {
			t.Errorf("%s: got %d %q", target, res.StatusCode, content)
		}
	}
	for _, target := range []string{"/?token=wrong", "/app?token=" + token + token, "/?a=" + strings.Repeat("x", 5000)} {
		if res, _ := do(t, http.MethodGet, url+target, "Bearer of-the-app"); res.StatusCode != 418 {
			t.Errorf("%s: got %d", target, res.StatusCode)
		}
	}
}

func TestHandler_WithoutTokenStateOrMetricsThePagesAreTheApps(t *testing.T) {
	t.Parallel()
	for name, strip := range map[string]func(*Handler){
		"no token":    func(h *Handler) { h.Token = nil },
		"empty token": func(h *Handler) { h.Token = config.NewSecret("") },
		"nothing":     func(h *Handler) { h.State, h.Metrics = nil, nil },
	} {
		h := handler()
		strip(h)
		url := behind(t, h)
		for _, page := range []string{"", "state.json", "metrics"} {
			for _, query := range []string{"?token=" + token, "?token=", ""} {
				want := 418
				if name == "nothing" && strings.Contains(query, token) {
					want = 404 // there is a token, so the app must not see it
				}
				if res, _ := do(t, http.MethodGet, url+"/.lb/"+page+query, ""); res.StatusCode != want {
					t.Errorf("%s: %q: got %d", name, page+query, res.StatusCode)
				}
			}
		}
	}
}

func TestHandler_StateIsJSON(t *testing.T) {
	t.Parallel()
	h := handler()
	want := State{
		Service: "shop", At: time.Unix(1700000000, 0).UTC(),
		Backends: []backend.State{{Name: "blue", State: backend.Ejected, Since: time.Unix(1699999990, 0).UTC(), InFlight: 3,
			LastProbe: backend.Probe{At: time.Unix(1699999999, 0).UTC(), Result: "refused"}}},
	}
	h.State = func() State { return want }
	res, content := do(t, http.MethodGet, behind(t, h)+"/.lb/state.json", "Bearer "+token)
	var got State
	if err := json.Unmarshal([]byte(content), &got); err != nil || res.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%v: %s", err, content)
	}
	if len(got.Backends) != 1 || got.Backends[0] != want.Backends[0] || !got.At.Equal(want.At) {
		t.Errorf("got %+v", got)
	}
	if strings.Contains(content, "0001-01-01") {
		t.Errorf("an unknown time is shown: %s", content)
	}
}

func TestHandler_HEADWritesNoBodyWhateverTheServer(t *testing.T) {
	t.Parallel()
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodHead, "/.lb/ready", nil)
	handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Body.Len() > 0 || w.Header().Get("Content-Length") != "6" {
		t.Errorf("got %d %q %v", w.Code, w.Body, w.Header())
	}
}

func TestHandler_WhatIsNotOursIsNotFound(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/.lb/state.json", nil))
	if w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "blue") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// FuzzMatch wants that what is ours is exactly one of our spellings, and that
// no request panics the handler.
func FuzzMatch(f *testing.F) {
	for _, seed := range []string{"/.lb/ready", "/.lb/ready?x", "/.lb/?token=" + token, "*", "/.lb/%72eady",
		"/.lb/metrics?token=a;b"} {
		f.Add(seed)
	}
	h := handler()
	f.Fuzz(func(t *testing.T, target string) {
		path, query, _ := strings.Cut(target, "?")
		ours := path == "/.lb/ready" || path == "/.lb/started" || path == "/.lb/live"
		if h.Match(target) != ours {
			t.Errorf("%q: ours is %t", target, !ours)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RequestURI = target
		if h.Owns(r) && !ours && !strings.Contains(query, "token=") && !strings.Contains(query, "%") {
			t.Errorf("%q is ours without a token", target)
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
	})
}
