package test

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// goal is what the runtime prints of a collection: the size of the heap at
// which it wanted to begin.
var goal = regexp.MustCompile(`(?m)^gc .* (\d+) MB goal`)

// TestGarbage_IsCollectedSeldom makes garbage with large request heads. The
// runtime alone would collect at 4 to 8 MiB.
func TestGarbage_IsCollectedSeldom(t *testing.T) {
	t.Parallel()
	b := backend.Backends(backend.Start(t, "a", nil))
	p := pillion.Start(t, b, "GODEBUG=gctrace=1", "LB_ACCESS_LOG=off")
	client := newClient(t)
	large := strings.Repeat("x", 30<<10)

	await.Until(t, "a collection begins at 10 MiB or more", func() bool {
		for range 20 {
			request := newRequest(t, http.MethodGet, p.URL("/"), nil, "X-Large", large)
			wantStatus(t, send(t, client, request), http.StatusOK)
		}

		for _, found := range goal.FindAllStringSubmatch(p.Printed(), -1) {
			if mib, _ := strconv.Atoi(found[1]); mib >= 10 {
				return true
			}
		}

		return false
	})
}
