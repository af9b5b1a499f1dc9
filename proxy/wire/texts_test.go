package wire

import (
	"fmt"
	"testing"
)

func TestTexts_StringsStayAsTheyWere(t *testing.T) {
	var texts Texts
	var made, want []string
	memory := make([]byte, 0, 3*textPiece)
	for i := range 300 {
		memory = append(memory[:0], fmt.Sprintf("%0*d", i%50*i%70, i)...)
		if i == 150 {
			memory = memory[:2*textPiece] // larger than a piece
		}
		made, want = append(made, texts.Make(memory)), append(want, string(memory))
		clear(memory)
	}

	for i := range made {
		if made[i] != want[i] {
			t.Errorf("string %d is %q, not %q", i, made[i], want[i])
		}
	}
}

func TestTexts_AllocatesOncePerPiece(t *testing.T) {
	var texts Texts
	id := make([]byte, 32)
	if n := testing.AllocsPerRun(1000, func() { texts.Make(id) }); n != 0 {
		t.Errorf("a string costs %v allocations", n)
	}
}
