package telemetry

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// fixedAnswer is a transport that gives one answer or one error.
type fixedAnswer struct {
	status     int
	kind, text string
	err        error
}

func (a fixedAnswer) RoundTrip(*http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}

	return &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {a.kind}},
		Body: io.NopCloser(strings.NewReader(a.text))}, nil
}

func TestReceiver_AnExportThatMeetsNoReceiverGetsAHint(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fixedAnswer
		want string
	}{
		"a TLS alert": {fixedAnswer{err: errors.New(`malformed HTTP response "\x15\x03\x01\x00\x02\x02"`)}, "write https://"},
		"nginx": {fixedAnswer{400, "text/html", "<center>The plain HTTP request was sent to HTTPS port</center>", nil},
			"write https://"},
		"a page":            {fixedAnswer{200, "Text/HTML; charset=utf-8", "<html>", nil}, "HTML page"},
		"a page by 204":     {fixedAnswer{204, "text/html", "", nil}, "HTML page"},
		"a receiver":        {fixedAnswer{200, "application/x-protobuf", "", nil}, ""},
		"one without type":  {fixedAnswer{200, "", "", nil}, ""},
		"one that is full":  {fixedAnswer{429, "text/plain", "later", nil}, `status 429: "later"`},
		"a refused address": {fixedAnswer{err: errors.New("connection refused")}, "connection refused"},
	} {
		var failure lastFailure
		resp, _ := noting{test.fixedAnswer, &failure}.RoundTrip(nil)
		if resp != nil {
			resp.Body.Close()
		}

		got := ""
		if last := failure.err.Load(); last != nil {
			got = (*last).Error()
		}
		if !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: noted %q, want %q", name, got, test.want)
		}
	}
}
