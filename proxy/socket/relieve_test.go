package socket

import (
	"context"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A dial that finds no descriptor sheds load and is repeated once. Nothing else
// sheds load, and nothing is repeated when there was nothing to end.
func TestBudget_DialShedsLoadForADescriptor(t *testing.T) {
	t.Parallel()
	failed := func(e syscall.Errno) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", e)} }
	for _, c := range []struct {
		name  string
		err   error
		freed int64
		dials int
		sheds bool
	}{
		{"no error", nil, 1, 1, false},
		{"EMFILE", failed(syscall.EMFILE), 1, 2, true},
		{"ENFILE", failed(syscall.ENFILE), 1, 2, true},
		{"ENOBUFS", failed(syscall.ENOBUFS), 1, 2, true},
		{"ENOMEM", failed(syscall.ENOMEM), 1, 2, true},
		{"nothing to end", failed(syscall.EMFILE), 0, 1, true},
		{"no port", failed(syscall.EADDRNOTAVAIL), 1, 1, false},
		{"refused", failed(syscall.ECONNREFUSED), 1, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b, asked, dials := NewBudget(8000), int64(0), 0
				b.OnShort(func(need int64) int64 { asked += need; return c.freed })
				near, far := net.Pipe()
				defer near.Close()
				defer far.Close()
				conn, err := b.Dial(t.Context(), func(context.Context) (net.Conn, error) {
					if dials++; dials == 1 && c.err != nil {
						return nil, c.err
					}
					return near, nil
				})
				if dials != c.dials || (asked > 0) != c.sheds {
					t.Errorf("%d dials, and %d bytes were asked for", dials, asked)
				}
				if served := c.err == nil || c.dials == 2; served != (conn == near && err == nil) {
					t.Errorf("%v, %v", conn, err)
				}
			})
		})
	}
}

// Without a budget, and with one that bounds nothing, a dial is a dial.
func TestBudget_DialNeedsNoBudget(t *testing.T) {
	t.Parallel()
	for _, b := range []*Budget{nil, NewBudget(0)} {
		_, err := b.Dial(t.Context(), func(context.Context) (net.Conn, error) { return nil, syscall.EMFILE })
		if err != syscall.EMFILE {
			t.Error(err)
		}
	}
}

// A probe ends no client's connection.
func TestBudget_DialWithoutRelief(t *testing.T) {
	t.Parallel()
	b := NewBudget(8000)
	b.OnShort(func(int64) int64 {
		t.Error("load was shed")
		return 1
	})
	dials := 0
	_, err := b.Dial(WithoutRelief(t.Context()), func(context.Context) (net.Conn, error) {
		dials++
		return nil, syscall.EMFILE
	})
	if err != syscall.EMFILE || dials != 1 {
		t.Errorf("%v after %d dials", err, dials)
	}
}

// A caller whose time is over does not wait for descriptors.
func TestBudget_DialEndsItsWaitWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(8000)
		b.OnShort(func(int64) int64 { return 1 })
		ctx, cancel := context.WithTimeout(t.Context(), reliefTime/5)
		defer cancel()
		var late bool
		b.Dial(ctx, func(ctx context.Context) (net.Conn, error) {
			at, _ := ctx.Deadline()
			late = time.Now().After(at)
			return nil, syscall.EMFILE
		})
		if late {
			t.Error("it waited longer")
		}
	})
}
