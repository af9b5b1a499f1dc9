package conformance

import (
	"encoding/xml"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
)

// h2specVersion is the release that the explanations below refer to. It has no
// go.mod, so this module can't pin it.
const h2specVersion = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"

// explained has the failing cases of h2spec with the reasons. README.md has
// more. A case that passes must be removed.
var explained = map[string]string{}

// report is h2spec's JUnit file.
type report struct {
	Suites []struct {
		Package string `xml:"package,attr"`
		Cases   []struct {
			Name    string    `xml:"classname,attr"`
			Failure *struct{} `xml:"failure"`
			Error   *struct{} `xml:"error"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

func TestH2spec_FailsOnlyWhereItIsExplained(t *testing.T) {
	b := backend.Start(t, "one", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "some bytes to be sent in frames")
	})
	p := pillion.Start(t, backend.Backends(b))
	host, port, _ := strings.Cut(p.Address, ":")
	file := filepath.Join(t.TempDir(), "report.xml")
	cmd := exec.Command("go", "run", h2specVersion, "-h", host, "-p", port, "-o", "2", "-S", "-j", file)
	cmd.Dir = t.TempDir() // outside every module
	out, err := cmd.CombinedOutput()
	raw, missing := os.ReadFile(file)
	if missing != nil {
		t.Fatalf("h2spec made no report: %v\n%s", err, out)
	}

	var r report
	if err := xml.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}

	passed, total := judge(t, r)
	t.Logf("h2spec: %d of %d", passed, total)
	if total < 146 {
		t.Errorf("h2spec ran %d cases, want its 146 strict ones:\n%s", total, out)
	}
}

// judge compares the failed cases of the report with the explained ones. Both
// must be the same.
func judge(t *testing.T, r report) (passed, total int) {
	t.Helper()
	blanks := regexp.MustCompile(`\s+`)
	for _, suite := range r.Suites {
		for _, c := range suite.Cases {
			total++
			name := suite.Package + ": " + blanks.ReplaceAllString(c.Name, " ")
			failed := c.Failure != nil || c.Error != nil

			_, known := explained[name]
			switch {
			case !failed:
				passed++
				if known {
					t.Errorf("%s passes: take it out of the list", name)
				}
			case !known:
				t.Errorf("%s fails", name)
			}
		}
	}

	return passed, total
}
