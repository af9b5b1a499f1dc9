package schemas

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cloud.google.com/go/monitoring/dashboard/apiv1/dashboardpb"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/prometheus/prometheus/promql/parser"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"
)

func monitoring(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, "monitoring", name))
	if err != nil {
		t.Fatal(err)
	}

	return text
}

// Grafana's own types accept the dashboard, its panels and its queries.
func TestGrafana_TheDashboardIsValid(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	var d dashboard.Dashboard
	// Both decoders return a list of errors, which may be empty.
	if err := d.UnmarshalJSONStrict(monitoring(t, "grafana.json")); err != nil && err.Error() != "" {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil && err.Error() != "" {
		t.Error(err)
	}
	if len(d.Panels) < 20 || *d.Title != "Pillion" {
		t.Errorf("%d panels with the title %q, want 20 at least and Pillion", len(d.Panels), *d.Title)
	}
}

// Panels do not overlap, and each has its own number.
func TestGrafana_PanelsDoNotOverlap(t *testing.T) {
	var d struct {
		Panels []struct {
			ID                 int
			Title, Description string
			Type               string
			GridPos            struct{ X, Y, W, H int }
		}
	}
	if err := json.Unmarshal(monitoring(t, "grafana.json"), &d); err != nil {
		t.Fatal(err)
	}

	taken, ids := map[[2]int]string{}, map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && p.Description == "" {
			t.Errorf("the panel %d %q has the number of another one, no title or no description", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q overlaps %q, or is beyond the right border", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// The message of the API accepts the dashboard. It refuses an unknown field.
func TestCloudMonitoring_TheDashboardIsValid(t *testing.T) {
	var d dashboardpb.Dashboard
	if err := protojson.Unmarshal(monitoring(t, "cloud-monitoring.json"), &d); err != nil {
		t.Fatal(err)
	}

	columns := d.GetMosaicLayout().GetColumns()
	for _, tile := range d.GetMosaicLayout().GetTiles() {
		if tile.XPos+tile.Width > columns || tile.Widget.GetXyChart() == nil || tile.Widget.Title == "" {
			t.Errorf("a tile is beyond the right border, or has no chart or title: %+v", tile)
		}
	}
}

// shown returns the labels of each metric in the table of deploy/monitoring.
// Another test compares that table with the program.
func shown(t *testing.T) map[string][]string {
	t.Helper()
	row := regexp.MustCompile(
		"(?m)^\\| `[a-z_.0-9]+` \\| `([a-z_0-9]+)` \\| ([a-z]+) \\| [a-z–]+ \\| ([^|]+) \\| [^|]+ \\|$")
	all := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(monitoring(t, "README.md")), -1) {
		labels := append(strings.Fields(strings.NewReplacer("`", "", "–", "").Replace(m[3])), "job", "instance")
		if m[2] != "histogram" {
			all[m[1]] = labels
			continue
		}
		all[m[1]+"_count"], all[m[1]+"_sum"], all[m[1]+"_bucket"] = labels, labels, append(labels, "le")
	}

	if len(all) < 30 {
		t.Fatalf("found %d metrics in the table, want 30 at least", len(all))
	}

	return all
}

// expressions returns all queries of the dashboards and the rules, by their
// places.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	quoted := regexp.MustCompile(`"(?:expr|prometheusQuery)": ("(?:[^"\\]|\\.)*")`)
	fill := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*")
	for _, name := range []string{"grafana.json", "cloud-monitoring.json"} {
		for _, m := range quoted.FindAllStringSubmatch(string(monitoring(t, name)), -1) {
			var query string
			if err := json.Unmarshal([]byte(m[1]), &query); err != nil {
				t.Fatal(err)
			}
			all[name+": "+query] = fill.Replace(query)
		}
	}

	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(monitoring(t, "alerts.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		all[r.Alert] = r.Expr
	}

	if len(all) < 60 {
		t.Fatalf("found %d queries, want 60 at least", len(all))
	}

	return all
}

// Each name and label in a query is a metric of the program and its label.
func TestQueries_NameExistingMetricsAndLabels(t *testing.T) {
	metrics := shown(t)
	for where, text := range expressions(t) {
		expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}

		var labels []string
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			s, ok := n.(*parser.VectorSelector)
			if !ok {
				return nil
			}
			of, known := metrics[s.Name]
			if !known {
				t.Errorf("%s: there is no metric %s", where, s.Name)
			}
			for _, m := range s.LabelMatchers {
				if m.Name != "__name__" && !slices.Contains(of, m.Name) {
					t.Errorf("%s: %s has no label %s", where, s.Name, m.Name)
				}
			}
			labels = append(labels, of...)

			return nil
		})
		parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
			var by []string
			switch n := n.(type) {
			case *parser.AggregateExpr:
				by = n.Grouping
			case *parser.BinaryExpr:
				if n.VectorMatching != nil {
					by = n.VectorMatching.MatchingLabels
				}
			}
			for _, name := range by {
				if !slices.Contains(labels, name) {
					t.Errorf("%s: none of its metrics has the label %s", where, name)
				}
			}

			return nil
		})
	}
}
