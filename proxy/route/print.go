package route

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Row is one line of a printed table: an item.
type Row struct {
	Mark       string `json:"mark,omitempty"` // "!" for LB_ROUTE_FIRST, "=" if the name decides
	Host       string `json:"host"`
	Path       string `json:"path"`
	Conditions string `json:"conditions,omitempty"`
	Share      string `json:"share,omitempty"`
	Route      string `json:"route"`
	Action     string `json:"action"`
	Rule       int    `json:"-"`
}

// Rows returns the items in their order. Of the items that a request meets, the
// first one takes it.
func (t *Table) Rows() []Row {
	rows := make([]Row, 0, len(t.items))
	for _, i := range t.items {
		row := Row{
			Host:       orElse(i.HostText(), "any"),
			Path:       i.PathText(),
			Conditions: strings.ReplaceAll(i.Conditions(), "&", " "),
			Share:      i.ShareText(),
			Route:      i.name,
			Action:     t.rules[i.rule].Action,
			Rule:       i.rule,
		}
		if i.first {
			row.Mark = "!"
		}
		if i.equal {
			row.Mark += "="
		}
		rows = append(rows, row)
	}

	return rows
}

// Print writes the table as text.
func (t *Table) Print(w io.Writer) error {
	var b strings.Builder
	columns := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "\thost\tpath\tconditions\tshare\troute\taction")
	marks := ""
	for n, r := range t.Rows() {
		marks += r.Mark
		fmt.Fprintf(columns, "%2d%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n+1, r.Mark, r.Host, r.Path,
			orElse(r.Conditions, "-"), orElse(r.Share, "-"), r.Route, r.Action)
	}
	if err := columns.Flush(); err != nil {
		return err
	}

	if strings.Contains(marks, "!") {
		b.WriteString("!  first, by LB_ROUTE_FIRST\n")
	}
	if strings.Contains(marks, "=") {
		b.WriteString("=  as specific as its neighbour, and a request can meet both: the name decides\n")
	}
	_, err := io.WriteString(w, b.String())

	return err
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}

	return s
}
