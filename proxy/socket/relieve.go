package socket

import (
	"context"
	"errors"
	"net"
	"syscall"
	"time"
)

const (
	// reliefMemory is how much load is shed if there is no descriptor for a
	// connection to a backend. It is about 16 idle connections of clients.
	reliefMemory = 192 << 10

	// reliefTime is how long the connections that were ended have to give their
	// descriptors back.
	reliefTime = 5 * time.Millisecond
)

// withoutRelief is the key of WithoutRelief.
type withoutRelief struct{}

// WithoutRelief returns a context in which Dial sheds no load. It is for
// probes, which must not end the connections of clients.
func WithoutRelief(ctx context.Context) context.Context {
	return context.WithValue(ctx, withoutRelief{}, true)
}

// Relieves reports whether Dial sheds load in a context.
func Relieves(ctx context.Context) bool { return ctx.Value(withoutRelief{}) == nil }

// Dial calls dial, which opens a connection to a backend. If there is no
// descriptor for it, or no memory of the kernel, Dial sheds load and calls dial
// once more.
func (b *Budget) Dial(
	ctx context.Context, dial func(context.Context) (net.Conn, error),
) (net.Conn, error) {
	c, err := dial(ctx)
	if !Exhausted(err) || !Relieves(ctx) || b.Relieve(reliefMemory) <= 0 {
		return c, err
	}

	t := time.NewTimer(reliefTime)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}

	return dial(ctx)
}

// Exhausted reports whether a call failed for a lack of descriptors or of the
// kernel's memory, which connections give back when they end.
func Exhausted(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
