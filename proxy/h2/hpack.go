package h2

import "errors"

// Errors of a field block. Each is a COMPRESSION_ERROR of the connection (RFC
// 9113 section 4.3), because the tables of both sides may differ from then on.
var (
	errBlock     = errors.New("hpack: malformed field block")
	errIndex     = errors.New("hpack: index beyond the tables")
	errTableSize = errors.New("hpack: size update that is too large, or out of place")
)

// tableSize is SETTINGS_HEADER_TABLE_SIZE in both directions.
const tableSize = 4096

// Patterns of the first byte of a representation (RFC 7541 section 6).
const (
	patternIndexed      = 0x80 // 7 bits of index
	patternIncremental  = 0x40 // 6 bits
	patternSizeUpdate   = 0x20 // 5 bits
	patternNeverIndexed = 0x10 // 4 bits
	patternLiteral      = 0x00 // 4 bits
	patternHuffman      = 0x80 // of a string, 7 bits of length
)

// readInteger reads an integer (RFC 7541 section 5.1). It accepts at most five
// bytes.
func readInteger(bits uint8, p []byte) (uint64, []byte, error) {
	if len(p) == 0 {
		return 0, p, errBlock
	}
	mask := byte(1)<<bits - 1
	i := uint64(p[0] & mask)
	p = p[1:]
	if i < uint64(mask) {
		return i, p, nil
	}
	for shift := 0; shift <= 28; shift += 7 {
		if len(p) == 0 {
			return 0, p, errBlock
		}
		b := p[0]
		p = p[1:]
		i += uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			return i, p, nil
		}
	}
	return 0, p, errBlock
}

// readString reads a string (RFC 7541 section 5.2) and leaves it coded.
func readString(p []byte) (coded []byte, huffman bool, rest []byte, err error) {
	if len(p) == 0 {
		return nil, false, p, errBlock
	}
	huffman = p[0]&patternHuffman != 0
	n, p, err := readInteger(7, p)
	if err != nil {
		return nil, false, p, err
	}
	if n > uint64(len(p)) {
		return nil, false, p, errBlock
	}
	return p[:n], huffman, p[n:], nil
}

// appendInteger appends an integer (RFC 7541 section 5.1).
func appendInteger(b []byte, pattern byte, bits uint8, i uint64) []byte {
	mask := uint64(1)<<bits - 1
	if i < mask {
		return append(b, pattern|byte(i))
	}
	b = append(b, pattern|byte(mask))
	for i -= mask; i >= 0x80; i >>= 7 {
		b = append(b, byte(i)|0x80)
	}
	return append(b, byte(i))
}

// appendString appends a string without the Huffman code, which would save a
// third of a few bytes and cost time on both sides.
func appendString(b []byte, s string) []byte {
	return append(appendInteger(b, 0, 7, uint64(len(s))), s...)
}
