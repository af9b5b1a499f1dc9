package affinity

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// Signer issues and verifies the cookies of one service. Safe for concurrent
// use.
//
// A cookie's value is, in unpadded base64url: the version (1 byte), the keyed
// hash of the backend's name (8), the times of issue and of the last renewal (4
// each, Unix seconds), and the first 16 bytes of an HMAC-SHA256 over all of
// that. The keys are derived from the secret, the version and the service's
// name.
type Signer struct {
	cfg      config.Affinity
	encoding *base64.Encoding // strict, so that a cookie has only one spelling
	current  atomic.Pointer[Keyring]
	checked  atomic.Int64 // when the secret was last looked at, in Unix seconds
}

// cookieID is the keyed hash of a backend's name.
type cookieID [8]byte

const (
	cookieVersion = 1
	signedLength  = 1 + 8 + 4 + 4
	rawLength     = signedLength + 16
)

// ValueLength is the length of every cookie value that a Signer issues. Base64
// turns three bytes into four characters.
const ValueLength = rawLength / 3 * 4

// State is the verdict on a request's cookie, as spans and metrics name it.
type State string

// The states of a request's cookie. Off is the state without affinity.
const (
	Off     State = ""
	None    State = "none"
	Valid   State = "valid"
	Expired State = "expired" // older than LB_AFFINITY_TTL
	Idle    State = "idle"    // not used for LB_AFFINITY_IDLE
	Forged  State = "forged"  // not signed by a key of this service
	Unknown State = "unknown" // its backend is no longer published
	Moved   State = "moved"   // its backend can't be used now, so another one answered
)

// New makes the signer of a service, or returns nil when LB_SESSION_AFFINITY is
// off.
func New(cfg config.Affinity, now time.Time) *Signer {
	if !cfg.Cookie {
		return nil
	}

	a := &Signer{cfg: cfg, encoding: base64.RawURLEncoding.Strict()}
	a.Ring(now)

	return a
}

// Ring returns the current keys. It looks at the secret once a second at most.
func (a *Signer) Ring(now time.Time) *Keyring {
	ring := a.current.Load()
	second := now.Unix()
	if ring != nil && (a.cfg.Secret == nil || a.checked.Load() == second) {
		return ring
	}

	a.checked.Store(second)
	secrets := []string{"constant " + a.cfg.KeyName}
	if a.cfg.Secret != nil {
		secrets = a.cfg.Secret.Keys()
	}

	if ring != nil && slices.Equal(ring.secrets, secrets) {
		return ring
	}

	fresh := newKeyring(secrets, a.cfg.KeyName)
	if !a.current.CompareAndSwap(ring, fresh) {
		return a.current.Load()
	}

	return fresh
}

// Binding is the content of a verified cookie.
type Binding struct {
	key    int // the index of the key that signed it; 0 is the key that signs now
	id     cookieID
	Issued int64 // Unix seconds
	seen   int64
}

// Verify reads a cookie value. It allocates only when it remembers a valid
// cookie.
func (a *Signer) Verify(ring *Keyring, value string, now time.Time) (Binding, State) {
	var raw [rawLength]byte
	var text [ValueLength]byte // a copy, because converting the string would allocate
	if copy(text[:], value) != len(value) || len(value) != ValueLength {
		return Binding{}, Forged
	}

	if v := ring.verified.get(&text); v != nil {
		return v.binding, a.age(v.binding, now)
	}

	n, err := a.encoding.Decode(raw[:], text[:])
	if err != nil || n != rawLength || raw[0] != cookieVersion {
		return Binding{}, Forged
	}

	key := ring.signer(raw[:signedLength], raw[signedLength:rawLength])
	if key < 0 {
		return Binding{}, Forged
	}

	b := Binding{
		key:    key,
		id:     cookieID(raw[1:9]),
		Issued: int64(binary.BigEndian.Uint32(raw[9:])),
		seen:   int64(binary.BigEndian.Uint32(raw[13:])),
	}
	ring.verified.put(&text, b)

	return b, a.age(b, now)
}

// skew is how far in the future a time may be, because the clocks of instances
// differ.
const skew = 5 * 60

func (a *Signer) age(b Binding, now time.Time) State {
	second := now.Unix()
	switch {
	case b.Issued > second+skew || b.seen > second+skew:
		return Forged
	case a.cfg.TTL > 0 && time.Duration(second-b.Issued)*time.Second >= a.cfg.TTL:
		return Expired
	case a.cfg.Idle > 0 && time.Duration(second-b.seen)*time.Second >= a.cfg.Idle:
		return Idle
	}

	return Valid
}

// NeedsRenewal reports whether a valid cookie should be replaced: it was not
// renewed for some time, or the key that signed it is not the first one any
// more.
func (a *Signer) NeedsRenewal(b Binding, now time.Time) bool {
	return b.key != 0 ||
		a.cfg.Idle > 0 && time.Duration(now.Unix()-b.seen)*time.Second > a.cfg.Idle/8
}

// SetCookie returns the Set-Cookie line that binds a session to the backend
// with a name. A renewed cookie keeps its time of issue, so that its maximum
// age does not grow.
func (a *Signer) SetCookie(
	ring *Keyring, name string, issued int64, now time.Time, secure bool,
) string {
	var raw [rawLength]byte
	raw[0] = cookieVersion
	id := ring.keys[0].name(name)
	copy(raw[1:], id[:])
	binary.BigEndian.PutUint32(raw[9:], uint32(issued))
	binary.BigEndian.PutUint32(raw[13:], uint32(now.Unix()))
	ring.keys[0].sign(raw[:signedLength], raw[signedLength:])
	line := make([]byte, 0, 192)
	line = append(line, a.cfg.CookieName...)
	line = append(line, '=')
	line = a.encoding.AppendEncode(line, raw[:])
	if a.cfg.TTL > 0 {
		line = append(line, "; Max-Age="...)
		line = strconv.AppendInt(line, max(1, issued+int64(a.cfg.TTL/time.Second)-now.Unix()), 10)
	}

	return string(a.attributes(line, secure))
}

// DeleteCookie returns the Set-Cookie line that ends a session.
func (a *Signer) DeleteCookie(secure bool) string {
	return string(a.attributes([]byte(a.cfg.CookieName+"=; Max-Age=0"), secure))
}

func (a *Signer) attributes(line []byte, secure bool) []byte {
	return appendAttributes(line, a.cfg.SameSite, secure)
}

// appendAttributes appends the attributes that all of Pillion's cookies have.
func appendAttributes(line []byte, site config.SameSite, secure bool) []byte {
	line = append(line, "; Path=/; HttpOnly"...)
	if secure || site == config.SameSiteNone {
		line = append(line, "; Secure"...)
	}

	switch site {
	case config.SameSiteStrict:
		return append(line, "; SameSite=Strict"...)
	case config.SameSiteNone:
		return append(line, "; SameSite=None; Partitioned"...)
	}

	return append(line, "; SameSite=Lax"...)
}
