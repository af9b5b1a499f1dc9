package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/discovery/metadata"
)

// googleAPI calls Google's APIs as the machine's service account. It belongs to
// one source, and only the goroutine of that source uses it.
type googleAPI struct {
	base     string // base URL; {api} is replaced by the API's name
	metadata *metadata.Client
	client   *http.Client

	token string
	until time.Time // wall-clock time at which the token has to be fetched again
	asked time.Time // wall-clock time of the last request
}

const (
	// apiLimit bounds the time of a request.
	apiLimit = 10 * time.Second

	// idleLimit is how long a connection may be idle and still be used again.
	// After a longer time, or after the process was frozen, it may be dead
	// without an error.
	idleLimit = 45 * time.Second
)

func (k *kinds) googleAPI() *googleAPI {
	transport := k.transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: apiLimit}).DialContext,
			TLSHandshakeTimeout: apiLimit,
			IdleConnTimeout:     idleLimit,
			ForceAttemptHTTP2:   true,
		}
	}

	return &googleAPI{
		base: k.cfg.Process.GoogleAPI, metadata: k.metadata,
		client: &http.Client{
			Transport: transport,
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse // no redirects: the token must not be sent to another host
			},
		},
	}
}

// apiRequest describes a request to an API.
type apiRequest struct {
	api   string // the API's name, such as run
	path  string
	query url.Values
	body  string // makes the request a POST, which only reads as well; "": it is a GET
	place string // the requested resource in words, for the message of a 404
	left  *int   // how many bytes the answers of all pages may still have
}

// ask sends a request and decodes the JSON of its answer. If the access token
// is refused, it fetches a new token and tries once more.
func (g *googleAPI) ask(ctx context.Context, q apiRequest, into any) error {
	err := g.once(ctx, q, into)
	var refused *googleError
	if errors.As(err, &refused) && refused.code == http.StatusUnauthorized {
		g.token = ""
		err = g.once(ctx, q, into)
	}

	return err
}

func (g *googleAPI) once(ctx context.Context, q apiRequest, into any) error {
	token, err := g.accessToken(ctx)
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, apiLimit)
	defer cancel()
	r, err := q.request(ctx, g.base)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)

	now := wallClock()
	if now.Sub(g.asked) > idleLimit { // net/http's timer stops in a freeze
		g.client.CloseIdleConnections()
	}
	g.asked = now

	resp, err := g.client.Do(r)
	if err != nil {
		g.client.CloseIdleConnections() // otherwise HTTP/2 would use the dead connection again
		return fmt.Errorf("asking the %s API: %w", q.api, withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return readGoogleError(q, resp, body)
	}
	if err := readJSON(resp.Body, q.left, into); err != nil {
		return fmt.Errorf("asking the %s API: %w", q.api, err)
	}

	return nil
}

// request returns the HTTP request for an API at base.
func (q apiRequest) request(ctx context.Context, base string) (*http.Request, error) {
	address := strings.ReplaceAll(base, "{api}", q.api) + q.path + "?" + q.query.Encode()
	if q.body == "" {
		return http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	}

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header["X-Idempotency-Key"] = nil // an instruction to net/http only: the POST may be repeated

	return r, nil
}

// askPages requests all pages of a list. take gets each page and returns the
// token of the next page, or "" after the last. After an error, the pages that
// take got are incomplete and must not be used.
func askPages[P any](ctx context.Context, g *googleAPI, q apiRequest, take func(*P) string) error {
	for range maxPages {
		var page P
		if err := g.ask(ctx, q, &page); err != nil {
			return err
		}

		next := take(&page)
		if next == "" {
			return nil
		}
		q.query.Set("pageToken", next)
	}

	return &failure{"pages", fmt.Errorf("the %s API's list has more than %d pages", q.api, maxPages)}
}

// accessToken returns a token of the machine's service account. A token is used
// for four fifths of its lifetime, and then replaced.
func (g *googleAPI) accessToken(ctx context.Context) (string, error) {
	now := wallClock()
	if g.token != "" && now.Before(g.until) {
		return g.token, nil
	}

	token, life, err := g.metadata.AccessTokenAndLife(ctx)
	if err != nil {
		return "", &failure{"token", fmt.Errorf("there is no access token (has this machine a "+
			"service account?): %w", err)}
	}
	g.token, g.until = token, now.Add(life*4/5)

	return g.token, nil
}

// googleError is an error response of an API.
type googleError struct {
	api     string
	place   string // see apiRequest
	code    int
	reason  string // the reason in the error's details, such as SERVICE_DISABLED
	message string
	after   time.Duration // Retry-After; 0: none
}

// Error returns the API's message, and what to do about it if that is known.
func (e *googleError) Error() string {
	said := fmt.Sprintf("the %s API answered %d: %s", e.api, e.code, e.message)
	if remedy := e.remedy(); remedy != "" {
		return remedy + ": " + said
	}
	return said
}

func (e *googleError) remedy() string {
	switch {
	case e.reason == "SERVICE_DISABLED" || e.reason == "accessNotConfigured":
		return "the API is off in this project; enable " + e.api + ".googleapis.com"
	case e.reason == "ACCESS_TOKEN_SCOPE_INSUFFICIENT" || e.reason == "insufficientPermissions":
		return "the machine's access scopes do not include this API; give it the scope " +
			"cloud-platform"
	case e.code == http.StatusForbidden && (e.reason == "IAM_PERMISSION_DENIED" || e.reason == "" ||
		e.reason == "forbidden"):
		return "the service account lacks a role; grant it roles/" + e.api + ".viewer"
	case e.code == http.StatusNotFound:
		return "there is no such " + e.place
	case e.code == http.StatusUnauthorized:
		return "the access token is refused"
	case e.limited():
		return "too many questions"
	}

	return ""
}

// limited reports whether a rate limit or a quota of the API was reached.
func (e *googleError) limited() bool {
	switch e.reason {
	case "rateLimitExceeded", "RATE_LIMIT_EXCEEDED", "userRateLimitExceeded", "quotaExceeded":
		return true
	}

	return e.code == http.StatusTooManyRequests
}

// state identifies the failure, so that the log has a message for each failure
// with another remedy.
func (e *googleError) state() string { return strconv.Itoa(e.code) + e.reason }

// readGoogleError parses the error response of an API. If the body is not an
// error of Google's APIs, a proxy in between may have sent it, so its text is
// not shown.
func readGoogleError(q apiRequest, resp *http.Response, body []byte) error {
	e := &googleError{
		api: q.api, place: q.place, code: resp.StatusCode, message: "no reason that can be read",
	}
	var answer struct {
		Error struct {
			Message string
			Errors  []struct{ Reason string }
			Details []struct{ Reason string }
		}
	}
	if json.Unmarshal(body, &answer) == nil && answer.Error.Message != "" {
		e.message = printable(answer.Error.Message)
	}

	for _, list := range [...][]struct{ Reason string }{answer.Error.Details, answer.Error.Errors} {
		for _, d := range list {
			if e.reason == "" {
				e.reason = printable(d.Reason)
			}
		}
	}

	if seconds, ok := number(resp.Header.Get("Retry-After"), 24*3600); ok {
		e.after = time.Duration(seconds) * time.Second
	}

	return &failure{e.state(), e}
}

// refusalPause returns the shortest pause after an error response: its
// Retry-After. After a rate limit it is also a multiple of the interval, which
// grows with the number of failures.
func refusalPause(err error, failures int, interval time.Duration) time.Duration {
	var refused *googleError
	if !errors.As(err, &refused) {
		return 0
	}

	pause := refused.after
	if refused.limited() {
		pause = max(pause, min(interval<<min(failures, 4), 10*interval))
	}

	return pause
}
