//go:build linux

package main

import (
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

// unary is a gRPC message of 64 bytes: no compression, a length, the bytes.
func unary() []byte { return append([]byte{0, 0, 0, 0, 64}, body(64)...) }

// serveGRPC answers unary calls over HTTP/2 in clear text. It blocks.
func serveGRPC(listeners []*net.TCPListener) error {
	reply := unary()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		_, _ = w.Write(reply)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Protocols: &protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1000}}
	failed := make(chan error)
	for _, l := range listeners {
		go func() { failed <- server.Serve(l) }()
	}
	return <-failed
}

// measuredGRPC lets h2load send a fixed number of calls over one connection
// with 100 streams at once, and checks that all succeeded with whole answers.
func (b *bench) measuredGRPC(e *entry) (res loadResult, before, after usage, err error) {
	if _, err := b.h2load(e, 500); err != nil {
		return res, before, after, err
	}
	if before, err = readUsage(e.pids); err != nil {
		return res, before, after, err
	}
	if res, err = b.h2load(e, int(8000*b.duration.Seconds())); err != nil {
		return res, before, after, err
	}
	after, err = readUsage(e.pids)
	return res, before, after, err
}

func (b *bench) h2load(e *entry, n int) (loadResult, error) {
	path, err := installed("h2load")
	if err != nil {
		return loadResult{}, err
	}
	message, log := filepath.Join(b.dir, "message"), filepath.Join(b.dir, "h2load.log")
	if err := os.WriteFile(message, unary(), 0o600); err != nil {
		return loadResult{}, err
	}
	_ = os.Remove(log) // h2load appends
	out, err := exec.Command(path, "-n", strconv.Itoa(n), "-c", "1", "-m", "100", "-d", message, "--log-file="+log,
		"-H", "content-type: application/grpc", "-H", "te: trailers",
		"http://"+e.addr.String()+"/bench.Echo/Unary").CombinedOutput()
	if err != nil {
		return loadResult{}, fmt.Errorf("h2load: %w: %s", err, out)
	}
	res, err := parseH2load(string(out), n)
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

var (
	h2loadFinished = regexp.MustCompile(`finished in ([0-9.]+(?:us|ms|s|m))`)
	h2loadDone     = regexp.MustCompile(`requests: .* (\d+) succeeded`)
	h2loadData     = regexp.MustCompile(`\((\d+)\) data`)
)

// parseH2load reads h2load's summary and fails unless n calls succeeded with
// one whole message each.
func parseH2load(out string, n int) (loadResult, error) {
	finished := h2loadFinished.FindStringSubmatch(out)
	done, data := h2loadDone.FindStringSubmatch(out), h2loadData.FindStringSubmatch(out)
	if finished == nil || done == nil || data == nil {
		return loadResult{}, errors.New("h2load: " + out)
	}
	elapsed, err := time.ParseDuration(finished[1])
	if err != nil {
		return loadResult{}, err
	}
	if done[1] != strconv.Itoa(n) || data[1] != strconv.Itoa(n*len(unary())) {
		return loadResult{}, fmt.Errorf("wrong answers: %s of %d calls succeeded with %s bytes", done[1], n, data[1])
	}
	return loadResult{Requests: n, Elapsed: elapsed}, nil
}

// parseH2loadLog reads lines of start time, status and duration in microseconds.
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
