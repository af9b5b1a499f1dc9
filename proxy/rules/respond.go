package rules

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Respond answers with a fixed status.
type Respond struct {
	status int
	body   Body
}

// Body is the body of a fixed answer. It may change between two calls.
type Body interface {
	// Content returns the body and its media type.
	Content() (text, mediaType string)
}

// Text is a Body of plain text.
type Text string

// Content returns the text.
func (t Text) Content() (text, mediaType string) { return string(t), "text/plain; charset=utf-8" }

// NewRespond makes a fixed answer. With a nil body, the text of the status is
// the body.
func NewRespond(status int, body Body) *Respond {
	if body == nil {
		body = Text(strconv.Itoa(status) + " " + http.StatusText(status) + "\n")
	}
	return &Respond{status: status, body: body}
}

// Status returns the status of the answer.
func (d *Respond) Status() int { return d.status }

// Answer returns the answer. Errors have Cache-Control: no-store, and 503 has
// Retry-After.
func (d *Respond) Answer() *http.Response {
	h := http.Header{}
	if d.status >= http.StatusBadRequest {
		h["Cache-Control"] = []string{"no-store"}
	}
	if d.status == http.StatusServiceUnavailable {
		h["Retry-After"] = []string{"60"}
	}

	switch d.status { // which have no content (RFC 9110 sections 6.4.1 and 15.3.6)
	case http.StatusNoContent, http.StatusResetContent, http.StatusNotModified:
		return answer(d.status, h, "")
	}
	text, mediaType := d.body.Content()
	h["Content-Type"] = []string{mediaType}
	return answer(d.status, h, text)
}

// answer makes a response. For a HEAD request, the writer leaves out the body.
func answer(status int, h http.Header, body string) *http.Response {
	if status != http.StatusNoContent && status != http.StatusNotModified {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	resp := &http.Response{
		StatusCode:    status,
		Status:        strconv.Itoa(status) + " " + http.StatusText(status),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        h,
		Body:          http.NoBody,
		ContentLength: int64(len(body)),
	}
	if body != "" {
		resp.Body = io.NopCloser(strings.NewReader(body))
	}
	return resp
}
