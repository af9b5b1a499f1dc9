// Package soak runs long and heavy traffic through the program and checks that
// nothing is left of it afterwards.
//
// Each test starts the program and sends a small part of the traffic, so that
// everything that is created once exists. It records the level: descriptors,
// memory, and what the program's metrics say is open. Then it sends the whole
// traffic. When that has ended, the program has to be back at the level.
// Goroutines are counted in the stacks that a Go program prints for SIGQUIT,
// and compared with a second process that got only the small part.
//
// An ordinary run takes seconds. The flags make it longer:
//
//	go test -count=1 ./test/soak -run Held -soak 5m
//	go test -count=1 ./test/soak -run Large -soak.body 10737418240
//	go test -count=1 ./test/soak -run Cuts -soak.requests 1000000 -timeout 60m
//	go test -race -count=1 ./test/soak -run Abuse -soak.abuse 5m -timeout 20m
package soak

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/binary"
)

var (
	lasting = flag.Duration("soak", 2*time.Second,
		"how long the held connections stay open; from a minute on there are 2,000 of them")
	large    = flag.Int64("soak.body", 64<<20, "how many bytes a large body has")
	abusing  = flag.Duration("soak.abuse", 10*time.Second, "how long clients of all bad kinds are at work")
	requests = flag.Int("soak.requests", 0,
		"how many requests with random cuts are sent; 0 is 20,000, or 8,000 under the race detector")
)

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) {
	flag.Parse()
	if *requests == 0 {
		*requests = 20_000
		if binary.Race {
			*requests = 8000
		}
	}

	os.Exit(binary.Main(m, "../..", &pillion))
}
