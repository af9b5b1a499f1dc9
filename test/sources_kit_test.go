package test

import (
	"encoding/json"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/binary"
)

// sourceState is a source as the status page's JSON shows it.
type sourceState struct {
	Source   string
	Backends int
	Age      *float64 `json:"age_seconds"`
	Error    string
}

// sourcesOf is what the page of a process that has the watchword says.
func sourcesOf(t *testing.T, p *binary.Process) []sourceState {
	t.Helper()
	var state struct{ Sources []sourceState }
	page := get(t, newClient(t), p.URL("/.lb/state.json"), "Authorization", "Bearer "+watchword)
	if err := json.Unmarshal([]byte(page.Text), &state); err != nil {
		t.Fatal(err)
	}

	return state.Sources
}
