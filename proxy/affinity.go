package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// affinity keeps a browser's session on its endpoint by a cookie. The cookie binds to the backend's name, not to its
// address, so it survives a redeploy that changes every address, and any instance with the same keys understands it.
//
// The value is the unpadded base64url of: version (1 byte), keyed hash of the backend's name (8), the dates of issue
// and of the last visit (4 each, Unix seconds), and the first 16 bytes of an HMAC-SHA256 over all before it. Version
// and service name are part of what the keys are derived from.
type affinity struct {
	cfg      config.Affinity
	encoding *base64.Encoding // strict: one cookie has one spelling
	current  atomic.Pointer[keyring]
	checked  atomic.Int64 // Unix seconds of the last look at the secret
}

// cookieID is the keyed hash of a backend's name.
type cookieID [8]byte

const (
	cookieVersion = 1
	signedLength  = 1 + 8 + 4 + 4
	rawLength     = signedLength + 16
	encodedLength = rawLength / 3 * 4 // of every cookie value that we issue: four characters for three bytes
)

// cookieState is the verdict on the cookie of a request, as spans and metrics name it.
type cookieState string

const (
	cookieOff     cookieState = ""
	cookieNone    cookieState = "none"
	cookieValid   cookieState = "valid"
	cookieExpired cookieState = "expired" // older than LB_AFFINITY_TTL
	cookieIdle    cookieState = "idle"    // not used for LB_AFFINITY_IDLE
	cookieForged  cookieState = "forged"  // not signed by a key of ours, or not a cookie of ours at all
	cookieUnknown cookieState = "unknown" // its backend is not published any more
	cookieMoved   cookieState = "moved"   // its backend can't be used now, another one answered
)

func newAffinity(cfg config.Affinity, now time.Time) *affinity {
	if !cfg.Cookie {
		return nil
	}
	a := &affinity{cfg: cfg, encoding: base64.RawURLEncoding.Strict()}
	a.ring(now)
	return a
}

// ring returns the keys as they are now. The secret is looked at once a second, at use.
func (a *affinity) ring(now time.Time) *keyring {
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

// binding is what a verified cookie says.
type binding struct {
	key    int // which key of the ring signed it; 0 is the one that signs
	id     cookieID
	issued int64 // Unix seconds
	seen   int64
}

// verify reads a cookie value. It allocates only to remember a good one.
func (a *affinity) verify(ring *keyring, value string, now time.Time) (binding, cookieState) {
	var raw [rawLength]byte
	var text [encodedLength]byte // a copy, because converting the string would allocate
	if copy(text[:], value) != len(value) || len(value) != encodedLength {
		return binding{}, cookieForged
	}
	if v := ring.recent.get(&text); v != nil {
		return v.binding, a.age(v.binding, now)
	}
	n, err := a.encoding.Decode(raw[:], text[:])
	if err != nil || n != rawLength || raw[0] != cookieVersion {
		return binding{}, cookieForged
	}
	key := ring.signer(raw[:signedLength], raw[signedLength:rawLength])
	if key < 0 {
		return binding{}, cookieForged
	}
	b := binding{
		key:    key,
		id:     cookieID(raw[1:9]),
		issued: int64(binary.BigEndian.Uint32(raw[9:])),
		seen:   int64(binary.BigEndian.Uint32(raw[13:])),
	}
	ring.recent.put(&text, b)
	return b, a.age(b, now)
}

// skew is how far a date may lie in the future: instances' clocks differ a little.
const skew = 5 * 60

func (a *affinity) age(b binding, now time.Time) cookieState {
	second := now.Unix()
	switch {
	case b.issued > second+skew || b.seen > second+skew:
		return cookieForged
	case a.cfg.TTL > 0 && time.Duration(second-b.issued)*time.Second >= a.cfg.TTL:
		return cookieExpired
	case a.cfg.Idle > 0 && time.Duration(second-b.seen)*time.Second >= a.cfg.Idle:
		return cookieIdle
	}
	return cookieValid
}

// stale reports whether a valid cookie is due for a new one all the same: its last-seen date is old, or its key is not
// the one that signs.
func (a *affinity) stale(b binding, now time.Time) bool {
	return b.key != 0 || a.cfg.Idle > 0 && time.Duration(now.Unix()-b.seen)*time.Second > a.cfg.Idle/8
}

// setCookie is the Set-Cookie line that binds a session to the endpoint named so. issued is kept when a session's
// cookie is only renewed, so that its maximum life does not grow.
func (a *affinity) setCookie(ring *keyring, name string, issued int64, now time.Time, secure bool) string {
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

// deleteCookie is the Set-Cookie line that ends a session.
func (a *affinity) deleteCookie(secure bool) string {
	return string(a.attributes([]byte(a.cfg.CookieName+"=; Max-Age=0"), secure))
}

func (a *affinity) attributes(line []byte, secure bool) []byte {
	line = append(line, "; Path=/; HttpOnly"...)
	none := a.cfg.SameSite == "none"
	if secure || none {
		line = append(line, "; Secure"...)
	}
	switch a.cfg.SameSite {
	case "strict":
		line = append(line, "; SameSite=Strict"...)
	case "none":
		line = append(line, "; SameSite=None; Partitioned"...)
	default:
		line = append(line, "; SameSite=Lax"...)
	}
	return line
}

// keyring is the list of keys: the first signs, all verify.
type keyring struct {
	secrets []string
	keys    []*key
	recent  recent
}

func newKeyring(secrets []string, service string) *keyring {
	r := &keyring{secrets: secrets}
	for _, secret := range secrets {
		r.keys = append(r.keys, newKey(secret, service))
	}
	return r
}

// signer returns the index of the key that made mac over data; -1 when none did.
func (r *keyring) signer(data, mac []byte) int {
	for i, k := range r.keys {
		var want [16]byte
		k.sign(data, want[:])
		if subtle.ConstantTimeCompare(want[:], mac) == 1 {
			return i
		}
	}
	return -1
}

// index maps, for each key, the hashes of the entries' names to the entries.
func (r *keyring) index(entries []entry) []map[cookieID]int32 {
	maps := make([]map[cookieID]int32, len(r.keys))
	for i, k := range r.keys {
		maps[i] = make(map[cookieID]int32, len(entries))
		for j := range entries {
			maps[i][k.name(entries[j].ep.name)] = int32(j)
		}
	}
	return maps
}

// key is one secret: a MAC over cookies, and a keyed hash of names that is remembered, because an index of a thousand
// names is built at every change.
type key struct {
	macs  sync.Pool // of *macState: making one costs ten times what using it does
	namer []byte
	names sync.Map // string to cookieID
}

// macState is an HMAC with room for what goes in and comes out, which would otherwise be allocated for each use.
type macState struct {
	hash hash.Hash
	in   [signedLength]byte
	out  [sha256.Size]byte
}

func newKey(secret, service string) *key {
	derive := func(use string) []byte {
		h := hmac.New(sha256.New, []byte(secret))
		h.Write([]byte("pillion session affinity v1 " + use + " "))
		h.Write([]byte(service))
		return h.Sum(nil)
	}
	k := &key{namer: derive("name")}
	mac := derive("mac")
	k.macs.New = func() any { return &macState{hash: hmac.New(sha256.New, mac)} }
	return k
}

// sign writes the first len(mac) bytes of the MAC of data.
func (k *key) sign(data, mac []byte) {
	m := k.macs.Get().(*macState)
	m.hash.Reset()
	m.hash.Write(m.in[:copy(m.in[:], data)])
	copy(mac, m.hash.Sum(m.out[:0]))
	k.macs.Put(m)
}

func (k *key) name(name string) cookieID {
	if id, ok := k.names.Load(name); ok {
		return id.(cookieID)
	}
	h := hmac.New(sha256.New, k.namer)
	h.Write([]byte(name))
	id := cookieID(h.Sum(nil)[:8])
	k.names.Store(name, id)
	return id
}
