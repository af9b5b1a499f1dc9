//go:build !linux

package h2

import "syscall"

func (t *Transport) control(network, address string, raw syscall.RawConn) error {
	if t.Control != nil {
		return t.Control(network, address, raw)
	}
	return nil
}
