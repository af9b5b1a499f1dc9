package auth

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // of PS256
	_ "crypto/sha512" // of PS384 and PS512
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// longest is the length of the longest token that is read.
const longest = 8 << 10

// removed is the text by which Cloud Run replaces a signature that it has
// checked itself. Such a token can't be distinguished from a forged one.
const removed = "SIGNATURE_REMOVED_BY_GOOGLE"

// algorithms returns those that an issuer may use. Algorithms with a shared
// secret and "none" are not among them.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// may reports whether a text may be a token, as far as a look at its length and
// its first character says.
func may(token string) bool {
	return len(token) <= longest && strings.HasPrefix(token, "e") // as what begins with "{" does
}

// wellFormed reports whether a text has the form of a signed token: three parts
// of base64url characters, and a head that names an algorithm that may be
// taken. It is asked before any library sees the token, which may have ten
// thousand dots. Decoders skip line breaks, so that without it one token would
// have many spellings.
func wellFormed(token string) bool {
	if !may(token) || strings.Count(token, ".") != 2 {
		return false
	}
	head, rest, _ := strings.Cut(token, ".")
	body, signature, _ := strings.Cut(rest, ".")

	return body != "" && signature != "" && plausible(head) && isBase64(head) && isBase64(body) &&
		isBase64(signature)
}

// isBase64 reports whether a text has no characters but those of base64url. It
// goes on after one that is none, because that costs less than to ask.
func isBase64(text string) bool {
	var all byte
	for i := 0; i < len(text); i++ {
		all |= notBase64[text[i]]
	}

	return all == 0
}

// plausible reports whether the head of a token may name an algorithm that is
// taken. It costs a hundredth of what reading the head does, so that little
// work is made by who only makes tokens up.
func plausible(head string) bool {
	var buffer [512]byte
	if base64.RawURLEncoding.DecodedLen(len(head)) > len(buffer) {
		return true // it may contain a certificate
	}
	n, err := base64.RawURLEncoding.Decode(buffer[:], []byte(head))
	if err != nil {
		return false
	}
	for _, begin := range [...]string{`"RS`, `"ES`, `"PS`, `"Ed`} {
		if bytes.Contains(buffer[:n], []byte(begin)) {
			return true
		}
	}

	return bytes.IndexByte(buffer[:n], '\\') >= 0 // an escape in a string
}

// notBase64 is 0 for the characters of RFC 4648 section 5.
var notBase64 = func() (not [256]byte) {
	for c := range not {
		not[c] = 1
	}
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		not[c] = 0
	}
	return not
}()

// parsed is a token whose signature was not checked.
type parsed struct {
	signed *jose.JSONWebSignature
	alg    string
	kid    string
	claims claims
}

// parse reads a well-formed token. It returns nil if that can't be done.
func parse(token string) *parsed {
	t, ok := parseSigned(token)
	if !ok {
		return nil
	}
	if t.claims, ok = readClaims(t.signed.UnsafePayloadWithoutVerification()); !ok {
		return nil
	}

	return t
}

// parseSigned reads a well-formed token without its claims.
func parseSigned(token string) (*parsed, bool) {
	signed, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil || len(signed.Signatures) != 1 {
		return nil, false
	}
	head := signed.Signatures[0].Protected
	if _, critical := head.ExtraHeaders["crit"]; critical {
		return nil, false
	}
	if _, coded := head.ExtraHeaders["b64"]; coded {
		return nil, false
	}

	return &parsed{signed: signed, alg: head.Algorithm, kid: head.KeyID}, true
}

// signedBy reports whether a key has made the signature, and fits the
// algorithm.
func (t *parsed) signedBy(token string, k *key) bool {
	if _, err := t.signed.Verify(k.public); err != nil {
		return false
	}
	public, ok := k.public.(*rsa.PublicKey)
	if !ok || !strings.HasPrefix(t.alg, "PS") {
		return true
	}

	// The salt is as long as the hash (RFC 7518 section 3.5). The library
	// accepts any length.
	hash := map[string]crypto.Hash{
		"PS256": crypto.SHA256, "PS384": crypto.SHA384, "PS512": crypto.SHA512,
	}[t.alg]
	h := hash.New()
	_, _ = io.WriteString(h, token[:strings.LastIndexByte(token, '.')])
	options := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

	return rsa.VerifyPSS(public, hash, h.Sum(nil), t.signed.Signatures[0].Signature, options) == nil
}

// readClaims reads a payload: one JSON object with nothing after it.
func readClaims(payload []byte) (claims, bool) {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	var c claims
	if err := d.Decode(&c); err != nil || c == nil {
		return nil, false
	}
	_, err := d.Token()

	return c, err == io.EOF
}
