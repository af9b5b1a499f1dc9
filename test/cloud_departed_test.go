package test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// shownBackend is a backend in the JSON of the status page.
type shownBackend struct {
	Name, State, Reason string
	InFlight            int
}

// shownBackends reads the status page, by the backends' names.
func shownBackends(t *testing.T, p *binary.Process) map[string]shownBackend {
	t.Helper()
	var state struct{ Backends []shownBackend }
	page := get(t, newClient(t), p.URL("/.lb/state.json"), "Authorization", "Bearer "+statusToken)
	if err := json.Unmarshal([]byte(page.Text), &state); err != nil {
		t.Fatalf("%v in %q", err, page.Text)
	}

	byName := map[string]shownBackend{}
	for _, b := range state.Backends {
		byName[b.Name] = b
	}

	return byName
}

// A backend that discovery has given up is shown until its last request ends,
// which nothing cuts.
func TestCloud_ABackendThatLeftIsShownAsDrainingUntilItHasFinished(t *testing.T) {
	t.Parallel()
	begun, finish := make(chan struct{}), make(chan struct{})
	leaving := backend.Start(t, "leaving", func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-finish
	})
	staying := backend.Start(t, "staying", nil)
	m := newMachine(t)
	m.Set(machineList, list(leaving))
	p := pillion.Start(t, m.Environment, "LB_STATUS_TOKEN="+statusToken)
	answered := make(chan answer, 1)
	go func() { answered <- get(t, newClient(t), p.URL("/")) }()
	soon(t, "the request at the backend", begun)
	m.Set(machineList, list(staying))
	await.Until(t, "the backend is shown as draining",
		func() bool { return shownBackends(t, p)["leaving"].State == "draining" })
	if b := shownBackends(t, p)["leaving"]; b.InFlight != 1 || !strings.Contains(b.Reason, "published no more") {
		t.Errorf("%+v", b)
	}

	if b := shownBackends(t, p)["staying"]; b.State != "eligible" {
		t.Errorf("%+v", b)
	}

	close(finish)
	if a := soon(t, "the answer", answered); a.StatusCode != http.StatusOK || a.Backend() != "leaving" {
		t.Errorf("status %d from %q", a.StatusCode, a.Backend())
	}

	await.Until(t, "the backend has gone from the page",
		func() bool { _, there := shownBackends(t, p)["leaving"]; return !there })
}
