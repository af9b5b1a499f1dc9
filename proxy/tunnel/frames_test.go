package tunnel

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// frameOf is a WebSocket frame as an endpoint sends it.
func frameOf(opcode byte, masked bool, payload []byte) []byte {
	out := []byte{0x80 | opcode}
	mask := byte(0)
	if masked {
		mask = 0x80
	}

	switch n := len(payload); {
	case n < 126:
		out = append(out, mask|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, mask|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, mask|127), uint64(n))
	}

	if masked {
		out = append(out, 1, 2, 3, 4)
	}

	return append(out, payload...)
}

// splitFrames takes a stream apart. It reports whether the stream ends at a
// border.
func splitFrames(stream []byte) (list [][]byte, whole bool) {
	for len(stream) > 0 {
		var b frames
		n := 0
		for n < len(stream) {
			b.follow(stream[n : n+1])
			if n++; b.atBoundary() {
				break
			}
		}

		if !b.atBoundary() {
			return list, false
		}

		list, stream = append(list, stream[:n]), stream[n:]
	}

	return list, true
}

var (
	goneDown = []byte{0x88, 2, 0x03, 0xe9}
	goneUp   = []byte{0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9}
)

func TestWebSocket_CloseFrameComesAtTheNextBorder(t *testing.T) {
	t.Parallel()
	for _, masked := range []bool{false, true} {
		want := goneDown
		if masked {
			want = goneUp
		}

		b, out := frames{masked: masked}, new(bytes.Buffer)
		message := frameOf(1, masked, []byte("hello"))
		b.write(out, message[:4], false)
		b.interrupt(out)
		if out.Len() != 4 {
			t.Fatal("a close frame in the middle of another")
		}

		b.write(out, message[4:], true)
		b.write(out, frameOf(1, masked, []byte("late")), true)
		if !bytes.Equal(out.Bytes(), append(message, want...)) {
			t.Errorf("%x", out.Bytes())
		}
	}
}

func TestWebSocket_SilentStreamIsClosedAtOnceAndOnce(t *testing.T) {
	t.Parallel()
	b, out := frames{}, new(bytes.Buffer)
	b.interrupt(out)
	b.interrupt(out)
	if !bytes.Equal(out.Bytes(), goneDown) {
		t.Errorf("%x", out.Bytes())
	}
}

func TestWebSocket_NothingFollowsTheirCloseFrame(t *testing.T) {
	t.Parallel()
	b, out := frames{}, new(bytes.Buffer)
	theirs := frameOf(8, false, []byte{0x03, 0xe8})
	b.write(out, theirs, false)
	b.interrupt(out)
	if !bytes.Equal(out.Bytes(), theirs) {
		t.Errorf("%x", out.Bytes())
	}
}

// However the bytes are split, and whenever the end is asked for: what comes
// out is whole frames of theirs and at most one close frame of ours, at the
// end.
func FuzzWebSocket_OursStandsOnlyAtABorder(f *testing.F) {
	f.Add([]byte{3, 130, 0, 255}, uint64(1))
	f.Add([]byte{0, 126, 127, 200, 201}, uint64(7))
	f.Add([]byte{}, uint64(0))
	f.Add([]byte{125, 126, 0, 0, 255, 1}, uint64(3))
	f.Add([]byte{255, 255, 255, 255}, uint64(9))
	f.Fuzz(func(t *testing.T, sizes []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 0))
		masked := seed%2 == 1
		var in []byte

		for _, n := range sizes[:min(len(sizes), 16)] {
			size := int(n)
			if n >= 200 {
				size = int(n) * 400 // long enough for every form of length
			}
			in = append(in, frameOf(byte(1+r.IntN(2)), masked, make([]byte, size))...)
		}

		b, out, ending, sent := frames{masked: masked}, new(bytes.Buffer), false, 0
		for sent < len(in) {
			n := min(1+r.IntN(1+r.IntN(2000)), len(in)-sent)
			if !ending && r.IntN(20) == 0 {
				ending = true
				b.interrupt(out)
			}

			b.write(out, in[sent:sent+n], ending)
			sent += n
		}

		if !ending {
			b.interrupt(out)
		}

		list, whole := splitFrames(out.Bytes())
		theirs := out.Bytes()
		if n := len(list); n > 0 && list[n-1][0] == 0x88 {
			theirs = theirs[:len(theirs)-len(list[n-1])]
		} else if whole {
			t.Error("the end was asked for at a border and did not come")
		}

		if !bytes.HasPrefix(in, theirs) {
			t.Errorf("bytes of theirs were changed")
		}

		for i, frame := range list {
			if frame[0] == 0x88 && i != len(list)-1 {
				t.Error("something follows the close frame")
			}
		}
	})
}
