package config

// validate checks the rules between variables. What a variable may be by itself its form has judged already.
func (e *environment) validate(c *Config) {
	_, given := e.given["LB_BACKENDS"]
	if !given && !c.Platform.ComputeEngine && c.Platform.MetadataHost == "" {
		e.missing("LB_BACKENDS", "is not set, and this machine has no metadata that could name backends (LB_BACKENDS='demo://3' is a first try)")
	}
	e.pair("LB_TLS_CERT_FILE", "LB_TLS_KEY_FILE")
	e.pair("LB_CLIENT_CERT_FILE", "LB_CLIENT_KEY_FILE")
	if delay, end := c.Process.DrainDelay, c.Process.DrainTimeout; delay > 0 && delay >= end {
		e.problems = append(e.problems, Problem{
			Variable: "LB_DRAIN_DELAY",
			Given:    e.given["LB_DRAIN_DELAY"],
			Reason:   "is " + short(delay) + " and ends no sooner than LB_DRAIN_TIMEOUT, which is " + short(end),
			Accepted: "less than LB_DRAIN_TIMEOUT",
		})
	}
}

// together wants both variables or none.
func (e *environment) together(one, other string) {
	for _, pair := range [][2]string{{one, other}, {other, one}} {
		_, has := e.given[pair[0]]
		_, lacks := e.given[pair[1]]
		if has && !lacks {
			e.missing(pair[1], "is not set but "+pair[0]+" is")
		}
	}
}
