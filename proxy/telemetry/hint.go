package telemetry

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
)

// hints holds what to do about exports that met no receiver of OTLP. The words
// are those of Go's TLS and HTTP, of gRPC, and of the answers to clear text
// from the TLS servers of Go and nginx. gRPC passes no error types on.
var hints = [...]struct{ words, hint string }{
	{
		"does not look like a TLS handshake",
		"the receiver speaks clear text: write http:// in its endpoint",
	},
	{`\x15\x03`, needsTLS}, // a TLS alert, where HTTP was expected
	{"HTTP request to an HTTPS server", needsTLS},
	{"HTTP request was sent to HTTPS port", needsTLS},
	{
		"error reading server preface",
		"the receiver speaks TLS, which needs https:// in its endpoint, or no gRPC " +
			"(port 4318 is for OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)",
	},
}

const needsTLS = "the receiver speaks TLS: write https:// in its endpoint"

// hintOf returns what to do about an error, or "" if the error says enough.
func hintOf(err error) string {
	if err == nil {
		return ""
	}

	text := err.Error()
	for _, known := range hints {
		if strings.Contains(text, known.words) {
			return known.hint
		}
	}

	return ""
}

// withHint returns the error with what to do about it, if that is known.
func withHint(err error) error {
	if hint := hintOf(err); hint != "" {
		return fmt.Errorf("%w: %s", err, hint)
	}

	return err
}

// errPage is the error of an export that a web page answers, for example one
// for a login. Its status may be 200.
var errPage = errors.New(
	"the answer is an HTML page, so the endpoint is no receiver of OTLP")

// isPage reports whether an answer is a web page.
func isPage(resp *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))

	return kind == "text/html"
}
