//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// callSpec is a load over HTTP/2, made by h2load: of gRPC calls or of GETs.
type callSpec struct {
	Connections int
	Streams     int  // at once on each connection
	Size        int  // bytes of each message, or of each answer to a GET
	Answers     int  // messages of each answer
	Get         bool // a browser's GETs in place of calls, with the session's cookie
	HTTP1       bool
	PerSecond   int // about as many are made as would take the round's time at this rate
}

// unaryCalls are calls of one message of 64 bytes each way.
func unaryCalls(connections, streams, perSecond int) *callSpec {
	return &callSpec{Connections: connections, Streams: streams, Size: 64, Answers: 1, PerSecond: perSecond}
}

// grpcMessage is a gRPC message: no compression, a length, the bytes.
func grpcMessage(size int) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(size)), body(size)...)
}

// answersField tells the backend how many messages to answer with.
const answersField = "bench-answers"

// serveGRPC answers calls over HTTP/2, and over HTTP/1.1 in clear text, with
// messages of the size that came. With a certificate it speaks TLS. It blocks.
func serveGRPC(listeners []*net.TCPListener, certFile, keyFile string) error {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		answers, _ := strconv.Atoi(r.Header.Get(answersField))
		reply := grpcMessage(int(n) - 5)
		w.Header().Set("Content-Type", "application/grpc")
		for range answers {
			_, _ = w.Write(reply)
			if answers > 1 {
				_ = http.NewResponseController(w).Flush()
			}
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(certFile != "")
	server := &http.Server{Handler: handler, Protocols: &protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1000}}
	failed := make(chan error)
	for _, l := range listeners {
		go func() {
			if certFile != "" {
				failed <- server.ServeTLS(l, certFile, keyFile)
			} else {
				failed <- server.Serve(l)
			}
		}()
	}

	return <-failed
}

// measuredGRPC lets h2load make a fixed number of calls and checks that all
// succeeded with whole answers.
func (b *bench) measuredGRPC(e *entry, c *callSpec) (res loadResult, before, after usage, err error) {
	if _, err := b.h2load(e, c, max(c.Connections*c.Streams, c.PerSecond/16)); err != nil {
		return res, before, after, err
	}
	if before, err = readUsage(e.pids); err != nil {
		return res, before, after, err
	}

	if res, err = b.h2load(e, c, int(float64(c.PerSecond)*b.duration.Seconds())); err != nil {
		return res, before, after, err
	}

	after, err = readUsage(e.pids)
	return res, before, after, err
}

func (b *bench) h2load(e *entry, c *callSpec, n int) (loadResult, error) {
	path, err := installed("h2load")
	if err != nil {
		return loadResult{}, err
	}

	what, each, err := c.request(b, e)
	if err != nil {
		return loadResult{}, err
	}

	log := filepath.Join(b.dir, "h2load.log")
	_ = os.Remove(log) // h2load appends
	out, err := exec.Command(path, append([]string{"-n", strconv.Itoa(n), "-c", strconv.Itoa(c.Connections),
		"-m", strconv.Itoa(c.Streams), "-w", "20", "-W", "24", "--log-file=" + log}, what...)...).CombinedOutput()
	if err != nil {
		return loadResult{}, fmt.Errorf("h2load: %w: %s", err, out)
	}

	res, err := parseH2load(string(out), n, n*each)
	if err != nil {
		return res, err
	}

	lines, err := os.ReadFile(log)
	if err != nil {
		return res, err
	}

	times := parseH2loadLog(string(lines))
	res.P50, res.P99 = times.quantile(0.5), times.quantile(0.99)
	return res, nil
}

// request returns h2load's arguments for one request, and the bytes of content
// that answer it.
func (c *callSpec) request(b *bench, e *entry) (arguments []string, content int, err error) {
	origin := e.scheme + "://" + e.addr.String()
	if c.Get {
		spec := loadSpec{Answer: c.Size, Filler: defaultCookie}
		cookie, err := sessionOverHTTP2(origin+spec.target(), spec.Filler)
		arguments = []string{"-H", "cookie: " + spec.cookies(cookie)}
		for name, value := range browserFields {
			arguments = append(arguments, "-H", name+": "+value)
		}

		return append(arguments, origin+spec.target()), c.Size, err
	}

	message := filepath.Join(b.dir, "message")
	if err := os.WriteFile(message, grpcMessage(c.Size), 0o600); err != nil {
		return nil, 0, err
	}

	return []string{
		"-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers",
		"-H", answersField + ": " + strconv.Itoa(c.Answers), origin + "/bench.Echo/Unary",
	}, c.Answers * len(grpcMessage(c.Size)), nil
}

// browserFields are those that requestHead sends too.
var browserFields = map[string]string{
	"user-agent":      "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	"accept":          "application/json, text/plain;q=0.9, */*;q=0.8",
	"accept-language": "en-GB,en;q=0.7",
	"accept-encoding": "gzip, deflate, br",
	"referer":         "https://shop.example.com/cart",
	"sec-fetch-mode":  "cors",
}

// sessionOverHTTP2 returns the cookie that a proxy sets, or one of the given
// length if it sets none.
func sessionOverHTTP2(url string, length int) (string, error) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &protocols}}
	defer client.CloseIdleConnections()

	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, response.Status)
	}

	for _, c := range response.Cookies() {
		return c.Name + "=" + c.Value, nil
	}

	return filler(length), nil
}

var (
	h2loadFinished = regexp.MustCompile(`finished in ([0-9.]+(?:us|ms|s|m))`)
	h2loadDone     = regexp.MustCompile(`requests: .* (\d+) succeeded`)
	h2loadData     = regexp.MustCompile(`\((\d+)\) data`)
)

// parseH2load reads h2load's summary and fails unless n calls succeeded with
// so many bytes in all.
func parseH2load(out string, n, bytes int) (loadResult, error) {
	finished := h2loadFinished.FindStringSubmatch(out)
	done, data := h2loadDone.FindStringSubmatch(out), h2loadData.FindStringSubmatch(out)
	if finished == nil || done == nil || data == nil {
		return loadResult{}, errors.New("h2load: " + out)
	}

	elapsed, err := time.ParseDuration(finished[1])
	if err != nil {
		return loadResult{}, err
	}
	if done[1] != strconv.Itoa(n) || data[1] != strconv.Itoa(bytes) {
		return loadResult{}, fmt.Errorf("wrong answers: %s of %d calls succeeded with %s bytes", done[1], n, data[1])
	}

	return loadResult{Requests: n, Elapsed: elapsed}, nil
}

// parseH2loadLog reads lines of start time, status and duration in
// microseconds.
func parseH2loadLog(log string) *histogram {
	h := &histogram{}
	for line := range strings.Lines(log) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		if us, ok := decimal([]byte(f[2])); ok {
			h.record(time.Duration(us) * time.Microsecond)
		}
	}

	return h
}
