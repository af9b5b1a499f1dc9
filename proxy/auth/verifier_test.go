package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pillion-lb/pillion/config"
)

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestVerify_EveryClaimIsJudged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		v := verifier(t, i, setting+"&claim.groups=admin|ops")
		at := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
		for _, c := range []struct {
			what    string
			changed map[string]any
			want    Reason
		}{
			{"good", map[string]any{"groups": []string{"dev", "ops"}}, ""},
			{"a list of audiences", map[string]any{"groups": "admin", "aud": []string{"x", "app"}}, ""},
			{"no exp", map[string]any{"exp": nil}, Malformed},
			{"a text as exp", map[string]any{"exp": "4102444800"}, Malformed},
			{"a negative exp", map[string]any{"exp": -1}, Malformed},
			{"an endless exp", map[string]any{"exp": 1e300}, Malformed},
			{"over", map[string]any{"exp": at(-61 * time.Second)}, Expired},
			{"over within the leeway", map[string]any{"groups": "ops", "exp": at(-50 * time.Second)}, ""},
			{"not yet", map[string]any{"nbf": at(62 * time.Second)}, Early},
			{"issued in the future", map[string]any{"iat": at(62 * time.Second)}, Early},
			{"nbf is no number", map[string]any{"nbf": true}, Malformed},
			{"another issuer", map[string]any{"iss": "https://issuer.example.evil/"}, Issuer},
			{"no issuer", map[string]any{"iss": nil}, Issuer},
			{"as written and not as the issuer says", map[string]any{"iss": issuerURL}, Issuer},
			{"another audience", map[string]any{"aud": "other"}, Audience},
			{"no audience", map[string]any{"aud": nil}, Audience},
			{"a part of the audience", map[string]any{"aud": []any{"ap", 1, nil}}, Audience},
			{"no such group", map[string]any{"groups": []string{"dev"}}, Claims},
			{"no groups", nil, Claims},
		} {
			if _, why := ask(v, i.token(t, good(c.changed))); why != c.want {
				t.Errorf("%s: %q, want %q", c.what, why, c.want)
			}
		}
		if n := i.fetches.Load(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestVerify_ForgedTokensAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		i.keys["rsa"] = rsaKey()
		v := verifier(t, i, setting)
		payload, _ := json.Marshal(good(nil))
		body := encode(string(payload))
		public, _ := x509.MarshalPKIXPublicKey(rsaKey().Public())
		asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
		token := sign(t, jose.ES256, i.keys["one"], "one", good(nil))
		signed := token[:strings.LastIndexByte(token, '.')]
		own, _ := json.Marshal(jose.JSONWebKey{Key: publicOf(i.keys["one"]), KeyID: "x"})

		for what, c := range map[string]struct {
			token string
			want  Reason
		}{
			"alg none":                   {encode(`{"alg":"none"}`) + "." + body + ".", Malformed},
			"alg none, signed":           {encode(`{"alg":"none","kid":"one"}`) + "." + body + ".AAAA", Malformed},
			"HS256 with the public key":  {sign(t, jose.HS256, asPEM, "rsa", good(nil)), Malformed},
			"a signature of two bytes":   {signed + ".AAA", Signature},
			"a removed signature":        {signed + "." + removed, Signature},
			"another's signature":        {sign(t, jose.ES256, ecKey(), "one", good(nil)), Signature},
			"a key of another algorithm": {sign(t, jose.ES256, ecKey(), "rsa", good(nil)), Signature},
			"its own key": {encode(`{"alg":"ES256","kid":"one","jwk":`+string(own)+`}`) + "." + body + ".AAAA",
				Signature},
			"crit": {encode(`{"alg":"ES256","kid":"one","crit":["exp"],"exp":1}`) + "." + body + ".AAAA",
				Malformed},
			"b64":               {encode(`{"alg":"ES256","kid":"one","b64":false}`) + "." + body + ".AAAA", Malformed},
			"no kid, two keys":  {sign(t, jose.ES256, ecKey(), "", good(nil)), Signature},
			"10,000 dots":       {strings.Repeat(".", 10_000), Malformed},
			"too long":          {token + strings.Repeat("A", longest), Malformed},
			"a line break":      {signed[:10] + "\n" + token[10:], Malformed},
			"padding":           {token + "=", Malformed},
			"four parts":        {token + ".AAAA", Malformed},
			"nothing":           {"", Malformed},
			"no JSON":           {encode(`{"alg":"ES256"`) + "." + body + ".AAAA", Malformed},
			"two payloads":      {encode(`{"alg":"ES256","kid":"one"}`) + "." + encode(`{}{}`) + ".AAAA", Malformed},
			"a list as payload": {encode(`{"alg":"ES256","kid":"one"}`) + "." + encode(`[]`) + ".AAAA", Malformed},
		} {
			if who, why := ask(v, c.token); why != c.want || who != "" {
				t.Errorf("%s: %q %q, want %q", what, who, why, c.want)
			}
		}
		if who, why := ask(v, token); who != "u1" || why != "" {
			t.Errorf("the good one: %q %q", who, why)
		}
	})
}

func TestVerify_OneTokenInOnePlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		token := i.token(t, good(nil))
		bearer, header := verifier(t, i, setting), verifier(t, i, setting+"&header=x-token")
		cookie := verifier(t, i, setting+"&cookie=session")
		for _, c := range []struct {
			v    *Verifier
			h    http.Header
			want Reason
		}{
			{bearer, http.Header{"Authorization": {"bearer  " + token}}, ""},
			{bearer, http.Header{"Authorization": {"Bearer " + token, "Bearer " + token}}, Malformed},
			{bearer, http.Header{"Authorization": {"Basic eDp5"}}, Missing},
			{bearer, http.Header{"Authorization": {"Bearer"}}, Missing},
			{bearer, http.Header{}, Missing},
			{bearer, http.Header{"X-Token": {token}}, Missing},
			{header, http.Header{"X-Token": {token}}, ""},
			{header, http.Header{"X-Token": {token, token}}, Malformed},
			{header, http.Header{"Authorization": {"Bearer " + token}}, Missing},
			{cookie, http.Header{"Cookie": {"a=b; session=" + token + "; c=d"}}, ""},
			{cookie, http.Header{"Cookie": {"session=x", "session=" + token}}, Malformed},
			{cookie, http.Header{"Cookie": {"xsession=" + token}}, Missing},
		} {
			if _, why := askWith(c.v, c.h); why != c.want {
				t.Errorf("%v: %q, want %q", c.h, why, c.want)
			}
		}
	})
}

func TestVerify_EmailsCountOnlyIfTheyWereVerified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		places := map[config.ProviderKind]place{config.Google: {keys: issuerURL + "/keys"}}
		oidc := verifier(t, i, setting+"&email=boss@x.org|*@example.com")
		google := verifier(t, i, "google?audience=app&email=boss@x.org", Options{places: places})
		for _, c := range []struct {
			v       *Verifier
			changed map[string]any
			want    Reason
		}{
			{oidc, nil, ""},
			{oidc, map[string]any{"email": "BOSS@x.org"}, ""},
			{oidc, map[string]any{"email": "a@example.com"}, ""},
			{oidc, map[string]any{"email": "a@sub.example.com"}, Claims},
			{oidc, map[string]any{"email": "@example.com"}, Claims},
			{oidc, map[string]any{"email": "boss@x.org", "email_verified": false}, Claims},
			{oidc, map[string]any{"email_verified": nil}, ""},
			{oidc, map[string]any{"email": nil}, Claims},
			{google, map[string]any{"iss": "https://accounts.google.com"}, ""},
			{google, map[string]any{"iss": "accounts.google.com"}, ""},
			{google, map[string]any{"iss": "accounts.google.com", "email_verified": nil}, Claims},
			{google, nil, Issuer},
		} {
			if _, why := ask(c.v, i.token(t, good(c.changed))); why != c.want {
				t.Errorf("%v: %q, want %q", c.changed, why, c.want)
			}
		}
	})
}

func TestVerify_FirebaseHasCertificates(t *testing.T) {
	t.Parallel()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, rsaKey().Public(), rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		text, _ := json.Marshal(map[string]string{
			"f1": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), "broken": "no certificate",
		})
		i := &issuer{body: string(text)}
		v := verifier(t, i, "firebase?project=shop", Options{})
		claims := func(changed map[string]any) map[string]any {
			c := good(map[string]any{"iss": "https://securetoken.google.com/shop", "aud": "shop"})
			for k, x := range changed {
				c[k] = x
			}
			return c
		}
		for _, c := range []struct {
			changed map[string]any
			want    Reason
		}{
			{nil, ""}, {map[string]any{"sub": ""}, Claims}, {map[string]any{"sub": strings.Repeat("x", 129)}, Claims},
			{map[string]any{"aud": "other"}, Audience}, {map[string]any{"iss": "https://securetoken.google.com/other"}, Issuer},
			{map[string]any{"iss": "https://session.firebase.google.com/shop"}, Issuer},
		} {
			if _, why := ask(v, sign(t, jose.RS256, rsaKey(), "f1", claims(c.changed))); why != c.want {
				t.Errorf("%v: %q, want %q", c.changed, why, c.want)
			}
		}
	})
}

func TestVerify_IAPFindsItsAudience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		o := Options{Platform: config.Platform{Service: "shop"},
			Metadata: func(_ context.Context, path string) (string, error) {
				return map[string]string{"instance/region": "projects/123/regions/europe-west1"}[path], nil
			}}
		v := verifier(t, i, "iap", o)
		own := map[string]any{"iss": "https://cloud.google.com/iap",
			"aud": "/projects/123/locations/europe-west1/services/shop"}
		assertion := func(c map[string]any) http.Header {
			return http.Header{"X-Goog-Iap-Jwt-Assertion": {i.token(t, good(c))}}
		}
		who, why := v.Verify(t.Context(), assertion(own), time.Now())
		if why != "" || who == nil || !who.IAP() {
			t.Fatalf("%v %q", who, why)
		}
		if _, why := askWith(v, assertion(map[string]any{"iss": "https://cloud.google.com/iap",
			"aud": "/projects/123/locations/x/services/shop"})); why != Audience {
			t.Errorf("%q", why)
		}
		if _, why := ask(v, i.token(t, good(own))); why != Missing {
			t.Errorf("an assertion as a bearer token: %q", why)
		}
	})
}

// Of several providers one suffices, and the nearest one says why not.
func TestVerify_OneOfSeveralProvidersSuffices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer()
		v := verifier(t, i, setting+"&claim.role=a;"+setting+"&claim.role=b;"+issuerURL+"?audience=other&header=X-Other")
		if _, why := ask(v, i.token(t, good(map[string]any{"role": "b"}))); why != "" {
			t.Errorf("%q", why)
		}
		if _, why := ask(v, i.token(t, good(map[string]any{"role": "c"}))); why != Claims {
			t.Errorf("%q", why)
		}
		if n := i.fetches.Load(); n != 1 {
			t.Errorf("%d fetches of one issuer's keys", n)
		}
	})
}

func TestVerify_AllKindsOfKeys(t *testing.T) {
	t.Parallel()
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{keys: map[string]any{"rsa": rsaKey(), "ed": edwards}}
		v := verifier(t, i, setting)
		for alg, kid := range map[jose.SignatureAlgorithm]string{
			jose.RS256: "rsa", jose.RS384: "rsa", jose.RS512: "rsa", jose.PS256: "rsa", jose.PS384: "rsa", jose.PS512: "rsa",
			jose.EdDSA: "ed",
		} {
			if _, why := ask(v, sign(t, alg, i.keys[kid], kid, good(nil))); why != "" {
				t.Errorf("%s: %q", alg, why)
			}
			if _, why := ask(v, sign(t, alg, i.keys[kid], "", good(nil))); why != "" {
				t.Errorf("%s without an id: %q", alg, why)
			}
		}
	})
}

func TestClaims_AreSaidOnlyAsFieldsMayHaveThem(t *testing.T) {
	t.Parallel()
	c, ok := readClaims([]byte(`{"s":"a","n":12345678901234567890,"b":true,"l":["x",1],"bad":"a\r\nb",
		"comma":["a,b"],"o":{"in":{"r":["q"]}},
		"https://e.x/r":"whole","blank":" a","empty":null,"sub.dot":"d"}`))
	if !ok {
		t.Fatal("not read")
	}
	for name, want := range map[string]string{
		"s": "a", "n": "12345678901234567890", "b": "true", "l": "x,1", "bad": "", "comma": "", "o": "", "o.in.r": "q",
		"https://e.x/r": "whole", "blank": "", "empty": "", "none": "", "sub.dot": "d", "s.x": "",
	} {
		if got := c.said(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Whatever comes, nothing but a signature by the issuer is accepted.
func FuzzVerify_NothingUnsignedIsAccepted(f *testing.F) {
	i := newIssuer()
	v := verifier(f, i, setting)
	token := i.token(f, good(nil))
	for _, seed := range []string{token, "", "a.b.c", strings.Repeat(".", 100), encode(`{"alg":"none"}`) + ".e30.",
		token[:len(token)-2]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		if who, why := ask(v, given); why == "" && given != token && strings.TrimLeft(given, " ") != token {
			t.Fatalf("%q is accepted as %q", given, who)
		}
	})
}

// Whatever a key set holds, reading it ends, and finds no key that is weak.
func FuzzKeys_AreReadOrRefused(f *testing.F) {
	f.Add([]byte(newIssuer().set()))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`))
	f.Add([]byte(`{"a":"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----"}`))
	f.Fuzz(func(t *testing.T, given []byte) {
		keys, _, err := parseKeys(given)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for i := range keys {
			if !keys[i].usable() {
				t.Fatalf("%+v", keys[i])
			}
		}
	})
}
