package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/route"
	"github.com/pillion-lb/pillion/proxy/rules"
)

// PrintRoutes writes the table of a configuration's routes as text. If request
// has a method, a URL and fields, it writes which item takes that request.
func PrintRoutes(w io.Writer, cfg *config.Config, request []string) error {
	if len(request) > 0 {
		return explainRoute(w, cfg, request)
	}

	table, _ := compileRoutes(cfg)
	if err := table.Print(w); err != nil {
		return err
	}
	for _, note := range slices.Concat(notes(cfg), pathNotes(cfg, table.Rows())) {
		if _, err := fmt.Fprintln(w, "note:", note); err != nil {
			return err
		}
	}

	return nil
}

// notes returns hints about probable mistakes in the routes of a configuration.
func notes(cfg *config.Config) (notes []string) {
	rewrites := map[string]bool{}
	for i := range cfg.Routes {
		if r := &cfg.Routes[i]; r.Name == r.Service && r.Rewrite.Given() {
			rewrites[r.Name] = true
		}
	}
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		if !r.Answers() && r.Name != r.Service && rewrites[r.Service] && !r.Rewrite.Given() {
			notes = append(notes, fmt.Sprintf("route %s goes to service %s, whose own route rewrites the "+
				"path; this one does not",
				r.Title(), r.ServiceTitle()))
		}
	}

	return notes
}

// pathNotes returns hints about paths that mean something else in nginx: there,
// /api/ takes all paths below it, and a target of / strips what was matched.
func pathNotes(cfg *config.Config, rows []route.Row) (notes []string) {
	for _, row := range rows {
		r := &cfg.Routes[row.Rule]
		prefix, below := strings.CutSuffix(row.Path, "/*")
		switch {
		case r.Answers():
		case below && r.Rewrite.Path == "/" && !r.Rewrite.Rest:
			notes = append(notes, fmt.Sprintf("route %s sends all paths below %s/ as '/'; to strip the "+
				"prefix alone, its rewrite is '/*'", r.Title(), prefix))
		case !below && len(row.Path) > 1 && strings.HasSuffix(row.Path, "/"):
			notes = append(notes, fmt.Sprintf("route %s takes the path %s alone; '%[2]s*' takes all "+
				"below it", r.Title(), row.Path))
		}
	}

	return notes
}

// errRequest explains the arguments.
var errRequest = errors.New("a request is described by METHOD URL, then fields such as " +
	"'Cookie: canary=always'")

// explainRoute writes which item of the routes takes a request, what is done
// with the request then, and why each more specific item does not take it.
func explainRoute(w io.Writer, cfg *config.Config, request []string) error {
	q, err := describedRequest(request)
	if err != nil {
		return err
	}
	table, _ := compileRoutes(cfg)
	e := table.Explain(q)

	var b strings.Builder
	switch {
	case e.Err != nil:
		fmt.Fprintf(&b, "answered with 400: %v, as written and as %q\n", e.Err, e.Other)
	case e.Number == 0:
		b.WriteString("no item takes it: answered with 404\n")
	default:
		fmt.Fprintf(&b, "taken by item %d of route %s: %s\n", e.Number, e.Row.Route, itemText(e.Row))
		explainAction(&b, &cfg.Routes[e.Rule], e.Item, q)
	}
	for _, r := range e.Refused {
		fmt.Fprintf(&b, "not by item %d of route %s, %s: %s\n",
			r.Number, r.Row.Route, itemText(r.Row), r.Reason)
	}
	_, err = io.WriteString(w, b.String())

	return err
}

// explainAction writes what is done with a request of a route.
func explainAction(b *strings.Builder, r *config.Route, i *route.Item, q *route.Request) {
	fmt.Fprintf(b, "  %s\n", action(r))
	switch {
	case r.Redirect.Given():
		resp := rules.NewRedirect(r.Redirect, r.RedirectStatus).Answer(q.Path, q.Query, i.Path())
		fmt.Fprintf(b, "  Location: %s\n", resp.Header.Get("Location"))
	case r.Rewrite.Given():
		path, ok := rules.NewRewrite(r.Rewrite).Path(q.Path, i.Path())
		if !ok {
			path = "answered with 400: " + errClimbs.Error()
		}
		fmt.Fprintf(b, "  path for the service: %s\n", path)
	}
}

// itemText returns an item as users write it.
func itemText(r route.Row) string {
	text := r.Path
	if r.Host != "any" {
		text = r.Host + text
	}
	conditions := strings.Fields(r.Conditions)
	if r.Share != "" {
		conditions = append(conditions, "share="+r.Share)
	}
	if len(conditions) > 0 {
		text += "?" + strings.Join(conditions, "&")
	}

	return text
}

// describedRequest reads a request from the arguments of a command.
func describedRequest(args []string) (*route.Request, error) {
	if len(args) < 2 {
		return nil, errRequest
	}
	target := args[1]
	q := &route.Request{Method: args[0], Header: http.Header{}}
	if scheme, rest, ok := strings.Cut(target, "://"); ok {
		if u, err := url.Parse(target); err != nil || scheme != "http" && scheme != "https" ||
			u.Host == "" {
			return nil, fmt.Errorf("%q is no URL: %w", target, errRequest)
		}
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		q.Host, target = rest[:end], rest[end:]
	}
	if q.Path, q.Query, _ = strings.Cut(target, "?"); q.Path != "" && q.Path[0] != '/' {
		return nil, fmt.Errorf("%q is neither a URL nor a path: %w", args[1], errRequest)
	}

	for _, field := range args[2:] {
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			return nil, fmt.Errorf("%q is no field: %w", field, errRequest)
		}
		q.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if hosts := q.Header["Host"]; len(hosts) > 0 {
		q.Host = hosts[0]
	}

	return q, nil
}
