package h1

import (
	"io"
	"runtime"
	"syscall"
)

// MinMove is from how many bytes on Move is cheaper than copying: less than that is one read or two in any case.
const MinMove = 2 * largeLoan

// pipe is where splice(2) leaves what it has taken from one socket until the other takes it.
type pipe struct {
	r, w    int
	size    int64           // how much it is to hold
	held    int             // bytes
	cleanup runtime.Cleanup // of one that a Server lends
}

// CanMove reports whether the next bytes can go to an outlet without being copied.
func (i *Inlet) CanMove(to *Outlet) bool { return !i.plain() && to.raw != nil && !i.copies }

// Move has the kernel move n bytes to an outlet and tells moved of those that have arrived there. It returns when all
// have, when the inlet ends (io.EOF) or fails, when the outlet fails, or without an error when it could move no more in
// this way, and Receive has to go on.
func (i *Inlet) Move(to *Outlet, n int64, moved func(n int64)) (read, write error) {
	i.Rest()
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

// movable is the poller's callback. What the outlet does not take at once is left for outside.
func (i *Inlet) movable(fd uintptr) bool {
	for i.left > 0 {
		if i.pipe == nil {
			if i.pipe = i.loans.takePipe(); i.pipe == nil {
				return true
			}
		}
		n, errno := i.pipe.fill(int(fd), i.left)
		switch {
		case errno == syscall.EAGAIN:
			i.settle()
			return false
		case errno != 0 && cannotSplice(errno):
			i.copies = true
			i.settle()
			return true
		case errno != 0:
			i.err = errno
			return true
		case n == 0:
			i.err = io.EOF
			return true
		}
		if i.drain(false); i.failed != nil || i.pipe.held > 0 {
			return true
		}
	}
	return true
}

// drain gives the outlet what the pipe holds.
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
		i.loans.putPipe(i.pipe)
		i.pipe = nil
	}
}

// drain writes what a pipe holds, as far as that goes without waiting, or all of it. It returns how much it was.
func (o *Outlet) drain(p *pipe, wait bool) (int, error) {
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
		if o.errno = o.pipe.empty(int(fd)); o.errno == syscall.EAGAIN {
			return !o.waits
		} else if o.errno != 0 {
			return true
		}
	}
	return true
}
