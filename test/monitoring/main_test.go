// Package monitoring compares deploy/monitoring with the program: the table of
// metrics, the dashboards and the alerts. If Prometheus is installed, it
// scrapes the program, fires the alerts for failed backends, and answers every
// query of the dashboards.
package monitoring

import (
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/pillion-lb/pillion/test/internal/await"
	"github.com/pillion-lb/pillion/test/internal/binary"
)

// pillion is the program under test, built by TestMain.
var pillion *binary.Binary

func TestMain(m *testing.M) { os.Exit(binary.Main(m, "../..", &pillion)) }

const (
	folder = "../../deploy/monitoring/"
	token  = "a-long-random-word"
)

var client = &http.Client{Timeout: await.Limit}

// get sends a GET and returns the status and the body. fields are names and
// values in turn.
func get(t *testing.T, url string, fields ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}

	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}

	return response.StatusCode, string(text)
}

// file returns the text of a file.
func file(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}
