package wire

import "testing"

func TestHasToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines []string
		want  bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"upgrade"}, true},
		{[]string{"keep-alive, \tUpgrade "}, true},
		{[]string{"close", "UPGRADE"}, true},
		{[]string{"upgrades"}, false},
		{[]string{"upgrade;q=1"}, false},
		{[]string{"keep-alive upgrade"}, false},
	} {
		if got := HasToken(c.lines, "upgrade"); got != c.want {
			t.Errorf("%q: %v, want %v", c.lines, got, c.want)
		}
	}
}
