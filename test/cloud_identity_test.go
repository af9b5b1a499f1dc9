package test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// Tokens that live for seconds show in seconds what tokens that live for an
// hour do, unless this flag asks for the whole of it.
var cloudFull = flag.Bool("cloud.full", false, "let identity tokens live for 20 s and be used for 60 s")

const (
	identityField = "X-Serverless-Authorization"
	audience      = "https://aud.example"
	audienceCount = "instance/service-accounts/default/identity?audience=" + audience
)

// expiry is the exp of a bearer token; the error is for what is no token.
func expiry(field string) (time.Time, error) {
	parts := strings.Split(strings.TrimPrefix(field, "Bearer "), ".")
	if !strings.HasPrefix(field, "Bearer ") || len(parts) != 3 {
		return time.Time{}, fmt.Errorf("%q is no bearer token", field)
	}

	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, err
	}

	var claims struct {
		Aud string
		Exp int64
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return time.Time{}, err
	}

	if claims.Aud != audience {
		return time.Time{}, fmt.Errorf("a token for %q", claims.Aud)
	}

	return time.Unix(claims.Exp, 0), nil
}

func TestCloud_ShortLivedTokensAreFreshUnderLoad(t *testing.T) {
	t.Parallel()
	life, lasts := 5*time.Second, 13*time.Second
	if *cloudFull {
		life, lasts = 20*time.Second, time.Minute
	}

	const own = "Basic dXNlcjpwYXNz ,  odd=\"x\""
	var wrong await.Values[string]
	authority := backend.NewAuthority(t)

	b := backend.StartTLS(t, "one", authority, func(_ http.ResponseWriter, r *http.Request) {
		if at, err := expiry(r.Header.Get(identityField)); err != nil || time.Now().After(at) {
			wrong.Add(fmt.Sprintf("%s %v expires %v", r.Method, err, at))
		}
		if got := r.Header["Authorization"]; len(got) != 1 || got[0] != own {
			wrong.Add(fmt.Sprintf("Authorization %q", got))
		}
	})
	m := newMachine(t)
	m.SetTokenLife(life)
	p := pillion.Start(t, backend.Backends(b), m.Environment, "LB_IDENTITY="+audience, "LB_CA_FILE="+authority.File)
	load := startStream(t, 4, p.URL("/"), "Authorization", own, identityField, "Bearer of-the-caller")
	end := time.After(lasts)
	load.More(t, 50)
	<-end // the duration is the promise: so many refreshes in so much time
	total := load.Stop(t)
	if all := wrong.All(); len(all) > 0 {
		t.Errorf("%d of %d requests were wrong, the first: %s", len(all), total, all[0])
	}

	if n := m.Requests(audienceCount); n < 3 || n > 5 {
		t.Errorf("%d tokens of %v were fetched in %v, want 3 to 5", n, life, lasts)
	}

	t.Logf("%d requests, %d fetches", total, m.Requests(audienceCount))
}

// A request that was tried at one kind of backend and retried at the other
// carries what is meant for the one that it reaches, in either order.
func TestCloud_ATokenNeverReachesABackendThatItIsNotFor(t *testing.T) {
	t.Parallel()
	var wrong await.Values[string]
	var failed [2]atomic.Int64

	serve := func(i int, name string, wanted bool) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			_, err := expiry(r.Header.Get(identityField))
			if wanted && err != nil || !wanted && len(r.Header[identityField]) > 0 {
				wrong.Add(fmt.Sprintf("%s got %q", name, r.Header[identityField]))
			}
			if got := r.Header.Get("Authorization"); got != "Bearer callers-own" {
				wrong.Add(fmt.Sprintf("%s got Authorization %q", name, got))
			}

			if r.Header.Get("Fail") == name {
				failed[i].Add(1)
				panic(http.ErrAbortHandler)
			}
		}
	}
	authority := backend.NewAuthority(t)
	secure := backend.StartTLS(t, "secure", authority, serve(0, "secure", true))

	plain := backend.Start(t, "plain", serve(1, "plain", false))
	for order, line := range map[string]string{"token first": backend.Backends(secure, plain),
		"token last": backend.Backends(plain, secure)} {
		p := pillion.Start(t, line, newMachine(t).Environment, "LB_IDENTITY="+audience, "LB_CA_FILE="+authority.File,
			"LB_EJECT_ERRORS=0", "LB_EJECT_RATE=0", "LB_RETRY_BUDGET=100%", "LB_PROTOCOL=http1")

		client := newClient(t)
		for i := range 60 {
			fail := []string{"secure", "plain"}[i%2]
			a := get(t, client, p.URL("/"), "Fail", fail, "Authorization", "Bearer callers-own", identityField, "Bearer forged")
			if a.StatusCode != http.StatusOK || a.Backend() == fail {
				t.Errorf("%s: status %d from %q", order, a.StatusCode, a.Backend())
			}
		}
	}

	if failed[0].Load() == 0 || failed[1].Load() == 0 {
		t.Errorf("%d requests were retried from the secure backend, %d from the plain one: both are needed", failed[0].Load(),
			failed[1].Load())
	}
	if all := wrong.All(); len(all) > 0 {
		t.Errorf("%d requests were wrong, the first: %s", len(all), all[0])
	}
}

// A field's name has no case (RFC 9110, section 5.1): the token takes the place
// of the caller's field however the setting spells it, in every version.
func TestCloud_TheIdentityFieldReplacesTheCallersInAnyCase(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	b := backend.StartTLS(t, "one", authority, func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, r.Header["Authorization"], r.Header["X-Id"], r.Header[identityField])
	})
	token := filepath.Join(t.TempDir(), "token")
	text := server.Token(audience, "a@b", time.Now(), time.Hour, 1)
	if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, scheme := range []string{"https", "h2"} {
		for name, want := range map[string]string{
			"Authorization": "[Bearer " + text + "] [own-id] []", "authorization": "[Bearer " + text + "] [own-id] []",
			"x-id": "[Bearer callers-own] [Bearer " + text + "] []", "X-ID": "[Bearer callers-own] [Bearer " + text + "] []",
			"x-serverless-AUTHORIZATION": "[Bearer callers-own] [own-id] [Bearer " + text + "]",
		} {
			p := pillion.Start(t, "LB_BACKENDS="+scheme+"://"+b.Address, "LB_CA_FILE="+authority.File,
				"LB_IDENTITY="+audience, "LB_IDENTITY_TOKEN_FILE="+token, "LB_IDENTITY_HEADER="+name)
			for _, client := range []*http.Client{newClient(t), newH2CClient(t)} {
				a := get(t, client, p.URL("/"), "Authorization", "Bearer callers-own", "X-Id", "own-id", identityField,
					"Bearer forged")
				if a.Text != want {
					t.Errorf("%s, %s: got %s", scheme, name, a.Text)
				}
			}
		}
	}
}

func TestCloud_WithoutATokenTheClientLearnsNothing(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	b := backend.StartTLS(t, "one", authority, nil)
	m := newMachine(t)
	p := pillion.Start(t, backend.Backends(b), m.Environment, "LB_IDENTITY="+audience, "LB_CA_FILE="+authority.File)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
	dark := newMachine(t)
	dark.Delete("instance/service-accounts/default/email")
	dark.SetTokenLife(-time.Minute) // every token has expired already
	p = pillion.Start(t, backend.Backends(b), dark.Environment, "LB_IDENTITY="+audience, "LB_CA_FILE="+authority.File)
	a := get(t, newClient(t), p.URL("/"))
	wantStatus(t, a, http.StatusBadGateway)
	wantNothingInside(t, a, "token", "identity", "metadata", audience)
	await.Until(t, "the log to say why", func() bool { return strings.Contains(p.Printed(), "expired already") })
	if hits := b.Hits(); hits != 1 {
		t.Errorf("%d requests reached the backend, want the first alone", hits)
	}
}

// The answers of a backend that wants more than a token must not turn into
// questions to the metadata server.
func TestCloud_ClientsCannotMakeTokensBeFetched(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	b := backend.StartTLS(t, "one", authority,
		func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	m := newMachine(t)
	p := pillion.Start(t, backend.Backends(b), m.Environment, "LB_IDENTITY="+audience, "LB_CA_FILE="+authority.File)
	client := newClient(t)
	for range 1000 {
		wantStatus(t, get(t, client, p.URL("/")), http.StatusUnauthorized)
	}

	if n := m.Requests(audienceCount); n != 1 {
		t.Errorf("%d tokens were fetched, want 1", n)
	}
}

// A backend for which there is no token is sent nothing, so its requests go to
// those that need none.
func TestCloud_WithoutATokenRequestsGoToBackendsThatNeedNone(t *testing.T) {
	t.Parallel()
	authority := backend.NewAuthority(t)
	secure := backend.StartTLS(t, "secure", authority, nil)
	plain := backend.Start(t, "plain", nil)
	dark := newMachine(t)
	dark.SetTokenLife(-time.Minute) // every token has expired already
	p := pillion.Start(t, backend.Backends(secure, plain), dark.Environment, "LB_IDENTITY="+audience,
		"LB_CA_FILE="+authority.File, "LB_RETRIES=0")

	client := newClient(t)
	for i := range 40 {
		method := []string{http.MethodGet, http.MethodPost}[i%2]
		a := send(t, client, newRequest(t, method, p.URL("/"), strings.NewReader("once")))
		if a.StatusCode != http.StatusOK || a.Backend() != "plain" {
			t.Errorf("%s: status %d from %q", method, a.StatusCode, a.Backend())
		}
	}

	if secure.Hits() != 0 || plain.Hits() != 40 {
		t.Errorf("%d requests reached the backend without a token, %d the other", secure.Hits(), plain.Hits())
	}
}

// A Cloud Run service may be reached by an address of one's own, such as that
// of Private Service Connect. The token is for the name, and only the holder of
// that name's certificate gets it.
func TestCloud_AHostOfCloudRunGetsItsTokenAtAnotherAddress(t *testing.T) {
	t.Parallel()
	const name, count = "api-1.r.run.app", "instance/service-accounts/default/identity?audience=https://api-1.r.run.app"
	authority := backend.NewAuthority(t)
	var seen await.Values[string]
	note := func(w http.ResponseWriter, r *http.Request) { seen.Add(r.Host + " " + r.Header.Get(identityField)) }
	certified := func(name string) *backend.Server {
		config := &tls.Config{Certificates: []tls.Certificate{authority.CertificateFor(t, name)}}
		return backend.StartTLSWith(t, "one", config, note)
	}

	for _, c := range []struct {
		target string
		status int
		token  bool
	}{
		{"https://" + certified(name).Address + "?host=" + name, http.StatusOK, true},
		{"http://" + backend.Start(t, "clear", note).Address + "?host=" + name, http.StatusOK, false},
		{"https://" + certified("other.r.run.app").Address + "?host=" + name, http.StatusServiceUnavailable, false},
	} {
		before := len(seen.All())
		p := pillion.Start(t, newMachine(t).Environment, "LB_BACKENDS="+c.target, "LB_CA_FILE="+authority.File)
		wantStatus(t, get(t, newClient(t), p.URL("/")), c.status)
		asked := seen.All()[before:]
		if c.status != http.StatusOK {
			if len(asked) > 0 {
				t.Errorf("%s: the backend saw %q", c.target, asked)
			}
			continue
		}
		if len(asked) != 1 || strings.Contains(asked[0], "Bearer ") != c.token || !strings.HasPrefix(asked[0], name+" ") {
			t.Errorf("%s: the backend saw %q", c.target, asked)
		}
	}

	m := newMachine(t)
	p := pillion.Start(t, m.Environment, "LB_BACKENDS=https://"+certified(name).Address+"?host="+name,
		"LB_CA_FILE="+authority.File)
	wantStatus(t, get(t, newClient(t), p.URL("/")), http.StatusOK)
	if n := m.Requests(count); n != 1 {
		t.Errorf("%d tokens for the service were fetched", n)
	}
}
