package proxy

import (
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Record is what is known of one request when it has ended: span, metrics and log line are all written from it, so
// they never disagree. It is valid only during the call that gets it.
type Record struct {
	Start    time.Time
	Duration time.Duration
	Method   string
	Scheme   string
	Host     string
	Target   string // as received, with its query
	Protocol string // "HTTP/1.1"
	Client   string // address of the client, as far as it is trusted
	Peer     string // address of the TCP peer
	Agent    string

	Status   int // 499 when the client left before its answer
	BytesIn  int64
	BytesOut int64

	RequestID string
	TraceID   trace.TraceID // of our spans; without telemetry, of the caller's
	SpanID    trace.SpanID
	Sampled   bool

	Backend  string // that answered, or that failed last
	Reason   string // why it was chosen
	Cookie   string // verdict on the affinity cookie
	Attempts int
	Retry    string        // class of the last retry
	Queue    time.Duration // time spent waiting for a place
	Ejected  bool          // an attempt led to an ejection
	Ended    string        // who ended it and when: "backend/head", "client/body", "us/queue"; "" for a complete answer
	Detail   string        // the inner cause of a failure, for the log only
	GRPC     string        // grpc-status, "" when it is no gRPC
}

// URL is how the client addressed us, with the values of query parameters that are credentials hidden.
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
