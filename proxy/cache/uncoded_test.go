package cache

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pillion-lb/pillion/proxy/wire"
)

// What is plain because no encoder was free is stored as what it is. It serves
// everybody for a moment, and those who take no coding for as long as it is
// fresh.
func TestUncoded_IsStoredAsPlainAndStandsInForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := true
		s := &service{}
		s.answer = func(_ *http.Request, c *wire.Call) (*http.Response, error) {
			c.Coded, c.Uncoded = wire.CodedHere, busy
			content := "coded"
			if busy {
				content = "plain"
			}
			return says(200, content, "Cache-Control: max-age=60", "Vary: Accept-Encoding"), nil
		}
		k := newKit(t, s)
		as := func(coding wire.Coding) got {
			l := k.lookup(request("GET", "/x"))
			defer l.Release()
			l.Coding = coding
			resp, err := l.Send(request("GET", "/x"), &wire.Call{ResponseTimeout: time.Minute})
			return result(l, resp, err)
		}
		want := func(when string, coding wire.Coding, content string, hit bool) {
			t.Helper()
			if g := as(coding); g.content != content || g.hit() != hit || g.err != nil {
				t.Errorf("%s, %v: %q, %s", when, coding, g.content, g.say)
			}
		}

		want("at first", wire.Gzip, "plain", false)
		busy = false
		for _, coding := range []wire.Coding{wire.Gzip, wire.Zstd, wire.Identity} {
			want("at once", coding, "plain", true)
		}
		time.Sleep(standingIn)
		want("later", wire.Identity, "plain", true)
		want("later", wire.Gzip, "coded", false)
		want("then", wire.Gzip, "coded", true)
		want("then", wire.Identity, "plain", true)
		if n := s.asked.Load(); n != 2 {
			t.Errorf("the service was asked %d times", n)
		}
		k.empty()
	})
}
