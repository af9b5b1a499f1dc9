// Package conformance runs test suites of other projects against the program:
// h2spec for HTTP/2 with clients, grpc-go's interoperability cases for gRPC in
// both directions, and cases for WebSocket tunnels. README.md says how to run
// each, and has the results.
//
// It is a separate module, so that the suites' dependencies stay out of the
// program's.
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
