package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pillion-lb/pillion/discovery"
)

// echoEnd is how long echo may take to finish its requests after a signal.
const echoEnd = 3 * time.Second

// echo runs a backend that answers with the request it received. It needs no
// configuration. Without an argument it listens on PORT, the variable that
// platforms set.
func echo(ctx context.Context, c *Call) int {
	addresses := c.Args
	if len(addresses) == 0 {
		port, given := inherited("PORT", c.Environ)
		if !given || port == "" {
			port = "9001"
		}
		addresses = []string{":" + port}
	}
	for _, a := range addresses {
		if strings.HasPrefix(a, "-") {
			return c.misused("echo does not know %q", a)
		}
		if !endsInPort(a) {
			return c.misused("echo listens on a port, as in 9001 or 127.0.0.1:9001, and not on %q", a)
		}
	}

	servers, err := c.listenAll(addresses)
	defer func() {
		for _, s := range servers {
			_ = s.Close()
		}
	}()
	if err != nil {
		return c.result(err)
	}

	select {
	case <-c.Stop:
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), echoEnd)
	defer cancel()
	var ending sync.WaitGroup
	for _, s := range servers {
		ending.Go(func() { _ = s.Shutdown(end) })
	}
	ending.Wait()

	return OK
}

// endsInPort reports whether an argument ends in the number of a port.
func endsInPort(address string) bool {
	_, err := strconv.ParseUint(address[strings.LastIndexByte(address, ':')+1:], 10, 16)
	return err == nil
}

// listenAll starts a server on each address. With an error it also returns the
// servers that it has started, so that the caller can stop them.
func (c *Call) listenAll(addresses []string) (servers []*http.Server, err error) {
	for _, a := range addresses {
		if !strings.Contains(a, ":") {
			a = ":" + a
		}
		listener, err := net.Listen("tcp", a)
		if err != nil {
			return servers, err
		}

		name := instance(listener.Addr())
		server := discovery.EchoServer(name)
		servers = append(servers, server)
		fmt.Fprintf(c.Stdout, "echo %s listens on %s\n", name, listener.Addr())
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				fmt.Fprintln(c.Stderr, "pillion:", err)
			}
		}()
	}

	return servers, nil
}

// instance returns the name in an echo's answers: host name and port. So
// several echoes on one machine, or in one Deployment, have different names.
func instance(address net.Addr) string {
	host, err := os.Hostname()
	if err != nil {
		host = "echo"
	}
	_, port, _ := net.SplitHostPort(address.String())

	return host + ":" + port
}
