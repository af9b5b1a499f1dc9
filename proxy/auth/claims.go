package auth

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// claims are the claims of a token as they came.
type claims map[string]any

// leeway is the accepted difference between two clocks.
const leeway = time.Minute

// date returns a NumericDate (RFC 7519 section 2). given reports whether the
// claim is present. It is not ok if the claim is not a date.
func (c claims) date(name string) (t time.Time, given, ok bool) {
	value, given := c[name]
	if !given {
		return time.Time{}, false, true
	}
	number, isNumber := value.(json.Number)
	if !isNumber {
		return time.Time{}, true, false
	}
	seconds, err := number.Float64()
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return time.Time{}, true, false
	}

	return time.Unix(int64(seconds), 0), true, true
}

// inTime checks exp, which is required, nbf and iat.
func (c claims) inTime(now time.Time) (expires time.Time, why Reason) {
	expires, given, ok := c.date("exp")
	if !given || !ok {
		return expires, Malformed
	}
	if !now.Before(expires.Add(leeway)) {
		return expires, Expired
	}
	for _, name := range [...]string{"nbf", "iat"} {
		from, given, ok := c.date(name)
		switch {
		case !ok:
			return expires, Malformed
		case given && now.Add(leeway).Before(from):
			return expires, Early
		}
	}

	return expires, ""
}

// text returns a claim that is a text, and "" for any other.
func (c claims) text(name string) string {
	s, _ := c[name].(string)

	return s
}

// forAny reports whether the token is for one of some audiences (RFC 7519
// section 4.1.3).
func (c claims) forAny(audiences []string) bool {
	switch aud := c["aud"].(type) {
	case string:
		return slices.Contains(audiences, aud)
	case []any:
		return slices.ContainsFunc(aud, func(a any) bool {
			s, ok := a.(string)
			return ok && slices.Contains(audiences, s)
		})
	}

	return false
}

// find returns a claim by its name. It first looks for the whole name, because
// a name may be a URL, and then follows its dots into objects.
func (c claims) find(name string) any {
	if value, ok := c[name]; ok {
		return value
	}

	var at any = map[string]any(c)
	for part := range strings.SplitSeq(name, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[part]
	}

	return at
}

// meet reports whether the claims meet the conditions of a provider's item.
func (c claims) meet(p *config.Provider) bool {
	if len(p.Emails) > 0 && !c.hasEmail(p) {
		return false
	}
	for i := range p.Claims {
		rule := &p.Claims[i]
		if !holds(c.find(rule.Name), rule.Values) {
			return false
		}
	}

	return true
}

// hasEmail checks the mail address. It must be verified, because a user may
// have signed up with the address of another person.
func (c claims) hasEmail(p *config.Provider) bool {
	verified, given := c["email_verified"]
	switch is, isBool := verified.(bool); {
	case given && (!isBool || !is) && verified != "true":
		return false
	case !given && (p.Kind == config.Google || p.Kind == config.Firebase):
		return false
	}

	email := strings.ToLower(c.text("email"))
	at := strings.LastIndexByte(email, '@')
	if at < 1 {
		return false
	}

	return slices.ContainsFunc(p.Emails, func(want string) bool {
		want = strings.ToLower(want)
		domain, any := strings.CutPrefix(want, "*@")
		return any && email[at+1:] == domain || !any && email == want
	})
}

// holds reports whether a claim has one of some values. A list has the values
// of its members.
func holds(claim any, values []string) bool {
	if list, ok := claim.([]any); ok {
		return slices.ContainsFunc(list, func(member any) bool {
			text, ok := scalar(member)
			return ok && slices.Contains(values, text)
		})
	}
	text, ok := scalar(claim)

	return ok && slices.Contains(values, text)
}

// scalar returns a claim as text, if it is not a list or an object.
func scalar(claim any) (string, bool) {
	switch v := claim.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		if v {
			return "true", true
		}
		return "false", true
	}

	return "", false
}

// longestClaim is the length of the longest claim that backends get.
const longestClaim = 4 << 10

// said returns a claim as the value of a field, or "" if that is not possible.
// The members of a list are joined by commas, unless one of them contains a
// comma.
func (c claims) said(name string) string {
	value := c.find(name)
	text, ok := scalar(value)
	if list, isList := value.([]any); isList {
		members := make([]string, 0, len(list))
		for _, member := range list {
			s, isScalar := scalar(member)
			if !isScalar || strings.Contains(s, ",") {
				return ""
			}
			members = append(members, s)
		}
		text, ok = strings.Join(members, ","), true
	}
	if !ok || len(text) > longestClaim || !wire.IsValue(text) || wire.TrimBlanks(text) != text {
		return ""
	}

	return text
}
