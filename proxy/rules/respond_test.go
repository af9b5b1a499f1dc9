package rules

import (
	"io"
	"net/http"
	"testing"
)

func TestRespond_AnswersWithItsStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status                   int
		body                     Body
		text, cache, again, kind string
	}{
		{200, Text("User-agent: *\nDisallow: /"), "User-agent: *\nDisallow: /", "", "", "text/plain; charset=utf-8"},
		{200, nil, "200 OK\n", "", "", "text/plain; charset=utf-8"},
		{404, nil, "404 Not Found\n", "no-store", "", "text/plain; charset=utf-8"},
		{503, nil, "503 Service Unavailable\n", "no-store", "60", "text/plain; charset=utf-8"},
		{204, Text("lost"), "", "", "", ""},
		{205, Text("lost"), "", "", "", ""},
		{304, nil, "", "", "", ""},
	} {
		resp := NewRespond(c.status, c.body).Answer()
		text, err := io.ReadAll(resp.Body)
		h := resp.Header
		if err != nil || resp.StatusCode != c.status || string(text) != c.text || h.Get("Cache-Control") != c.cache ||
			h.Get("Retry-After") != c.again || h.Get("Content-Type") != c.kind || resp.ContentLength != int64(len(c.text)) {
			t.Errorf("%d: %q, %v, %+v", c.status, text, err, resp)
		}
		if length := h.Get("Content-Length"); (length == "") != (c.status == http.StatusNoContent ||
			c.status == http.StatusNotModified) {
			t.Errorf("%d: Content-Length %q", c.status, length)
		}
	}
}
