// Package strict holds the corpus of messages that two readers could understand in two ways. Each is sent to the whole
// program as raw bytes or raw frames, from HTTP/1.1 and from HTTP/2, towards backends of both, which record what reaches
// them.
//
// The promise is always the same. What is ambiguous is refused, and no backend or client sees it as a message. What is
// only unusual is forwarded once, in a form that nobody can misread. Either way the next message has its own answer.
package strict

import (
	"os"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) { os.Exit(binary.Main(m, "../..", &pillion)) }
