package config

import (
	"fmt"
	"slices"
	"strings"
)

// BackendCookies are the cookies by which a backend keeps a session on one of
// its instances. The zero value is none.
type BackendCookies struct {
	Auto  bool     // those of known platforms, by the backend
	Names []string // those of every backend; empty with Auto
}

// None reports whether there is no such cookie.
func (b BackendCookies) None() bool { return !b.Auto && len(b.Names) == 0 }

// EnvDecode reads auto, or a list of names. The empty text is none.
func (b *BackendCookies) EnvDecode(given string) error {
	*b = BackendCookies{}
	if strings.EqualFold(given, "auto") {
		b.Auto = true
		return nil
	}

	for _, name := range split(given) {
		if !isToken(name) {
			return fmt.Errorf("has the item %q, which is not the name of a cookie", clip(name))
		}
		if slices.Contains(b.Names, name) {
			return fmt.Errorf("names %q twice", clip(name))
		}
		b.Names = append(b.Names, name)
	}

	return nil
}

// backendCookies takes auto or a list of names.
func backendCookies() form {
	return orNone(form{"auto, or a list of names of cookies", func(given string) (string, error) {
		return given, new(BackendCookies).EnvDecode(given)
	}}, "")
}

// backendCookies refuses a list without an effect, and one with Pillion's own
// cookies.
func (e *environment) backendCookies(c *Config) {
	const base = "LB_BACKEND_COOKIES"
	sessions := slices.ContainsFunc(c.Services, func(s Service) bool { return s.Affinity.Cookie })
	if e.given[base] != "" && len(c.Service.Affinity.BackendCookies.Names) > 0 && !sessions {
		e.missing("LB_SESSION_AFFINITY", "is not cookie but "+base+" names cookies of backends")
	}

	for i := range c.Services {
		a, variable := &c.Services[i].Affinity, VariableOf(base, c.Services[i].Name)
		names := a.BackendCookies.Names
		switch {
		case c.Services[i].Name != "" && e.given[variable] != "" && len(names) > 0 && !a.Cookie:
			e.missing(VariableOf("LB_SESSION_AFFINITY", c.Services[i].Name),
				"is not cookie but "+variable+" names cookies of backends")
		case a.Cookie && slices.Contains(names, a.CookieName):
			e.problems = append(e.problems, Problem{
				Variable: variable, Given: a.CookieName,
				Reason:   "names Pillion's own cookie, that of LB_AFFINITY_COOKIE",
				Accepted: "names of backends' cookies",
			})
		}
	}
}
