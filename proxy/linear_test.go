package proxy

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/proxy/affinity"
	"github.com/pillion-lb/pillion/proxy/wire"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// recorder has every request recorded, by spans that keep nothing.
type recorder struct{ tracer noop.Tracer }

func (recorder) Sampled(trace.SpanContext, trace.TraceID) bool { return true }
func (recorder) RequestStarted()                               {}
func (recorder) RequestEnded()                                 {}

func (r recorder) Start(
	trace.SpanContext, trace.TraceID, string, time.Time, ...attribute.KeyValue,
) (context.Context, trace.Span) {
	return r.tracer.Start(context.Background(), "")
}

func (r recorder) StartBackground(
	trace.TraceID, string, time.Time, ...attribute.KeyValue,
) (context.Context, trace.Span) {
	return r.tracer.Start(context.Background(), "")
}

func (r recorder) StartClient(trace.Span, string, time.Time, ...attribute.KeyValue) trace.Span {
	_, span := r.tracer.Start(context.Background(), "")
	return span
}

// answerWriter takes an answer and counts its bytes.
type answerWriter struct {
	header http.Header
	body   int
}

func (w *answerWriter) Header() http.Header         { return w.header }
func (w *answerWriter) WriteHeader(int)             {}
func (w *answerWriter) Write(p []byte) (int, error) { w.body += len(p); return len(p), nil }

// cost is what a function takes of the process: bytes allocated, and time of
// its processors, which unlike the wall's does not depend on who else uses the
// machine. It is the least of several runs.
func cost(run func()) (bytes, cpu int64) {
	// A collection that falls into the run of a large head, and not into that of
	// a small one, would count as the head's.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runs := 5
	if racing { // time is not judged then
		runs = 2
	}
	for i := range runs {
		runtime.GC()
		var before, after runtime.MemStats
		began := processorTime()
		runtime.ReadMemStats(&before)
		run()
		runtime.ReadMemStats(&after)
		b, c := int64(after.TotalAlloc-before.TotalAlloc), processorTime()-began
		if i == 0 || b < bytes {
			bytes = b
		}

		if i == 0 || c < cpu {
			cpu = c
		}
	}

	return bytes, cpu
}

func processorTime() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// hostile are requests whose size a client chooses: n is about how many bytes
// they have.
var hostile = map[string]func(n int) (target string, h http.Header){
	"cookies of ours": func(n int) (string, http.Header) {
		return "/", http.Header{"Cookie": {"a=1; " + strings.Repeat("lb=1;", n/5)}}
	},
	"cookies of ours between others": func(n int) (string, http.Header) {
		return "/", http.Header{"Cookie": {strings.Repeat("a=1; lb=1; ", n/11)}}
	},
	"cookies of ours, of the right length": func(n int) (string, http.Header) {
		return "/", http.Header{"Cookie": {strings.Repeat("lb="+strings.Repeat("A", affinity.ValueLength)+";",
			n/(affinity.ValueLength+4))}}
	},
	"blanks in a cookie": func(n int) (string, http.Header) {
		return "/", http.Header{"Cookie": {strings.Repeat(" ;\tlb", n/5)}}
	},
	"names in Connection": func(n int) (string, http.Header) {
		return "/", http.Header{"Connection": {strings.Repeat("x-a,", n/4)}}
	},
	"trailer codings in TE": func(n int) (string, http.Header) {
		return "/", http.Header{"Te": {strings.Repeat("gzip,", n/5)}, "Connection": {"te"}}
	},
	"hops in X-Forwarded-For": func(n int) (string, http.Header) {
		return "/", http.Header{"X-Forwarded-For": {strings.Repeat("10.0.0.1,", n/9)}}
	},
	"quotes in Forwarded": func(n int) (string, http.Header) {
		return "/", http.Header{"Forwarded": {strings.Repeat(`for="a,",`, n/9)},
			"X-Forwarded-Proto": {strings.Repeat("http,", n/5)}}
	},
	"loop tags": func(n int) (string, http.Header) {
		return "/", http.Header{"Cdn-Loop": {strings.Repeat("other;a=b,", n/10)}}
	},
	"members of tracestate": func(n int) (string, http.Header) {
		return "/", http.Header{"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
			"Tracestate": {strings.Repeat("a=b,", n/4)}}
	},
	"baggage": func(n int) (string, http.Header) {
		return "/", http.Header{"Baggage": {strings.Repeat("a=b,", n/4)}}
	},
	"cloud trace": func(n int) (string, http.Header) {
		return "/", http.Header{"X-Cloud-Trace-Context": {strings.Repeat("a/;", n/3)}}
	},
	"parameters of the query": func(n int) (string, http.Header) {
		return "/?" + strings.Repeat("s=A&", n/4), nil
	},
	"segments of the path": func(n int) (string, http.Header) {
		return strings.Repeat("/%41", n/4), nil
	},
	"agent and id": func(n int) (string, http.Header) {
		return "/", http.Header{"User-Agent": {strings.Repeat("a", n/2)}, "X-Request-Id": {strings.Repeat("a", n/2)}}
	},
	"underscores in names": func(n int) (string, http.Header) {
		return "/", http.Header{strings.Repeat("X_", n/2): {"a"}}
	},
	"dots and slashes in the path": func(n int) (string, http.Header) { return "/a" + strings.Repeat("/..", n/3), nil },
	"slashes":                      func(n int) (string, http.Header) { return strings.Repeat("/", n), nil },
	"escapes of escapes":           func(n int) (string, http.Header) { return "/" + strings.Repeat("%2525", n/5), nil },
	"semicolons in the path":       func(n int) (string, http.Header) { return "/a" + strings.Repeat(";/a", n/3), nil },
	"a path that begins as a route does": func(n int) (string, http.Header) {
		return "/r" + strings.Repeat("/aa/b", n/5), nil
	},
	"parameters that do not count": func(n int) (string, http.Header) {
		return "/?" + strings.Repeat("utm_a=1&", n/8), nil
	},
	"parameters and separators": func(n int) (string, http.Header) { return "/?" + strings.Repeat("&;=", n/3), nil },
	"origin": func(n int) (string, http.Header) {
		return "/", http.Header{"Origin": {"https://" + strings.Repeat("a.example.", n/10) + "com"}}
	},
	"names of a preflight": func(n int) (string, http.Header) {
		return "OPTIONS /", http.Header{"Origin": {"https://a.example.com"}, "Access-Control-Request-Method": {"PUT"},
			"Access-Control-Request-Headers": {strings.Repeat("content-type,", n/13)}}
	},
	"codings": func(n int) (string, http.Header) {
		return "/", http.Header{"Accept-Encoding": {strings.Repeat("gzip;q=0.1, ", n/12)}}
	},
	"media types": func(n int) (string, http.Header) {
		return "/files/x", http.Header{"Accept": {strings.Repeat("text/*;q=0.1, ", n/14)}}
	},
	"directives of a request": func(n int) (string, http.Header) {
		return "/", http.Header{"Cache-Control": {strings.Repeat("max-age=1, ", n/11)}}
	},
	"quotes in directives": func(n int) (string, http.Header) {
		return "/", http.Header{"Cache-Control": {strings.Repeat(`a="\",`, n/7)}}
	},
	"ranges": func(n int) (string, http.Header) {
		return "/", http.Header{"Range": {"bytes=" + strings.Repeat("0-0,", n/4)}}
	},
	"ranges of a file": func(n int) (string, http.Header) {
		return "/files/page.txt", http.Header{"Range": {"bytes=" + strings.Repeat("0-0,", n/4)}}
	},
	"entity tags": func(n int) (string, http.Header) {
		return "/", http.Header{"If-None-Match": {strings.Repeat(`"a", W/"b",`, n/11)}}
	},
	"entity tags of a file": func(n int) (string, http.Header) {
		return "/files/page.txt", http.Header{"If-None-Match": {strings.Repeat(`"a", W/"b",`, n/11)},
			"If-Match": {strings.Repeat(`"`, n/2)}}
	},
	"a bad range condition": func(n int) (string, http.Header) {
		return "/files/page.txt", http.Header{"Range": {"bytes=0-1"}, "If-Range": {`"` + strings.Repeat("a", n)}}
	},
	"dots in a token": func(n int) (string, http.Header) {
		return "/", http.Header{"Authorization": {"Bearer " + strings.Repeat(".", n)}}
	},
	"a long password": func(n int) (string, http.Header) {
		return "/", http.Header{"Authorization": {"Basic " + strings.Repeat("YTpi", n/4)}}
	},
	"schemes in Authorization": func(n int) (string, http.Header) {
		return "/", http.Header{"Authorization": {strings.Repeat("Bearer ", n/7)}}
	},
	"a token whose head is deep": func(n int) (string, http.Header) {
		deep := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("[", n*3/4)))
		return "/", http.Header{"Authorization": {"Bearer " + deep + ".e30.AAAA"}}
	},
	"keys of a limit": func(n int) (string, http.Header) {
		return "/", http.Header{"X-Key": {strings.Repeat("k", n/2)}, "Cookie": {strings.Repeat("sid=1;", n/12)}}
	},
	"languages that answers differ by": func(n int) (string, http.Header) {
		return "/vary", http.Header{"Accept-Language": {strings.Repeat("de, ", n/4)}}
	},
	"a body's announced trailers": func(n int) (string, http.Header) {
		return "/", http.Header{"Trailer": {strings.Repeat("x-a,", n/4)}, "Expect": {strings.Repeat("a", n/4)}}
	},
	"upgrades": func(n int) (string, http.Header) {
		return "/", http.Header{"Upgrade": {strings.Repeat("h2c,", n/4)}, "Connection": {"upgrade"},
			"Sec-Websocket-Protocol": {strings.Repeat("a,", n/2)}}
	},
	"a host": func(n int) (string, http.Header) {
		return "/", http.Header{"X-Forwarded-Host": {strings.Repeat("a.", n/2)}, "Referer": {strings.Repeat("a/", n/2)}}
	},
}

// answered are the heads of a backend whose size it chooses.
var answered = map[string]func(n int) http.Header{
	"directives": func(n int) http.Header { return http.Header{"Cache-Control": {strings.Repeat("max-age=1, ", n/11)}} },
	"names in Vary": func(n int) http.Header {
		return http.Header{"Cache-Control": {"max-age=60"}, "Vary": {strings.Repeat("accept,", n/7)}}
	},
	"different names in Vary": func(n int) http.Header {
		var names strings.Builder
		for i := 0; names.Len() < n; i++ {
			fmt.Fprintf(&names, "x-%d,", i)
		}
		return http.Header{"Cache-Control": {"max-age=60"}, "Vary": {names.String()}}
	},
	"cookies": func(n int) http.Header {
		return http.Header{"Set-Cookie": slices.Repeat([]string{"a=b; Path=/; Domain=example.com"}, n/32)}
	},
	"parts of a cookie": func(n int) http.Header {
		return http.Header{"Set-Cookie": {"a=b" + strings.Repeat("; path=/", n/8)}}
	},
	"names in Connection": func(n int) http.Header { return http.Header{"Connection": {strings.Repeat("x-a,", n/4)}} },
	"a place": func(n int) http.Header {
		return http.Header{"Location": {"http://a/" + strings.Repeat("../", n/3)}, "Link": {strings.Repeat("<a>,", n/8)}}
	},
	"codings": func(n int) http.Header {
		return http.Header{"Content-Encoding": {strings.Repeat("gzip,", n/5)}, "Content-Type": {strings.Repeat("text/", n/9)}}
	},
	"what is refreshed": func(n int) http.Header { return http.Header{"Refresh": {strings.Repeat(`0;url="`, n/7)}} },
	"states of caches": func(n int) http.Header {
		return http.Header{"Cache-Status": {strings.Repeat("a;hit,", n/6)}, "Etag": {`"` + strings.Repeat("a", n/8) + `"`},
			"Cache-Control": {"max-age=60"}}
	},
	"what is timed": func(n int) http.Header {
		return http.Header{"Server-Timing": {strings.Repeat("a;dur=1,", n/8)},
			"Keep-Alive": {strings.Repeat("timeout=1,", n/16)}, "Alt-Svc": {strings.Repeat(`h3=":1",`, n/16)}}
	},
}

// scenes are the settings under which each head is tried.
func scenes(t *testing.T) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.txt"), []byte(strings.Repeat("page ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}

	routed := []string{"LB_CACHE=origin", "LB_CACHE_IGNORE_QUERY=utm_*;gclid", "LB_CACHE_VARY=Accept-Language",
		"LB_CORS_ORIGINS=https://*.example.com", "LB_CORS_METHODS=GET;PUT", "LB_CORS_HEADERS=Content-Type",
		"LB_COMPRESS=zstd;gzip", "LB_COMPRESS_MIN=1", "LB_DENY_PATHS=/admin/*;/a/b/*;/x", "LB_ALLOW_PATHS=/*",
		"LB_RATE_LIMIT=1000000/1s?by=header:X-Key;1000000/1s?by=cookie:sid", "LB_REQUEST_HEADERS=X-Added=1;-X-Gone",
		"LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_COOKIE=lb", "LB_BACKEND_COOKIES=a;b", "LB_TRUSTED_PROXIES=none",
		"LB_ROUTE__FILES=/files/*", "LB_FILES__FILES=" + dir, "LB_FILES_FALLBACK__FILES=/page.txt",
		"LB_REWRITE__FILES=/*"}
	for i := range 50 {
		name := string(rune('A'+i/10)) + string(rune('A'+i%10))
		routed = append(routed, "LB_ROUTE__R"+name+"=/r"+strings.Repeat("/aa", i+1)+"/*?method=GET",
			"LB_SERVICE__R"+name+"=default")
	}

	return map[string][]string{
		"plain":  {"LB_SESSION_AFFINITY=cookie", "LB_AFFINITY_COOKIE=lb", "LB_TRUSTED_PROXIES=127.0.0.0/8;10.0.0.0/8"},
		"routed": routed,
		"guarded": {"LB_AUTH=https://issuer.invalid?audience=a", "LB_AUTH_SKIP=/public/*;GET /files/*;preflight",
			"LB_BASIC_AUTH=user:a-password", "LB_CLIENT_IN_FLIGHT=100"},
	}
}

// requestOf is a request as a server hands it over.
func requestOf(t *testing.T, target string, header http.Header) *http.Request {
	t.Helper()
	method, path, given := strings.Cut(target, " ")
	if !given {
		method, path = http.MethodGet, target
	}
	r, err := http.NewRequest(method, path, nil)
	if err != nil {
		t.Fatal(err)
	}

	r.RequestURI, r.Host, r.RemoteAddr = path, "example.com", "127.0.0.1:1"
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}

	return r
}

// TestLinear_AHeadCostsNoMoreThanItsBytes does not run in parallel: it looks at
// what the whole process uses.
func TestLinear_AHeadCostsNoMoreThanItsBytes(t *testing.T) {
	for scene, env := range scenes(t) {
		p := testProxy(t, Options{Tracing: recorder{}, Access: func(r *Record) { _ = r.URL() }}, func(string) upstreamFunc {
			return func(r *http.Request, _ *wire.Call) (*http.Response, error) {
				a := answer(200, "ok")
				a.Header.Set("Content-Type", "text/plain")
				if r.URL.Path == "/vary" {
					a.Header.Set("Vary", "Accept-Language")
					a.Header.Set("Cache-Control", "max-age=60")
				}
				return a, nil
			}
		}, env...)
		p.Update(named("a", "b"))

		for name, hostile := range hostile {
			isLinear(t, scene+": "+name, func(n int) {
				target, header := hostile(n)
				p.ServeHTTP(&answerWriter{header: http.Header{}}, requestOf(t, target, header))
			})
		}
	}
}

// What a backend sends costs no more than its bytes either.
func TestLinear_AnAnswerCostsNoMoreThanItsBytes(t *testing.T) {
	var head http.Header
	p := testProxy(t, Options{Tracing: recorder{}}, func(string) upstreamFunc {
		return func(*http.Request, *wire.Call) (*http.Response, error) {
			a := answer(200, "ok")
			a.Header = head.Clone()
			return a, nil
		}
	}, scenes(t)["routed"]...)
	p.Update(named("a", "b"))

	for name, hostile := range answered {
		isLinear(t, name, func(n int) {
			head = hostile(n)
			header := http.Header{"Accept-Encoding": {"gzip"}, "Origin": {"https://a.example.com"}}
			// The second request finds what the first has stored.
			for range 2 {
				p.ServeHTTP(&answerWriter{header: http.Header{}}, requestOf(t, "/", header))
			}
		})
	}
}

// isLinear fails the test if what a head of n bytes costs grows faster than n.
func isLinear(t *testing.T, name string, try func(n int)) {
	t.Helper()
	const size, times = 64 << 10, 20
	ask := func(n int) (bytes, cpu int64) {
		return cost(func() {
			for range times {
				try(n)
			}
		})
	}

	ask(1 << 10)
	small, quick := ask(size / 4)
	large, slow := ask(size)

	// Other work on the machine makes time longer, and never shorter.
	for range 4 {
		if racing || slow <= 9*quick {
			break
		}
		_, again := ask(size)
		slow = min(slow, again)
	}

	// Four times the bytes may cost four times as much, and not sixteen
	// times. What does not depend on the size makes the ratio smaller.
	if large > 6*small {
		t.Errorf("%s: %d bytes allocated for a head of %d bytes, %d for a quarter of it", name, large/times, size,
			small/times)
	}
	if large/times > 40*size {
		t.Errorf("%s: %d bytes allocated for a head of %d bytes", name, large/times, size)
	}

	// The race detector maps memory for each large range, which is not linear.
	if !racing && slow > 9*quick && slow > int64(20*time.Millisecond) {
		t.Errorf("%s: %v for a head of %d bytes, %v for a quarter of it", name, time.Duration(slow/times), size,
			time.Duration(quick/times))
	}

	t.Logf("%-45s %7d %9v   quarter %7d %9v", name, large/times, time.Duration(slow/times), small/times,
		time.Duration(quick/times))
}
