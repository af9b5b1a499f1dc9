package config

import (
	"errors"
	"strings"
	"time"
)

// routeVariables returns the rows about conditions and actions of routes.
func routeVariables() []Variable {
	rows := []Variable{
		{
			Name: "LB_ROUTE", own: true, Shown: "/* without a name; required with one",
			derive: defaultRoute, Example: "/api/*;www.example.com/shop/*?method=GET",
			form: routeItems(),
			Sentence: "When the route, and the service of its name, takes a request: any of these items. " +
				"An item is a host, a path and conditions. A host is www.example.com, *.example.com or " +
				"//name. A path is exact, or ends in /* and takes everything below. Conditions follow '?' " +
				"and are joined by '&': method=GET|POST, header.NAME=value, cookie.NAME=value, " +
				"query.NAME=value, share=5%. none: only other routes use the service. Where several items " +
				"hold, the most specific wins, as in the Gateway API: host, exact path, longer prefix, " +
				"method, fields, query, share, name.",
		},
		{
			Name: "LB_ROUTE_FIRST", own: true, Default: "false", Example: "true", form: toggle(),
			Sentence: "true puts the route before all others, however specific those are: for maintenance " +
				"pages and blocks.",
		},
		{
			Name: "LB_SERVICE", own: true, Shown: "the service of the same name, else default",
			Example: "api", form: nameForm(),
			Sentence: "The service that the route uses: its endpoints, health, sessions and limits are " +
				"shared with all routes to it.",
		},
		{
			Name: "LB_REDIRECT", own: true, Example: "https://example.com/*", form: redirectTarget(),
			Sentence: "Answers with a redirect to this URL or path. A '*' at its end is the rest of the " +
				"path behind the item's prefix; the query is kept unless the target has one.",
		},
		{
			Name: "LB_REDIRECT_STATUS", Default: "302", Example: "308",
			form:     choice("301", "302", "303", "307", "308"),
			Sentence: "The status of LB_REDIRECT.",
		},
		{
			Name: "LB_RESPOND", own: true, Example: "503", form: count(200, 599),
			Sentence: "Answers with this status. From 400 on with Cache-Control: no-store, and 503 with " +
				"Retry-After: 60.",
		},
		{
			Name: "LB_RESPOND_BODY", own: true, Shown: "the status in words",
			Example: "User-agent: *%0ADisallow: /", form: bodyText(),
			Sentence: "The body of LB_RESPOND; %0A is a line break.",
		},
		{
			Name: "LB_RESPOND_FILE", own: true, Example: "/etc/pillion/down.html", form: smallFile(),
			Sentence: "The body of LB_RESPOND as a file of at most 1 MiB, read again when it changes. Its " +
				"type follows from its ending.",
		},
		{
			Name: "LB_REWRITE", own: true, Example: "/*", form: rewriteTarget(),
			Sentence: "The path that the service sees, with '*' as in LB_REDIRECT: /* strips the item's " +
				"prefix, /v1/* replaces it, /index.html replaces all. The service learns a stripped prefix " +
				"from X-Forwarded-Prefix, and its redirects get it back.",
		},
	}
	rows = append(rows, fileVariables()...)
	rows = append(rows, fieldVariables()...)
	rows = append(rows, copyVariables()...)
	for i := range rows {
		rows[i].Route = true
	}
	rows = append(rows,
		Variable{
			Name:   "LB_SHARE_BY",
			Shown:  "cookie where a service keeps sessions by LB_SESSION_AFFINITY, else request",
			derive: defaultShareBy, Example: "header.X-Account", form: shareBy(),
			Sentence: "What a share is drawn by: request, each by itself; cookie, a number that a browser " +
				"keeps in a cookie of ours; cookie.NAME or header.NAME, a hash of that value, and a request " +
				"without it is in no share.",
		},
		Variable{
			Name: "LB_HTTPS_REDIRECT", Default: "false", Example: "true", form: toggle(),
			Sentence: "true redirects to https, with 308, what came by http by the word of a trusted " +
				"proxy, or in clear text where there is a certificate. Our own paths and " +
				"/.well-known/acme-challenge/ are served all the same.",
		},
	)

	return inSection(routesSection, false, rows)
}

// fileVariables returns the rows about files that are served.
func fileVariables() []Variable {
	return []Variable{
		{
			Name: "LB_FILES", own: true, Example: "/srv", form: directory(),
			Sentence: "Answers GET and HEAD with the files of this directory, which no name and no " +
				"symbolic link leads out of. The path behind the item's prefix is the file's; LB_REWRITE " +
				"acts first. Names that begin with a dot are not found, but for /.well-known/. Where a file " +
				"has a compressed form beside it (.br, .zst, .gz) that is not older, a client that takes it " +
				"gets that.",
		},
		{
			Name: "LB_FILES_INDEX", Default: "index.html", Example: "index.htm", form: fileName(),
			Sentence: "The file of a directory. A directory without a final slash is redirected to it. " +
				"There are no listings.",
		},
		{
			Name: "LB_FILES_FALLBACK", Example: "/index.html", form: orNone(fallbackFile(), ""),
			Sentence: "The file for paths that do not exist, for single-page apps: with 200, and only for " +
				"pages, which is what a browser asks for with text/html in Accept. A missing script or image " +
				"is 404.",
		},
		{
			Name: "LB_ERROR_FILE", Example: "404=/srv/404.html;503=/srv/down.html",
			form: orNone(errorFiles(), ""),
			Sentence: "Files that are the bodies of Pillion's own errors on the route, by status. The " +
				"request's id is in X-Request-Id. At most 1 MiB each, read again when they change.",
		},
	}
}

// fieldVariables returns the rows about fields of requests and answers.
func fieldVariables() []Variable {
	return []Variable{
		{
			Name: "LB_REQUEST_HEADERS", own: true, Secret: true,
			Example: "X-Api-Key=secret;-X-Debug;?Accept-Language=en", form: headerRules(),
			masked:   maskedRules,
			Sentence: "Rules for fields towards the service. A name's rules act after the unnamed ones.",
		},
		{
			Name: "LB_RESPONSE_HEADERS", own: true, Example: "X-Content-Type-Options=nosniff;-Server",
			form: headerRules(), masked: maskedRules,
			Sentence: "The same for fields towards the client, on every answer of the route, our own " +
				"errors included. A name's rules act after the unnamed ones.",
		},
		{
			Name: "LB_CORS_ORIGINS", Example: "https://app.example.com;https://*.example.com",
			form: orNone(origins(), ""),
			Sentence: "Origins whose scripts may read answers, or '*'. If set, preflights are answered " +
				"here, the service's own Access-Control fields are removed and Vary: Origin is added.",
		},
		{
			Name: "LB_CORS_METHODS", Default: "GET;HEAD;POST", Example: "GET;PUT;DELETE",
			form:     corsMethods(),
			Sentence: "Methods that LB_CORS_ORIGINS may use.",
		},
		{
			Name: "LB_CORS_HEADERS", Example: "Content-Type;Authorization",
			form:     orNone(corsFields(), ""),
			Sentence: "Request fields that they may send, beside those that need no leave.",
		},
		{
			Name: "LB_CORS_EXPOSE", Example: "X-Total-Count", form: orNone(corsFields(), ""),
			Sentence: "Response fields that they may read, beside those that need no leave.",
		},
		{
			Name: "LB_CORS_CREDENTIALS", Default: "false", Example: "true", form: toggle(),
			Sentence: "true lets them send cookies and read the answer. Never with LB_CORS_ORIGINS='*'.",
		},
		{
			Name: "LB_CORS_MAX_AGE", Default: "5s", Example: "10m", form: duration(0, day),
			Sentence: "How long a browser may keep the answer to a preflight.",
		},
	}
}

// maskedRules returns header rules without their values.
func maskedRules(given string) string {
	var rules HeaderRules
	if rules.EnvDecode(given) != nil {
		return mask
	}

	return rules.Masked()
}

// routeItems is the form of the items of a route. Package route reads them.
func routeItems() form {
	return form{"items [host][/path][?condition&…], separated by ';', or none",
		func(given string) (string, error) {
			if len(split(given)) == 0 {
				return "", errors.New("holds no item")
			}
			if isNone(given) {
				return "none", nil
			}

			return given, nil
		}}
}

// defaultRoute returns "/*" for the unnamed route, and nothing for names.
func defaultRoute(e *environment) string {
	if e.name != "" {
		return ""
	}

	return "/*"
}

// nameForm is the form of the name of a service.
func nameForm() form {
	return form{"the name of a service in small letters, or default",
		func(given string) (string, error) {
			switch name := strings.ToUpper(given); {
			case !isName(name) && name != "DEFAULT":
				return "", errors.New("is no name: letters, digits and single underscores")
			case given != strings.ToLower(given):
				return "", errors.New("is written in small letters: " + strings.ToLower(given))
			}
			if given == DefaultName {
				return "", nil
			}

			return given, nil
		}}
}

// shareBy is the form of LB_SHARE_BY.
func shareBy() form {
	return form{"request, cookie, cookie.NAME or header.NAME", func(given string) (string, error) {
		kind, name, named := strings.Cut(given, ".")
		switch kind = strings.ToLower(kind); {
		case !named && (kind == "request" || kind == "cookie"):
			return kind, nil
		case named && (kind == "header" || kind == "cookie") && isToken(name):
			return kind + "." + name, nil
		}

		return "", errors.New("is nothing that a share can be drawn by")
	}}
}

// defaultShareBy returns cookie if a service has session affinity by a cookie,
// else request.
func defaultShareBy(e *environment) string {
	for _, name := range e.scopes() {
		if e.in(name).text("LB_SESSION_AFFINITY") == "true" {
			return "cookie"
		}
	}

	return "request"
}

// shareCookie returns the name of the cookie with a browser's number. It
// differs between deployments.
func (e *environment) shareCookie() string {
	return "__lbs_" + strings.TrimPrefix(defaultCookie(e), "__lb_")
}

// shareCookieLife returns how long a browser keeps its number: as long as the
// longest session, or 0 for as long as the browser runs.
func shareCookieLife(services []Service) (longest time.Duration) {
	for _, s := range services {
		if s.Affinity.Cookie {
			longest = max(longest, s.Affinity.TTL)
		}
	}

	return longest
}

// copyVariables returns the rows about requests that are sent to more than one
// endpoint.
func copyVariables() []Variable {
	return []Variable{
		{
			Name: "LB_MIRROR", own: true, Example: "shadow?share=10%", form: mirrorForm(),
			Sentence: "Sends a copy of each request, or of a share of them, to one endpoint of this " +
				"service, whose answer is thrown away. The copy is sent once, with the fields and the path " +
				"that the route's own service gets, and never delays or fails the request. A body of more " +
				"than LB_RETRY_BUFFER, a WebSocket and a gRPC call without a length are not copied.",
		},
		{
			Name: "LB_HEDGE", Default: "off", Example: "200ms",
			form: orNone(duration(time.Millisecond, time.Minute), "0"),
			Sentence: "After how long without a response head a GET, HEAD or OPTIONS without a body is " +
				"sent to a second endpoint as well. The first answer wins, and the other request is ended. " +
				"Each such request is paid for from LB_RETRY_BUDGET. Not for a request of a session, nor " +
				"while no second endpoint has a place.",
		},
	}
}
