package test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// A source that has never answered has no age, and is not up. The page says
// why. When it answers, both are known.
func TestSources_AnAgeIsThatOfAnAnswer(t *testing.T) {
	t.Parallel()
	b := backend.Start(t, "one", nil)
	m := newMachine(t)
	m.SetFault(server.Fault{Mode: server.Error})
	m.Set("instance/attributes/list", b.Target())
	p := pillion.Start(t, m.Environment, "LB_STATUS_TOKEN="+watchword, "LB_IDENTITY=off",
		"LB_BACKENDS=metadata://instance/attributes/list;http://127.0.0.1:9?weight=0")

	type source struct {
		Source string
		Age    *float64 `json:"age_seconds"`
		Error  string
	}
	sources := func() []source {
		var state struct{ Sources []source }
		page := get(t, newClient(t), p.URL("/.lb/state.json"), "Authorization", "Bearer "+watchword)
		if err := json.Unmarshal([]byte(page.Text), &state); err != nil {
			t.Fatal(err)
		}
		return state.Sources
	}
	sample := func(name, value string) bool {
		for line := range strings.Lines(metricsText(t, p.URL(""))) {
			if strings.HasPrefix(line, name+"{") && strings.Contains(line, "attributes/list") &&
				(value == "" || strings.HasSuffix(line, " "+value+"\n")) {
				return true
			}
		}
		return false
	}

	await.Until(t, "the source has failed", func() bool { return sources()[0].Error != "" })
	if all := sources(); all[0].Age != nil || !strings.HasPrefix(all[0].Source, "metadata://") || all[1].Age == nil ||
		all[1].Error != "" {
		t.Errorf("the sources are %+v", all)
	}
	if sample("lb_discovery_age_seconds", "") || !sample("lb_discovery_up", "0") {
		t.Errorf("the metrics of a source without an answer are wrong:\n%s", metricsText(t, p.URL("")))
	}

	m.SetFault(server.Fault{})
	await.Until(t, "the source has answered", func() bool { return sources()[0].Age != nil })
	if all := sources(); all[0].Error != "" {
		t.Errorf("the sources are %+v", all)
	}
	if !sample("lb_discovery_age_seconds", "") || !sample("lb_discovery_up", "1") {
		t.Errorf("the metrics of a source with an answer are wrong:\n%s", metricsText(t, p.URL("")))
	}
}
