package metadata

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
)

// answering is a client whose every question is answered by f.
func answering(f http.HandlerFunc) *Client { return New("", server.Direct(f)) }

func TestGet_TellsAMissingValueFromNoServer(t *testing.T) {
	t.Parallel()
	for mode, undefined := range map[server.Mode]bool{
		server.Gone: true, server.Error: false, server.Reset: false, server.Drop: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := server.New(server.Identity{})
			s.SetFault(server.Fault{Mode: mode})
			c := New("", server.Direct(s))

			begun := time.Now()
			_, err := c.Get(t.Context(), "instance/region")
			if err == nil || errors.Is(err, ErrUndefined) != undefined {
				t.Errorf("%s: %v", mode, err)
			}
			if took := time.Since(begun); took > Deadline {
				t.Errorf("%s: took %v", mode, took)
			}
		})
	}
}

func TestGet_ShowsNoPageOfAnErrorStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := answering(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("sign in ", 1000), http.StatusForbidden)
		})
		_, err := c.Get(t.Context(), "instance/region")
		if err == nil || !strings.Contains(err.Error(), "status 403") || len(err.Error()) > 200 {
			t.Errorf("got %v", err)
		}
	})
}

func TestGet_RefusesLongAnswers(t *testing.T) {
	t.Parallel()
	c := answering(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, longest+1)) })
	if value, err := c.Get(t.Context(), "instance/region"); err == nil {
		t.Errorf("took %d bytes", len(value))
	}
}

func TestNew_AsksTheHostThatItIsGiven(t *testing.T) {
	t.Setenv("GCE_METADATA_HOST", "[::1]:1") // which Google's client would read by itself
	s := httptest.NewServer(server.New(server.Identity{ProjectID: "p-1"}))
	defer s.Close()

	c := New(strings.TrimPrefix(s.URL, "http://"), nil)
	if value, err := c.Get(t.Context(), "project/project-id"); value != "p-1" {
		t.Errorf("got %q, %v", value, err)
	}
}

func TestNext_WaitsForAChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const path = "instance/attributes/a"
		s := server.New(server.Identity{})
		s.Set(path, "1")
		c := New("", server.Direct(s))
		value, etag, err := c.Next(t.Context(), path, "")
		if value != "1" || etag == "" || err != nil {
			t.Fatalf("got %q, ETag %q, %v", value, etag, err)
		}

		time.AfterFunc(10*time.Second, func() { s.Set(path, "2") })
		begun := time.Now()
		value, changed, err := c.Next(t.Context(), path, etag)
		if value != "2" || changed == etag || err != nil || time.Since(begun) != 10*time.Second {
			t.Errorf("got %q, ETag %q, %v after %v", value, changed, err, time.Since(begun))
		}

		begun = time.Now()
		value, same, err := c.Next(t.Context(), path, changed)
		if value != "2" || same != changed || err != nil || time.Since(begun) != changeWait {
			t.Errorf("unchanged: got %q, ETag %q, %v after %v", value, same, err, time.Since(begun))
		}
	})
}

func TestGet_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := answering(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if _, err := c.Get(ctx, "instance/region"); err == nil || time.Since(begun) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
	})
}
