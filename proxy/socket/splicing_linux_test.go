package socket

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// These tests have the kernel itself refuse splice(2), by a seccomp filter that
// holds for one thread.

// From Linux' include/uapi/linux/{prctl,seccomp,bpf_common}.h.
const (
	prSetSeccomp      = 22
	prSetNoNewPrivs   = 38
	seccompModeFilter = 2
	seccompErrno      = 0x00050000
	seccompAllow      = 0x7fff0000
	loadWord          = 0x20
	jumpIfEqual       = 0x15
	returnConstant    = 0x06
	callNumber        = 0  // offset in struct seccomp_data
	firstArgument     = 16 // its lower half
)

// refuseSplice has every splice from a descriptor fail in the calling
// goroutine, whose thread ends with it.
func refuseSplice(t *testing.T, from int, errno syscall.Errno) {
	t.Helper()
	runtime.LockOSThread()

	filter := []syscall.SockFilter{
		{Code: loadWord, K: callNumber},
		{Code: jumpIfEqual, Jf: 3, K: syscall.SYS_SPLICE},
		{Code: loadWord, K: firstArgument},
		{Code: jumpIfEqual, Jf: 1, K: uint32(from)},
		{Code: returnConstant, K: seccompErrno | uint32(errno)},
		{Code: returnConstant, K: seccompAllow},
	}
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}

	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		t.Skip("no_new_privs:", e)
	}

	if _, _, e := syscall.RawSyscall(syscall.SYS_PRCTL, prSetSeccomp, seccompModeFilter,
		uintptr(unsafe.Pointer(&program))); e != 0 {
		t.Skip("this kernel takes no seccomp filter:", e)
	}
}

// refusals are what kernels, seccomp profiles and sandboxes answer.
var refusals = []syscall.Errno{
	syscall.EPERM, syscall.ENOSYS, syscall.EINVAL, syscall.EOPNOTSUPP, syscall.EACCES,
	syscall.EIO, syscall.EBADF, syscall.EFAULT, syscall.ENOMEM, syscall.ENOBUFS,
}

func noise(size int) []byte {
	p := make([]byte, size)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}

func TestPipe_RefusedFillTakesNothing(t *testing.T) {
	t.Parallel()
	for _, errno := range refusals {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			in, _, inlet, _, _ := movers(t)
			pipes := new(Pipes)
			lease := pipes.Lease()
			defer lease.Close()
			if !lease.Ready() {
				t.Skip("this machine does not splice")
			}

			from, err := descriptor(inlet.from.(net.Conn))
			if err != nil {
				t.Fatal(err)
			}

			sent := noise(1000)
			in.Write(sent)
			refuseSplice(t, from, errno)
			if n, err := lease.Fill(inlet.raw, 1<<20); n != 0 || err != ErrCopy {
				t.Errorf("%d bytes, %v", n, err)
			}

			got := make([]byte, len(sent))
			if _, err := io.ReadFull(inlet.from, got); err != nil || !bytes.Equal(got, sent) {
				t.Errorf("a read in its place gets other bytes, %v", err)
			}
			if lease.Ready() {
				t.Error("the refusal is not remembered")
			}
		})
	}
}

func TestPipe_RefusedDrainLosesNothing(t *testing.T) {
	t.Parallel()
	for _, errno := range refusals {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			in, out, inlet, outlet, _ := movers(t)
			pipes := new(Pipes)
			lease := pipes.Lease()
			defer lease.Close()
			if !lease.Ready() {
				t.Skip("this machine does not splice")
			}

			sent := noise(50_000)
			in.Write(sent)
			in.(*net.TCPConn).CloseWrite()
			got := make(chan []byte)
			go func() {
				all, _ := io.ReadAll(out)
				got <- all
			}()

			for refusing := false; ; refusing = true {
				if _, err := lease.Fill(inlet.raw, 1<<20); err == io.EOF || err == ErrCopy {
					break
				} else if err != nil {
					t.Fatal(err)
				}

				if !refusing {
					refuseSplice(t, lease.pipe.r, errno)
				}

				arm := func() time.Time { return time.Time{} }
				if _, err := lease.Drain(outlet.raw, arm); err != nil {
					t.Fatal(err)
				}
			}

			io.Copy(struct{ io.Writer }{outlet}, struct{ io.Reader }{inlet.from})
			outlet.Writer.(net.Conn).Close()
			if !bytes.Equal(<-got, sent) {
				t.Error("other bytes arrived")
			}
		})
	}
}

// A tunnel moves what is left of a long frame. A refusal in the middle leaves
// the rest to Receive.
func TestInlet_RefusedMoveLosesNothing(t *testing.T) {
	t.Parallel()
	for _, errno := range refusals {
		t.Run(errno.Error(), func(t *testing.T) {
			t.Parallel()
			in, out, inlet, outlet, buffers := movers(t)
			if !buffers.splicing.usable() {
				t.Skip("this machine does not splice")
			}

			pipe := buffers.takePipe()
			buffers.putPipe(pipe) // the next to be taken

			sent := noise(3 << 20)
			go func() {
				in.Write(sent)
				in.(*net.TCPConn).CloseWrite()
			}()
			got := make(chan []byte)
			go func() {
				all, _ := io.ReadAll(out)
				got <- all
			}()

			refuseSplice(t, pipe.r, errno)
			left := len(sent)
			read, write := inlet.Move(outlet, int64(left), func(n int64) { left -= int(n) })
			if read != nil || write != nil || left == len(sent) || inlet.CanMove(outlet) {
				t.Errorf("%v, %v, %d of %d left, more can be moved: %v",
					read, write, left, len(sent), inlet.CanMove(outlet))
			}

			io.Copy(struct{ io.Writer }{outlet}, struct{ io.Reader }{inlet.from})
			outlet.Writer.(net.Conn).Close()
			if !bytes.Equal(<-got, sent) {
				t.Error("other bytes arrived")
			}
		})
	}
}

func TestPipe_AnErrorOfTheConnectionIsNoRefusal(t *testing.T) {
	t.Parallel()
	in, _, inlet, _, _ := movers(t)
	pipes := new(Pipes)
	lease := pipes.Lease()
	defer lease.Close()
	if !lease.Ready() {
		t.Skip("this machine does not splice")
	}

	in.(*net.TCPConn).SetLinger(0)
	in.Close() // resets
	if _, err := lease.Fill(inlet.raw, 1<<20); err != syscall.ECONNRESET {
		t.Error(err)
	}

	if !lease.Ready() {
		t.Error("a client that resets its connection ends splicing for all")
	}
}

func TestSplicing_IsNotUsedUnderGVisor(t *testing.T) {
	t.Parallel()
	for name, is := range map[string]bool{
		"Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016":             true,
		"BOOT_IMAGE=/vmlinuz-4.4.0-gvisor quiet":                              true,
		"4.19.0-gvisor":                                                       true,
		"Linux version 6.12.41+deb13-cloud-amd64 #1 SMP PREEMPT_DYNAMIC":      false,
		"#1 SMP Sun Jan 11 15:06:54 UTC 2026":                                 false,
		"BOOT_IMAGE=/boot/vmlinuz-6.12.41 root=/dev/sda1 console=ttyS0 quiet": false,
		"": false,
	} {
		if namesGVisor("Linux", name) != is {
			t.Errorf("%q: %v", name, !is)
		}
	}
}

// A shortage that passes is no verdict for the life of the process.
func TestSplicing_IsCheckedAgainAfterAShortage(t *testing.T) {
	t.Parallel()
	var s splicing
	if !s.usable() {
		t.Skip("this machine does not splice")
	}

	s.refuse(syscall.ENOMEM)
	if s.usable() || !s.refused() {
		t.Error("it goes on at once")
	}

	s.again.Store(time.Now().UnixNano())
	if s.refused() || !s.usable() {
		t.Error("it is given up for good")
	}

	s.refuse(syscall.EPERM)
	s.refuse(syscall.ENOMEM)
	s.again.Store(0)
	if s.usable() || !s.refused() {
		t.Error("a refusal is forgotten")
	}
}

// One wrong byte anywhere is a verdict against splice.
func TestSplicing_TheCheckComparesEveryByte(t *testing.T) {
	t.Parallel()
	for _, buffer := range []int{checkLarge, checkSmall} {
		for _, at := range []int{0, 65_536, checkSize / 2, checkSize - 1} {
			var c spliceCheck
			if err := c.prepare(buffer); err != nil {
				c.close()
				t.Skip("this machine does not splice:", err)
			}

			c.expected = bytes.Clone(c.expected)
			c.expected[at] ^= 1
			if err := c.run(time.Now().Add(10 * time.Second)); err != errWrongBytes {
				t.Errorf("with byte %d wrong and a buffer of %d bytes: %v", at, buffer, err)
			}

			c.close()
		}
	}
}
