package proxy

import (
	"strings"
	"testing"
)

// A strict session that is lost takes what it carried along.
func TestCarrier_EndsWithALostStrictSession(t *testing.T) {
	t.Parallel()
	s := newScripted(t, Options{}, []string{"a"}, "LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_STRICT=true",
		"LB_AFFINITY_COOKIE=lb",
		"LB_BACKEND_COOKIES=GAESA", "LB_START_HOLD=0")
	field, value := session(t, s.p, "gone")
	w := get(s.p, field, value+"; lb_b=AAAAAAAAAAA.1.GAESA=x")
	lines := strings.Join(w.Header()["Set-Cookie"], "\n")
	if w.Code != 503 || len(w.Header()["Set-Cookie"]) != 2 || strings.Count(lines, "Max-Age=0") != 2 ||
		!strings.Contains(lines, "lb_b=;") {
		t.Errorf("%d %q", w.Code, lines)
	}
}
