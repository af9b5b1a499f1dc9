package status

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/cache"
)

func TestPurge_NeedsTheTokenInAuthorizationAndAPost(t *testing.T) {
	t.Parallel()
	token := "0123456789abcdef"
	for _, c := range []struct {
		method, target, token string
		status                int
		want                  Purge
	}{
		{"POST", "/.lb/cache/purge?all", token, 200, Purge{All: true}},
		{"POST", "/.lb/cache/purge?all=", token, 200, Purge{All: true}},
		{"POST", "/.lb/cache/purge?url=https%3A%2F%2Fexample.com%2Fa%3Fb", token, 200, Purge{URL: "https://example.com/a?b"}},
		{"POST", "/.lb/cache/purge?prefix=http://example.com/a", token, 200, Purge{Prefix: "http://example.com/a"}},
		{"POST", "/.lb/cache/purge", token, 400, Purge{}},
		{"POST", "/.lb/cache/purge?url=/a", token, 400, Purge{}},
		{"POST", "/.lb/cache/purge?prefix=", token, 400, Purge{}},
		{"POST", "/.lb/cache/purge?all&url=http://example.com/", token, 400, Purge{}},
		{"POST", "/.lb/cache/purge?all", "wrong", 299, Purge{}},
		{"POST", "/.lb/cache/purge?all", "", 299, Purge{}},
		{"POST", "/.lb/cache/purge?all&token=" + token, "", 404, Purge{}},
		{"GET", "/.lb/cache/purge?all", token, 404, Purge{}},
		{"DELETE", "/.lb/cache/purge?all", token, 404, Purge{}},
		{"POST", "/.lb/cache/purge/?all", token, 404, Purge{}},
	} {
		h := handler()
		h.Token = config.NewSecret(token)
		h.Cache, h.Logger = cache.New(1<<20, 1<<10), slog.New(slog.DiscardHandler)
		app := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) })
		r := httptest.NewRequest(c.method, c.target, nil)
		r.RequestURI = c.target
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		h.Before(app).ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s %s: %d", c.method, c.target, w.Code)
		}
		if got, _ := readPurge(c.target); c.status == 200 && got != c.want {
			t.Errorf("%s: %+v", c.target, got)
		}
		want := `{"purged":0,"instance":"` + h.Cache.Instance() + `"}`
		if c.status == 200 && strings.TrimSpace(w.Body.String()) != want {
			t.Errorf("%s", w.Body)
		}
	}
}
