package wire

import (
	"strings"
	"testing"
)

func TestAcceptEncoding_WeighsCodings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		field                    string
		gzip, br, zstd, identity int
	}{
		{"", 0, 0, 0, 1},
		{"gzip", 1000, 0, 0, 1},
		{"x-gzip", 1000, 0, 0, 1},
		{"GZIP;Q=0.5, zstd", 500, 0, 1000, 1},
		{" gzip ; q=0.25 ,\tbr;q=1.000", 250, 1000, 0, 1},
		{"*", 1000, 1000, 1000, 1},
		{"*;q=0", 0, 0, 0, 0},
		{"*;q=0, identity", 0, 0, 0, 1000},
		{"gzip;q=0, *;q=0.3", 0, 300, 300, 1},
		{"identity;q=0", 0, 0, 0, 0},
		{"identity;q=0.5, gzip;q=0.4", 400, 0, 0, 500},
		{"gzip, gzip;q=0", 0, 0, 0, 1},
		{"gzip;q=2", 0, 0, 0, 1},
		{"gzip;q=-1, br;q=x, zstd;q=NaN", 0, 0, 0, 1},
		{"gzip;level=1;q=0.1", 100, 0, 0, 1},
		{"gzipped, brr, ,;q=1,;", 0, 0, 0, 1},
	} {
		a := AcceptEncoding([]string{c.field})
		got := [...]int{a.Weight(Gzip), a.Weight(Brotli), a.Weight(Zstd), a.Weight(Identity)}
		if want := [...]int{c.gzip, c.br, c.zstd, c.identity}; got != want {
			t.Errorf("%q: %v, want %v", c.field, got, want)
		}
	}
}

// FuzzAcceptEncoding has the lines mean the same as one list, and nothing weigh
// more than there is.
func FuzzAcceptEncoding(f *testing.F) {
	f.Add("gzip;q=0.5, zstd", "br, *;q=0.1")
	f.Add("identity;q=0", "gzip;q=1e-3")
	f.Add("*;q=0", ";;,=q")
	f.Add("gzip, deflate, br, zstd", "")
	f.Add("GZIP;Q=1.000;x=y , x-gzip", "identity;q=0.001,gzip;q=2")
	f.Add("gzip;q=0.0000", "zstd ; q = 0.5")
	f.Fuzz(func(t *testing.T, one, two string) {
		lines := AcceptEncoding([]string{one, two})
		if joined := AcceptEncoding([]string{one + "," + two}); lines != joined {
			t.Errorf("%v as lines, %v as one", lines, joined)
		}
		for c := range codings {
			w := lines.Weight(c)
			if w < 0 || w > 1000 {
				t.Errorf("%v weighs %d", c, w)
			}
			named := strings.Contains(strings.ToLower(one+two), c.String())
			if c != Identity && w > 0 && !named && lines.Others() == 0 {
				t.Errorf("%v weighs %d but is not there", c, w)
			}
		}
	})
}
