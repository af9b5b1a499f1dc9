package status

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// Purge says which stored answers a request wants to be dropped. Exactly one of
// its fields is set.
type Purge struct {
	URL    string // scheme, host, path and query
	Prefix string // of such a URL
	All    bool
}

// Purged is the answer to a purge, as JSON. It names the process, because each
// process has its own cache.
type Purged struct {
	Purged   int    `json:"purged"`
	Instance string `json:"instance"`
}

// purges reports whether a request is an authorized purge. The token must be in
// Authorization, because a token in a URL ends up in logs.
func (h *Handler) purges(r *http.Request) bool {
	name, ok := h.name(r.RequestURI)

	return ok && name == "cache/purge" && h.Cache != nil && r.Method == http.MethodPost &&
		h.hasBearer(r)
}

// purge drops the answers that the query names: ?url=URL, ?prefix=URL or ?all.
func (h *Handler) purge(w http.ResponseWriter, r *http.Request) {
	p, ok := readPurge(r.RequestURI)
	if !ok {
		text(w, r, http.StatusBadRequest,
			"one of ?url=URL, ?prefix=URL and ?all is needed, where a URL begins with http:// or https://")
		return
	}

	answer, err := json.Marshal(Purged{h.drop(p), h.Cache.Instance()})
	if err != nil {
		text(w, r, http.StatusInternalServerError, "the answer cannot be written")
		return
	}
	body(w, r, http.StatusOK, "application/json", append(answer, '\n'))
}

// drop drops the named answers and returns how many they were.
func (h *Handler) drop(p Purge) (n int) {
	switch {
	case p.All:
		n = h.Cache.PurgeAll()
	case p.Prefix != "":
		n = h.Cache.PurgePrefix(p.Prefix)
	default:
		n = h.Cache.Purge(p.URL)
	}
	h.Logger.Info("stored answers were purged",
		"purged", n, "url", p.URL, "prefix", p.Prefix, "all", p.All)

	return n
}

// readPurge parses the query of a purge. It reports false unless exactly one of
// the forms is used, with a valid value.
func readPurge(target string) (p Purge, ok bool) {
	_, query, _ := strings.Cut(target, "?")
	values, err := url.ParseQuery(query)
	if err != nil || len(values) != 1 {
		return p, false
	}

	p.URL, p.Prefix, p.All = values.Get("url"), values.Get("prefix"), values.Has("all")

	return p, p.All || absolute(p.URL) || absolute(p.Prefix)
}

// absolute reports whether a text can be the beginning of the URL of a stored
// answer.
func absolute(text string) bool {
	u, err := url.Parse(text)

	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
