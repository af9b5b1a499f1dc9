package h2

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// corpus names a checkout of the public collection of header sets that HTTP/2's
// implementations were compared with (http2jp/hpack-test-case): recorded
// requests and answers, and how many other encoders write them.
const corpus = "PILLION_HPACK_CASES"

// corpusFile is a file of the collection: the sections of one connection.
type corpusFile struct {
	Cases []struct {
		Wire      string              `json:"wire"`
		TableSize *uint32             `json:"header_table_size"`
		Headers   []map[string]string `json:"headers"`
	} `json:"cases"`
}

func TestHPACK_CorpusIsReadAndWritten(t *testing.T) {
	root := os.Getenv(corpus)
	if root == "" {
		t.Skip(corpus + " names no checkout of http2jp/hpack-test-case")
	}

	files, err := filepath.Glob(filepath.Join(root, "*", "story_*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no file in ", root, err)
	}

	read, written := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var f corpusFile
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(file, err)
		}
		read += readCorpusFile(t, file, f)
		written += writeCorpusFile(t, file, f)
	}
	t.Logf("%d stories: %d sections read, %d written", len(files), read, written)
}

// readCorpusFile decodes what another encoder wrote. It stops where a file asks
// for a larger table than the default, because Pillion never agrees on one.
func readCorpusFile(t *testing.T, file string, f corpusFile) (sections int) {
	t.Helper()
	var d decoder
	d.init(1 << 30)
	for i, c := range f.Cases {
		if c.Wire == "" || c.TableSize != nil && *c.TableSize > tableSize {
			return sections
		}
		if err := d.decode(unhex(c.Wire)); err != nil {
			t.Fatalf("%s, section %d: %v", file, i, err)
		}
		if got, want := lines(d.fields), sectionLines(c.Headers); got != want {
			t.Fatalf("%s, section %d:\n%s\nwant\n%s", file, i, got, want)
		}
		sections++
	}

	return sections
}

// writeCorpusFile encodes the sections, and decodes them with x/net's decoder.
func writeCorpusFile(t *testing.T, file string, f corpusFile) (sections int) {
	t.Helper()
	var e encoder
	e.init()
	var read []string
	theirs := hpack.NewDecoder(tableSize, func(f hpack.HeaderField) { read = append(read, f.Name+": "+f.Value) })
	for i, c := range f.Cases {
		read = nil
		block := e.begin(nil)
		for _, h := range c.Headers {
			for key, value := range h {
				n := receivedName([]byte(key))
				if n.kind != pseudo {
					n = nameOf(http.CanonicalHeaderKey(key))
				}
				block = e.field(block, n, value)
			}
		}
		if _, err := theirs.Write(block); err != nil || theirs.Close() != nil {
			t.Fatalf("%s, section %d: %v", file, i, err)
		}
		if got, want := strings.Join(read, "\n"), strings.Join(rawLines(c.Headers), "\n"); got != want {
			t.Fatalf("%s, section %d:\n%s\nwant\n%s", file, i, got, want)
		}
		sections++
	}

	return sections
}

func rawLines(headers []map[string]string) (list []string) {
	for _, h := range headers {
		for key, value := range h {
			list = append(list, key+": "+value)
		}
	}

	return list
}

// sectionLines are the fields as the decoder lists them: without blanks around
// their values.
func sectionLines(headers []map[string]string) string {
	list := rawLines(headers)
	for i, line := range list {
		key, value, _ := strings.Cut(line, ": ")
		if !strings.HasPrefix(key, ":") {
			list[i] = key + ": " + strings.Trim(value, " \t")
		}
	}

	return strings.Join(list, "\n")
}
