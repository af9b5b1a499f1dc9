package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/backend"
)

// writeList puts a list in a directory as Kubernetes does it: the whole is
// there at once, by another name.
func writeList(t *testing.T, dir, content string) string {
	t.Helper()
	fresh, path := filepath.Join(dir, "fresh"), filepath.Join(dir, "backends")
	if err := os.WriteFile(fresh, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, path); err != nil {
		t.Fatal(err)
	}

	return path
}

func TestSources_AFileIsFollowedAndFailsNoRequest(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 5)
	dir := t.TempDir()
	path := writeList(t, dir, list(s[0], s[1]))
	p := pillion.Start(t, affine, "LB_BACKENDS=file://"+path, "LB_STATUS_TOKEN="+watchword)
	load := startStream(t, 6, p.URL("/"))
	load.More(t, 50)

	for i := range 3 {
		writeList(t, dir, list(s[i+1], s[i+2])+"\n")
		await.Until(t, "the new backend is used", func() bool { return s[i+2].Hits() > 0 })
		await.Until(t, "the backend that left gets nothing more", func() bool {
			before := s[i].Hits()
			load.More(t, 20)
			return s[i].Hits() == before
		})
	}

	writeList(t, dir, list(s[0])+";gopher://x")
	await.Until(t, "the page says what is wrong", func() bool {
		return strings.Contains(sourcesOf(t, p)[0].Error, `item 2 "gopher://x"`)
	})
	if source := sourcesOf(t, p)[0]; source.Source != "file://"+path || source.Backends != 2 || source.Age == nil {
		t.Errorf("the source of a bad file is %+v", source)
	}
	if found := warnings(p, "file://"); len(found) != 1 {
		t.Errorf("the log says %d times that the file is bad: %v", len(found), found)
	}

	before := s[0].Hits()
	load.More(t, 20)
	writeList(t, dir, list(s[4]))
	await.Until(t, "the next good list is used", func() bool { return s[4].Hits() > 0 })
	if load.Stop(t); s[0].Hits() != before {
		t.Error("a part of a bad list was used")
	}
}

func TestSources_ABadFileAtStartIsRefusedByName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := writeList(t, dir, "http://a;gopher://b")
	for item, want := range map[string]string{
		"file://" + bad: `the file's item 2 "gopher://b"`, "file://" + bad + "-not": "names a file that does not exist",
		"file://relative": "three of them", "file:///": "ends with a slash",
	} {
		r := pillion.Run(t, []string{"LB_BACKENDS__SHOP=http://good:80;" + item})
		if r.Code != 78 || linesWith(r, "LB_BACKENDS__SHOP") == 0 || !strings.Contains(r.Output(), want) {
			t.Errorf("%s: exit code %d, it printed %q", item, r.Code, r.Output())
		}
	}
}

// A file that fails hides no other source, and an empty place of a list in a
// service of its own hides no other service.
func TestSources_ABadFileHidesNoOther(t *testing.T) {
	t.Parallel()
	s := backend.StartMany(t, 2)
	dir := t.TempDir()
	path := writeList(t, dir, list(s[0]))
	p := pillion.Start(t, "LB_BACKENDS=file://"+path+";dns://unknown.invalid:80;"+list(s[1]))
	client := newClient(t)
	await.Until(t, "both are used", func() bool { get(t, client, p.URL("/")); return s[0].Hits() > 0 && s[1].Hits() > 0 })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the log says so", func() bool { return len(warnings(p, "file://")) == 1 })
	first, second := s[0].Hits(), s[1].Hits()
	await.Until(t, "both are used", func() bool {
		get(t, client, p.URL("/"))
		return s[0].Hits() > first &&
			s[1].Hits() > second
	})
}

func TestSources_ANamedResolverIsAsked(t *testing.T) {
	t.Parallel()
	n := newNamedNetwork(t)
	s := n.StartBackends(t, 3)
	n.Set("app.service.consul", 1, 2)
	p := n.Start(t, affine, "LB_BACKENDS=dns://app.service.consul:"+n.port+"?resolver="+n.server,
		"LB_DISCOVERY_INTERVAL=1s")
	load := startStream(t, 2, p.URL("/"))
	await.Until(t, "both are used", func() bool { return s[0].Hits() > 0 && s[1].Hits() > 0 })

	n.SetFault("servfail")
	await.Until(t, "the log says so", func() bool { return len(warnings(p, "dns://app.service.consul")) == 1 })
	load.More(t, 20)
	n.Set("app.service.consul", 3)
	n.SetFault("")
	await.Until(t, "the next good answer is used", func() bool { return s[2].Hits() > 0 })
	load.Stop(t)
}
