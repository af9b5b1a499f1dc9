package telemetry

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// AccessLine is the log line of a request. Zero values are left out. Strings
// may contain any bytes.
type AccessLine struct {
	Time         time.Time // of the line: when the request ended; zero is now
	Method       string
	URL          string // redacted by the caller
	Status       int
	Latency      time.Duration
	RemoteIP     string
	UserAgent    string
	RequestSize  int64  // bytes of body that the client sent
	ResponseSize int64  // bytes of body that the client was sent
	Protocol     string // "HTTP/1.1"

	TraceID trace.TraceID // of the span of this request, or of the caller's without one
	SpanID  trace.SpanID
	Sampled bool

	Access string // why a gate refused the request, or "allowed"; "" without gates

	Cache string // what the cache did; "" if it is off

	RequestID string
	Route     string // name of the route, if there are several
	Service   string // name of the backend service, if there are several
	Backend   string // name of the endpoint that answered, or of the last one tried
	Attempts  int
	// the attempts that failed: backend and cause; left out if there was only
	// one attempt
	Tried  [][2]string
	Pick   string // why that endpoint: "random", "cookie", ...
	Cookie string // verdict on the affinity cookie
	// the side and the phase that ended an incomplete request: "backend/body"
	Ended string
	Error string // what went wrong, without text of a client
}

// severity returns ERROR for failures of Pillion or of a backend, else INFO.
func (l *AccessLine) severity() string {
	if l.Status >= 500 {
		return "ERROR"
	}
	return "INFO"
}

// appendJSON appends the line as one JSON object with Cloud Logging's field
// names (structured logging, LogEntry, HttpRequest). project may be empty.
func (l *AccessLine) appendJSON(b []byte, project string) []byte {
	b = append(b, `{"severity":"`...)
	b = append(b, l.severity()...)
	b = append(b, `","time":"`...)
	b = l.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","message":"`...)
	b = append(appendEscaped(b, within(l.Method, longestMethod)), ' ')
	b = append(appendEscaped(b, within(l.URL, longestURL)), ' ')
	b = strconv.AppendInt(b, int64(l.Status), 10)
	b = l.appendRequest(append(b, '"'))
	b = appendTrace(b, project, l.TraceID, l.SpanID, l.Sampled)
	b = appendField(b, "request_id", l.RequestID, longestName)
	b = appendField(b, "route", l.Route, longestName)
	b = appendField(b, "service", l.Service, longestName)
	b = appendField(b, "backend", l.Backend, longestName)
	if l.Attempts > 0 {
		b = append(b, `,"attempts":`...)
		b = strconv.AppendInt(b, int64(l.Attempts), 10)
	}

	b = l.appendTried(b)
	b = appendField(b, "pick", l.Pick, longestName)
	b = appendField(b, "cookie", l.Cookie, longestName)
	b = appendField(b, "access", l.Access, longestName)
	b = appendField(b, "cache", l.Cache, longestName)
	b = appendField(b, "ended", l.Ended, longestName)
	b = appendField(b, "error", l.Error, longestText)
	return append(b, '}', '\n')
}

// appendRequest appends the HttpRequest object. Sizes are strings in it, as
// 64-bit numbers are in Google's JSON.
func (l *AccessLine) appendRequest(b []byte) []byte {
	b = append(b, `,"httpRequest":{"requestMethod":`...)
	b = appendJSON(b, within(l.Method, longestMethod))
	b = appendField(b, "requestUrl", l.URL, longestURL)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(l.Status), 10)
	b = append(b, `,"latency":"`...)
	b = strconv.AppendFloat(b, l.Latency.Seconds(), 'f', 6, 64)
	b = append(b, `s"`...)
	b = appendField(b, "remoteIp", l.RemoteIP, longestName)
	b = appendField(b, "userAgent", l.UserAgent, longestText)
	b = appendSize(b, "requestSize", l.RequestSize)
	b = appendSize(b, "responseSize", l.ResponseSize)
	b = appendField(b, "protocol", l.Protocol, longestName)
	b = appendTrue(b, "cacheLookup", l.Cache != "" && l.Cache != "bypass")
	b = appendTrue(b, "cacheHit", l.fromMemory())
	b = appendTrue(b, "cacheValidatedWithOriginServer", l.Cache == "revalidated")
	return append(b, '}')
}

// appendTried appends the attempts that failed, if others followed.
func (l *AccessLine) appendTried(b []byte) []byte {
	if len(l.Tried) == 0 || l.Attempts < 2 {
		return b
	}

	b = append(b, `,"tried":[`...)
	for i, t := range l.Tried {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"backend":`...)
		b = appendJSON(b, within(t[0], longestName))
		b = append(appendField(b, "error", t[1], longestText), '}')
	}

	return append(b, ']')
}

// appendTrace appends the three fields by which Cloud Logging finds the trace
// of a line.
func appendTrace(b []byte, project string, id trace.TraceID, span trace.SpanID,
	sampled bool) []byte {
	if !id.IsValid() {
		return b
	}

	b = append(b, `,"logging.googleapis.com/trace":"`...)
	if project != "" {
		b = append(b, "projects/"...)
		b = appendEscaped(b, within(project, longestName))
		b = append(b, "/traces/"...)
	}

	b = append(appendHex(b, id[:]), '"')
	if span.IsValid() {
		b = append(b, `,"logging.googleapis.com/spanId":"`...)
		b = append(appendHex(b, span[:]), '"')
	}

	b = append(b, `,"logging.googleapis.com/trace_sampled":`...)
	return strconv.AppendBool(b, sampled)
}

// fromMemory reports whether the answer came from the cache's memory.
func (l *AccessLine) fromMemory() bool {
	switch l.Cache {
	case "hit", "stale", "collapsed", "revalidated":
		return true
	}
	return false
}

// appendTrue appends a field with the value true, and nothing for false.
func appendTrue(b []byte, name string, holds bool) []byte {
	if !holds {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	return append(b, `":true`...)
}

func appendField(b []byte, name, value string, limit int) []byte {
	if value == "" {
		return b
	}

	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendJSON(b, within(value, limit))
}

func appendSize(b []byte, name string, size int64) []byte {
	if size <= 0 {
		return b
	}

	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':', '"')
	b = strconv.AppendInt(b, size, 10)
	return append(b, '"')
}

// appendText appends the line for a person at a terminal: the time of day, the
// request, its result, and the backend.
func (l *AccessLine) appendText(b []byte) []byte {
	b = l.Time.Local().AppendFormat(b, clock)
	b = append(b, ' ')
	b = appendPlain(b, l.Method, longestMethod)
	b = append(b, ' ')
	b = appendPlain(b, l.URL, longestURL)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(l.Status), 10)
	b = append(b, ' ')
	b = append(b, shortDuration(l.Latency)...)
	b = appendPair(b, "backend", l.Backend, longestName)
	b = appendPair(b, "pick", l.Pick, longestName)
	b = appendPair(b, "cookie", l.Cookie, longestName)
	b = appendPair(b, "access", l.Access, longestName)
	b = appendPair(b, "cache", l.Cache, longestName)
	if l.Attempts > 1 {
		b = append(b, " attempts="...)
		b = strconv.AppendInt(b, int64(l.Attempts), 10)
		for _, t := range l.Tried {
			b = appendPair(b, "tried", t[0]+": "+t[1], longestText)
		}
	}

	b = appendPair(b, "client", l.RemoteIP, longestName)
	b = appendPair(b, "ended", l.Ended, longestName)
	b = appendPair(b, "error", l.Error, longestText)
	if l.TraceID.IsValid() {
		b = appendHex(append(b, " trace="...), l.TraceID[:])
	} else if l.Status >= 400 {
		b = appendPair(b, "request_id", l.RequestID, longestName) // clients can quote it
	}

	return append(b, '\n')
}

// shortDuration returns a duration with three or four digits: "1.23ms".
func shortDuration(d time.Duration) string {
	unit := time.Microsecond
	for d >= 1000*unit {
		unit *= 10
	}
	return d.Round(unit).String()
}

func appendPair(b []byte, name, value string, limit int) []byte {
	if value == "" {
		return b
	}

	b = append(b, ' ')
	b = append(b, name...)
	b = append(b, '=')
	return appendValue(b, value, limit)
}

// appendValue appends a value, in quotes if it could be misread without them.
func appendValue(b []byte, value string, limit int) []byte {
	value = within(value, limit)
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c == '"' || c >= 0x7f {
			return strconv.AppendQuote(b, value)
		}
	}

	return append(b, value...)
}

// appendPlain appends a client's string without control characters, which could
// change a terminal.
func appendPlain(b []byte, s string, limit int) []byte {
	s = within(s, limit)
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return strconv.AppendQuoteToASCII(b, s)
		}
	}

	return append(b, s...)
}
