package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/compute/metadata"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
)

// client is Google's own client library, whose connections all lead to s.
func client(t *testing.T, s *server.Server) (*metadata.Client, string) {
	t.Helper()
	hs := httptest.NewServer(s)
	t.Cleanup(hs.Close)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", hs.Listener.Addr().String())
	}}
	t.Cleanup(transport.CloseIdleConnections)

	return metadata.NewClient(&http.Client{Transport: transport}), hs.URL
}

func get(t *testing.T, c *metadata.Client, path string) string {
	t.Helper()
	v, err := c.GetWithContext(t.Context(), path)
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}

	return v
}

func TestServer_AnswersGooglesClient(t *testing.T) {
	t.Parallel()
	s := server.New(server.Identity{Region: "us-east1", ProjectNumber: "77"})
	s.Set("instance/attributes/a", "x;y")

	c, _ := client(t, s)
	for path, want := range map[string]string{
		"instance/region":            "projects/77/regions/us-east1",
		"project/numeric-project-id": "77",
		"instance/attributes/":       "a\n",
		"instance/attributes/a":      "x;y",
	} {
		if got := get(t, c, path); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}

	var undefined metadata.NotDefinedError
	if _, err := c.InstanceAttributeValueWithContext(t.Context(), "b"); !errors.As(err, &undefined) {
		t.Errorf("an undefined attribute gives %v", err)
	}
	if zone, err := c.ZoneWithContext(t.Context()); err != nil || zone != "us-east1-1" {
		t.Errorf("zone = %q, %v", zone, err)
	}
}

func TestServer_GooglesSubscriptionSeesChangeAndDeletion(t *testing.T) {
	t.Parallel()
	s := server.New(server.Identity{})
	s.Set("instance/attributes/a", "1")
	c, _ := client(t, s)
	var seen []string

	err := c.SubscribeWithContext(t.Context(), "instance/attributes/a", func(_ context.Context, v string, ok bool) error {
		seen = append(seen, v)
		switch v {
		case "1":
			s.Set("instance/attributes/other", "wakes and changes nothing")
			s.Set("instance/attributes/a", "2")
		case "2":
			s.Delete("instance/attributes/a")
		}

		return nil
	})
	if got := strings.Join(seen, ","); err != nil || got != "1,2," {
		t.Errorf("saw %q, %v", got, err)
	}
}

func TestServer_WaitEndsAfterItsTimeout(t *testing.T) {
	t.Parallel()
	s := server.New(server.Identity{})
	s.Set("instance/attributes/a", "1")
	c, _ := client(t, s)
	if got := get(t, c, "instance/attributes/a?wait_for_change=true&timeout_sec=0"); got != "1" {
		t.Errorf("got %q", got)
	}

	if got := get(t, c, "instance/attributes/a?wait_for_change=true&last_etag=0"); got != "1" {
		t.Errorf("a foreign ETag gives %q", got)
	}
}

func TestServer_TokensCarryAudienceAndExpiry(t *testing.T) {
	t.Parallel()
	s := server.New(server.Identity{})
	s.SetTokenLife(20 * time.Second)
	c, _ := client(t, s)
	const audience = "https://api-1.r.run.app"
	path := "instance/service-accounts/default/identity?audience=" + url.QueryEscape(audience) + "&format=full"
	token, again := get(t, c, path), get(t, c, path)
	parts := strings.Split(token, ".")
	if len(parts) != 3 || token == again {
		t.Fatalf("got %q, then %q", token, again)
	}

	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}

	var claims struct {
		Aud string
		Exp int64
	}
	left := time.Duration(0)
	if err = json.Unmarshal(raw, &claims); err == nil {
		left = time.Until(time.Unix(claims.Exp, 0))
	}

	if err != nil || claims.Aud != audience || left < 10*time.Second || left > 20*time.Second {
		t.Errorf("claims %s, %v", raw, err)
	}
	if n := s.Requests("instance/service-accounts/default/identity?audience=" + audience); n != 2 {
		t.Errorf("counted %d requests", n)
	}

	if got := get(t, c, "instance/service-accounts/default/token"); !strings.Contains(got, `"access_token"`) {
		t.Errorf("access token %q", got)
	}
}

func TestServer_RefusesWhatTheRealOneRefuses(t *testing.T) {
	t.Parallel()
	_, base := client(t, server.New(server.Identity{}))
	r, _ := http.NewRequest("GET", base+"/computeMetadata/v1/instance/region", nil)
	if code := do(t, r); code != 403 {
		t.Errorf("without Metadata-Flavor: %d", code)
	}

	r.Header.Set("Metadata-Flavor", "Google")
	if code := do(t, r); code != 200 {
		t.Errorf("with Metadata-Flavor: %d", code)
	}

	r.Header.Set("X-Forwarded-For", "192.0.2.1")
	if code := do(t, r); code != 403 {
		t.Errorf("forwarded: %d", code)
	}
}

func do(t *testing.T, r *http.Request) int {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, res.Body)

	return res.StatusCode
}

func TestServer_ControlSetsValuesAndFaults(t *testing.T) {
	t.Parallel()
	s := server.New(server.Identity{})
	c, base := client(t, s)

	put := func(method, path, body string, want int) {
		t.Helper()
		r, _ := http.NewRequest(method, base+"/control/"+path, strings.NewReader(body))
		if code := do(t, r); code != want {
			t.Errorf("%s %s %q: %d, want %d", method, path, body, code, want)
		}
	}
	put("PUT", "values/project/attributes/x", "1", 200)
	if got := get(t, c, "project/attributes/x"); got != "1" {
		t.Errorf("x = %q", got)
	}

	put("DELETE", "values/project/attributes/x", "", 200)
	put("PUT", "fault", "404", 200)
	if _, err := c.GetWithContext(t.Context(), "instance/region"); err == nil {
		t.Error("no error under the fault 404")
	}

	put("PUT", "fault", "html", 200)
	if got := get(t, c, "instance/region"); !strings.HasPrefix(got, "<!DOCTYPE") {
		t.Errorf("html fault gives %q", got)
	}

	put("PUT", "fault", "reset", 200)
	if _, err := c.GetWithContext(t.Context(), "instance/region"); err == nil {
		t.Error("no error under the fault reset")
	}

	put("PUT", "fault", "slow 1ms", 200)
	put("PUT", "fault", "sideways", 400)
	put("DELETE", "fault", "", 200)
	put("PUT", "token-life", "20s", 200)
	put("PUT", "token-life", "soon", 400)
	put("GET", "requests", "", 200)
	put("GET", "elsewhere", "", 404)
	if got := get(t, c, "project/project-id"); got != "fake-project" {
		t.Errorf("after the faults: %q", got)
	}
}

func TestServer_AFaultReachesWhoWaits(t *testing.T) {
	t.Parallel()
	s := server.New(server.Identity{})
	s.Set("instance/attributes/a", "1")
	c, _ := client(t, s)
	done := make(chan error)
	go func() {
		_, err := c.GetWithContext(t.Context(), "instance/attributes/a?wait_for_change=true")
		done <- err
	}()
	for s.Requests("instance/attributes/a") == 0 {
		time.Sleep(time.Millisecond)
	}

	s.SetFault(server.Fault{Mode: server.Gone})
	if err := <-done; err == nil {
		t.Error("the wait went on under the fault")
	}
}

func TestServer_DroppedRequestsGoOnAfterTheFault(t *testing.T) {
	t.Parallel()
	s := server.New(server.Identity{})
	c, _ := client(t, s)
	s.SetFault(server.Fault{Mode: server.Drop})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.GetWithContext(ctx, "instance/region"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a dropped request gives %v", err)
	}

	s.SetFault(server.Fault{})
	get(t, c, "instance/region")
}
