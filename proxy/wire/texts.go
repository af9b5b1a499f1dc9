package wire

import "strings"

// Texts makes short strings in common pieces of memory, so that most of them
// cost no allocation. A string keeps its piece alive, which is 1 KiB. The zero
// value is ready. Not safe for concurrent use.
type Texts struct{ piece *strings.Builder }

const textPiece = 1 << 10

// Make returns b as a string. b may be changed afterwards.
func (t *Texts) Make(b []byte) string {
	if t.piece == nil || t.piece.Cap()-t.piece.Len() < len(b) {
		t.piece = new(strings.Builder)
		t.piece.Grow(max(textPiece, len(b)))
	}

	start := t.piece.Len()
	t.piece.Write(b)

	return t.piece.String()[start:]
}
