package rules

import (
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/pillion-lb/pillion/config"
	"github.com/pillion-lb/pillion/proxy/wire"
)

// Headers change the fields of a message. The nil value changes nothing.
type Headers []headerRule

// headerRule is a config.HeaderRule with its value as a line, so that setting
// it allocates nothing. The line is read-only.
type headerRule struct {
	op   config.HeaderOp
	name string
	line []string
}

// NewHeaders joins the rules of several lists, which are applied in order.
func NewHeaders(lists ...config.HeaderRules) Headers {
	var all Headers
	for _, list := range lists {
		for _, rule := range list {
			all = append(all, headerRule{rule.Op, rule.Name, []string{rule.Value}})
		}
	}
	return all
}

// Apply changes the fields of a message. These are the fields of over, and
// those of under for which over has no entry: in a response that is passed on,
// under has the fields that were received and over those that replace them.
// under may be nil.
func (s Headers) Apply(over, under http.Header) {
	for i := range s {
		rule := &s[i]
		lines, there := over[rule.name]
		if !there {
			lines = under[rule.name]
		}

		switch rule.op {
		case config.HeaderSet:
			over[rule.name] = rule.line
		case config.HeaderDefault:
			if len(lines) == 0 {
				over[rule.name] = rule.line
			}
		case config.HeaderAdd:
			over[rule.name] = slices.Concat(lines, rule.line)
		case config.HeaderRemove:
			delete(over, rule.name)
			delete(under, rule.name)
		}
	}
}

// Sent is what every attempt sends in place of a request's fields.
type Sent interface {
	// Sent returns the lines of a field that was sent or removed already; none
	// are a field that is removed.
	Sent(name string) (lines []string, found bool)
	// Send replaces them.
	Send(name string, lines []string)
}

// ApplyRequest changes the fields of a request. Where sent has a field, its
// lines are those that the rules see and change. Names that some servers can't
// distinguish from one that a rule sets or removes are removed.
func (s Headers) ApplyRequest(h http.Header, sent Sent) {
	for name := range h {
		if s.settlesAlias(name) {
			delete(h, name)
		}
	}
	for i := range s {
		name := s[i].name
		lines, found := sent.Sent(name)
		switch {
		case !found:
		case len(lines) == 0:
			delete(h, name)
		default:
			h[name] = lines
		}
	}

	s.Apply(h, nil)
	for i := range s {
		if _, found := sent.Sent(s[i].name); found {
			sent.Send(s[i].name, h[s[i].name])
		}
	}
}

// settles reports whether the rule decides about the field, whatever the client
// sends.
func (r *headerRule) settles() bool {
	return r.op == config.HeaderSet || r.op == config.HeaderRemove
}

// settlesAlias reports whether some servers can't distinguish a name from one
// that a rule sets or removes, because it has characters that a name of a
// variable can't have.
func (s Headers) settlesAlias(name string) bool {
	if !wire.IsOddName(name) {
		return false
	}

	return slices.ContainsFunc(s, func(r headerRule) bool {
		return r.settles() && r.name != name && wire.SameVariable(r.name, name)
	})
}

// SecretHeaders are Headers whose text is secret and may come from files that
// change.
type SecretHeaders struct {
	sources []*config.Secret
	current atomic.Pointer[readHeaders]
}

// readHeaders are rules and the texts that they were read from.
type readHeaders struct {
	texts   []string
	rules   Headers
	settled []string
}

// NewSecretHeaders makes the rules of several texts, which are applied in
// order. A nil text has no rules.
func NewSecretHeaders(sources ...*config.Secret) *SecretHeaders {
	unset := func(t *config.Secret) bool { return t == nil }
	s := &SecretHeaders{sources: slices.DeleteFunc(slices.Clone(sources), unset)}
	s.current.Store(&readHeaders{texts: make([]string, len(s.sources))})
	return s
}

// Rules returns the current rules. While a text is not valid, the rules that
// were read before stay. Safe for concurrent use.
func (s *SecretHeaders) Rules() Headers {
	now := s.current.Load()
	for i, source := range s.sources {
		if source.Value() != now.texts[i] {
			return s.read(now)
		}
	}
	return now.rules
}

// Settled returns the names that the current rules set or remove, whatever the
// client sends.
func (s *SecretHeaders) Settled() []string { return s.current.Load().settled }

// read reads all texts again. If two requests do this at once, they get the
// same rules.
func (s *SecretHeaders) read(before *readHeaders) Headers {
	next := &readHeaders{texts: make([]string, len(s.sources))}
	var lists []config.HeaderRules
	for i, source := range s.sources {
		next.texts[i] = source.Value()
		var list config.HeaderRules
		if list.EnvDecode(next.texts[i]) != nil {
			next.rules, next.settled = before.rules, before.settled
			s.current.Store(next)
			return next.rules
		}
		lists = append(lists, list)
	}

	next.rules = NewHeaders(lists...)
	for i := range next.rules {
		if rule := &next.rules[i]; rule.settles() {
			next.settled = append(next.settled, rule.name)
		}
	}
	s.current.Store(next)
	return next.rules
}
