package status

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

// cookieName names the cookie of a browser that has sent the right token.
const cookieName = "pillion-status"

// A token in a URL ends up in browser histories, in bookmarks and in the
// request logs of platforms. So a browser sends it in the URL only once: the
// answer sets a cookie and redirects to the URL without the token. The cookie's
// value is derived from the token, so a new token makes old cookies invalid.

// cookieValue returns the value of the cookie: an HMAC keyed with the token.
func (h *Handler) cookieValue() string {
	mac := hmac.New(sha256.New, []byte(h.Token.Value()))
	mac.Write([]byte("cookie of the status page"))

	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// below reports whether a target is below the prefix, or is the prefix without
// its last slash.
func (h *Handler) below(target string) bool {
	return h.Prefix != "" && strings.HasPrefix(target, h.Prefix) || h.slashless(target)
}

// slashless reports whether a target is the prefix without its last slash.
func (h *Handler) slashless(target string) bool {
	path, _, _ := strings.Cut(target, "?")

	return len(h.Prefix) > 1 && path == strings.TrimSuffix(h.Prefix, "/")
}

// hasCookie reports whether a request below the prefix carries the cookie, or
// the token itself in a cookie of any name. The cookies of other requests
// belong to the app, and are not read.
func (h *Handler) hasCookie(r *http.Request, alsoToken bool) bool {
	if h.Token == nil || h.Token.Value() == "" || !h.below(r.RequestURI) ||
		len(r.Header["Cookie"]) == 0 {
		return false
	}

	want := h.cookieValue()
	for _, c := range r.Cookies() {
		if len(c.Value) > longestToken {
			continue
		}
		if c.Name == cookieName && same(c.Value, want) || alsoToken && same(c.Value, h.Token.Value()) {
			return true
		}
	}

	return false
}

// needsRedirect reports whether a browser has to be redirected: its URL holds
// the token, or lacks the slash at the end of the prefix.
func (h *Handler) needsRedirect(r *http.Request) bool {
	if h.State == nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}

	name, ok := h.name(r.RequestURI)
	switch {
	case ok && name == "":
		return h.inQuery(r)
	case h.slashless(r.RequestURI):
		return h.authorized(r)
	}

	return false
}

// redirect redirects a browser to the page's own URL. If the old URL held the
// token, the answer also sets the cookie.
func (h *Handler) redirect(w http.ResponseWriter, r *http.Request) {
	_, query, _ := strings.Cut(r.RequestURI, "?")
	rest, _ := url.ParseQuery(query) // inQuery has parsed it without an error
	rest.Del("token")
	bare := h.Prefix
	if len(rest) > 0 {
		bare += "?" + rest.Encode()
	}

	if h.inQuery(r) {
		http.SetCookie(w, &http.Cookie{
			Name: cookieName, Value: h.cookieValue(), Path: h.Prefix,
			HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(r),
		})
	}

	// After a link on another site, a browser does not send a SameSite=Strict
	// cookie with the redirected request either. So it gets a page instead of a
	// redirect: the page loads the URL itself, and then the request comes from
	// the same site.
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		w.Header().Set("Refresh", "0; url="+bare)
		text(w, r, http.StatusOK, "the status page follows")
		return
	}

	w.Header().Set("Location", bare)
	text(w, r, http.StatusSeeOther, "the status page is at "+h.Prefix)
}

// secure reports whether the browser uses HTTPS, here or to the proxy in front.
// X-Forwarded-Proto is believed from any client: with a wrong value a client
// only loses its own cookie.
func secure(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}
