//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestChunked_InPiecesOfAnySize(t *testing.T) {
	t.Parallel()
	const coded = "5\r\nhello\r\n1A;name=value\r\n" + "abcdefghijklmnopqrstuvwxyz" + "\r\n0\r\nSum: 1\r\n\r\nrest"
	for size := 1; size <= len(coded); size++ {
		var c chunked
		var content, rest strings.Builder
		for left := coded; left != ""; {
			n := min(size, len(left))
			more, err := c.take([]byte(left[:n]), func(b []byte) { content.Write(b) })
			if err != nil {
				t.Fatal(err)
			}
			rest.Write(more)
			left = left[n:]
		}

		if content.String() != "helloabcdefghijklmnopqrstuvwxyz" || !c.over() || rest.String() != "rest" {
			t.Errorf("pieces of %d: %q, rest %q, over: %v", size, &content, &rest, c.over())
		}
	}
}

func TestChunked_BrokenFraming(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"\r\n", "x\r\n", "-1\r\n", "1\r\nabc", "123456789\r\n"} {
		var c chunked
		if _, err := c.take([]byte(bad), nil); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func FuzzChunked(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\n\r\n"), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		whole, pieces := chunked{}, chunked{}
		var first, second strings.Builder
		_, err := whole.take(b, func(b []byte) { first.Write(b) })
		for len(b) > 0 {
			n := min(int(size)+1, len(b))
			if _, other := pieces.take(b[:n], func(b []byte) { second.Write(b) }); other != nil {
				if err == nil {
					t.Fatal(other)
				}
				return
			}
			b = b[n:]
		}

		if err != nil || first.String() != second.String() || whole != pieces {
			t.Errorf("%v, %q and %q, %+v and %+v", err, &first, &second, whole, pieces)
		}
	})
}
