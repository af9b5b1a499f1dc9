package affinity

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A backend may have instances of its own, and a cookie that keeps a session on
// one of them. Its name is the same for many backends, so behind one host name
// each would overwrite the other's. A carrier is a cookie of Pillion that holds
// such cookies of one backend:
//
//	ID.TIME.NAME=VALUE[&NAME=VALUE]
//
// ID is the keyed hash of the backend's name, as in the affinity cookie, and
// TIME the second of issue. The carrier is not signed, because the backend
// checks its own cookies, and only cookies with listed names are taken out of
// it.

const (
	// carrierSuffix makes the carrier's name from the affinity cookie's.
	carrierSuffix = "_b"

	// maxCarrier bounds a carrier's value. Browsers drop cookies of more than 4
	// KiB, and servers limit the size of all fields together.
	maxCarrier = 2 << 10

	idLength = 11 // of a cookieID in base64
)

// CarrierName returns the name of the carrier that belongs to an affinity
// cookie.
func CarrierName(cookie string) string { return cookie + carrierSuffix }

// Carried is the content of a carrier. The zero value is that of none.
type Carried struct {
	id     cookieID
	issued int64  // Unix seconds
	pairs  string // NAME=VALUE[&NAME=VALUE], escaped
}

// ReadCarrier reads a carrier's value.
func ReadCarrier(value string) (c Carried, ok bool) {
	id, rest, ok := strings.Cut(value, ".")
	issued, pairs, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || len(id) != idLength || pairs == "" || len(value) > maxCarrier {
		return Carried{}, false
	}

	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err != nil || len(raw) != len(c.id) { // the decoder ignores line breaks
		return Carried{}, false
	}
	if c.issued, err = strconv.ParseInt(issued, 10, 64); err != nil || c.issued < 0 {
		return Carried{}, false
	}

	c.id, c.pairs = cookieID(raw), pairs

	return c, true
}

// Of reports whether the cookies in it are those of the named backend.
func (c *Carried) Of(ring *Keyring, name string) bool {
	return c.pairs != "" &&
		slices.ContainsFunc(ring.keys, func(k *key) bool { return k.name(name) == c.id })
}

// AppendTo appends the cookies with some names to a Cookie field's value. A
// client can write anything into a carrier, so everything that is not a valid
// cookie is left out.
func (c *Carried) AppendTo(line string, names []string) string {
	var all strings.Builder
	all.WriteString(line)
	for _, b := range c.cookies() {
		if !slices.Contains(names, b.Name) {
			continue
		}
		if all.Len() > 0 {
			all.WriteString("; ")
		}
		all.WriteString(b.Name + "=" + b.Value)
	}

	return all.String()
}

func (c *Carried) cookies() (found []BackendCookie) {
	for pair := range strings.SplitSeq(c.pairs, "&") {
		name, value, ok := strings.Cut(pair, "=")
		value, valid := unescape(value)
		if ok && valid && carriable(value) {
			found = append(found, BackendCookie{Name: name, Value: value})
		}
	}

	return found
}

// BackendCookie is a cookie that a backend sets.
type BackendCookie struct {
	Name, Value string
	Life        time.Duration // 0: as long as the browser runs
	Gone        bool          // the backend deletes it
}

// TakeBackendCookies takes the cookies with some names out of the values of
// Set-Cookie fields. A value that is not a cookie by RFC 6265 stays where it
// is. The lines themselves are never changed; rest is lines if nothing was
// taken.
func TakeBackendCookies(
	lines, names []string, now time.Time,
) (rest []string, taken []BackendCookie) {
	rest = lines
	for i, line := range lines {
		b, ok := backendCookie(line, names, now)
		switch {
		case ok && taken == nil:
			rest = slices.Clone(lines[:i])
			fallthrough
		case ok:
			taken = append(taken, b)
		case taken != nil:
			rest = append(rest, line)
		}
	}

	return rest, taken
}

func backendCookie(line string, names []string, now time.Time) (b BackendCookie, ok bool) {
	name, _, _ := strings.Cut(line, "=")
	if !slices.Contains(names, strings.Trim(name, " \t")) {
		return b, false
	}

	c, err := http.ParseSetCookie(line)
	if err != nil {
		return b, false
	}

	b.Name, b.Value = c.Name, c.Value
	if c.Quoted {
		b.Value = `"` + c.Value + `"`
	}

	switch {
	case c.MaxAge > 0:
		b.Life = time.Duration(min(c.MaxAge, 1<<31)) * time.Second
	case c.MaxAge < 0:
		b.Gone = true
	case !c.Expires.IsZero():
		b.Life = c.Expires.Sub(now)
		b.Gone = b.Life <= 0
	}

	return b, b.Gone || carriable(b.Value)
}

// Carry returns the Set-Cookie line of the carrier for the cookies that the
// named backend has set, or "" if the client has the same already. had is what
// the request's carrier holds. The line is not ok if there is too much to
// carry.
func (a *Signer) Carry(
	ring *Keyring, name string, had Carried, set []BackendCookie, now time.Time, secure bool,
) (line string, ok bool) {
	before := had
	if !had.Of(ring, name) {
		before = Carried{}
	}

	pairs := before.merged(set)
	life := a.carrierLife(set)
	switch {
	case pairs == "" && before.pairs == "":
		return "", true
	case pairs == "":
		return a.DeleteCarrier(secure), true
	}

	age := time.Duration(now.Unix()-before.issued) * time.Second
	if pairs == before.pairs && (life == 0 || age <= life/2) {
		return "", true
	}

	id := ring.keys[0].name(name)
	value := base64.RawURLEncoding.EncodeToString(id[:]) + "." +
		strconv.FormatInt(now.Unix(), 10) + "." + pairs
	if len(value) > maxCarrier {
		return "", false
	}

	text := []byte(CarrierName(a.cfg.CookieName) + "=" + value)
	if life > 0 {
		text = append(text, "; Max-Age="...)
		text = strconv.AppendInt(text, max(1, int64(life/time.Second)), 10)
	}

	return string(a.attributes(text, secure)), true
}

// DeleteCarrier returns the Set-Cookie line that deletes the carrier.
func (a *Signer) DeleteCarrier(secure bool) string {
	return string(a.attributes([]byte(CarrierName(a.cfg.CookieName)+"=; Max-Age=0"), secure))
}

// carrierLife returns the longest lifetime among the cookies, but at most that
// of a session.
func (a *Signer) carrierLife(set []BackendCookie) (life time.Duration) {
	for _, b := range set {
		life = max(life, b.Life)
	}
	if ttl := a.cfg.TTL; ttl > 0 && (life == 0 || life > ttl) {
		return ttl
	}

	return life
}

// merged returns the pairs of a carrier after a backend has set and deleted
// some.
func (c *Carried) merged(set []BackendCookie) string {
	all := c.cookies()
	for _, b := range set {
		all = slices.DeleteFunc(all, func(old BackendCookie) bool { return old.Name == b.Name })
		if !b.Gone {
			all = append(all, b)
		}
	}

	slices.SortFunc(all, func(a, b BackendCookie) int { return strings.Compare(a.Name, b.Name) })
	var pairs strings.Builder
	for i, b := range all {
		if i > 0 {
			pairs.WriteByte('&')
		}
		pairs.WriteString(b.Name + "=" + escape(b.Value))
	}

	return pairs.String()
}

// carriable reports whether a text is a valid value of a cookie (RFC 6265
// section 4.1.1). Quotes belong to the value.
func carriable(value string) bool {
	for i := range len(value) {
		switch c := value[i]; {
		case c <= ' ', c >= 0x7f, c == ',', c == ';', c == '\\':
			return false
		}
	}

	return true
}

// escape escapes the characters that separate pairs in a carrier, and quotes.
func escape(value string) string {
	if !strings.ContainsAny(value, `%&"`) {
		return value // the usual case
	}
	return strings.NewReplacer("%", "%25", "&", "%26", `"`, "%22").Replace(value)
}

func unescape(value string) (string, bool) {
	if !strings.ContainsAny(value, `%"`) {
		return value, true
	}
	plain := strings.NewReplacer("%25", "%", "%26", "&", "%22", `"`).Replace(value)
	return plain, escape(plain) == value
}
