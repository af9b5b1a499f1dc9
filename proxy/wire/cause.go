package wire

import (
	"errors"
	"net"
	"os"
)

// Cause returns the phase and the innermost cause, without addresses, for
// places that name the backend already: "connect: connection refused".
func (e *Error) Cause() string {
	err := e.Err
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}

	return e.Phase.String() + ": " + err.Error()
}
