package config

import (
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"strings"
)

// HeaderRule changes one field of a message.
type HeaderRule struct {
	Op    HeaderOp
	Name  string // in canonical form
	Value string // "" for HeaderRemove
}

// HeaderOp is the operation of a HeaderRule. Its text is the character before
// the name.
type HeaderOp string

// The operations of header rules.
const (
	HeaderSet     HeaderOp = ""  // replaces the field
	HeaderAdd     HeaderOp = "+" // adds a line
	HeaderRemove  HeaderOp = "-" // removes all lines
	HeaderDefault HeaderOp = "?" // sets the field if it is missing
)

// HeaderRules are the rules of LB_REQUEST_HEADERS or LB_RESPONSE_HEADERS, in
// their order.
type HeaderRules []HeaderRule

// headerRulesForm describes header rules.
const headerRulesForm = "rules separated by ';': Name=value sets, +Name=value adds, -Name " +
	"removes, ?Name=value sets what is missing; " +
	"in a value %3B is ';'"

// EnvDecode reads rules. Its errors never show a value, because a value may be
// a secret.
func (r *HeaderRules) EnvDecode(given string) error {
	*r = nil
	items := strings.FieldsFunc(given, func(c rune) bool {
		return c == ';' || c == '\n' ||
			c == '\r'
	})

	n := 0
	for _, item := range items {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}

		n++
		rule, err := headerRule(item)
		if err != nil {
			return fmt.Errorf("has a rule, number %d, that %w", n, err)
		}

		*r = append(*r, rule)
	}

	if n == 0 && given != "" {
		return errors.New("holds no rule")
	}

	return nil
}

// Masked returns the rules without their values, for output.
func (r HeaderRules) Masked() string {
	shown := make([]string, len(r))
	for i, rule := range r {
		shown[i] = string(rule.Op) + rule.Name
		if rule.Op != HeaderRemove {
			shown[i] += "=" + mask
		}
	}

	return strings.Join(shown, ";")
}

func headerRule(item string) (HeaderRule, error) {
	op := HeaderSet
	switch item[0] {
	case '+', '-', '?':
		op, item = HeaderOp(item[:1]), item[1:]
	}

	name, value, found := strings.Cut(item, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	switch {
	case found && op == HeaderRemove:
		return HeaderRule{}, errors.New("removes a field and gives it a value")
	case !found && op != HeaderRemove:
		return HeaderRule{}, errors.New("has no '=' (a ';' in a value is written %3B)")
	case !isToken(name):
		return HeaderRule{}, errors.New("has a name that is no field's name")
	}

	rule := HeaderRule{Op: op, Name: textproto.CanonicalMIMEHeaderKey(name)}
	if why := protectedField(name); why != "" {
		return rule, fmt.Errorf("changes %s, %s", rule.Name, why)
	}

	var err error
	rule.Value, err = headerValue(value)
	return rule, err
}

// headerValue decodes a value. It may contain blanks, but not begin or end with
// one (RFC 9110 section 5.5).
func headerValue(given string) (string, error) {
	if holdsVariable(given) {
		return "", errors.New("has a variable in its value that nothing has replaced (a '$' in a " +
			"value is written %24)")
	}

	value, err := url.PathUnescape(given)
	if err != nil {
		return "", errors.New("has a '%' that is not followed by two digits (a '%' in a value is " +
			"written %25)")
	}

	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "", errors.New("has a character in its value that a field may not have")
		}
	}

	return strings.Trim(value, " \t"), nil
}

// protectedField returns why no rule may change a field, or "". Names that some
// servers can't distinguish count as one.
func protectedField(name string) string {
	plain := strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	}, strings.ToLower(name))

	if strings.HasPrefix(plain, "x-forwarded-") {
		return "which LB_TRUSTED_PROXIES decides about"
	}

	return protectedFields()[plain]
}

func protectedFields() map[string]string {
	const (
		framing   = "which frames the message"
		hop       = "which concerns one connection only"
		trust     = "which LB_TRUSTED_PROXIES decides about"
		traces    = "which the trace decides about (OTEL_PROPAGATORS)"
		ourOwn    = "which Pillion itself needs"
		cache     = "which LB_CACHE decides about"
		coding    = "which says how the body is coded (LB_COMPRESS)"
		theClient = "which LB_HOST_HEADER decides about"
		session   = "which belongs to the service (sessions: LB_SESSION_AFFINITY)"
		identity  = "which LB_IDENTITY decides about"
	)
	return map[string]string{
		"host": theClient, "content-length": framing, "transfer-encoding": framing, "trailer": framing,
		"connection": hop, "keep-alive": hop, "proxy-connection": hop, "te": hop, "upgrade": hop,
		"http2-settings": hop, "forwarded": trust, "x-real-ip": trust,
		"x-serverless-authorization": identity, "traceparent": traces, "tracestate": traces,
		"x-request-id": ourOwn, "cdn-loop": ourOwn,
		"age": cache, "cache-status": cache, "content-encoding": coding, "content-range": framing,
		"set-cookie": session,
	}
}

// headerRules is the form of rules for fields.
func headerRules() form {
	return form{headerRulesForm, func(given string) (string, error) {
		return given, new(HeaderRules).EnvDecode(given)
	}}
}
