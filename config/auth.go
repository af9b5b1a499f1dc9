package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// Auth is the authentication of a route.
type Auth struct {
	Providers Providers `env:"LB_AUTH"` // nil: no tokens
	Skip      AuthSkips `env:"LB_AUTH_SKIP"`
	Forward   Forwards  `env:"LB_AUTH_FORWARD"`
	Basic     *Secret   `env:"LB_BASIC_AUTH,noinit"` // Passwords; nil or empty: none
}

// On reports whether requests need a token or a password.
func (a *Auth) On() bool { return len(a.Providers) > 0 || a.Basic != nil && a.Basic.Value() != "" }

// ProviderKind is a kind of issuers of tokens.
type ProviderKind string

// The kinds of providers. OIDC is any issuer of OpenID Connect.
const (
	IAP      ProviderKind = "iap"
	Google   ProviderKind = "google"
	Firebase ProviderKind = "firebase"
	OIDC     ProviderKind = "oidc"
)

// Provider is one item of LB_AUTH.
type Provider struct {
	Kind      ProviderKind
	Text      string   // as written
	Issuer    string   // URL of an OIDC issuer
	Project   string   // of Firebase; "" is our own
	Audiences []string // one suffices
	Emails    []string // "boss@x.org", "*@example.com"; nil: any
	Claims    []ClaimRule
	Header    string // field with the token alone, in canonical form
	Cookie    string // or a cookie; neither is Authorization
	Keys      string // URL or path of the key set; "" is the provider's own
}

// ClaimRule requires a claim to have one of some values.
type ClaimRule struct {
	Name   string
	Values []string
}

// Providers are the items of LB_AUTH.
type Providers []Provider

// EnvDecode reads a list of providers.
func (p *Providers) EnvDecode(given string) error {
	*p = nil
	for _, item := range split(given) {
		one, err := provider(item)
		if err != nil {
			return fmt.Errorf("has the item %q, which %w", clip(withoutUserInfo(item)), err)
		}
		*p = append(*p, one)
	}
	if len(*p) == 0 && given != "" {
		return errors.New("names no provider")
	}

	return nil
}

func provider(item string) (Provider, error) {
	name, keys, _ := strings.Cut(item, "?")
	p := Provider{Text: item, Kind: ProviderKind(strings.ToLower(name))}
	switch p.Kind {
	case IAP:
		p.Header = "X-Goog-Iap-Jwt-Assertion"
	case Google, Firebase:
	default:
		if !strings.Contains(name, "://") {
			return p, fmt.Errorf("is no provider; the nearest is %s, and an issuer begins with "+
				"https://", nearest(strings.ToLower(name), []string{"iap", "google", "firebase"}))
		}
		p.Kind, p.Issuer = OIDC, name
		if issuer, _, found := strings.Cut(name, "/.well-known/"); found {
			return p, fmt.Errorf("is the address of a document about an issuer; the issuer is %s", issuer)
		}
		if err := secureURL(name); err != nil {
			return p, err
		}
	}

	seen := map[string]bool{}
	for pair := range strings.SplitSeq(keys, "&") {
		if pair == "" {
			continue
		}
		if err := onlyOnce(seen, pair); err != nil {
			return p, err
		}
		if err := p.set(pair); err != nil {
			return p, err
		}
	}

	return p, p.complete()
}

// onlyOnce refuses a key for the second time, because only one of its values
// could count. A claim may be named again: then a token needs a value of each.
func onlyOnce(seen map[string]bool, pair string) error {
	key, _, _ := strings.Cut(pair, "=")
	switch {
	case seen[key] && (key == "audience" || key == "email"):
		return fmt.Errorf("has the key %s twice; several values of it are joined by '|'", key)
	case seen[key] && !strings.HasPrefix(key, "claim."):
		return fmt.Errorf("has the key %s twice", clip(key))
	}
	seen[key] = true
	if seen["header"] && seen["cookie"] {
		return errors.New("has both header and cookie, and a token is in one of them")
	}

	return nil
}

// set reads one key of a provider.
func (p *Provider) set(pair string) error {
	key, text, found := strings.Cut(pair, "=")
	if !found || text == "" {
		return fmt.Errorf("has the key %q without a value", clip(key))
	}
	var values []string
	for part := range strings.SplitSeq(text, "|") {
		value, err := url.PathUnescape(part)
		if err != nil || value == "" {
			return fmt.Errorf("has a value of %s that is empty or has a '%%' without two digits", clip(key))
		}
		values = append(values, value)
	}
	claim, isClaim := strings.CutPrefix(key, "claim.")
	if !isClaim && key != "audience" && key != "email" && len(values) > 1 {
		return fmt.Errorf("has several values of %s", clip(key))
	}

	switch {
	case isClaim && claim != "":
		p.Claims = append(p.Claims, ClaimRule{claim, values})
	case key == "audience":
		p.Audiences = append(p.Audiences, values...)
	case key == "email":
		p.Emails = append(p.Emails, values...)
	case key == "header" && isToken(values[0]):
		p.Header = textproto.CanonicalMIMEHeaderKey(values[0])
		if p.Header == "Authorization" {
			p.Header = ""
		}
	case key == "cookie" && isToken(values[0]):
		p.Cookie, p.Header = values[0], ""
	case key == "jwks":
		p.Keys = values[0]
		if !strings.HasPrefix(p.Keys, "/") {
			return secureURL(p.Keys)
		}
	case key == "project" && p.Kind == Firebase:
		p.Project = values[0]
	default:
		return fmt.Errorf("has the key %q; the keys are audience, email, claim.NAME, header or "+
			"cookie, jwks, and project of firebase", clip(key))
	}

	return nil
}

// complete checks for keys that are required because they have no default.
func (p *Provider) complete() error {
	if (p.Kind == Google || p.Kind == OIDC) && len(p.Audiences) == 0 {
		return errors.New("has no audience: whose tokens? write ?audience=https://… with the " +
			"audience of this app's tokens")
	}
	for _, email := range p.Emails {
		name, domain, ok := strings.Cut(email, "@")
		if !ok || name == "" || domain == "" ||
			strings.Contains(strings.TrimPrefix(email, "*@"), "*") {
			return fmt.Errorf("has %q as email, which is no address and no *@domain", clip(email))
		}
	}

	return nil
}

// secureURL requires https, except on loopback.
func secureURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("is no URL of a host")
	}
	address, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && address.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return errors.New("is no https URL: over http anybody on the way could choose the keys")
	}

	return nil
}

// AuthSkip is a path that needs no token, with a method or "" for all.
type AuthSkip struct {
	Method string
	Path   AccessPath
}

// AuthSkips are the items of LB_AUTH_SKIP.
type AuthSkips struct {
	Paths     []AuthSkip
	Preflight bool
}

// EnvDecode reads a list of paths, methods with paths, and the word preflight.
func (s *AuthSkips) EnvDecode(given string) error {
	*s = AuthSkips{}
	for _, item := range split(given) {
		if strings.EqualFold(item, "preflight") {
			s.Preflight = true
			continue
		}
		methods, path, found := strings.Cut(item, " ")
		if !found {
			methods, path = "", item
		}
		p, err := accessPath(strings.TrimSpace(path))
		if err != nil {
			return fmt.Errorf("has the item %q, which %w", clip(item), err)
		}
		for method := range strings.SplitSeq(strings.ToUpper(methods), "|") {
			if found && !isMethod(method) {
				return fmt.Errorf("has the item %q, which begins with no method", clip(item))
			}
			s.Paths = append(s.Paths, AuthSkip{method, p})
		}
	}

	return nil
}

// IAP reports whether a route accepts Google's Identity-Aware Proxy.
func (c *Config) IAP() bool {
	return slices.ContainsFunc(c.Routes, func(r Route) bool {
		return slices.ContainsFunc(r.Auth.Providers, func(p Provider) bool { return p.Kind == IAP })
	})
}

// authVariables returns the rows about authentication.
func authVariables() []Variable {
	rows := []Variable{
		{Name: "LB_AUTH", Default: "none",
			Example: "https://tenant.eu.auth0.com/?audience=https://api.example.com",
			form: orNone(decodes[Providers]("a list of iap, google?audience=…, firebase, "+
				"firebase?project=…, and URLs of OpenID Connect issuers with ?audience=…, "+
				"separated by ';'"), ""),
			Sentence: "Who may give out the tokens that requests need. A request without a good token " +
				"gets 401, one whose claims are refused 403. Keys are joined by '&', values by '|': " +
				"audience=, email=boss@x.org|*@example.com, claim.NAME=, header=NAME or cookie=NAME instead " +
				"of Authorization: Bearer, jwks= for a key set of a URL or path, project= of firebase. iap " +
				"finds its audience on Cloud Run by itself. Nobody is sent to a login."},
		{Name: "LB_AUTH_SKIP", Default: "none", Example: "/healthz;/public/*;POST /hooks/*;preflight",
			form: orNone(decodes[AuthSkips]("a list of paths such as '/x' or '/x/*', a method before, "+
				"and the word preflight"), ""),
			Sentence: "What needs no token and no password. A path counts in its plain spelling only. " +
				"Methods before it are joined by '|', and GET includes HEAD. preflight is OPTIONS " +
				"with Origin and Access-Control-Request-Method, which browsers send without " +
				"credentials."},
		{Name: "LB_AUTH_FORWARD", Default: "sub:X-Forwarded-User;email:X-Forwarded-Email",
			Example: "sub:X-User-Id;roles:X-Roles",
			form:    orNone(decodes[Forwards]("a list of claim:Field, at most 8"), ""),
			Sentence: "Claims that backends get, and in which fields. Where a route has authentication, " +
				"these fields never pass from clients, in no spelling and not as trailers, and neither do " +
				"the default two."},
		{Name: "LB_BASIC_AUTH", Secret: true, Example: "preview:a-long-password",
			form: orNone(users(), ""),
			Sentence: "Users and passwords that are accepted, instead of a token where LB_AUTH is set " +
				"too. %3B, %2C and %25 are ';', ',' and '%'. The user is the claim sub. Backends do not get " +
				"the password. After 10 wrong ones within a minute a client gets 429."},
	}
	for i := range rows {
		rows[i].Route = true
	}

	return inSection(accessSection, false, rows)
}

// decodes makes a form of the method EnvDecode of a field's type.
func decodes[T any, P interface {
	*T
	EnvDecode(string) error
}](accepted string) form {
	return form{accepted, func(given string) (string, error) {
		return given, P(new(T)).EnvDecode(given)
	}}
}

// validateAuth checks the rules between the variables of one name.
func (e *environment) validateAuth(c *Config) {
	given := func(base string) bool { _, ok := e.good[e.full(base)]; return ok }
	r := c.routeNamed(strings.ToLower(e.name))
	switch {
	case r == nil && e.name != "":
		return
	case r == nil:
		r = &c.Route // it is not a route, but others inherit from it
	}
	inherited := e.name == "" &&
		slices.ContainsFunc(c.Routes, func(r Route) bool { return r.Auth.On() })
	for _, base := range []string{"LB_AUTH_SKIP", "LB_AUTH_FORWARD"} {
		if given(base) && e.good[e.full(base)] != "" && !r.Auth.On() && !inherited {
			e.fault(base, "is set but neither "+e.full("LB_AUTH")+" nor "+e.full("LB_BASIC_AUTH")+" is")
		}
	}
	if given("LB_AUTH") && len(r.Auth.Providers) > 0 {
		if c.Process.Role == Egress {
			e.fault("LB_AUTH", "is for clients that come in, and LB_ROLE is egress")
		}
		for _, p := range r.Auth.Providers {
			if p.Kind == IAP && len(p.Audiences) == 0 && !c.Platform.CloudRun() {
				e.fault("LB_AUTH", "has iap without an audience, which is found by itself on Cloud Run "+
					"only: write "+
					"iap?audience=/projects/NUMBER/global/backendServices/ID")
			}
			if p.Kind == Firebase && p.Project == "" && c.Platform.ProjectID == "" &&
				!c.Platform.CloudRun() {
				e.fault("LB_AUTH", "has firebase without project=, and GOOGLE_CLOUD_PROJECT is not set")
			}
		}
	}
	e.forwardsAreOurs(c, r)
}
