package auth

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// Verifier verifies tokens by the providers of one route. Safe for concurrent
// use.
type Verifier struct {
	owner     *Keys
	list      config.Providers
	providers []*provider
	keep      []string // names of the claims that an Identity keeps
}

// provider is one item of LB_AUTH with everything that it needs.
type provider struct {
	config.Provider
	keys  *keySet
	own   *ownAudience // nil if the audience is configured
	known verified
}

// Verifier makes the verifier of some providers. keep names the claims that
// identities keep. It must be called before Run.
func (k *Keys) Verifier(list config.Providers, keep []string) *Verifier {
	for _, v := range k.verifiers {
		if reflect.DeepEqual(v.list, list) && slices.Equal(v.keep, keep) {
			return v // routes that inherit the providers share verified tokens
		}
	}
	v := &Verifier{owner: k, list: list, keep: slices.Clone(keep)}
	k.verifiers = append(k.verifiers, v)
	for i := range list {
		p := &provider{Provider: list[i]}
		if p.Kind == config.Firebase && p.Project == "" {
			p.Project = k.platform.ProjectID
		}
		p.keys = k.of(&p.Provider)
		if p.Kind == config.IAP && len(p.Audiences) == 0 || p.Kind == config.Firebase && p.Project == "" {
			p.own = k.audiences[p.Kind]
			if p.own == nil {
				p.own = &ownAudience{owner: k, kind: p.Kind}
				k.audiences[p.Kind] = p.own
			}
		}
		v.providers = append(v.providers, p)
	}

	return v
}

// Verify returns the identity of a request, by the first provider that accepts
// a token of it. If none does, it returns the reason of the provider whose
// checks went furthest. It may wait, at most until ctx ends, for the first keys
// or for a new key.
func (v *Verifier) Verify(ctx context.Context, h http.Header, now time.Time) (*Identity, Reason) {
	var t presented
	// All providers first look for the token among those that were verified
	// before, because reading it by a provider that does not accept it would
	// cost time.
	for _, p := range v.providers {
		if token, reason := credential(h, &p.Provider); reason == "" && t.become(token) {
			if who := p.remembered(&t, now); who != nil {
				return who, ""
			}
		}
	}

	why := Missing
	for _, p := range v.providers {
		token, reason := credential(h, &p.Provider)
		if reason == "" {
			t.become(token)
			var who *Identity
			if who, reason = v.verify(ctx, p, &t, now); who != nil {
				return who, ""
			}
		}
		if reason.rank() > why.rank() {
			why = reason
		}
	}

	return nil, why
}

// remembered returns the identity of a token that was verified before, if the
// issuer's keys are still the same. Otherwise it returns nil.
func (p *provider) remembered(t *presented, now time.Time) *Identity {
	who := p.known.get(t)
	if who == nil || !now.Before(who.expires.Add(leeway)) {
		return nil
	}
	if list := p.keys.current(now); list == nil || list.version != who.keys {
		return nil
	}

	return who
}

// verify checks a token by one provider.
func (v *Verifier) verify(
	ctx context.Context, p *provider, given *presented, now time.Time,
) (*Identity, Reason) {
	t := given.parsed()
	if t == nil {
		return nil, Malformed
	}
	list := p.keys.usable(ctx, now)
	if list == nil {
		return nil, Unavailable
	}
	expires, why := v.judge(ctx, p, t, list, now)
	if why != "" {
		return nil, why
	}
	if list, why = v.signed(ctx, p, t, given.text, list, now); why != "" {
		return nil, why
	}
	if !t.claims.meet(&p.Provider) {
		return nil, Claims
	}

	who := &Identity{names: v.keep, expires: expires, keys: list.version, iap: p.Kind == config.IAP}
	for _, name := range v.keep {
		who.values = append(who.values, strings.Clone(t.claims.said(name)))
	}
	p.known.put(given, who)

	return who, ""
}

// judge checks the claims before the signature is checked.
func (v *Verifier) judge(
	ctx context.Context, p *provider, t *parsed, list *keyList, now time.Time,
) (time.Time, Reason) {
	audiences, project := p.Audiences, p.Project
	if p.own != nil {
		own := p.own.get(ctx, now)
		if own == "" {
			return time.Time{}, Unavailable
		}
		if project == "" {
			project = own
		}
		if p.Kind == config.IAP {
			audiences = []string{own}
		}
	}
	if p.Kind == config.Firebase && len(audiences) == 0 {
		audiences = []string{project}
	}

	expires, why := t.claims.inTime(now)
	switch {
	case !p.issuedBy(t.claims.text("iss"), project, list):
		return expires, Issuer
	case !t.claims.forAny(audiences):
		return expires, Audience
	case why != "":
		return expires, why
	}
	subject := t.claims.text("sub")
	if p.Kind == config.Firebase && (subject == "" || len(subject) > 128) {
		return expires, Claims
	}

	return expires, ""
}

// issuedBy reports whether the issuer is the provider's.
func (p *provider) issuedBy(issuer, project string, list *keyList) bool {
	switch p.Kind {
	case config.IAP:
		return issuer == "https://cloud.google.com/iap"
	case config.Google:
		return issuer == "https://accounts.google.com" || issuer == "accounts.google.com"
	case config.Firebase:
		if p.Cookie != "" {
			return issuer == "https://session.firebase.google.com/"+project
		}
		return issuer == "https://securetoken.google.com/"+project
	}

	if list.issuer != "" && p.Keys == "" {
		return issuer == list.issuer
	}

	return issuer != "" && strings.TrimSuffix(issuer, "/") == strings.TrimSuffix(p.Issuer, "/")
}

// signed verifies the signature. It returns the keys that it used, which may be
// newer than list.
func (v *Verifier) signed(
	ctx context.Context, p *provider, t *parsed, token string, list *keyList, now time.Time,
) (*keyList, Reason) {
	if strings.HasSuffix(token, removed) && token[len(token)-len(removed)-1] == '.' {
		v.owner.hintRemoved()
		return nil, Signature
	}
	if p.Kind == config.IAP && t.alg != "ES256" {
		return nil, Signature
	}

	key, known := list.find(t.kid, t.alg)
	if !known {
		list = p.keys.renewed(ctx, now, list)
		key, known = list.find(t.kid, t.alg)
	}
	switch {
	case !known:
		return nil, UnknownKey
	case key == nil:
		return nil, Signature
	}
	if !t.signedBy(token, key) {
		return nil, Signature
	}

	return list, ""
}
