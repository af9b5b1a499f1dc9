package command

import (
	"strings"
	"testing"
)

func TestEnvFile_ADifferenceIsNotedForWhatPillionReads(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`"http://a"`:   "keeps the quotes",
		"x # y":        "comment",
		"http://$HOST": "replace what follows '$'",
		"a;b":          "a shell needs quotes",
		"http://a:1":   "",
		"'":            "",
	} {
		_, notes, err := parseEnvFile("LB_BACKENDS="+value+"\nOTHER="+value, nil)
		if err != nil || len(notes) > 1 || (want == "") != (len(notes) == 0) ||
			want != "" && !strings.Contains(notes[0], want) {
			t.Errorf("%s: %q, %v, want %q", value, notes, err, want)
		}
	}
}

func FuzzEnvFile_NeverPanicsAndKeepsValuesAsTheyStand(f *testing.F) {
	f.Add("A=1\n#B=2\nC\n  D = 3\nA=4\r\n")
	f.Add("\ufeffA='x'\n=\n")
	f.Add("# docker run --env-file\nLB_BACKENDS=http://app:8080;http://b:80?name=x\nexport PORT=8080\n\nNAME\n")
	f.Add("A=\"a # b\" # c\nB=${A}\nC=$'x'\n\tD=\\\nE")
	f.Add("A==\r\nA\x00B=1\n\xff=2\n")
	f.Fuzz(func(t *testing.T, text string) {
		pairs, notes, err := parseEnvFile(text, []string{"C=3"})
		if err != nil && (pairs != nil || notes != nil) {
			t.Fatal("pairs beside an error")
		}
		seen := map[string]bool{}
		for _, p := range pairs {
			name, value, ok := strings.Cut(p, "=")
			if !ok || name == "" || seen[name] || strings.ContainsAny(name, " \t\n\x00") {
				t.Fatalf("the pair %q", p)
			}
			if seen[name] = true; !strings.Contains(text, value) && p != "C=3" {
				t.Fatalf("%q is not in the file", value)
			}
		}
	})
}
