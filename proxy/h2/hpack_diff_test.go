package h2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// FuzzHPACK_DecodesAsOthersDo gives one connection's blocks to our decoder and
// to x/net's. Ours refuses what that one refuses, and both make the same fields
// of all else.
func FuzzHPACK_DecodesAsOthersDo(f *testing.F) {
	for _, sets := range []map[string][]example{examples, evictions} {
		for _, blocks := range sets {
			var all [][]byte
			for _, e := range blocks {
				all = append(all, unhex(e.block))
			}
			f.Add(bytes.Join(all, []byte{0xff, 0xff, 0xff}))
		}
	}
	f.Add([]byte("\x20\x3f\xe1\x1f\x40\x01a\x01b\xff\xff\xff\xbe"))
	f.Fuzz(func(t *testing.T, input []byte) {
		var d decoder
		d.init(1 << 30)
		var theirs []string
		other := hpack.NewDecoder(tableSize, func(f hpack.HeaderField) { theirs = append(theirs, f.Name+": "+f.Value) })
		for _, block := range bytes.Split(input, []byte{0xff, 0xff, 0xff}) {
			theirs = nil
			_, err := other.Write(block)
			if err == nil {
				err = other.Close()
			}
			ours := d.decode(block)
			if err != nil {
				if ours == nil && len(d.fields) < maxFields {
					t.Fatalf("%x: ours takes what x/net refuses: %v", block, err)
				}
				return
			}
			if ours != nil {
				return // ours may be stricter: about long integers, and where a size update may stand
			}
			if len(theirs) > maxFields || d.malformed {
				continue
			}
			for i := range theirs {
				name, value, _ := strings.Cut(theirs[i], ": ")
				if !strings.HasPrefix(name, ":") {
					value = strings.Trim(value, " \t")
				}
				theirs[i] = name + ": " + value
			}
			if got := lines(d.fields); got != strings.Join(theirs, "\n") {
				t.Fatalf("%x: %q, and x/net reads %q", block, got, theirs)
			}
		}
	})
}

func unhex(s string) []byte {
	var b []byte
	s = strings.ReplaceAll(s, " ", "")
	for i := 0; i+1 < len(s); i += 2 {
		var c byte
		_, _ = fmt.Sscanf(s[i:i+2], "%02x", &c)
		b = append(b, c)
	}
	return b
}

// What our encoder writes is read by x/net's decoder and by ours, through
// changes of the table's size.
func TestHPACK_OthersDecodeWhatIsEncoded(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var e encoder
	e.init()
	var ours decoder
	ours.init(1 << 20)
	var read []string
	theirs := hpack.NewDecoder(tableSize, func(f hpack.HeaderField) { read = append(read, f.Name+": "+f.Value) })
	for range 3000 {
		if random.IntN(50) == 0 {
			e.resize(uint32(random.IntN(2 * tableSize)))
		}
		var want []string
		block := e.begin(nil)
		for range random.IntN(20) {
			n, value := &names[random.IntN(len(names))], strings.Repeat(string(rune('a'+random.IntN(3))), random.IntN(300))
			if n.kind == pseudo {
				continue
			}
			want = append(want, n.lower+": "+value)
			block = e.field(block, n, value)
		}
		read = nil
		if _, err := theirs.Write(block); err != nil || theirs.Close() != nil {
			t.Fatalf("%x: %v", block, err)
		}
		if err := ours.decode(block); err != nil {
			t.Fatalf("%x: %v", block, err)
		}
		if strings.Join(read, "\n") != strings.Join(want, "\n") || lines(ours.fields) != strings.Join(want, "\n") {
			t.Fatalf("%q\nis read as %q\nand %q", want, read, lines(ours.fields))
		}
	}
}

// Secrets enter no table, neither here nor further on (RFC 7541 section 7.1.3).
func TestHPACK_SecretsAreNeverIndexed(t *testing.T) {
	t.Parallel()
	var e encoder
	e.init()
	for range 3 {
		block := e.begin(nil)
		block = e.field(block, nameOf("Authorization"), "Bearer token")
		block = e.field(block, nameOf("Cookie"), "short")
		var fields []hpack.HeaderField
		d := hpack.NewDecoder(tableSize, func(f hpack.HeaderField) { fields = append(fields, f) })
		if _, err := d.Write(block); err != nil || len(fields) != 2 || !fields[0].Sensitive || !fields[1].Sensitive {
			t.Fatalf("%v %v", fields, err)
		}
	}
}

// What comes again and again costs no memory, in either direction.
func TestHPACK_RepeatedFieldsAllocateNothing(t *testing.T) {
	var e encoder
	e.init()
	var d decoder
	d.init(1 << 16)
	fields := []field{
		{nMethod, "POST"}, {nScheme, "http"}, {nPath, "/package.Service/Method"}, {nAuthority, "app.example:8080"},
		{nameOf("Content-Type"), "application/grpc"}, {nameOf("User-Agent"), "grpc-go/1.76.0"}, {nTE, "trailers"},
	}
	block := make([]byte, 0, 4<<10)
	if n := testing.AllocsPerRun(100, func() {
		block = e.begin(block[:0])
		for i := range fields {
			block = e.field(block, fields[i].n, fields[i].value)
		}
		if err := d.decode(block); err != nil || len(d.fields) != len(fields) {
			t.Fatal(err, len(d.fields))
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHPACK(b *testing.B) {
	var e encoder
	e.init()
	var d decoder
	d.init(1 << 16)
	fields := []field{
		{nMethod, "POST"}, {nScheme, "http"}, {nPath, "/package.Service/Method"}, {nAuthority, "app.example:8080"},
		{nameOf("Content-Type"), "application/grpc"}, {nameOf("User-Agent"), "grpc-go/1.76.0"}, {nTE, "trailers"},
		{nameOf("Grpc-Timeout"), "10S"},
	}
	block := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		block = e.begin(block[:0])
		for i := range fields {
			block = e.field(block, fields[i].n, fields[i].value)
		}
		if err := d.decode(block); err != nil {
			b.Fatal(err)
		}
	}
}
