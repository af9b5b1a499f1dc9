package monitoring

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pillion-lb/pillion/test/internal/await"
)

var update = flag.Bool("update", false, "write the table of metrics into deploy/monitoring/README.md")

// metric is a metric as OpenTelemetry and Prometheus see it.
type metric struct {
	Name, Unit, Description string // as in OpenTelemetry
	Prometheus, Kind        string
	Labels                  []string // as in Prometheus
}

// collection is one export of the console exporter.
type collection struct {
	ScopeMetrics []struct {
		Metrics []struct {
			Name, Unit, Description string
			Data                    struct {
				DataPoints []struct{ Attributes []struct{ Key string } }
			}
		}
	}
}

// The table on the page has the metrics that the program exports.
func TestMetrics_TheTableIsNotStale(t *testing.T) {
	t.Parallel()
	s := startInstance(t)
	page := file(t, folder+"README.md")
	before, rest, begun := strings.Cut(page, "<!-- metrics:begin -->\n")
	written, after, ended := strings.Cut(rest, "<!-- metrics:end -->")
	if !begun || !ended {
		t.Fatal("the page does not have metrics:begin and metrics:end")
	}

	var shown string
	fits := await.Within(await.Limit, func() bool {
		shown = table(s.collected(t))
		return shown == strings.TrimSpace(written)
	})
	switch {
	case fits:
	case *update:
		page = before + "<!-- metrics:begin -->\n" + shown + "\n<!-- metrics:end -->" + after
		if err := os.WriteFile(folder+"README.md", []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("the table of metrics is stale: go test ./test/monitoring -run Table -update\n%s", shown)
	}
}

// collected returns every metric in the newest export and in the text.
func (s *instance) collected(t *testing.T) []metric {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(s.metrics(t)))
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]string{}
	for name, f := range families {
		named[f.GetHelp()] = name
	}

	var all []metric
	for _, scope := range s.exported(t).ScopeMetrics {
		for _, m := range scope.Metrics {
			labels := map[string]bool{}
			for _, p := range m.Data.DataPoints {
				for _, a := range p.Attributes {
					labels[strings.ReplaceAll(a.Key, ".", "_")] = true
				}
			}

			name := named[m.Description]
			kind := strings.ToLower(families[name].GetType().String())
			all = append(all, metric{m.Name, m.Unit, m.Description, name, kind, slices.Sorted(maps.Keys(labels))})
		}
	}

	slices.SortFunc(all, func(a, b metric) int { return strings.Compare(a.Name, b.Name) })

	return all
}

// exported returns the newest export that the program has printed.
func (s *instance) exported(t *testing.T) (newest collection) {
	t.Helper()
	for _, l := range slices.Backward(s.Lines()) {
		if l.Fields["ScopeMetrics"] != nil {
			if err := json.Unmarshal([]byte(l.Text), &newest); err != nil {
				t.Fatal(err)
			}
			return newest
		}
	}

	return newest
}

// table returns the metrics as a Markdown table.
func table(all []metric) string {
	var b strings.Builder
	b.WriteString("| OpenTelemetry | Prometheus | kind | unit | labels | meaning |\n|---|---|---|---|---|---|\n")
	for _, m := range all {
		labels := "–"
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "` `") + "`"
		}

		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s |\n", m.Name, m.Prometheus, m.Kind, unit(m.Unit), labels,
			strings.ReplaceAll(m.Description, "|", `\|`))
	}

	return strings.TrimSpace(b.String())
}

// unit returns a unit of UCUM in words.
func unit(ucum string) string {
	switch ucum {
	case "":
		return "–"
	case "s":
		return "seconds"
	case "By":
		return "bytes"
	}

	return strings.Trim(ucum, "{}") + "s"
}

// The table has a row for every instrument in the code. An instrument without a
// row was not used by startInstance.
func TestMetrics_TheTableHasEveryInstrument(t *testing.T) {
	t.Parallel()
	page := file(t, folder+"README.md")
	made := regexp.MustCompile(`(?:Int64|Float64)[A-Za-z]*(?:Counter|Gauge|Histogram)\(\s*"([a-z0-9_.]+)"|` +
		`(?m:^\s*\{?"(lb\.[a-z0-9_.]+)"[:,] +"[A-Z{])`)

	found := 0
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		other := strings.HasSuffix(path, "_test.go") || strings.HasPrefix(path, "../../test/")
		if err != nil || other || !strings.HasSuffix(path, ".go") {
			return err
		}

		for _, m := range made.FindAllStringSubmatch(file(t, path), -1) {
			found++
			if name := m[1] + m[2]; !strings.Contains(page, "\n| `"+name+"` |") {
				t.Errorf("%s has the instrument %s, which the table lacks; let startInstance use it", path, name)
			}
		}

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	if found < 30 {
		t.Errorf("found %d instruments in the code, want 30 at least", found)
	}
}
