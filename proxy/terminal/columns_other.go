//go:build !unix

package terminal

import "os"

// columns reports no terminal, because this system has no supported way to ask.
func columns(*os.File) (n int, isTerminal bool) { return 0, false }
