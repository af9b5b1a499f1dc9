package affinity

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pillion-lb/pillion/config"
)

// ShareCookie is the cookie that gives a browser its number. The shares of a
// route are drawn by that number. The cookie is not signed, because the number
// is no secret.
type ShareCookie struct {
	Name     string
	TTL      time.Duration // 0: as long as the browser runs
	SameSite config.SameSite
}

// SetCookie returns the Set-Cookie line that gives a browser its number.
func (c *ShareCookie) SetCookie(number int, secure bool) string {
	line := fmt.Appendf(nil, "%s=%04d", c.Name, number)
	if c.TTL > 0 {
		line = append(line, "; Max-Age="...)
		line = strconv.AppendInt(line, int64(c.TTL/time.Second), 10)
	}

	return string(appendAttributes(line, c.SameSite, secure))
}

// TakeFrom removes every cookie called name from a request, and appends the
// values of the first few to found.
func TakeFrom(h http.Header, name string, found []string) []string {
	fields := h["Cookie"]
	if len(fields) == 0 {
		return found
	}

	rest, found := TakeCookie(fields, name, found)
	if len(rest) == 0 {
		delete(h, "Cookie")
	} else {
		h["Cookie"] = rest
	}

	return found
}
