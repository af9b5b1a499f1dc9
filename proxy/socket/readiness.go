package socket

// Readiness is what a read of a socket would find. Peek learns it without
// reading.
type Readiness uint8

const (
	Silent   Readiness = iota // nothing to read
	Readable                  // bytes
	Finished                  // the peer's orderly end
	Broken                    // reset, or another error
)
