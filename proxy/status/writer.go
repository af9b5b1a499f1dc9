package status

import (
	"html"
	"strconv"
	"strings"
)

// markup is HTML that is written in the source code. All other values are of
// other types and are escaped, so that no value can add HTML to the page. The
// packages text/template and html/template are not used, because their
// reflection keeps the linker from leaving out unused code.
type markup string

// exact is a text in which all blanks are kept.
type exact string

// writer builds the HTML of a page.
type writer struct{ strings.Builder }

// put writes HTML in which each {} is replaced by the next value, escaped. A
// value is a string, an exact, an int, int64 or uint64, or markup, which is not
// escaped. Runs of blanks in a string become one blank.
func (w *writer) put(m markup, values ...any) {
	for _, v := range values {
		before, after, _ := strings.Cut(string(m), "{}")
		w.WriteString(before)
		m = markup(after)
		switch v := v.(type) {
		case markup:
			w.WriteString(string(v))
		case string:
			w.WriteString(html.EscapeString(strings.Join(strings.Fields(v), " ")))
		case exact:
			w.WriteString(html.EscapeString(string(v)))
		case int:
			w.WriteString(strconv.Itoa(v))
		case int64:
			w.WriteString(strconv.FormatInt(v, 10))
		case uint64:
			w.WriteString(strconv.FormatUint(v, 10))
		}
	}

	w.WriteString(string(m))
}
