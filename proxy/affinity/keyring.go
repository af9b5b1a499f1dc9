package affinity

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"sync"
)

// Keyring is a list of keys. The first one signs, all of them verify.
type Keyring struct {
	secrets  []string
	keys     []*key
	verified verifiedCookies
}

func newKeyring(secrets []string, service string) *Keyring {
	r := &Keyring{secrets: secrets}
	for _, secret := range secrets {
		r.keys = append(r.keys, newKey(secret, service))
	}
	return r
}

// signer returns the index of the key that made mac over data, or -1.
func (r *Keyring) signer(data, mac []byte) int {
	for i, k := range r.keys {
		var want [16]byte
		k.sign(data, want[:])
		if subtle.ConstantTimeCompare(want[:], mac) == 1 {
			return i
		}
	}

	return -1
}

// key is one secret. It makes the MAC of cookies and the keyed hashes of names.
// The hashes are cached, because an index of a thousand names is built at every
// change of the backends.
type key struct {
	macs  sync.Pool // of *macState, which costs ten times more to make than to use
	namer []byte
	names sync.Map // string to cookieID
}

// macState is an HMAC with its input and output, which would otherwise be
// allocated at each use.
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
