package auth

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// signedBy reports whether a token's signature is by one of some keys: what
// Verify does, without the claims, because the payload of those cases is "foo".
func signedBy(token string, keys []key) bool {
	if !wellFormed(token) {
		return false
	}
	t, ok := parseSigned(token)
	if !ok {
		return false
	}
	k, _ := (&keyList{keys: keys}).find(t.kid, t.alg)

	return k != nil && t.signedBy(token, k)
}

// refusedHere are the cases that are valid as signatures and are refused here,
// by file and number.
var refusedHere = []struct {
	why   string
	cases map[string][]int
}{
	{
		// Everybody can read the keys of an issuer, so a secret among them
		// proves nothing.
		"a shared secret",
		map[string][]int{"jws": {1, 348, 352, 357, 358, 359, 372, 373, 376, 377}, "jwk": {2, 13, 14, 15}},
	},
	{
		// The payload of a token is an object of claims (RFC 7519 section 7.2).
		// One without an exp is refused whoever signed it.
		"an empty payload",
		map[string][]int{"jws": {259, 264, 268, 272, 320, 325}},
	},
	{
		// RFC 7520's figure 20 signs by PS384 and a key whose alg is PS256. The
		// same collection wants that refused of other keys (338 and 340), and
		// an alg is the one algorithm that the key is for (RFC 7517 section
		// 4.4).
		"a key of another algorithm",
		map[string][]int{"jws": {346, 350}},
	},
}

// refusal is why a valid case is refused here, "" for any other.
func refusal(file string, id int) string {
	for _, r := range refusedHere {
		if slices.Contains(r.cases[file], id) {
			return r.why
		}
	}

	return ""
}

// The cases of Project Wycheproof.
func TestSignatures_WycheproofsCasesGetTheRightVerdict(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/wycheproof.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases struct {
		Groups []struct {
			File, Name string
			Keys       []json.RawMessage
			Tests      []struct {
				ID    int
				JWS   string
				Valid bool
			}
		}
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}

	count, accepted := map[string]int{}, map[string]int{}
	for _, g := range cases.Groups {
		set, _ := json.Marshal(map[string]any{"keys": g.Keys})
		keys, _, _ := parseKeys(set)
		for _, c := range g.Tests {
			count[g.File]++
			got := signedBy(c.JWS, keys)
			if got {
				accepted[g.File]++
			}
			why := refusal(g.File, c.ID)
			if why != "" && !c.Valid {
				t.Errorf("%s %d is refused as %s, and is not valid", g.File, c.ID, why)
			}
			if want := c.Valid && why == ""; got != want {
				t.Errorf("%s %s %d: accepted is %v (%s)", g.File, g.Name, c.ID, got, why)
			}
		}
	}
	if count["jws"] != 401 || count["jwk"] != 26 || accepted["jws"] != 28 || accepted["jwk"] != 1 {
		t.Errorf("%v cases, %v accepted", count, accepted)
	}
}
