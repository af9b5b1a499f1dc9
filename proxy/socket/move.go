package socket

import (
	"syscall"
)

// MinMove is the number of bytes from which on Move is cheaper than copying.
// Fewer bytes are one read or two.
const MinMove = 2 * largeBuffer

// CanMove reports whether the next bytes can go to an outlet without a copy, as
// far as that is known.
func (i *Inlet) CanMove(to *Outlet) bool {
	return !i.plain() && to.raw != nil && !i.buffers.splicing.refused()
}

// Move has the kernel move n bytes to an outlet. It reports the bytes that have
// arrived there to moved. It returns when all have arrived, when the inlet ends
// (io.EOF) or fails, when the outlet fails, or without an error when it can
// move no more, so that Receive has to continue.
func (i *Inlet) Move(to *Outlet, n int64, moved func(n int64)) (read, write error) {
	i.Rest()
	if !i.buffers.splicing.usable() {
		return nil, nil
	}

	i.to, i.left, i.moved, i.err, i.failed = to, n, moved, nil, nil
	defer i.settle()
	for i.left > 0 {
		if err := i.raw.Read(i.onMove); err != nil {
			return err, nil
		}
		if i.failed == nil {
			i.drain(true)
		}

		if i.err != nil || i.failed != nil || i.pipe == nil {
			return i.err, i.failed
		}
	}

	return nil, nil
}

// movable is the poller's callback. What the outlet does not take at once is
// written outside of it.
func (i *Inlet) movable(fd uintptr) bool {
	for i.left > 0 {
		if i.pipe == nil {
			if i.pipe = i.buffers.takePipe(); i.pipe == nil {
				return true
			}
		}

		switch _, err := i.pipe.fillNow(int(fd), i.left); err {
		case nil:
		case syscall.EAGAIN:
			i.settle()
			return false
		case ErrCopy:
			i.settle()
			return true
		default:
			i.err = err
			return true
		}

		if i.drain(false); i.failed != nil || i.pipe.held > 0 {
			return true
		}
	}

	return true
}

// drain writes what the pipe holds to the outlet.
func (i *Inlet) drain(wait bool) {
	if i.pipe == nil || i.pipe.held == 0 {
		return
	}

	var n int
	n, i.failed = i.to.drain(i.pipe, wait)
	i.left -= int64(n)
	i.moved(int64(n))
}

// settle gives the pipe back.
func (i *Inlet) settle() {
	if i.pipe != nil {
		i.buffers.putPipe(i.pipe)
		i.pipe = nil
	}
}

// drain writes what a pipe holds: as much as possible without waiting, or all
// of it. It returns how many bytes were written.
func (o *Outlet) drain(p *Pipe, wait bool) (int, error) {
	before := p.held
	o.pipe, o.waits, o.errno = p, wait, 0
	err := o.raw.Write(o.onDrain)
	o.pipe = nil
	if err == nil {
		err = failure(o.errno)
	}

	return before - p.held, err
}

// drainable is the poller's callback.
func (o *Outlet) drainable(fd uintptr) bool {
	for o.pipe.held > 0 {
		if o.errno = o.pipe.drainNow(int(fd)); o.errno == syscall.EAGAIN {
			return !o.waits
		} else if o.errno != 0 {
			return true
		}
	}

	return true
}
