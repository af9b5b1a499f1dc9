package command

// The exit codes of the program. The last is EX_CONFIG of sysexits.h.
const (
	OK     = 0
	Failed = 1
	Usage  = 2
	Config = 78
)

// exits returns the meaning of each exit code, for the help and the manual.
func exits() []entry {
	return []entry{
		{"0", "it did what was asked; a balancer has ended after a signal, " +
			"even if requests had to be cut"},
		{"1", "it could not: an address is taken, " +
			"a backend or an issuer does not answer, it is not ready"},
		{"2", "its arguments are wrong, or the Go runtime ended it, " +
			"as for a value of GOMEMLIMIT that it cannot read"},
		{"78", "the environment has a problem; each has a line that names the variable"},
	}
}
