// Package command tests the subcommands, and what the load balancer prints in a
// terminal.
package command

import (
	"os"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/backend"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pillion is the program under test.
var pillion *binary.Binary

func TestMain(m *testing.M) {
	backend.RunWorker()
	os.Exit(binary.Main(m, "../..", &pillion))
}
