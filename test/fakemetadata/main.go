// Command fakemetadata is a metadata server for a laptop, to try features that
// need one without a cloud:
//
//	go run ./test/fakemetadata -listen 127.0.0.1:8099 'instance/attributes/lb-backends=:8081;:8082' &
//	GCE_METADATA_HOST=127.0.0.1:8099 go run .
//	curl -X PUT -d ':8081' http://127.0.0.1:8099/control/values/instance/attributes/lb-backends
//	curl -X PUT -d 'slow 3s' http://127.0.0.1:8099/control/fault
//
// For a container listen on 0.0.0.0 and give the container the host's address
// in GCE_METADATA_HOST. Nothing is guarded: who reaches it may change it.
// Arguments are values, PATH=VALUE. It serves until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/pillion-lb/pillion/test/fakemetadata/server"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fakemetadata:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. The first line it prints is the address for
// GCE_METADATA_HOST.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	var id server.Identity
	flags := flag.NewFlagSet("fakemetadata", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8099", "`address` to listen on")
	life := flags.Duration("token-life", time.Hour, "how long identity tokens live")
	flags.StringVar(&id.Region, "region", "", "region (default europe-west1)")
	flags.StringVar(&id.ProjectID, "project", "", "project id (default fake-project)")
	flags.StringVar(&id.ProjectNumber, "project-number", "", "project number (default 123456789012)")
	if err := flags.Parse(args); err != nil {
		return err
	}

	s := server.New(id)
	s.SetTokenLife(*life)
	for _, value := range flags.Args() {
		path, v, ok := strings.Cut(value, "=")
		if !ok {
			return fmt.Errorf("%q is not PATH=VALUE", value)
		}
		s.Set(path, v)
	}

	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}

	fmt.Fprintf(stdout, "GCE_METADATA_HOST=%s\n", l.Addr())
	return serve(ctx, l, s)
}

func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	hs := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { hs.Close() })
	defer stop()
	if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}

	return nil
}
