// Package soak keeps the program busy for long and looks at what is left of it afterwards.
//
// Each test starts the program, lets a small part of its traffic through so that everything that is made once is made,
// and writes down the level: descriptors, memory, and what its own metrics say is open. Then comes the whole traffic,
// and when the last of it is gone, the program has to be back at that level. Goroutines are counted in the stacks that
// a Go program writes when it is told to quit, against a second process that saw the small part only.
//
// An ordinary run takes seconds. The flags ask for the whole:
//
//	go test -count=1 ./test/soak -run Held -soak 5m
//	go test -count=1 ./test/soak -run Large -soak.body 10737418240
//	go test -count=1 ./test/soak -run Cuts -soak.requests 1000000 -timeout 60m
package soak

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/pillion-lb/pillion/test/internal/binary"
)

var (
	lasting  = flag.Duration("soak", 2*time.Second, "how long the held connections stay open; from a minute on there are 2,000 of them")
	large    = flag.Int64("soak.body", 64<<20, "how many bytes a large body has")
	requests = flag.Int("soak.requests", 0, "how many requests with random cuts are sent; 0 is 20,000, or 8,000 under the race detector")
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
