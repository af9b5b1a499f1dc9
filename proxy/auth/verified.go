package auth

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/config"
)

const (
	// mostVerified is the number of tokens in a generation.
	mostVerified = 2048
	// mostSaid bounds what the claims of a generation take, in bytes: issuers
	// decide how long these are.
	mostSaid = config.VerifiedMemory / 2
	// entryMemory is the memory of a verified token without its claims, in
	// bytes.
	entryMemory = 256
)

// Identity identifies the user or service that makes a request. It is immutable
// after Verify has returned it.
type Identity struct {
	values  []string // of the kept claims, in the order of the Verifier's keep
	names   []string
	expires time.Time // zero is never
	keys    uint64    // version of the keys that verified the signature
	iap     bool

	sum [sha256.Size]byte // of the token
}

// memory is how much it takes.
func (i *Identity) memory() (n int) {
	n = entryMemory
	for _, value := range i.values {
		n += len(value) + 16
	}

	return n
}

// Claim returns one of the claims that the Verifier keeps, and "" for any
// other.
func (i *Identity) Claim(name string) string {
	for at, n := range i.names {
		if n == name {
			return i.values[at]
		}
	}

	return ""
}

// IAP reports whether the identity comes from Google's Identity-Aware Proxy.
func (i *Identity) IAP() bool { return i.iap }

// User returns the identity of a user with only a name.
func User(name string) *Identity {
	return &Identity{names: []string{"sub"}, values: []string{name}}
}

// verified remembers tokens whose signature was verified, in two generations.
// When the young generation is full, it replaces the old one. Safe for
// concurrent use.
//
// A token is found by its index, a fast hash, and recognized by its SHA-256.
// The tokens themselves are not stored.
type verified struct {
	mu         sync.RWMutex
	young, old map[uint64]*Identity
	said       int // bytes of the young generation
}

// get returns the identity of a token, or nil if it is not remembered. The
// caller checks whether it has expired.
func (v *verified) get(t *presented) *Identity {
	v.mu.RLock()
	found, older := v.young[t.index], false
	if found == nil {
		found = v.old[t.index]
		older = found != nil
	}
	v.mu.RUnlock()
	if found == nil || found.sum != *t.hash() {
		return nil
	}
	if !older {
		return found
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	v.add(t.index, found)

	return found
}

// put remembers a token.
func (v *verified) put(t *presented, who *Identity) {
	who.sum = *t.hash()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.add(t.index, who)
}

func (v *verified) add(index uint64, who *Identity) {
	if v.young == nil || len(v.young) >= mostVerified || v.said >= mostSaid {
		v.old, v.young, v.said = v.young, make(map[uint64]*Identity), 0
	}
	v.young[index] = who
	v.said += who.memory()
}
