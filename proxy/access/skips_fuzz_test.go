package access

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/pillion-lb/pillion/config"
	"golang.org/x/text/unicode/norm"
)

// normalization is one thing that a server may do with a path.
type normalization struct {
	name string
	do   func(string) string
}

// lenient are the normalizations that servers make, each by itself. A server
// makes some of them, in its own order, and a server behind it others.
var lenient = []normalization{
	{"decoded", decodedOnce},
	{"decoded with %u", func(p string) string { q, _ := decode([]byte(p)); return string(q) }},
	{"decoded as a form", decodedAsForm},
	{"overlong UTF-8 read", overlong},
	{"compatible characters", norm.NFKC.String},
	{"composed characters", norm.NFC.String},
	{"decomposed characters", norm.NFD.String},
	{"slashes for backslashes", func(p string) string { return strings.ReplaceAll(p, `\`, "/") }},
	{"without parameters", eachSegment(func(s string) string { s, _, _ = strings.Cut(s, ";"); return s })},
	{"without blanks", eachSegment(strings.TrimSpace)},
	{"without dots at ends", eachSegment(withoutEnds)},
	{"without control characters", withoutControls},
	{"one slash for several", oneSlash},
	{"dot segments removed", func(p string) string { return path.Clean("/" + p) }},
	{"cut at NUL", cutAt("\x00")},
	{"cut at the query", cutAt("?")},
	{"cut at the fragment", cutAt("#")},
	{"cut at a line break", cutAt("\r\n")},
	{"in small letters", strings.ToLower},
	{"in capitals", strings.ToUpper},
	{"parsed as a URL", parsed},
	{"resolved against a URL", resolved},
}

// decodedOnce decodes every escape that is one, and leaves the others.
func decodedOnce(p string) string {
	var out strings.Builder
	for i := 0; i < len(p); i++ {
		if c, ok := unescape(p[i:]); ok {
			out.WriteByte(c)
			i += 2
			continue
		}
		out.WriteByte(p[i])
	}

	return out.String()
}

func decodedAsForm(p string) string {
	if q, err := url.QueryUnescape(p); err == nil {
		return q
	}

	return strings.ReplaceAll(p, "+", " ")
}

// overlong reads forms of UTF-8 that are longer than need be, which RFC 3629
// forbids and some decoders read.
func overlong(p string) string {
	var out strings.Builder
	for i := 0; i < len(p); {
		c, more := p[i], 0
		switch {
		case c&0xe0 == 0xc0:
			more = 1
		case c&0xf0 == 0xe0:
			more = 2
		case c&0xf8 == 0xf0:
			more = 3
		}
		if r, size := utf8.DecodeRuneInString(p[i:]); r != utf8.RuneError {
			out.WriteString(p[i : i+size])
			i += size
			continue
		}
		if more == 0 || i+more >= len(p) {
			out.WriteByte(c)
			i++
			continue
		}
		r := rune(c) & (0x3f >> more)
		for _, next := range []byte(p[i+1 : i+1+more]) {
			r = r<<6 | rune(next&0x3f)
		}
		out.WriteRune(r)
		i += 1 + more
	}

	return out.String()
}

func eachSegment(change func(string) string) func(string) string {
	return func(p string) string {
		segments := strings.Split(p, "/")
		for i, s := range segments {
			segments[i] = change(s)
		}
		return strings.Join(segments, "/")
	}
}

// withoutEnds is a name as Windows has it, where a name ends in no dot and no
// blank. Names of dots alone stay what they are.
func withoutEnds(segment string) string {
	if strings.Trim(segment, ".") == "" {
		return segment
	}

	return strings.TrimRight(segment, ". ")
}

func withoutControls(p string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, p)
}

func oneSlash(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}

	return p
}

func cutAt(any string) func(string) string {
	return func(p string) string {
		if i := strings.IndexAny(p, any); i >= 0 {
			return p[:i]
		}
		return p
	}
}

// mostSteps is how many normalizations follow each other.
const mostSteps = 12

// Whatever a skip rule lets through is in the skip set, whatever servers behind
// make of the path: each normalization that we know, in every order.
func FuzzSkips_NoOrderOfNormalizationsLeadsOut(f *testing.F) {
	for i, seed := range []string{
		"/public/a", "/public/../x", "/public/%2e%2e/x", "/public/%252e%252e%252fx", "/public/..;a=b/x", "/public/.;/..;x/x",
		`/public/..\x`, "/public/%5c..%5cx", "/public/%c0%ae%c0%ae/x", "/public/%e0%80%ae%e0%80%ae/x",
		"/public/%f0%80%80%ae/x",
		"/public/\xc0\xaf..", "/PUBLIC/x", "/Public/%2E%2E/x", "/public/+../x", "/public/..+/x", "/public/%2b../x",
		"/public/.%20./x",
		"/public//x", "/public/%2f%2fx", "/public/%u002e%u002e/x", "/public/%uff0e%uff0e/x", "/public/%ef%bc%8e/x",
		"/public/%e2%80%a5/x",
		"/public/%00/../x", "/public/a%0d%0a", "/public/%23/../x", "/public/a%3f/../x", "/public/x./..", "/healthz",
		"/healthz/", "/healthz;a",
		"/HEALTHZ", "/healthz%20", "/healthz+", "/hooks/a", "/hooks/..%3b/x", "/public/%E3%80%82%E3%80%82/x",
		"/public/%CD%BE/x",
	} {
		f.Add(i%3 == 0, seed, []byte{byte(i), byte(7 * i), byte(11 * i), 0, 13, 8, 0, 13})
	}
	var list config.AuthSkips
	if err := list.EnvDecode("/public/*;/healthz;POST /hooks/*"); err != nil {
		f.Fatal(err)
	}
	skips := NewSkips(list)

	f.Fuzz(func(t *testing.T, post bool, given string, order []byte) {
		r := &http.Request{Method: http.MethodGet}
		if post {
			r.Method = http.MethodPost
		}
		if !skips.Hold(r, given) {
			return
		}
		p, done := given, []string{}
		for _, step := range order[:min(len(order), mostSteps)] {
			n := lenient[int(step)%len(lenient)]
			p = n.do(p)
			done = append(done, n.name)
			if !skipped(p, post) {
				t.Fatalf("%s %q is let through, and is %q after %q", r.Method, given, p, done)
			}
		}
	})
}

// skipped reports whether a path is in the skip set for a server that takes
// letters of both kinds for the same, and a slash at the end for nothing.
func skipped(p string, post bool) bool {
	p = "/" + strings.Trim(strings.ToLower(p), "/ ")
	return p == "/healthz" || p == "/public" || strings.HasPrefix(p, "/public/") ||
		post && (p == "/hooks" || strings.HasPrefix(p, "/hooks/"))
}
