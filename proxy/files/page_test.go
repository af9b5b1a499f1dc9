package files

import (
	"testing"

	"github.com/pillion-lb/pillion/config"
)

func TestErrorPages_AreFoundByStatus(t *testing.T) {
	t.Parallel()
	pages := NewErrorPages(map[int]*config.Page{404: {Path: "/srv/404.html"}, 503: {Path: "/srv/plain"}})
	if _, kind, ok := pages.Content(404); !ok || kind != "text/html; charset=utf-8" {
		t.Error(kind)
	}
	if _, kind, ok := pages.Content(503); !ok || kind != "text/plain; charset=utf-8" {
		t.Error(kind)
	}
	if _, _, ok := pages.Content(502); ok {
		t.Error("a page that nobody gave")
	}
	if _, _, ok := ErrorPages(nil).Content(404); ok {
		t.Error("a page of nothing")
	}
}
