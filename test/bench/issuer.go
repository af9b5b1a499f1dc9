//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer is an issuer of one token. It publishes the key that verifies it.
type issuer struct {
	url, token string
}

// theIssuer starts the issuer when it is first asked for. It ends with the
// process.
func (b *bench) theIssuer() (*issuer, error) {
	if b.issuer != nil {
		return b.issuer, nil
	}

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}

	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}

	i := &issuer{url: "http://" + l.Addr().String()}
	if i.token, err = signToken(key, i.url); err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.url, i.url+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{
			Keys: []jose.JSONWebKey{{KeyID: "k1", Use: "sig", Key: key.Public()}},
		})
	})
	go func() { _ = http.Serve(l, mux) }()
	b.issuer = i

	return i, nil
}

// signToken makes a token as sign-in services give it out.
func signToken(key *ecdsa.PrivateKey, issuer string) (string, error) {
	options := (&jose.SignerOptions{}).WithHeader("kid", "k1")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options)
	if err != nil {
		return "", err
	}

	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "aud": "bench", "sub": "8f14e45fceea167a", "email": "ann@example.com", "name": "Ann Example",
		"iat": now.Unix(), "exp": now.Add(6 * time.Hour).Unix(),
	})
	if err != nil {
		return "", err
	}

	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}

	return signed.CompactSerialize()
}
