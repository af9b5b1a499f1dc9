package h2

import (
	"encoding/hex"
	"strings"
	"testing"
)

// example is one block of RFC 7541 appendix C, and what a decoder makes of it.
type example struct {
	block  string // hexadecimal
	fields string // one a line
	table  uint32 // the size of the dynamic table after it
}

// RFC 7541 appendix C.2 to C.4: representations, and requests without and with
// the Huffman code.
var examples = map[string][]example{
	"C.2.1": {{"400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header", 55}},
	"C.2.2": {{"040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", 0}},
	"C.2.3": {{"1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret", 0}},
	"C.2.4": {{"82", ":method: GET", 0}},
	"C.3": {
		{"8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
			":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com", 57},
		{"8286 84be 5808 6e6f 2d63 6163 6865",
			":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache", 110},
		{"8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
			":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value", 164},
	},
	"C.4": {
		{"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
			":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com", 57},
		{"8286 84be 5886 a8eb 1064 9cbf",
			":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache", 110},
		{"8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
			":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value", 164},
	},
}

const (
	firstAnswer = ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: " +
		"https://www.example.com"
	secondAnswer = ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: " +
		"https://www.example.com"
	thirdAnswer = ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: " +
		"https://www.example.com\n" +
		"content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
)

// RFC 7541 appendix C.5 and C.6: responses with a table of 256 bytes, from
// which entries are evicted.
var evictions = map[string][]example{
	"C.5": {
		{"4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 54" +
			"6e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", firstAnswer, 222},
		{"4803 3330 37c1 c0bf", secondAnswer, 222},
		{"88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f" +
			"6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b" +
			"2076 6572 7369 6f6e 3d31", thirdAnswer, 215},
	},
	"C.6": {
		{"4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7" +
			"8f0b 97c8 e9ae 82ae 43d3", firstAnswer, 222},
		{"4883 640e ffc1 c0bf", secondAnswer, 222},
		{"88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335" +
			"dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07", thirdAnswer, 215},
	},
}

func TestHPACK_DecodesTheExamplesOfTheRFC(t *testing.T) {
	t.Parallel()
	for max, sets := range map[uint32]map[string][]example{tableSize: examples, 256: evictions} {
		for name, blocks := range sets {
			t.Run(name, func(t *testing.T) {
				var d decoder
				d.init(1 << 16)
				d.table.max = max
				for i, e := range blocks {
					block, err := hex.DecodeString(strings.ReplaceAll(e.block, " ", ""))
					if err != nil {
						t.Fatal(err)
					}
					if err := d.decode(block); err != nil {
						t.Fatalf("block %d: %v", i+1, err)
					}
					if got := lines(d.fields); got != e.fields || d.table.size != e.table {
						t.Errorf("block %d: %q and a table of %d, want %q and %d", i+1, got, d.table.size, e.fields, e.table)
					}
				}
			})
		}
	}
}

// lines is a list of fields, one a line.
func lines(fields []field) string {
	var all []string
	for _, f := range fields {
		all = append(all, f.n.lower+": "+f.value)
	}
	return strings.Join(all, "\n")
}

// The integers of RFC 7541 appendix C.1.
func TestHPACK_IntegersOfTheRFC(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		bits  uint8
		value uint64
		coded string
	}{{5, 10, "0a"}, {5, 1337, "1f9a0a"}, {8, 42, "2a"}, {7, 127, "7f00"}, {4, 1<<28 + 14, "0fffffff7f"}} {
		got := appendInteger(nil, 0, c.bits, c.value)
		if hex.EncodeToString(got) != c.coded {
			t.Errorf("%d in %d bits is %x, want %s", c.value, c.bits, got, c.coded)
		}
		if v, rest, err := readInteger(c.bits, got); v != c.value || len(rest) > 0 || err != nil {
			t.Errorf("%s: %d, %x, %v", c.coded, v, rest, err)
		}
	}
}

func TestHPACK_RefusesWhatHasNoMeaning(t *testing.T) {
	t.Parallel()
	for name, block := range map[string]string{
		"index 0":                            "80",
		"an index beyond both tables":        "ff00",
		"an index that is cut":               "ff",
		"an index of more than five bytes":   "ffffffffffff7f",
		"a literal of an unknown name":       "7f00 00",
		"a name that is cut":                 "0005 6162",
		"a value that is cut":                "0001 61 05 6162",
		"a size update behind a field":       "82 20",
		"a size update beyond the setting":   "3fe21f",
		"eight bits of padding":              "0001 61 82 1fff",
		"padding of zeros":                   "0001 61 81 18",
		"the code for the end of the string": "0001 61 84 ffff fffc",
	} {
		var d decoder
		d.init(1 << 16)
		p, err := hex.DecodeString(strings.ReplaceAll(block, " ", ""))
		if err != nil {
			t.Fatal(name, err)
		}
		if err := d.decode(p); err == nil {
			t.Errorf("%s: decoded as %q", name, lines(d.fields))
		}
	}
}

// A malformed field is the stream's error, and the table stays that of the
// peer. When the table returns the field it is malformed again.
func TestHPACK_AMalformedFieldStaysMalformedInTheTable(t *testing.T) {
	t.Parallel()
	for name, literal := range map[string]string{
		"CR LF in a value":      "\x40\x01x\x05y\r\nz:",
		"a name in upper case":  "\x40\x01X\x01y",
		"a NUL in a value":      "\x40\x01x\x01\x00",
		"an empty name":         "\x40\x00\x01y",
		"a colon within a name": "\x40\x03x:y\x01z",
	} {
		var d decoder
		d.init(1 << 16)
		if err := d.decode([]byte(literal)); err != nil || !d.malformed {
			t.Errorf("%s: %v, malformed %v", name, err, d.malformed)
		}
		if err := d.decode([]byte("\xbe")); err != nil || !d.malformed {
			t.Errorf("%s, from the table: %v, malformed %v", name, err, d.malformed)
		}
		if err := d.decode([]byte("\x82")); err != nil || d.malformed {
			t.Errorf("%s, the next section: %v, malformed %v", name, err, d.malformed)
		}
	}
}

// A section over a limit is decoded to its end.
func TestHPACK_AnOversizedSectionKeepsTheTables(t *testing.T) {
	t.Parallel()
	var d decoder
	d.init(200)
	block := "\x40\x01a\x01b" + strings.Repeat("\xbe", 300) + "\x40\x01c\x01d"
	if err := d.decode([]byte(block)); err != nil || !d.oversized || len(d.fields) > 6 {
		t.Fatalf("%v, oversized %v, %d fields", err, d.oversized, len(d.fields))
	}
	if err := d.decode([]byte("\xbe\xbf")); err != nil || d.oversized || lines(d.fields) != "c: d\na: b" {
		t.Errorf("%v, oversized %v, %q", err, d.oversized, lines(d.fields))
	}

	d.init(1 << 20)
	if err := d.decode([]byte(strings.Repeat("\x82", maxFields+1))); err != nil || !d.oversized ||
		len(d.fields) != maxFields {
		t.Errorf("%d fields, oversized %v, %v", len(d.fields), d.oversized, err)
	}
}
