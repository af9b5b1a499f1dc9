package proxy

import "testing"

func TestSpan_CredentialsInAQueryAreHidden(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                            "",
		"a=1&b=S":                     "a=1&b=S",
		"sig=1":                       "sig=REDACTED",
		"a=1&Signature=x=y&b=2":       "a=1&Signature=REDACTED&b=2",
		"sig=1&sig=2&":                "sig=REDACTED&sig=REDACTED&",
		"&&X-Amz-Credential=&sig&A=b": "&&X-Amz-Credential=REDACTED&sig&A=b",
	} {
		if got := redact(query); got != want {
			t.Errorf("%q is shown as %q, want %q", query, got, want)
		}
	}
}
