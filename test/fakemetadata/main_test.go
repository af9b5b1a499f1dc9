package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRun_ServesTheValuesOfItsArguments(t *testing.T) {
	t.Parallel()
	out, in := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-listen", "127.0.0.1:0", "-region", "r1", "instance/attributes/a=b=c"}, in)
		in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err, <-done)
	}

	host := strings.TrimSpace(strings.TrimPrefix(line, "GCE_METADATA_HOST="))
	r, err := http.NewRequest("GET", "http://"+host+"/computeMetadata/v1/instance/attributes/a", nil)
	if err != nil {
		t.Fatal(err)
	}

	r.Header.Set("Metadata-Flavor", "Google")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "b=c" {
		t.Errorf("got %q, %v", body, err)
	}

	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestRun_RefusesBadArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"no-value"}, {"-token-life", "soon"}, {"-listen", "nowhere:x:y"}} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("run(%q) accepted it", args)
		}
	}
}
