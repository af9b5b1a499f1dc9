package proxy

import (
	"slices"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/proxy/cache"
	"go.opentelemetry.io/otel/trace"
)

// Record is what is known of a request when it has ended. Its span, its metrics
// and its log line are all written from it, so they never disagree. A Record is
// valid only during the call that gets it.
type Record struct {
	Start    time.Time
	Duration time.Duration
	Method   string
	Scheme   string
	Host     string
	Target   string // as received, with its query
	Protocol string // "HTTP/1.1"
	Client   string // address of the client, as far as it is believed
	Peer     string // address of the TCP peer
	Agent    string

	Status   int // 499 if the client left before its answer
	BytesIn  int64
	BytesOut int64

	RequestID string
	TraceID   trace.TraceID // of the request's spans; without telemetry, of the caller's
	SpanID    trace.SpanID
	Sampled   bool

	Route    string // name of the route; "" if there is only one
	Pattern  string // path of the item that takes the request: "/api/*"
	Service  string // name of the service; "" if there is only one
	Backend  string // the endpoint that answered, or that failed last
	Reason   string // why it was chosen
	Cookie   string // verdict on the affinity cookie
	Attempts int
	Retry    string // class of the last retry
	// The attempts that failed: backend and cause. Equal ones are listed once,
	// and at most maxTried.
	Tried [][2]string
	Hedge string // the result of LB_HEDGE; "" if the answer came before it

	// Access is why a gate refused the request. It is "allowed" if none did,
	// and "" if the route has no gates.
	Access string

	Cache       cache.Result  // what the cache did; "" if it is off
	CacheHit    bool          // the answer is from memory
	CacheStored bool          // the answer is being stored, or was stored
	CacheAge    time.Duration // of an answer from memory
	CacheTTL    time.Duration // how much longer that is fresh; negative if it is stale

	Coding string // the coding of a compressed answer, else ""

	Queue   time.Duration // time spent waiting for a place
	Ejected bool          // an attempt led to an ejection
	// Who ended the request, and when: "backend/head", "client/body",
	// "us/queue". It is "" for a complete answer.
	Ended  string
	Detail string // the cause of a failure, for the log only
	GRPC   string // grpc-status; "" if it is not a gRPC call
}

// maxTried bounds how many failed attempts a record names.
const maxTried = 8

// noteTried notes an attempt that failed.
func (r *Record) noteTried(cause string) {
	tried := [2]string{r.Backend, cause}
	if len(r.Tried) < maxTried && !slices.Contains(r.Tried, tried) {
		r.Tried = append(r.Tried, tried)
	}
}

// Notable reports whether LB_ACCESS_LOG=errors shows the request: it failed,
// was repeated, or led to an ejection.
func (r *Record) Notable() bool { return r.Status >= 500 || r.Retry != "" || r.Ejected }

// URL returns the URL that the client asked for. The values of query parameters
// that are credentials are hidden.
func (r *Record) URL() string {
	path, query, ok := strings.Cut(r.Target, "?")
	if ok {
		path += "?" + redact(query)
	}
	if !strings.HasPrefix(path, "/") {
		return path
	}

	return r.Scheme + "://" + r.Host + path
}
