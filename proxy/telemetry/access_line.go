package telemetry

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// AccessLine is the one line that the log holds about a request. Zero values are left out. Strings may hold any bytes.
type AccessLine struct {
	Time         time.Time // of the line, which is the request's end; zero: now
	Method       string
	URL          string // as it may be shown: the caller has redacted it
	Status       int
	Latency      time.Duration
	RemoteIP     string
	UserAgent    string
	RequestSize  int64  // bytes of body that the client sent
	ResponseSize int64  // bytes of body that the client was sent
	Protocol     string // "HTTP/1.1"

	TraceID trace.TraceID // of the span of this request, or of the caller's when we have none
	SpanID  trace.SpanID
	Sampled bool

	RequestID string
	Backend   string // name of the endpoint that answered, or of the last one tried
	Attempts  int
	Pick      string // why that endpoint: "random", "cookie", ...
	Cookie    string // verdict on the affinity cookie
	Ended     string // who ended the exchange and when, only when it was not the ordinary way: "backend/body"
	Error     string // what went wrong, in our own words
}

// severity is ERROR for what we or a backend got wrong, else INFO.
func (l *AccessLine) severity() string {
	if l.Status >= 500 {
		return "ERROR"
	}
	return "INFO"
}

// appendJSON appends the line as one JSON object with Cloud Logging's field names (structured logging, LogEntry,
// HttpRequest). project may be empty.
func (l *AccessLine) appendJSON(b []byte, project string) []byte {
	b = append(b, `{"severity":"`...)
	b = append(b, l.severity()...)
	b = append(b, `","time":"`...)
	b = l.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","message":"`...)
	b = append(appendEscaped(b, clip(l.Method)), ' ')
	b = append(appendEscaped(b, clip(l.URL)), ' ')
	b = strconv.AppendInt(b, int64(l.Status), 10)
	b = l.appendRequest(append(b, '"'))
	b = appendTrace(b, project, l.TraceID, l.SpanID, l.Sampled)
	b = appendField(b, "request_id", l.RequestID)
	b = appendField(b, "backend", l.Backend)
	if l.Attempts > 0 {
		b = append(b, `,"attempts":`...)
		b = strconv.AppendInt(b, int64(l.Attempts), 10)
	}
	b = appendField(b, "pick", l.Pick)
	b = appendField(b, "cookie", l.Cookie)
	b = appendField(b, "ended", l.Ended)
	b = appendField(b, "error", l.Error)
	return append(b, '}', '\n')
}

// appendRequest appends the HttpRequest object. Sizes are strings in it, as 64-bit numbers are in Google's JSON.
func (l *AccessLine) appendRequest(b []byte) []byte {
	b = append(b, `,"httpRequest":{"requestMethod":`...)
	b = appendJSON(b, clip(l.Method))
	b = appendField(b, "requestUrl", l.URL)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(l.Status), 10)
	b = append(b, `,"latency":"`...)
	b = strconv.AppendFloat(b, l.Latency.Seconds(), 'f', 6, 64)
	b = append(b, `s"`...)
	b = appendField(b, "remoteIp", l.RemoteIP)
	b = appendField(b, "userAgent", l.UserAgent)
	b = appendSize(b, "requestSize", l.RequestSize)
	b = appendSize(b, "responseSize", l.ResponseSize)
	b = appendField(b, "protocol", l.Protocol)
	return append(b, '}')
}

// appendTrace appends the three fields by which Cloud Logging finds the trace of a line.
func appendTrace(b []byte, project string, id trace.TraceID, span trace.SpanID, sampled bool) []byte {
	if !id.IsValid() {
		return b
	}
	b = append(b, `,"logging.googleapis.com/trace":"`...)
	if project != "" {
		b = append(b, "projects/"...)
		b = appendEscaped(b, clip(project))
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

func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ',', '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return appendJSON(b, clip(value))
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

// appendText appends the line for a person at a terminal: the time of day, what was asked, what came of it and where.
func (l *AccessLine) appendText(b []byte) []byte {
	b = l.Time.Local().AppendFormat(b, clock)
	b = append(b, ' ')
	b = appendPlain(b, l.Method)
	b = append(b, ' ')
	b = appendPlain(b, l.URL)
	b = append(b, ' ')
	b = strconv.AppendInt(b, int64(l.Status), 10)
	b = append(b, ' ')
	b = append(b, shortDuration(l.Latency)...)
	b = appendPair(b, "backend", l.Backend)
	b = appendPair(b, "pick", l.Pick)
	b = appendPair(b, "cookie", l.Cookie)
	if l.Attempts > 1 {
		b = append(b, " attempts="...)
		b = strconv.AppendInt(b, int64(l.Attempts), 10)
	}
	b = appendPair(b, "client", l.RemoteIP)
	b = appendPair(b, "ended", l.Ended)
	b = appendPair(b, "error", l.Error)
	if l.TraceID.IsValid() {
		b = appendHex(append(b, " trace="...), l.TraceID[:])
	} else if l.Status >= 400 {
		b = appendPair(b, "request_id", l.RequestID) // clients are told to quote it
	}
	return append(b, '\n')
}

// shortDuration is a duration in three to four digits: "1.23ms".
func shortDuration(d time.Duration) string {
	unit := time.Microsecond
	for d >= 1000*unit {
		unit *= 10
	}
	return d.Round(unit).String()
}

func appendPair(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(b, ' ')
	b = append(b, name...)
	b = append(b, '=')
	return appendValue(b, value)
}

// appendValue quotes a value only when it would be misread without.
func appendValue(b []byte, value string) []byte {
	value = clip(value)
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c == '"' || c >= 0x7f {
			return strconv.AppendQuote(b, value)
		}
	}
	return append(b, value...)
}

// appendPlain appends a string of a client without the controls by which it could write to our terminal.
func appendPlain(b []byte, s string) []byte {
	s = clip(s)
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return strconv.AppendQuoteToASCII(b, s)
		}
	}
	return append(b, s...)
}
