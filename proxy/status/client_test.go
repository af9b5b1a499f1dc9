package status

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/config"
)

func listening(address string) *config.Config {
	return &config.Config{Process: config.Process{Listen: address, StatusPath: "/.lb/"}}
}

func TestHealthcheck_IsGoodWhileWeAreReady(t *testing.T) {
	t.Parallel()
	h := handler()
	address := strings.TrimPrefix(behind(t, h), "http://")
	if err := Healthcheck(t.Context(), listening(address)); err != nil {
		t.Error(err)
	}
	_, port, _ := net.SplitHostPort(address)
	for _, all := range []string{":", "0.0.0.0:", "[::]:"} {
		if err := Healthcheck(t.Context(), listening(all+port)); err != nil {
			t.Errorf("%s: %v", all, err)
		}
	}
	h.Lifecycle.Stop()
	if err := Healthcheck(t.Context(), listening(address)); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("got %v", err)
	}
}

func TestHealthcheck_AnAppThatAnswersInOurPlaceIsNotReady(t *testing.T) {
	t.Parallel()
	app := httptest.NewServer(http.RedirectHandler("/login", http.StatusFound))
	defer app.Close()
	if err := Healthcheck(t.Context(), listening(strings.TrimPrefix(app.URL, "http://"))); err == nil {
		t.Error("a redirect is no answer of ours")
	}
}

func TestHealthcheck_SpeaksTLSToATLSListener(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(handler())
	defer server.Close()
	cfg := listening(strings.TrimPrefix(server.URL, "https://"))
	cfg.Process.Certificate = config.Fixed(&tls.Certificate{})
	if err := Healthcheck(t.Context(), cfg); err != nil {
		t.Error(err)
	}
}

func TestHealthcheck_WithOwnPathsOffAnAcceptedConnectionIsEnough(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := listening(l.Addr().String())
	cfg.Process.StatusPath = ""
	if err := Healthcheck(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	l.Close()
	if err := Healthcheck(t.Context(), cfg); err == nil {
		t.Error("nobody listens")
	}
}

func TestHealthcheck_AnUnknowableAddressIsAnError(t *testing.T) {
	t.Parallel()
	for _, address := range []string{":0", "nonsense", ""} {
		if err := Healthcheck(t.Context(), listening(address)); err == nil {
			t.Errorf("%q: no error", address)
		}
	}
}

func TestWait_EndsWithTheFirstAnswerThatIsNoServerError(t *testing.T) {
	t.Parallel()
	for _, status := range []int{200, 204, 302, 404} {
		var asked atomic.Int32
		app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if asked.Add(1) < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.WriteHeader(status)
		}))
		defer app.Close()
		if err := Wait(t.Context(), []string{app.URL + "/ready"}, time.Minute); err != nil || asked.Load() != 3 {
			t.Errorf("%d: asked %d times, %v", status, asked.Load(), err)
		}
	}
}

func TestWait_ATCPTargetNeedsToAccept(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := Wait(t.Context(), []string{"tcp://" + address, "tcp://" + address}, time.Minute); err != nil {
		t.Error(err)
	}
	l.Close()
	if err := Wait(t.Context(), []string{"tcp://" + address}, time.Millisecond); err == nil {
		t.Error("nobody listens")
	}
}

func TestWait_EveryURLMustAnswer(t *testing.T) {
	t.Parallel()
	good := httptest.NewServer(http.NotFoundHandler())
	defer good.Close()
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter,
		_ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer bad.Close()
	err := Wait(t.Context(), []string{good.URL, bad.URL}, 200*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), bad.URL) || !strings.Contains(err.Error(), "502") {
		t.Errorf("got %v", err)
	}
}

func TestWait_SaysTheLastRealCauseAndNotThatTimeWasUp(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			cancel()
			<-r.Context().Done()
		}
		w.WriteHeader(http.StatusBadGateway)
	}))
	defer app.Close()
	if err := Wait(ctx, []string{app.URL}, time.Minute); err == nil || !strings.Contains(err.Error(), "status 502") {
		t.Errorf("got %v", err)
	}
}

func TestWait_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		cancel()
	}))
	defer bad.Close()
	if err := Wait(ctx, []string{bad.URL}, 0); err == nil {
		t.Error("no error")
	}
}

func TestWait_WhatCannotBeWaitedForIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "host:80", "tcp://host", "ftp://host", "http://", "http:///x", ":", "/path"} {
		if err := Wait(t.Context(), []string{"http://127.0.0.1:1", u}, 0); err == nil {
			t.Errorf("%q: no error", u)
		}
	}
}

func TestWait_AnAddressWithoutASchemeIsToldWhatToWrite(t *testing.T) {
	t.Parallel()
	err := Wait(t.Context(), []string{"localhost:5432"}, 0)
	if err == nil || !strings.Contains(err.Error(), "http://localhost:5432 or tcp://localhost:5432") {
		t.Error(err)
	}
}
