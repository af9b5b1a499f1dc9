package h2

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// seeds are beginnings of conversations, behind the preface.
func seeds() [][]byte {
	get := block(":method", "GET", ":scheme", "http", ":path", "/", ":authority", "a")
	settings := appendSettings(nil)
	request := append(appendFrame(nil, len(get), frameHeaders, flagEndHeaders|flagEndStream, 1), get...)
	open := append(appendFrame(nil, len(get), frameHeaders, flagEndHeaders, 1), get...)
	answer := block(":status", "200")
	response := append(appendFrame(nil, len(answer), frameHeaders, flagEndHeaders, 1), answer...)
	padded := append(appendFrame(nil, 8, frameData, flagPadded|flagEndStream, 1), 3, 'h', 'e', 'l', 'o', 0, 0, 0)
	all := func(frames ...[]byte) (b []byte) {
		for _, f := range frames {
			b = append(b, f...)
		}
		return b
	}
	return [][]byte{
		settings,
		all(settings, request),
		all(settings, open, padded),
		all(settings, open, appendRSTStream(nil, 1, cancel), padded),
		all(settings, open, appendWindowUpdate(nil, 1, 1), appendWindowUpdate(nil, 0, largestValue)),
		all(settings, open, appendGoAway(nil, 1, noError)),
		all(settings, appendFrame(nil, 0, frameSettings, flagAck, 0), request),
		all(appendSettings(nil, setting{settingInitialWindowSize, 0}, setting{settingHeaderTableSize, 0}), request),
		all(settings, append(appendFrame(nil, 3, frameHeaders, 0, 1), get[:3]...),
			append(appendFrame(nil, len(get)-3, frameContinuation, flagEndHeaders, 1), get[3:]...)),
		all(settings, response, padded),
		all(settings, append(appendFrame(nil, 8, framePing, 0, 0), 1, 2, 3, 4, 5, 6, 7, 8), response),
	}
}

// FuzzServer_SurvivesAnyFrames: whatever a client sends, its connection ends
// when the client does.
func FuzzServer_SurvivesAnyFrames(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		s := &Server{Handler: http.HandlerFunc(hello), StallTimeout: time.Second, HeaderTimeout: time.Second}
		near, far := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			s.Serve(near)
		}()
		go func() {
			_, _ = io.WriteString(far, http2.ClientPreface)
			_, _ = far.Write(input)
			_ = far.Close()
		}()
		_, _ = io.Copy(io.Discard, far)
		<-served
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error("a connection is left: ", err)
		}
	})
}

// FuzzTransport_SurvivesAnyFrames: whatever a backend sends, its caller gets an
// answer or an error that is typed.
func FuzzTransport_SurvivesAnyFrames(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		near, far := net.Pipe()
		transport := &Transport{Address: "127.0.0.1:1", ConnectTimeout: time.Second}
		transport.conns = append(transport.conns, transport.begin(near))
		defer transport.CloseIdle()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		go func() {
			_, _ = far.Write(input)
			_ = far.Close()
		}()
		status, _, _ := fetch(t, transport, "/")
		if status != 0 && (status < 200 || status > 999) {
			t.Errorf("status %d", status)
		}
	})
}
