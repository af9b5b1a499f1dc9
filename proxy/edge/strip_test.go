package edge

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestHygiene_HopByHopFieldsGo(t *testing.T) {
	t.Parallel()
	h, _ := cleaned(t, nil, request("GET", "/",
		"Connection", "close, X-Hop ,x-other", "Connection", "Keep-Alive", "X-Hop", "1", "X-Other", "1", "Keep-Alive",
		"timeout=5", "Proxy-Connection", "close", "Proxy-Authorization", "Basic x", "Te", "trailers, gzip",
		"Transfer-Encoding", "chunked", "Upgrade", "h2c", "Http2-Settings", "x", "Trailer", "X",
		"X-Serverless-Authorization", "Bearer stolen", "Authorization", "Bearer own", "X-End", "1"))
	for name := range h {
		switch name {
		case "Authorization", "X-End", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "Cdn-Loop":
		case "Te":
			if h.Get("Te") != "trailers" {
				t.Errorf("Te: %q", h["Te"])
			}
		default:
			t.Errorf("%s: %q came through", name, h[name])
		}
	}
}

// A client can't use Connection to take away what others rely on.
func TestHygiene_ConnectionTakesNoGuardedField(t *testing.T) {
	t.Parallel()
	guarded := []string{"Host", "Content-Length", "Content-Type", "Cookie", "Authorization", "X-Forwarded-For",
		"X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id", "Cdn-Loop"}
	h, _ := cleaned(t, nil, request("POST", "/", "Connection", strings.Join(guarded, ", "), "Content-Type", "text/plain",
		"Cookie", "a=1", "Authorization", "x", "Content-Length", "0"))
	for _, name := range guarded {
		if name != "Host" && h[name] == nil {
			t.Errorf("%s is gone", name)
		}
	}
}

func TestHygiene_IdentityHeaderNeverComesIn(t *testing.T) {
	t.Parallel()
	h, _ := cleaned(t, []string{"LB_IDENTITY_HEADER=X-Backend-Token"},
		request("GET", "/", "X-Backend-Token", "Bearer stolen", "X_backend_token", "Bearer stolen"))
	for name, v := range h {
		if strings.Contains(v[0], "stolen") {
			t.Errorf("%s came through", name)
		}
	}

	h, _ = cleaned(t, []string{"LB_IDENTITY_HEADER=Authorization"}, request("GET", "/", "Authorization", "Bearer own"))
	if h.Get("Authorization") != "Bearer own" {
		t.Error("the caller's own Authorization is gone")
	}
}

func TestHygiene_ResponseFieldsOfTheHopStay(t *testing.T) {
	t.Parallel()
	to := http.Header{}
	CopyResponse(to, http.Header{
		"Connection": {"X-Hop, Set-Cookie, Content-Length"}, "X-Hop": {"1"}, "Keep-Alive": {"timeout=5"},
		"Transfer-Encoding": {"chunked"}, "Upgrade": {"h2c"}, "Proxy-Authenticate": {"Basic"}, "Trailer": {"X"},
		"Set-Cookie": {"a=1", "b=2"}, "Content-Length": {"3"}, "Www-Authenticate": {"Basic"},
	})
	if len(to) != 3 || !slices.Equal(to["Set-Cookie"], []string{"a=1", "b=2"}) || to.Get("Content-Length") != "3" ||
		to.Get("Www-Authenticate") != "Basic" {
		t.Errorf("%v", to)
	}
}

// Only a field that LB_TRUSTED_PROXIES can let pass is a reason for the hint
// about that variable.
func TestStrip_ClaimsAreThoseOfProxies(t *testing.T) {
	t.Parallel()
	rules := New(testConfig(t, "LB_BASIC_AUTH=ann:correct horse", "LB_AUTH_FORWARD=sub:X-Roles"))
	for name, claims := range map[string]bool{
		"X-Forwarded-For": true, "X_real_ip": true, "X_roles": false, "X_request_id": false, "X-Roles": false,
	} {
		fields := http.Header{name: {"1"}}
		claimed := rules.Strip(&Hop{Peer: "192.0.2.7"}, fields)
		if (claimed != "") != claims || len(fields) > 0 {
			t.Errorf("%s: got the claim %q and %v, want a claim: %v", name, claimed, fields, claims)
		}
	}
}
