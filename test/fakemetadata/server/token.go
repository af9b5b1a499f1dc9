package server

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const account = "instance/service-accounts/"

// identity answers with an ID token for the asked audience.
func (s *Server) identity(w http.ResponseWriter, r *http.Request) {
	audience := r.URL.Query().Get("audience")
	if audience == "" {
		http.Error(w, "non-empty audience parameter required", http.StatusBadRequest)
		return
	}

	email, _, _ := s.read(account + "default/email")
	s.mu.Lock()
	life := s.life
	s.minted++
	serial := s.minted
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/html") // as the real one
	fmt.Fprint(w, Token(audience, email, time.Now(), life, serial))
}

// Token is an ID token that looks signed by Google and is not. serial makes two
// tokens of the same second differ.
func Token(audience, email string, now time.Time, life time.Duration, serial int) string {
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // only strings and numbers come here
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	header := map[string]any{"alg": "RS256", "kid": "fake", "typ": "JWT"}
	claims := map[string]any{
		"aud": audience, "azp": "1234567890", "email": email, "email_verified": true,
		"exp": now.Add(life).Unix(), "iat": now.Unix(), "iss": "https://accounts.google.com", "sub": "1234567890",
		"serial": serial,
	}
	signature := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("unsigned", 32)))

	return encode(header) + "." + encode(claims) + "." + signature
}

func (s *Server) accessToken(w http.ResponseWriter) {
	s.mu.Lock()
	s.minted++
	token := map[string]any{
		"access_token": fmt.Sprintf("ya29.fake-%d", s.minted), "expires_in": int(s.life.Seconds()), "token_type": "Bearer",
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(token)
}
