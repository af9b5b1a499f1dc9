package files

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// response makes a response like that of a service. n is the length of its
// body.
func response(status int, h http.Header, body io.ReadCloser, n int64) *http.Response {
	return &http.Response{
		StatusCode:    status,
		Status:        strconv.Itoa(status) + " " + http.StatusText(status),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        h,
		Body:          body,
		ContentLength: n,
	}
}

// whole answers with a whole file.
func whole(h http.Header, body io.ReadCloser, n int64) *http.Response {
	setLength(h, n)
	return response(http.StatusOK, h, body, n)
}

func setLength(h http.Header, n int64) {
	h["Content-Length"] = []string{strconv.FormatInt(n, 10)}
}

// failed answers with an error. The proxy adds its body.
func failed(status int, h http.Header) *http.Response {
	if h == nil {
		h = http.Header{}
	}
	return response(status, h, http.NoBody, 0)
}

// redirect sends a client that asks for a directory to the path with a final
// slash, which relative references in the index file need. The Location is
// relative, so it is right behind a proxy that removes a prefix.
func redirect(clientPath string, r *http.Request) *http.Response {
	last := clientPath[strings.LastIndexByte(clientPath, '/')+1:]
	location := "./" + last + "/"
	if r.URL != nil && r.URL.RawQuery != "" {
		location += "?" + r.URL.RawQuery
	}
	h := http.Header{"Location": {location}}
	setLength(h, 0)
	return response(http.StatusMovedPermanently, h, http.NoBody, 0)
}
