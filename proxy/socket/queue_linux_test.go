//go:build linux && (amd64 || arm64)

package socket

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// fullTable names the listener to make in a process of its own, whose table of
// descriptors is full.
const fullTable = "PILLION_TEST_FULL_TABLE"

// listeners are those that fail for a lack of descriptors only while a client
// waits.
var listeners = map[string]func(net.Listener) net.Listener{
	"LazyListener": LazyListener, "WaitingListener": WaitingListener,
}

func TestWaitingListener_ALackOfDescriptorsIsToldOnlyWhileAClientWaits(t *testing.T) {
	t.Parallel()
	if name := os.Getenv(fullTable); name != "" {
		acceptWithoutDescriptors(listeners[name])
	}

	for name := range listeners {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.Command(os.Args[0], "-test.run", "^TestWaitingListener_ALackOfDescriptors")
			child.Env = append(os.Environ(), fullTable+"="+name)
			child.Stderr = os.Stderr
			out, err := child.StdoutPipe()
			if err == nil {
				err = child.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { child.Process.Kill(); child.Wait() })

			lines := bufio.NewScanner(out)
			next := func() string { lines.Scan(); return lines.Text() }
			address := next()
			if got := next(); got != "nothing" {
				t.Fatalf("without a client Accept returned %s", got)
			}

			dial(t, address).Write([]byte("GET")) // else the kernel may defer the client
			if got := next(); got != "true" {
				t.Errorf("with a client Accept failed for a lack of descriptors: %q", got)
			}
		})
	}
}

// acceptWithoutDescriptors prints an address, then what Accept returns within
// 300 ms, and at last whether it fails for a lack of descriptors.
func acceptWithoutDescriptors(listen func(net.Listener) net.Listener) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	l = listen(l)
	fmt.Println(l.Addr())

	limit := syscall.Rlimit{Cur: 64, Max: 64}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		panic(err)
	}
	for err == nil {
		_, err = syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	}

	said := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		said <- err
	}()

	select {
	case err = <-said:
		fmt.Println(err)
	case <-time.After(300 * time.Millisecond):
		fmt.Println("nothing")
		err = <-said
	}
	fmt.Println(errors.Is(err, syscall.EMFILE))
	os.Exit(0)
}
