package edge

import (
	"net/http"
	"strings"
	"testing"
)

func TestLocation_OfTheBackendBecomesTheClients(t *testing.T) {
	t.Parallel()
	const origin, host = "https://app-xyz.run.app", "app-xyz.run.app"

	hop := &Hop{Host: "www.example", Secure: true}
	for in, want := range map[string]string{
		"https://app-xyz.run.app/next?a=1": "https://www.example/next?a=1",
		"HTTPS://APP-XYZ.run.app#x":        "https://www.example#x",
		"https://app-xyz.run.app":          "https://www.example",
		"https://app-xyz.run.app.evil/":    "https://app-xyz.run.app.evil/",
		"https://app-xyz.run.app:444/":     "https://app-xyz.run.app:444/",
		// as an app that sees plain HTTP writes it
		"http://app-xyz.run.app/":       "https://www.example/",
		"https://app-xyz.run.app:443/a": "https://www.example/a",
		"http://app-xyz.run.app:80/a":   "https://www.example/a",
		"//app-xyz.run.app/a?b":         "https://www.example/a?b",
		"ftp://app-xyz.run.app/":        "ftp://app-xyz.run.app/",
		"https://app-xyz.run.app@evil/": "https://app-xyz.run.app@evil/",
		"https://login.example/":        "https://login.example/",
		"/relative":                     "/relative",
	} {
		h := http.Header{"Location": {in}, "Content-Location": {in}}
		if hop.OwnOrigin(h, h, origin, host); h.Get("Location") != want || h.Get("Content-Location") != want {
			t.Errorf("%s: %v", in, h)
		}
	}

	for in, want := range map[string]string{
		"0; url=https://app-xyz.run.app/a":       "0; url=https://www.example/a",
		"0;URL='http://app-xyz.run.app/a'":       "0;URL='https://www.example/a'",
		`5; url="//app-xyz.run.app/a?b"; x`:      `5; url="https://www.example/a?b"; x`,
		"0; url=https://other.example/":          "0; url=https://other.example/",
		"0; url=https://app-xyz.run.app'@evil/a": "0; url=https://app-xyz.run.app'@evil/a",
		"5":                                      "5",
		"0; url=/a":                              "0; url=/a",
		"0; url=":                                "0; url=",
		"0; url='":                               "0; url='",
	} {
		h := http.Header{"Refresh": {in}}
		if hop.OwnOrigin(h, h, origin, host); h.Get("Refresh") != want {
			t.Errorf("Refresh %s became %s", in, h.Get("Refresh"))
		}
	}

	h := http.Header{"Alt-Svc": {`h3=":443"`}}
	if hop.OwnOrigin(h, h, origin, host); len(h) != 0 {
		t.Errorf("alternatives of the backend's host are offered for another: %v", h)
	}

	h = http.Header{"Location": {"https://app-xyz.run.app/"}}
	if hop.OwnOrigin(h, h, origin, ""); h.Get("Location") != "https://app-xyz.run.app/" {
		t.Error("rewritten although Host was the client's")
	}
}

// Whatever a backend writes, it becomes another origin and nothing else.
func FuzzOwnOrigin_ChangesTheOriginAlone(f *testing.F) {
	for _, seed := range []string{
		"http://a.example/b", "//a.example:80", "0; url='http://a.example/'", `5;URL="//a.example"`, "url=",
		"\xffurl=//a.example", "İurl=//a.example/",
		"http://a.example@evil/", "HTTPS://A.example#x",
	} {
		f.Add(seed)
	}

	hop := &Hop{Host: "www.example", Secure: true}
	f.Fuzz(func(t *testing.T, value string) {
		h := http.Header{"Location": {value}, "Content-Location": {value}, "Refresh": {value}}
		hop.OwnOrigin(h, h, "https://a.example", "a.example")
		for _, name := range []string{"Location", "Content-Location", "Refresh"} {
			got := h.Get(name)
			if got == value {
				continue
			}
			before, after, ok := strings.Cut(got, "https://www.example")
			if !ok || !strings.HasPrefix(value, before) || !strings.HasSuffix(value, after) {
				t.Errorf("%s: %q became %q", name, value, got)
			}
		}
	})
}
