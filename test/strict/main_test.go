// Package strict has the corpus of messages that two parsers may read
// differently. Each is sent to the whole program as raw bytes or frames, over
// HTTP/1.1 and HTTP/2, with backends of both versions, which record what
// reaches them.
//
// The promise is always the same. An ambiguous message is refused, and no
// backend or client receives it. A message that is only unusual is forwarded
// once, in an unambiguous form. In both cases the next message gets its own
// answer.
package strict

import (
	"os"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) { os.Exit(binary.Main(m, "../..", &pillion)) }
