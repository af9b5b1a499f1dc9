package terminal

import (
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFold_NoLineIsWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ line, want string }{
		{"short", "short"},
		{"one two three", "one two\n  three"},
		{"abcdefghijklmnop", "abcdefghij\n  klmnop"},
		{"\x1b[31mone\x1b[0m two three", "\x1b[31mone\x1b[0m two\n  three"},
		{"µs µs µs µs", "µs µs µs\n  µs"},
	} {
		if got := Fold(test.line, 10, 2); got != test.want {
			t.Errorf("%q became %q, want %q", test.line, got, test.want)
		}
	}
	if got := Fold("one two three", 0, 2); got != "one two three" {
		t.Errorf("without a width it became %q", got)
	}
}

func TestCut_MarksWhatIsMissingAndEndsColours(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ line, want string }{
		{"0123456789", "0123456789"},
		{"01234567890", "012345678…"},
		{"\x1b[31m01234567890\x1b[0m", "\x1b[31m012345678\x1b[0m…"},
	} {
		if got := Cut(test.line, 10); got != test.want {
			t.Errorf("%q became %q, want %q", test.line, got, test.want)
		}
	}
}

func FuzzFold_KeepsEveryLetterWithinTheWidth(f *testing.F) {
	f.Add("a line of words and aVeryLongWordThatHasNoBlankInIt", 12, 4)
	f.Add("\x1b[31mred\x1b[0m  x", 4, 9)
	f.Add("\x1b[", 1, 0)
	f.Fuzz(func(t *testing.T, line string, width, indent int) {
		if width < 1 || width > 1000 || indent < 0 || !utf8.ValidString(line) || strings.ContainsAny(line, "\n") {
			t.Skip()
		}
		folded := Fold(line, width, indent)
		for part := range strings.SplitSeq(folded, "\n") {
			if Columns(part) > width {
				t.Errorf("%q has %d columns of %d", part, Columns(part), width)
			}
		}
		letters := func(s string) string { return strings.NewReplacer(" ", "", "\n", "").Replace(s) }
		if letters(folded) != letters(line) {
			t.Errorf("%q became %q", line, folded)
		}
	})
}

func TestScreen_AFileIsNone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{os.DevNull, "fold_test.go"} {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if Of(file, false) != nil {
			t.Errorf("%s is a terminal", name)
		}
	}

	var none *Screen
	if none.Width() != 0 || none.Colours() || string(none.Append(nil, Red, "x")) != "x" {
		t.Error("no screen has a width or colours")
	}
}
