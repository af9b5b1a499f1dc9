package proxy

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/access"
	"github.com/pillion-lb/pillion/proxy/auth"
)

// authGate requires a token of LB_AUTH or a password of LB_BASIC_AUTH, except
// for the requests of LB_AUTH_SKIP.
//
// On every route, the fields of LB_AUTH_FORWARD that come from the client were
// removed before (edge.Rules.Strip). The gate sets them from the verified
// claims. They are among the fields that every attempt sends, so no retry and
// no trailer can change them.
type authGate struct {
	skips     *access.Skips
	passwords *access.Passwords // nil for none
	failures  *access.Failures
	tokens    *auth.Verifier // nil for none
	forward   config.Forwards
	refused   map[auth.Reason]*refusal
	wrong     refusal // of a password
}

// newAuthGate makes the gate of a route. It returns nil if the route has no
// authentication. counted are the claims that limits count by.
func newAuthGate(
	a *config.Auth, keys *auth.Keys, failures *access.Failures, counted []string,
) gate {
	if !a.On() {
		return nil
	}

	g := &authGate{
		skips: access.NewSkips(a.Skip), forward: a.Forward,
		passwords: access.NewPasswords(a.Basic), failures: failures,
	}
	if len(a.Providers) > 0 {
		keep := slices.Clone(counted)
		for _, f := range a.Forward {
			keep = append(keep, f.Claim)
		}
		iap := func(p config.Provider) bool { return p.Kind == config.IAP }
		if slices.ContainsFunc(a.Providers, iap) {
			keep = append(keep, "sub", "email") // for BelieveIAP
		}
		g.tokens = keys.Verifier(a.Providers, keep)
	}
	g.refuse()

	return g
}

// errNotVerified is the cause of every refusal of a token. The reason tells
// more. Nothing of the token is logged.
var (
	errNotVerified = errors.New("the request does not prove who makes it")
	errPassword    = errors.New("the user or the password is wrong")
	errGuessing    = errors.New("too many wrong passwords of this client")
)

// refuse prepares the answers of the gate. Basic comes first, because browsers
// ask for a password only then.
func (g *authGate) refuse() {
	const basic, bearer = `Basic realm="restricted", charset="UTF-8"`, "Bearer"
	challenge := func(of string) http.Header {
		var lines []string
		if g.passwords != nil {
			lines = append(lines, basic)
		}
		if g.tokens != nil {
			lines = append(lines, of)
		}
		return http.Header{"Www-Authenticate": lines}
	}

	g.wrong = refusal{
		status: http.StatusUnauthorized, reason: "password", cause: errPassword,
		fields: challenge(bearer),
	}
	g.refused = make(map[auth.Reason]*refusal)
	for _, reason := range [...]auth.Reason{
		auth.Missing, auth.Malformed, auth.UnknownKey, auth.Signature, auth.Expired, auth.Early,
		auth.Issuer, auth.Audience,
		auth.Claims, auth.Unavailable,
	} {
		r := &refusal{status: reason.Status(), reason: string(reason), cause: errNotVerified}
		switch {
		case r.status == http.StatusServiceUnavailable:
			r.fields = http.Header{"Retry-After": {"5"}}
		case r.status != http.StatusUnauthorized:
		case reason == auth.Missing:
			r.fields = challenge(bearer)
		default:
			r.fields = challenge(bearer + ` error="invalid_token"`)
		}
		g.refused[reason] = r
	}
}

func (g *authGate) admit(x *exchange) *refusal {
	credentials, given := "", false
	if g.passwords != nil {
		if credentials, given = basicCredentials(x.r.Header["Authorization"]); given {
			x.hop.Replace("Authorization", "") // backends don't get the password
		}
	}
	path, _ := x.received()
	switch {
	case g.skips.Hold(x.r, path):
		return nil
	case given:
		return g.admitUser(x, credentials)
	case g.tokens == nil:
		return g.refused[auth.Missing]
	}

	who, why := g.tokens.Verify(x.r.Context(), x.r.Header, x.record.Start)
	if who == nil {
		if why == auth.Missing && isPreflight(x.r) {
			x.p.hintPreflight()
		}
		return g.refused[why]
	}
	if who.IAP() {
		x.hop.BelieveIAP(x.r.Header, who.Claim("sub"), who.Claim("email"))
	}
	g.say(x, who)

	return nil
}

// admitUser checks a user's password. Backends don't get the password.
func (g *authGate) admitUser(x *exchange, credentials string) *refusal {
	client, now := x.clientAddr(), x.record.Start
	if wait := g.failures.Blocked(client, now); wait > 0 {
		return &refusal{
			status: http.StatusTooManyRequests, reason: "password", cause: errGuessing,
			fields: http.Header{"Retry-After": {seconds(wait)}},
		}
	}

	user := g.passwords.User(credentials)
	if user == "" {
		g.failures.Count(client, now)
		return &g.wrong
	}
	g.say(x, auth.User(user))

	return nil
}

// say sets the fields that tell backends who makes the request.
func (g *authGate) say(x *exchange, who *auth.Identity) {
	x.who = who
	for _, f := range g.forward {
		x.hop.Replace(f.Field, who.Claim(f.Claim))
	}
}

// basicCredentials returns the credentials of the scheme Basic, if these are
// the only credentials of the request.
func basicCredentials(lines []string) (credentials string, given bool) {
	const scheme = "basic "
	if len(lines) != 1 || len(lines[0]) < len(scheme) ||
		!strings.EqualFold(lines[0][:len(scheme)], scheme) {
		return "", false
	}

	return strings.Trim(lines[0][len(scheme):], " "), true
}

// isPreflight reports whether the request is a CORS preflight, which browsers
// send without credentials.
func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Origin"]) > 0 &&
		len(r.Header["Access-Control-Request-Method"]) > 0
}

// hintPreflight logs, once per process, the settings that let preflights pass.
func (p *Proxy) hintPreflight() {
	if p.preflightHint.Load() || !p.preflightHint.CompareAndSwap(false, true) {
		return
	}
	p.log.Warn("a preflight was refused, which browsers send without credentials; LB_CORS_ORIGINS " +
		"answers them, LB_AUTH_SKIP='preflight' lets them through to the app")
}
