// Package conformance lets other people's test suites judge the program: h2spec for the HTTP/2 that it speaks to
// clients, grpc-go's interoperability cases for gRPC in both directions, and the cases of a WebSocket tunnel. README.md
// says how to run each, and what it says today.
//
// It is a module of its own, so that the suites' dependencies stay out of the program's.
package conformance

import (
	"os"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) {
	runInteropCase() // none of these returns where this process is to be a part of a suite
	runInteropService()
	runConnectServer()
	os.Exit(binary.Main(m, "../..", &pillion))
}
