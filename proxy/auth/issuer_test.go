package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pillion-lb/pillion/config"
)

const issuerURL = "https://issuer.example"

// issuer is an issuer of tokens in memory, so that tests can have days pass.
type issuer struct {
	mu      sync.Mutex
	keys    map[string]any // private keys by their ids
	down    bool
	body    string // in place of the key set
	control string // Cache-Control of the key set
	moved   string // a redirect
	hang    chan struct{}
	fetches atomic.Int64
}

// The keys are made once: one of RSA takes a while.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { k, _ := rsa.GenerateKey(rand.Reader, 2048); return k })

func ecKey() *ecdsa.PrivateKey {
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return k
}

func newIssuer() *issuer { return &issuer{keys: map[string]any{"one": ecKey()}} }

// RoundTrip answers as the issuer's server.
func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	down, hang := i.down, i.hang
	i.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if down {
		return nil, errors.New("connection refused")
	}

	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, ProtoMajor: 1, ProtoMinor: 1}
	text := `{"issuer":"` + issuerURL + `/","jwks_uri":"` + issuerURL + `/keys"}`
	if !strings.HasSuffix(r.URL.Path, "/openid-configuration") {
		i.fetches.Add(1)
		text = i.set()
		i.mu.Lock()
		resp.Header.Set("Cache-Control", i.control)
		if i.moved != "" {
			resp.StatusCode = 302
			resp.Header.Set("Location", i.moved)
		}
		i.mu.Unlock()
	}
	resp.Body = io.NopCloser(strings.NewReader(text))

	return resp, nil
}

func (i *issuer) set() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.body != "" {
		return i.body
	}
	var set jose.JSONWebKeySet
	for id, k := range i.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{KeyID: id, Use: "sig", Key: publicOf(k)})
	}
	text, _ := json.Marshal(set)

	return string(text)
}

func publicOf(k any) any {
	switch k := k.(type) {
	case *rsa.PrivateKey:
		return k.Public()
	case *ecdsa.PrivateKey:
		return k.Public()
	case ed25519.PrivateKey:
		return k.Public()
	}
	return nil
}

func (i *issuer) rotate(id string, k any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = map[string]any{id: k}
}

// good are claims that are accepted, with some changed; nil takes one out.
func good(changed map[string]any) map[string]any {
	now := time.Now()
	c := map[string]any{
		"iss": issuerURL + "/", "aud": "app", "sub": "u1", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(),
		"email": "boss@x.org", "email_verified": true,
	}
	maps.Copy(c, changed)
	for name, value := range c {
		if value == nil {
			delete(c, name)
		}
	}

	return c
}

// sign makes a token.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, c map[string]any) string {
	t.Helper()
	options := &jose.SignerOptions{}
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(c)
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}

	return text
}

func (i *issuer) token(t testing.TB, c map[string]any) string {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for id, k := range i.keys {
		return sign(t, jose.ES256, k, id, c)
	}
	return ""
}

// verifier makes a verifier of one setting, whose keys end with the test.
func verifier(t testing.TB, i http.RoundTripper, setting string, o ...Options) *Verifier {
	t.Helper()
	var list config.Providers
	if err := list.EnvDecode(setting); err != nil {
		t.Fatal(err)
	}
	options := Options{}
	if len(o) > 0 {
		options = o[0]
	}
	options.client = newClient()
	options.client.Transport = i
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	k := New(options)
	v := k.Verifier(list, []string{"sub", "email"})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = k.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })

	return v
}

const setting = issuerURL + "?audience=app"

// ask asks with a token in Authorization.
func ask(v *Verifier, token string) (string, Reason) {
	return askWith(v, http.Header{"Authorization": {"Bearer " + token}})
}

func askWith(v *Verifier, h http.Header) (string, Reason) {
	who, why := v.Verify(context.Background(), h, time.Now())
	if who == nil {
		return "", why
	}
	return who.Claim("sub"), why
}
