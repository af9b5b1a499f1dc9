package telemetry

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/pillion-lb/pillion/config"
)

func exampleLine() AccessLine {
	return AccessLine{
		Time: time.Date(2026, 11, 22, 10, 22, 17, 123456789, time.UTC), Method: "GET", URL: "/a?b=c", Status: 502,
		Latency: 123456 * time.Microsecond, RemoteIP: "203.0.113.9", UserAgent: `agent "7"`, RequestSize: 1,
		ResponseSize: 5 << 30, Protocol: "HTTP/1.1", TraceID: traceID, SpanID: parentID, Sampled: true,
		RequestID: "r-1", Backend: "blue", Attempts: 2, Pick: "retry", Cookie: "valid", Ended: "backend/body",
		Error: "broken answer",
	}
}

func TestAccess_LineHasCloudLoggingsFields(t *testing.T) {
	t.Parallel()
	line := exampleLine()
	const want = `{"severity":"ERROR","time":"2026-11-22T10:22:17.123456789Z","message":"GET /a?b=c 502",` +
		`"httpRequest":{"requestMethod":"GET","requestUrl":"/a?b=c","status":502,"latency":"0.123456s",` +
		`"remoteIp":"203.0.113.9","userAgent":"agent \"7\"","requestSize":"1","responseSize":"5368709120",` +
		`"protocol":"HTTP/1.1"},` +
		`"logging.googleapis.com/trace":"projects/p-1/traces/0102030405060708090a0b0c0d0e0f10",` +
		`"logging.googleapis.com/spanId":"0807060504030201","logging.googleapis.com/trace_sampled":true,` +
		`"request_id":"r-1","backend":"blue","attempts":2,"pick":"retry","cookie":"valid","ended":"backend/body",` +
		`"error":"broken answer"}` + "\n"
	if got := string(line.appendJSON(nil, "p-1")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAccess_LeavesOutWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	line := AccessLine{Time: time.Unix(0, 0), Method: "GET", URL: "/", Status: 200}
	const want = `{"severity":"INFO","time":"1970-01-01T00:00:00Z","message":"GET / 200",` +
		`"httpRequest":{"requestMethod":"GET","requestUrl":"/","status":200,"latency":"0.000000s"}}` + "\n"
	if got := string(line.appendJSON(nil, "")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAccess_TextIsOneShortLine(t *testing.T) {
	t.Parallel()
	line := exampleLine()
	line.URL = "/\x1b[2J\n"
	got := string(line.appendText(nil))
	const want = ` GET "/\x1b[2J\n" 502 123ms backend=blue pick=retry cookie=valid attempts=2 client=203.0.113.9` +
		` ended=backend/body error="broken answer" trace=0102030405060708090a0b0c0d0e0f10` + "\n"
	if !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want it to end in %q", got, want)
	}
}

// asJSON is what a JSON string can hold of s: each byte that is no UTF-8
// becomes U+FFFD.
func asJSON(s string) string { return string([]rune(s)) }

func FuzzAccess_AnyBytesMakeOneValidLine(f *testing.F) {
	f.Add("GET", "/", "agent", "id")
	f.Add("\"\\\b\x00", "\xff\xc0\xaf\xed\xa0\x80", "\u2028\u2029\r\n\t", "\x7f\xf4\x90\x80\x80")
	f.Add("🚦", strings.Repeat("é", 4096), "\xe2\x80", "<script>&")
	f.Add("POST", "https://shop.example/v1/cart?id=1&x=%0d%0a", "Mozilla/5.0 (X11; Linux) \"x\"", "0af7651916cd43dd")
	f.Add("PRI", "*", "${jndi:ldap://a}", "\x1b[31m")
	f.Fuzz(func(t *testing.T, method, url, agent, id string) {
		line := AccessLine{Time: time.Unix(1, 0), Method: method, URL: url, Status: 200, UserAgent: agent, RequestID: id}
		raw := line.appendJSON(nil, "")
		var got struct {
			Message     string
			HTTPRequest struct{ RequestMethod, RequestURL, UserAgent string } `json:"httpRequest"`
			RequestID   string                                                `json:"request_id"`
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatalf("%v: %q", err, raw)
		}
		if bytes.IndexByte(raw, '\n') != len(raw)-1 {
			t.Fatalf("not one line: %q", raw)
		}
		for _, field := range []struct {
			got, given string
			limit      int
		}{
			{got.HTTPRequest.RequestMethod, method, longestMethod}, {got.HTTPRequest.RequestURL, url, longestURL},
			{got.HTTPRequest.UserAgent, agent, longestText}, {got.RequestID, id, longestName},
		} {
			if want := asJSON(within(field.given, field.limit)); field.got != want {
				t.Fatalf("got %q, want %q", field.got, want)
			}
		}
		if want := asJSON(within(method, longestMethod)) + " " + asJSON(within(url, longestURL)) +
			" 200"; got.Message != want {
			t.Fatalf("message %q, want %q", got.Message, want)
		}
		if text := line.appendText(nil); bytes.IndexByte(text, '\n') != len(text)-1 || bytes.ContainsAny(text, "\x1b\x00\r") {
			t.Fatalf("text is not one harmless line: %q", text)
		} else if len(text) > longestLine || len(raw) > longestLine {
			t.Fatalf("lines of %d and %d bytes", len(raw), len(text))
		}
	})
}

func BenchmarkAccess(b *testing.B) {
	log := NewLogger(io.Discard, &config.Config{Process: config.Process{LogFormat: "json"}})
	go func() { _ = log.Run(b.Context()) }()
	line := exampleLine()
	line.TraceID = trace.TraceID{1}
	b.ReportAllocs()
	for b.Loop() {
		log.Access(&line)
	}
}
