package test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

const machineList = "instance/attributes/lb-backends"

func TestCloud_TrafficFollowsAnAttributeWithinASecond(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 7)
	m := newMachine(t)
	m.Set(machineList, list(s[0], s[1]))
	p := pillion.Start(t, affine, m.Environment)
	load := startStream(t, 6, p.URL("/"))
	load.More(t, 50)

	for i := range 5 {
		added := s[i+2]
		set := time.Now()
		m.Set(machineList, list(s[i+1], added))
		await.Until(t, "the new backend is used", func() bool { return added.Hits() > 0 })
		if took := time.Since(set); took > slowMachine(time.Second) {
			t.Errorf("traffic followed after %v", took)
		}

		await.Until(t, "the backend that left gets nothing more", func() bool {
			before := s[i].Hits()
			load.More(t, 20)
			return s[i].Hits() == before
		})
	}

	load.Stop(t)
}

func TestCloud_AnUntouchedBackendKeepsItsSessionsHealthAndConnections(t *testing.T) {
	t.Parallel()
	l := &countingListener{Listener: backend.Listen(t)}
	kept := backend.StartAt(t, "kept", l, nil)
	s := backend.StartMany(t, 4)
	m := newMachine(t)
	m.Set(machineList, list(s[0], kept))
	p := pillion.Start(t, affine, m.Environment, "LB_IDLE_CONN_TIMEOUT=60s")
	client := newClient(t)
	own := sessionOn(t, client, p.URL("/"), "kept")
	connections := l.accepted.Load()
	for i := range 3 {
		m.Set(machineList, list(s[i+1], kept))
		await.Until(t, "the new backend is used", func() bool { return get(t, client, p.URL("/")).Backend() == s[i+1].Name })
		wantKept(t, client, p.URL("/"), own, 5)
	}

	if now := l.accepted.Load(); now != connections {
		t.Errorf("the untouched backend had %d connections before the changes and %d after", connections, now)
	}
	if lines := messages(p, "backend joined", "kept") + messages(p, "backend changed", "kept") +
		messages(p, "backend left", "kept"); lines > 0 {
		t.Error("the log says that the untouched backend was touched")
	}
}

// Whatever the metadata server does instead of answering, what does not need it
// works at once, and the rest follows.
func TestCloud_NothingWaitsForTheMetadataServer(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]server.Fault{
		"drop": {Mode: server.Drop}, "slow": {Mode: server.Slow, Delay: 5 * time.Second}, "500": {Mode: server.Error},
		"404": {Mode: server.Gone}, "html": {Mode: server.HTML}, "reset": {Mode: server.Reset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.SetFault(fault)
			wantStartAndRecovery(t, m.Environment, func(value string) {
				m.Set("instance/attributes/more", value)
				m.SetFault(server.Fault{})
			})
		})
	}

	t.Run("absent", func(t *testing.T) {
		t.Parallel()
		address, listen := absent(t)
		wantStartAndRecovery(t, "GCE_METADATA_HOST="+address, func(value string) {
			newMachineAt(t, listen()).Set("instance/attributes/more", value)
		})
	})
}

// wantStartAndRecovery starts with a list that holds a fixed backend beside two
// that cannot be found yet. The run target takes no sessions, for there is no
// such service; its region is what has to be found.
func wantStartAndRecovery(t *testing.T, environment string, repair func(value string)) {
	t.Helper()
	s := backend.StartMany(t, 2)
	began := time.Now()
	p := pillion.Start(t, environment, backend.Backends(s[0])+";run://api?weight=0;metadata://instance/attributes/more")

	// the process's own start is in it
	if took := time.Since(began); took > slowMachine(time.Second) {
		t.Errorf("listening after %v", took)
	}

	client := newClient(t)
	asked := time.Now()
	a := get(t, client, p.URL("/"))
	if took := time.Since(asked); a.StatusCode != http.StatusOK || took > slowMachine(time.Second) {
		t.Errorf("the fixed backend: status %d after %v", a.StatusCode, took)
	}

	for _, source := range []string{"run://api", "metadata://instance/attributes/more"} {
		await.Until(t, "the log says that "+source+" is missing", func() bool { return len(warnings(p, source)) > 0 })
	}

	repair(list(s[1]))
	await.Until(t, "the attribute's backend is used", func() bool { return get(t, client, p.URL("/")).Backend() == "two" })
	await.Until(t, "the run target is found", func() bool { return messages(p, "backend joined", "api") == 1 })
	for _, source := range []string{"run://api", "metadata://instance/attributes/more"} {
		if found := warnings(p, source); len(found) > 1 {
			t.Errorf("the log says %d times that %s is missing: %v", len(found), source, found)
		}
	}
}

func TestCloud_ADeletedAttributeKeepsTheLastGoodSet(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 2)
	m := newMachine(t)
	m.Set(machineList, list(s[0]))
	p := pillion.Start(t, m.Environment)
	load := startStream(t, 2, p.URL("/"))
	load.More(t, 10)
	m.Delete(machineList)
	await.Until(t, "the log says so", func() bool { return len(warnings(p, machineList)) == 1 })
	load.More(t, 20)
	m.Set(machineList, list(s[1]))
	await.Until(t, "the attribute's next value is used", func() bool { return s[1].Hits() > 0 })
	load.Stop(t)
}
