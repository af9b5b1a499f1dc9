package edge

import (
	"net/http"
	"strings"
	"testing"
)

func TestLoop_EndsAtTheThirdPass(t *testing.T) {
	t.Parallel()
	rules := New(testConfig(t, "K_SERVICE=shop"))

	h := http.Header{"Cdn-Loop": {"other; v=1"}}
	for pass := range 4 {
		if got := rules.Looped(h); got != (pass >= 3) {
			t.Errorf("pass %d: %v", pass, got)
		}
		var hop Hop
		rules.MarkLoop(&hop, h)
		applied(&hop, h)
	}

	if !strings.HasPrefix(h.Get("Cdn-Loop"), "other; v=1, pillion-") {
		t.Error(h)
	}
	if New(testConfig(t, "K_SERVICE=api")).Looped(h) {
		t.Error("another service's passes count")
	}
}
