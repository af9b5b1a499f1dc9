package h2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// A table of short fields has more entries than an index of one byte reaches.
func TestHPACK_EveryEntryOfAFullTableIsFound(t *testing.T) {
	t.Parallel()
	var d decoder
	d.init(1 << 20)
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for round := range 3 {
		block.Reset()
		var want []string
		for i := range 200 {
			name, value := fmt.Sprintf("x%d", i%100), fmt.Sprint(i%100)
			want = append(want, name+": "+value)
			if err := e.WriteField(hpack.HeaderField{Name: name, Value: value}); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.decode(block.Bytes()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		var got []string
		for _, f := range d.fields {
			got = append(got, f.n.lower+": "+f.value)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("round %d: %q", round, got)
		}
	}
}
