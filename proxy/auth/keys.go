package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	// mostKeys is the number of keys that a set may have.
	mostKeys = 100
	// leastRSA is the smallest modulus, in bits (RFC 7518 section 3.3).
	leastRSA = 2048
)

// key is one key of an issuer.
type key struct {
	id     string
	alg    string // the only algorithm that it is for; "" for all of its kind
	public any
}

// parseKeys reads the keys of a set: a JWK Set (RFC 7517 section 5) or, as
// Firebase has it, an object of certificates by their key ids. Each key is read
// by itself, so a key of an unknown kind does not affect the others. It returns
// how many keys were left out.
func parseKeys(text []byte) (list []key, unusable int, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, 0, errors.New("the key set is no JSON object")
	}

	if set.Keys == nil {
		list, unusable = parseCertificates(text)
	} else if len(set.Keys) <= mostKeys {
		for _, raw := range set.Keys {
			if k, ok := parseKey(raw); ok {
				list = append(list, k)
			} else {
				unusable++
			}
		}
	} else {
		return nil, 0, errors.New("the key set has more than 100 keys")
	}
	if len(list) == 0 {
		return nil, unusable, errors.New("the key set has no key that signatures could be verified by")
	}

	return list, unusable, nil
}

// parseKey reads one JWK. Private and symmetric keys are refused, because
// anyone can read the set.
func parseKey(raw json.RawMessage) (key, bool) {
	var jwk jose.JSONWebKey
	var ops struct {
		Ops []string `json:"key_ops"`
	}
	if err := jwk.UnmarshalJSON(raw); err != nil || !jwk.Valid() || !jwk.IsPublic() {
		return key{}, false
	}
	if err := json.Unmarshal(raw, &ops); err != nil ||
		ops.Ops != nil && !slices.Contains(ops.Ops, "verify") {
		return key{}, false
	}
	k := key{jwk.KeyID, jwk.Algorithm, jwk.Key}
	if k.alg == "ES521" {
		k.alg = "ES512" // RFC 7520 section 3.1 has the name of the curve in it
	}

	return k, (jwk.Use == "" || jwk.Use == "sig") && k.usable()
}

// parseCertificates reads certificates in PEM by their key ids.
func parseCertificates(text []byte) (list []key, unusable int) {
	var byID map[string]string
	if json.Unmarshal(text, &byID) != nil || len(byID) > mostKeys {
		return nil, 0
	}
	for id, text := range byID {
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" {
			unusable++
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			unusable++
			continue
		}
		if k := (key{id: id, public: certificate.PublicKey}); k.usable() {
			list = append(list, k)
		} else {
			unusable++
		}
	}

	return list, unusable
}

// usable reports whether the key is strong enough, and its alg fits its kind.
func (k *key) usable() bool {
	if public, ok := k.public.(*rsa.PublicKey); ok && predictable(public.N) {
		return false
	}
	algs := k.algorithms()

	return len(algs) > 0 && (k.alg == "" || slices.Contains(algs, k.alg))
}

// algorithms returns those that the kind of the key can verify.
func (k *key) algorithms() []string {
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() >= leastRSA && public.E >= 3 && public.E%2 == 1 {
			return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		}
	case *ecdsa.PublicKey:
		switch public.Curve.Params().Name {
		case "P-256":
			return []string{"ES256"}
		case "P-384":
			return []string{"ES384"}
		case "P-521":
			return []string{"ES512"}
		}
	case ed25519.PublicKey:
		return []string{"EdDSA"}
	}

	return nil
}

// verifies reports whether the key may verify signatures of an algorithm.
func (k *key) verifies(alg string) bool {
	return (k.alg == "" || k.alg == alg) && slices.Contains(k.algorithms(), alg)
}

// keyList holds the keys of an issuer at one time. It is immutable.
type keyList struct {
	issuer  string // from its discovery document; "" without one
	keys    []key
	version uint64 // changes with the keys
}

// find returns the key for a token: the one with its id or, if it has no id,
// the only one that fits the algorithm. known is false if no key has the id.
func (l *keyList) find(kid, alg string) (found *key, known bool) {
	for i := range l.keys {
		k := &l.keys[i]
		if kid != "" && k.id != kid {
			continue
		}
		known = true
		switch {
		case !k.verifies(alg):
		case found != nil:
			return nil, true // several keys fit
		default:
			found = k
		}
	}

	return found, known
}
