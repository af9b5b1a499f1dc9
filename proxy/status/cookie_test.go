package status

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/config"
)

// ask asks a handler in front of an app that answers 418.
func ask418(h *Handler, target string, set func(*http.Request)) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	r.RequestURI = target
	if set != nil {
		set(r)
	}
	h.Before(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	})).ServeHTTP(w, r)

	return w
}

func TestCookie_TheTokenLeavesTheAddress(t *testing.T) {
	t.Parallel()
	h := handler()
	for target, location := range map[string]string{
		"/.lb/?token=" + token:                "/.lb/",
		"/.lb?token=" + token:                 "/.lb/",
		"/.lb/?refresh=0&token=" + token:      "/.lb/?refresh=0",
		"/.lb/?token=" + token + "&sort=name": "/.lb/?sort=name",
	} {
		w := ask418(h, target, nil)
		cookie := w.Header().Get("Set-Cookie")
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != location ||
			w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %d %v", target, w.Code, w.Header())
		}
		for _, want := range []string{cookieName + "=", "; Path=/.lb/;", "HttpOnly", "SameSite=Strict"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("no %q in %q", want, cookie)
			}
		}
		if strings.Contains(cookie, token) || strings.Contains(cookie, "Secure") {
			t.Errorf("got %q", cookie)
		}
	}
}

func TestCookie_OverHTTPSItIsSecure(t *testing.T) {
	t.Parallel()
	h := handler()
	for name, set := range map[string]func(*http.Request){
		"here":     func(r *http.Request) { r.TLS = &tls.ConnectionState{} },
		"in front": func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") },
	} {
		if w := ask418(h, "/.lb/?token="+token, set); !strings.Contains(w.Header().Get("Set-Cookie"), "; Secure") {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
}

// A strict cookie is not sent on a redirect that another site's link began.
func TestCookie_FromAnotherSiteAPageOfOurOwnGoesOn(t *testing.T) {
	t.Parallel()
	w := ask418(handler(), "/.lb/?token="+token, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
	if w.Code != http.StatusOK || w.Header().Get("Refresh") != "0; url=/.lb/" || w.Header().Get("Set-Cookie") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestCookie_OpensThePagesOfItsTokenOnly(t *testing.T) {
	t.Parallel()
	h := handler()
	with := func(cookie string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Cookie", cookie) }
	}
	right := "a=b; " + cookieName + "=" + h.cookieValue()
	for _, test := range []struct {
		target, cookie string
		status         int
	}{
		{"/.lb/", right, 200},
		{"/.lb/state.json", right, 200},
		{"/.lb/metrics", right, 200},
		{"/.lb", right, 303},
		{"/.lb/other", right, 404}, // below the prefix nothing with it reaches the app
		{"/.lb/other", "session=" + token, 404},
		{"/.lb/", "session=" + token, 404},
		{"/.lb/", cookieName + "=" + token, 404},
		{"/.lb/", cookieName + "=wrong", 418},
		{"/.lb/", "other=" + h.cookieValue(), 418},
		{"/.lb/", cookieName + "=", 418},
		{"/.lbx/", right, 418},
		{"/app", right, 418},
	} {
		if w := ask418(h, test.target, with(test.cookie)); w.Code != test.status {
			t.Errorf("%s with %q: %d, want %d", test.target, test.cookie, w.Code, test.status)
		}
	}

	h.Token = config.NewSecret("another-token-of-the-page")
	if w := ask418(h, "/.lb/", with(right)); w.Code != http.StatusTeapot {
		t.Errorf("the cookie of the old token: %d", w.Code)
	}
}

// A token may have any characters of Base64, and some of them separate or
// escape in a URL. The token is found there all the same.
func TestToken_OfAnyCharactersIsFoundInTheURL(t *testing.T) {
	t.Parallel()
	h := handler()
	h.Token = config.NewSecret("ab/cd+ef/0123456789==")
	for _, target := range []string{
		"/app?token=ab/cd+ef/0123456789==", "/app?ab/cd+ef/0123456789==", "/app?t=ab%2fcd%2Bef%2F0123456789%3d%3D",
	} {
		if w := ask418(h, target, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}
