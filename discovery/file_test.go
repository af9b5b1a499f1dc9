package discovery

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// mounted is a volume as Kubernetes mounts one: the file is a link to a file in
// a directory that is itself a link, which is swapped when the content changes.
type mounted struct {
	t    *testing.T
	root string
	n    int
}

func (m *mounted) path() string { return filepath.Join(m.root, "backends") }

func (m *mounted) set(content string) {
	m.t.Helper()
	m.n++
	dir := filepath.Join(m.root, strings.Repeat("v", m.n))
	data, fresh := filepath.Join(m.root, "..data"), filepath.Join(m.root, "..fresh")
	for _, err := range []error{
		os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "backends"), []byte(content), 0o600),
		os.Symlink(filepath.Base(dir), fresh), os.Rename(fresh, data),
	} {
		if err != nil {
			m.t.Fatal(err)
		}
	}
	if m.n == 1 {
		if err := os.Symlink("..data/backends", m.path()); err != nil {
			m.t.Fatal(err)
		}
	}
}

func TestFile_IsFollowedWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	m := &mounted{t: t, root: t.TempDir()}
	m.set("http://a\n")
	synctest.Test(t, func(t *testing.T) {
		log, logs := logged()
		sets := run(t, auto(), Options{Logger: log}, "file://"+m.path(), "http://other")
		set, _ := next(sets, time.Second)
		if !set.Complete || names(set.Backends) != "a other" || set.Backends[0].Source != "file://"+m.path() ||
			!set.Backends[0].Guarded {
			t.Fatalf("published %+v", set)
		}

		m.set("http://b;https://c?weight=2")
		if set, n := next(sets, 2*time.Second); n != 1 || names(set.Backends) != "b c other" {
			t.Errorf("after a swap: %d publications, %+v", n, set)
		}

		for _, bad := range []string{"http://d;ftp://e", "demo://2", "file://" + m.path(), "http://169.254.169.254", "\n",
			""} {
			m.set(bad)
			if set, n := next(sets, 3*time.Second); n != 0 {
				t.Errorf("%q: published %+v", bad, set)
			}
		}
		if !strings.Contains(logs.String(), `item 2 \"ftp://e\"`) {
			t.Errorf("the log does not say what is wrong: %s", logs)
		}

		if err := os.Remove(m.path()); err != nil {
			t.Fatal(err)
		}
		if set, n := next(sets, 3*time.Second); n != 0 || !strings.Contains(logs.String(), "does not exist") {
			t.Errorf("without the file: published %+v, logged %s", set, logs)
		}

		if err := os.Symlink("..data/backends", m.path()); err != nil {
			t.Fatal(err)
		}
		m.set("http://f")
		if set, _ := next(sets, 2*time.Second); names(set.Backends) != "f other" ||
			!strings.Contains(logs.String(), "discovery works again") {
			t.Errorf("with the file again: %+v", set)
		}
	})
}

// A source that is looked at every second has an age of at most a second, and
// says for how long it has had no good content.
func TestFile_ItsAgeIsThatOfTheLastGoodLook(t *testing.T) {
	t.Parallel()
	m := &mounted{t: t, root: t.TempDir()}
	m.set("http://a\n")
	synctest.Test(t, func(t *testing.T) {
		log, _ := logged()
		d := New(auto(), []Target{parseOne(t, "file://"+m.path())}, Options{Logger: log})
		start(t, d)
		time.Sleep(time.Hour)
		synctest.Wait()
		age, known := d.States()[0].Age(time.Now())
		if !known || age > 2*time.Second || !d.States()[0].Up() {
			t.Errorf("after an hour: %+v is %v old", d.States()[0], age)
		}

		m.set("nonsense")
		time.Sleep(time.Hour)
		synctest.Wait()
		if age, _ := d.States()[0].Age(time.Now()); age < time.Hour-2*time.Second || d.States()[0].Up() {
			t.Errorf("an hour after it became bad: %+v is %v old", d.States()[0], age)
		}
	})
}

func TestFile_ABadOneAtStartIsAProblemOfTheItem(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "list")
	for content, want := range map[string]string{
		"http://a;gopher://b": `item 1 "file://` + path + `": the file's item 2 "gopher://b"`, "": "lists nothing",
		" ;\n": "lists nothing", "http://user:hush@a": "user info is refused",
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, problems := ParseFor("LB_BACKENDS__SHOP", []string{"file://" + path})
		if len(problems) != 1 || problems[0].Variable != "LB_BACKENDS__SHOP" ||
			!strings.Contains(problems[0].String(), want) ||
			strings.Contains(problems[0].String(), "hush") {
			t.Errorf("%q: %v", content, problems)
		}
	}
}
