package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// issuer is an OpenID Connect issuer on loopback.
type issuer struct {
	URL     string
	fetches atomic.Int64 // of the keys
	mu      sync.Mutex   // guards what follows
	id      string
	key     *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	return newIssuerOn(t, backend.Listen(t))
}

// newIssuerOn is newIssuer with a listener that the test has opened.
func newIssuerOn(t *testing.T, l net.Listener) *issuer {
	i := &issuer{URL: "http://" + l.Addr().String()}
	i.rotate(t, "k1")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, i.URL+"/", i.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.fetches.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{KeyID: i.id, Use: "sig", Key: i.key.Public()}}}
		_ = json.NewEncoder(w).Encode(set)
	})
	server := httptest.NewUnstartedServer(mux)
	_ = server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)

	return i
}

// rotate replaces the issuer's key.
func (i *issuer) rotate(t *testing.T, id string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.id, i.key = id, key
}

// token returns a token of a user for the audience app. changed replaces
// claims. A claim that it maps to nil is left out.
func (i *issuer) token(t *testing.T, user string, changed map[string]any) string {
	t.Helper()
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": i.URL + "/", "aud": "app", "sub": user, "email": user + "@example.com", "exp": now + 3600, "iat": now,
	}
	maps.Copy(claims, changed)
	for name, value := range claims {
		if value == nil {
			delete(claims, name)
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key},
		(&jose.SignerOptions{}).WithHeader("kid", i.id))
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := json.Marshal(claims)
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

// setting returns the LB_AUTH variable for this issuer.
func (i *issuer) setting() string { return "LB_AUTH=" + i.URL + "?audience=app" }
