// Package xds puts a real control plane beside the program: the server and the
// snapshot cache of go-control-plane name the backends of an xds:// target. The
// messages that the program reads by hand are compared with the generated types
// here as well.
//
// It is a module of its own, so that these libraries stay out of the program:
//
//	go -C test/xds test -count=1 ./...
//
// The count is there because Go keeps the results of tests, and does not look
// at files of another module for that.
package xds

import (
	"os"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) {
	if os.Getenv(asPlane) != "" {
		os.Exit(servePlane(os.Stdin, os.Stdout))
	}
	os.Exit(binary.Main(m, "../..", &pillion))
}
