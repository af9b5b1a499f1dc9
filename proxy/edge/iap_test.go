package edge

import (
	"net/http"
	"testing"
)

// The fields beside an assertion say what the assertion does, whoever else the
// client has written there.
func TestHop_BelievesOfIAPWhatIsSigned(t *testing.T) {
	t.Parallel()
	given := http.Header{
		"X-Goog-Iap-Jwt-Assertion":        {"signed"},
		"X-Goog-Authenticated-User-Email": {"accounts.google.com:boss@example.com"},
		"X-Goog-Authenticated-User-Id":    {"accounts.google.com:1"},
	}
	for email, want := range map[string]string{"ann@example.com": "accounts.google.com:ann@example.com", "": ""} {
		h := new(Hop)
		for name := range given {
			h.Say(name, "") // as Strip does
		}
		h.BelieveIAP(given, "accounts.google.com:42", email)
		said := map[string]string{}
		for _, f := range h.Fields {
			said[f.Name] = f.Value
		}
		if said["X-Goog-Iap-Jwt-Assertion"] != "signed" || said["X-Goog-Authenticated-User-Id"] != "accounts.google.com:42" ||
			said["X-Goog-Authenticated-User-Email"] != want {
			t.Errorf("%q: %v", email, said)
		}
	}
}
