package access

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

const statusToken = "0123456789abcdef"

// state is the part of state.json that these tests read.
type state struct {
	Access *struct {
		Gates []struct {
			Name   string
			Routes []string
		}
		Keys []struct {
			Provider, Error string
			Keys            int
			Age             *float64 `json:"age_seconds"`
			Fetched, Failed int
		}
		Limits struct {
			Limits []struct {
				Name, By         string
				Dry              bool
				Allowed, Refused int
				Known, Room      int
			}
			InFlight *struct{ Most, Clients, Refused int }
			Store    struct{ State string }
		}
	}
	Traffic struct{ Refused map[string]int }
}

func stateOf(t *testing.T, p *binary.Process) (s state) {
	t.Helper()
	if err := json.Unmarshal([]byte(raw(t, p, "GET /.lb/state.json", bearer(statusToken)).text), &s); err != nil {
		t.Fatal(err)
	}

	return s
}

// state.json and the status page show each gate with its routes and its
// refusals, the keys for tokens, and the decisions of limits.
func TestPage_ShowsGatesKeysAndLimits(t *testing.T) {
	t.Parallel()
	app, i, address := startEcho(t), newIssuer(t), backend.Closed(t)
	p := pillion.Start(t, backend.Backends(app), i.setting()+";http://"+address+"/?audience=app", "LB_DENY_PATHS=/admin",
		"LB_RATE_LIMIT=3/h?name=slow;1/h?by=header:X-Key&dry=true&name=try", "LB_CLIENT_IN_FLIGHT=50",
		"LB_STATUS_TOKEN="+statusToken,
		"LB_ROUTE__OPEN=/open", "LB_SERVICE__OPEN=default", "LB_AUTH__OPEN=none")
	token := i.token(t, "ann", nil)
	for n, c := range []struct {
		request, credential string
		status              int
	}{
		{"GET /", bearer(token), 200},
		{"GET /", bearer(token), 200},
		{"GET /", "X-None: x", 401},
		{"GET /", bearer(token), 429},
		{"GET /admin", bearer(token), 404},
	} {
		if a := raw(t, p, c.request, c.credential); a.StatusCode != c.status {
			t.Errorf("request %d: status %d, want %d", n, a.StatusCode, c.status)
		}
	}
	await.Until(t, "a fetch from the issuer that is not running has failed", func() bool {
		keys := stateOf(t, p).Access.Keys
		return keys[0].Failed+keys[1].Failed > 0
	})

	s := stateOf(t, p)
	where := map[string]string{}
	for _, g := range s.Access.Gates {
		where[g.Name] = strings.Join(g.Routes, " ")
	}
	for name, routes := range map[string]string{"LB_AUTH": "default", "LB_DENY_PATHS": "", "LB_RATE_LIMIT": "",
		"LB_CLIENT_IN_FLIGHT": ""} {
		if got, on := where[name]; !on || got != routes || len(where) != 4 {
			t.Errorf("%s applies to %q, want %q, of 4 gates: %v", name, got, routes, where)
		}
	}
	for _, k := range s.Access.Keys {
		good := k.Provider == i.URL && k.Keys == 1 && k.Age != nil && k.Error == "" && k.Fetched == 1
		away := k.Provider == "http://"+address+"/" && k.Keys == 0 && k.Age == nil && strings.Contains(k.Error, address)
		if !good && !away {
			t.Errorf("keys of neither the running nor the other issuer: %+v", k)
		}
	}
	if n := s.Traffic.Refused; n["missing"] != 1 || n["rate:slow"] != 1 || n["path"] != 1 || len(n) != 3 {
		t.Errorf("refused %v, want missing, rate:slow and path, once each", n)
	}
	l := s.Access.Limits
	if slow := l.Limits[0]; slow.Name != "slow" || slow.By != "client" || slow.Dry || slow.Allowed != 3 ||
		slow.Refused != 1 || slow.Known != 1 || slow.Room != 65_536 {
		t.Errorf("limit slow is %+v, want 3 allowed and 1 refused of one client", slow)
	}
	if try := l.Limits[1]; try.Name != "try" || try.By != "header:X-Key" || !try.Dry || try.Allowed != 1 ||
		try.Refused != 3 {
		t.Errorf("limit try is %+v, want a dry one by header:X-Key with 1 allowed and 3 refused", try)
	}
	if l.InFlight == nil || l.InFlight.Most != 50 || l.InFlight.Clients != 0 || l.Store.State != "none" {
		t.Errorf("in flight %+v, store %+v, want at most 50 in flight, none now, and no store", l.InFlight, l.Store)
	}

	page := raw(t, p, "GET /.lb/?refresh=0", bearer(statusToken)).text
	for _, want := range []string{"Keys for tokens", i.URL, "gives no keys, its tokens get 503",
		"This instance counts for itself.", "refused, missing", "LB_DENY_PATHS</dt><dd>all routes"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %q", want)
		}
	}
}

func TestPage_OmitsGatesThatAreOff(t *testing.T) {
	t.Parallel()
	p := pillion.Start(t, backend.Backends(startEcho(t)), "LB_STATUS_TOKEN="+statusToken)
	if s := stateOf(t, p); s.Access != nil {
		t.Errorf("state.json has %+v, want nothing about access", s.Access)
	}
	page := raw(t, p, "GET /.lb/", bearer(statusToken)).text
	for _, absent := range []string{"Keys for tokens", "Limits", "counts for itself", ">Access<"} {
		if strings.Contains(page, absent) {
			t.Errorf("the page contains %q", absent)
		}
	}
}
